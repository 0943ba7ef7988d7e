"""`audit check`: what an audit lacks, before `dvc repro` is started."""

import argparse
from pathlib import Path

from audits.review.verdict_files import start
from pipeline import layout
from pipeline.artifacts.store import atomic
from pipeline.checks.problems import of_audit
from pipeline.config import ConfigError, Params, load_params

__all__ = ["register", "start_tables", "tables"]

HEADER = "label,description\n"


def start_tables(params: Params, name: str) -> list[Path]:
    """Write the tables that DVC expects of an audit and that nobody has filled yet.

    Those that are there stay.

    Returns:
        what is to be committed: verdicts, what they are about, and the dataset's descriptions.
    """
    start(name)
    descriptions = layout.descriptions(params.audit(name).dataset)
    if not descriptions.exists():
        with atomic(descriptions) as temporary:
            temporary.write_text(HEADER, encoding="utf-8")
    return tables(params, name)


def tables(params: Params, name: str) -> list[Path]:
    """What `start_tables` writes of an audit."""
    descriptions = layout.descriptions(params.audit(name).dataset)
    return [layout.reviews(name), layout.reviewed(name), descriptions]


EXAMPLES = """\
examples:
  audit check scenes-tiny
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "check",
        description="List what would stop an audit and can be known before it runs: images that "
        "are not there or not of their kind, tables that cannot be read, classes that are asked "
        "for and not there, weights that cannot be had, a model that cannot be audited. Writes the "
        "empty tables of verdicts and descriptions where they are missing.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the audit's name")
    parser.set_defaults(run=_run, command="check")


def _run(arguments: argparse.Namespace) -> str:
    params = load_params()
    params.audit(arguments.name)
    start_tables(params, arguments.name)
    if problems := of_audit(params, arguments.name):
        raise ConfigError("\n".join(["this is missing", *problems]))
    return f"nothing is missing: dvc repro publish@{arguments.name}"
