"""`audit clean`: what the workflow keeps beside DVC, with sizes, and how to be rid of it."""

import argparse
from collections.abc import Sequence

from pipeline.artifacts.resume import Kept, discard, kept

__all__ = ["register"]

EXAMPLES = """\
examples:
  audit clean
  audit clean --delete
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "clean",
        description="List what killed runs have left for later ones to go on with, what decoding "
        "images gave, texts that were embedded, where the members of tars in an object store lie, "
        "and what was being written when a process was killed (hidden folders anywhere in the "
        "repository), of which DVC knows nothing. Nothing of it is needed: what is deleted is "
        "computed again. Work that is going on and files that the workflow has not written stay. "
        "What DVC keeps is `dvc gc`'s.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--delete", action="store_true", help="delete it; without, only list it")
    parser.set_defaults(run=_run, command="clean")


def _run(arguments: argparse.Namespace) -> str:
    found = kept()
    if not found:
        return "nothing is kept beside DVC"
    if not arguments.delete:
        return _listed(found) + "\nnothing is deleted without --delete"
    gone = [work for work in found if discard(work)]
    left = [work for work in found if work not in gone]
    lines = [f"deleted: {_megabytes(sum(work.size for work in gone))}"]
    return "\n".join([*lines, *(f"in use, left: {work.path}" for work in left)])


def _listed(found: Sequence[Kept]) -> str:
    rows = [(_megabytes(work.size), f"{work.path}{_said(work)}") for work in found]
    rows.append((_megabytes(sum(work.size for work in found)), "in all"))
    return "\n".join(f"{size:>12}  {what}" for size, what in rows)


def _said(work: Kept) -> str:
    return " (in use)" if work.in_use else ""


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
