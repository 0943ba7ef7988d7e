"""`audit run`: an audit by `dvc repro`, and the comparison that it belongs to."""

import argparse
import subprocess
import sys

from audits.command.lock import REMEDY, cut_off
from pipeline import layout
from pipeline.config import load_params

__all__ = ["register"]

EXAMPLES = """\
examples:
  audit run scenes-tiny
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "run",
        description="Run what is stale of an audit, which is `dvc repro publish@NAME`, then put "
        "the audits of its dataset side by side, and print where the pages are. No other audit "
        "runs: the comparison takes what they have. `audit check` says beforehand what is "
        "missing, `audit plan` what the run costs. One that was stopped goes on where it was.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the audit's name")
    parser.set_defaults(run=_run, command="run")


def _run(arguments: argparse.Namespace) -> str:
    dataset = load_params().audit(arguments.name).dataset
    report = layout.report(arguments.name) / "report.html"
    _repro(f"publish@{arguments.name}")
    # Each by itself, for they stand on every audit of the dataset, stale ones too.
    _repro("--single-item", f"compare@{dataset}", f"publish_comparison@{dataset}", made=report)
    return f"report      {report}\ncomparison  {layout.comparison(dataset)}"


def _repro(*arguments: str, made: object = None) -> None:
    """`dvc repro` of some stages, on this terminal.

    Raises:
        ValueError: it failed; what failed, DVC has said by then.
    """
    command = ["repro", *arguments]
    if code := subprocess.run([sys.executable, "-m", "dvc", *command], check=False).returncode:
        there = f"; the report is {made}" if made else ""
        why = f": {REMEDY}" if cut_off() else ""
        raise ValueError(f"`dvc {' '.join(command)}` ended with exit code {code}{there}{why}")
