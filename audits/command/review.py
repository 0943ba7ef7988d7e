"""`audit review`: verdicts on an audit's findings, given, taken or merged."""

import argparse
import subprocess
from datetime import date
from pathlib import Path

from audits.review.agreement import agreement, said
from audits.review.desk import Desk
from audits.review.session import ask_user, run
from audits.review.verdict_files import ReviewError, Verdict, read_verdicts
from pipeline import layout
from pipeline.config import load_params

DESCRIPTION = """\
Review the findings of an audit: accept or reject each, choose its mode, write a note. Needs what
`dvc repro report@NAME` leaves; writes reviews/NAME.csv, the verdicts, and the folder reviews/NAME/,
the findings and components as they were reviewed, by which ids and verdicts carry over when the SAE
is trained anew. Both belong into Git; components of more than 1 MB are kept by DVC (`dvc push`).
Findings without a verdict keep their suggestions."""
EXAMPLES = """\
examples:
  audit review scenes-tiny                  # one by one, in the terminal
  audit review scenes-tiny --take ~/Downloads/scenes-tiny.csv
  audit review scenes-tiny --merge ann.csv bea.csv

--merge writes the lines that both reviewers agree on. What they disagree on has no line then: the
next `audit review NAME` asks for it, which is the third decision; or put the
decisions into a CSV and --take it.

A verdict is to be given again where a finding was recognised by its images only, shares too few of
them with those that were reviewed, or was accepted with a suggested mode that is another now. Each
answer in the terminal and each line of --take counts as given on the findings as they are now, so
take a report's verdicts before anything is run anew; lines of --merge only where they change."""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "review",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the audit's name")
    parser.add_argument("--all", action="store_true", help="ask for findings with a verdict, too")
    parser.add_argument(
        "--reviewer", metavar="WHO", help="your name; else git's user.name (git config user.name)"
    )
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--take", type=Path, metavar="FILE", help="add the verdicts of a CSV, such as the report's"
    )
    instead.add_argument(
        "--merge",
        type=Path,
        nargs=2,
        metavar="FILE",
        help="compare two reviewers' CSVs and add what they agree on",
    )
    instead.add_argument(
        "--pin",
        action="store_true",
        help="give no verdict, only write reviews/NAME/ from the present findings and components",
    )
    parser.set_defaults(run=_run, command="review")


def _run(arguments: argparse.Namespace) -> str:
    load_params().audit(arguments.name)
    desk = Desk.open(arguments.name)
    if arguments.take:
        return take(desk, arguments.take)
    if arguments.merge:
        return merge(desk, *arguments.merge)
    if arguments.pin:
        desk.decide([])
        return desk.written()
    return converse(desk, arguments.all, arguments.reviewer)


def converse(desk: Desk, everything: bool, reviewer: str | None) -> str:
    """Go through findings in the terminal; returns what was written."""
    asked = desk.findings["finding_id"].tolist() if everything else desk.open_findings()
    if not asked:
        return f"{desk.audit}: no finding waits for a verdict; --all asks for all of them"
    who = reviewer or git_user()
    print(f"{len(asked)} of {len(desk.findings)} findings of {desk.audit}, reviewer {who}")
    decided = run(desk, asked, who, date.today().isoformat(), ask_user, print)
    return f"\n{desk.written()}" if decided else "\nno verdict given, nothing written"


def take(desk: Desk, path: Path) -> str:
    """Add a CSV's verdicts, and say which replace others."""
    taken = read_verdicts(path, desk.known)
    _say_replaced(desk, list(taken.values()))
    desk.decide(list(taken.values()), again=taken)
    return f"took {len(taken)} verdicts from {path}\n{desk.written()}"


def merge(desk: Desk, first: Path, second: Path) -> str:
    """Compare two reviewers and add the verdicts that they agree on.

    Raises:
        ReviewError: a file is given twice, or is the one that is written.
    """
    target = layout.reviews(desk.audit).resolve()
    if first.resolve() == second.resolve():
        raise ReviewError(f"--merge {first} {second}: one file twice; give one of each reviewer")
    for path in (first, second):
        if path.resolve() == target:
            raise ReviewError(
                f"--merge {path}: what both agree on is written there; move it first: "
                f"`mv {path} first.csv; head -1 first.csv > {path}`"
            )
    found = agreement(
        read_verdicts(first, desk.known), read_verdicts(second, desk.known), desk.suggested()
    )
    print(said(found))
    _say_replaced(desk, found.agreed)
    decided = [one.finding_id for one, _ in found.disagreements if one.finding_id in desk.verdicts]
    if decided:
        print(f"decided before, and kept: {', '.join(decided)}")
    desk.decide(found.agreed)
    open_still = len(found.disagreements) > len(decided)
    return desk.written() + (
        f"\n`audit review {desk.audit}` asks for what is left open." if open_still else ""
    )


def _say_replaced(desk: Desk, verdicts: list[Verdict]) -> None:
    for new in verdicts:
        old = desk.verdicts.get(new.finding_id)
        if old is not None and old[1:3] != new[1:3]:
            print(
                f"{new.finding_id}: {old.verdict} {old.mode}".rstrip()
                + (f" by {old.reviewer}" if old.reviewer else "")
                + f" is replaced by {new.verdict} {new.mode}".rstrip()
            )


def git_user() -> str:
    """Name of the person at work.

    Raises:
        ReviewError: Git does not know it.
    """
    asked = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True)
    if name := asked.stdout.strip():
        return name
    raise ReviewError("git config user.name says no name: give --reviewer WHO")
