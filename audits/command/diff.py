"""`audit diff`: what differs between two reports, and what could explain it."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from audits.diff.difference import Difference, difference, paired
from audits.diff.places import find_reports
from audits.diff.sections import Section, html, markdown, text
from audits.diff.wording import sections, title
from pipeline.artifacts.store import atomic, json_text
from pipeline.config import load_params

DESCRIPTION = """\
Compare two reports of an audit: findings that are new, fixed or persist, metrics that changed by
more than their intervals allow for, and the differences of dataset, model, settings and code that
could explain it. A and B are places of reports: a Git revision, a folder such as reports/NAME, a
version of a dataset (audit versions NAME), the id of an MLflow run, or the word workspace, which B
is where it is left out."""
EXAMPLES = """\
examples:
  audit diff HEAD                           what is not committed yet
  audit diff HEAD~1 HEAD --markdown         for a pull request
  audit diff HEAD~1 --audit scenes-tiny --html diff.html
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "diff",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", metavar="A", help="place of a report")
    parser.add_argument("now", metavar="B", nargs="?", default="workspace", help="another")
    parser.add_argument("--audit", metavar="NAME", help="only this one of the audits there")
    parser.add_argument("--all", action="store_true", help="list every metric and finding")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--markdown", action="store_true", help="as Markdown")
    instead.add_argument("--json", action="store_true", help="everything, for programs")
    instead.add_argument("--html", type=Path, metavar="FILE", help="write a page")
    parser.set_defaults(run=_run, command="diff")


def _run(arguments: argparse.Namespace) -> str:
    params = load_params()
    before, now = (find_reports(asked, params) for asked in (arguments.before, arguments.now))
    pairs, single = paired(before, now, arguments.audit)
    found = []
    for old, new in pairs:
        # The audit's own idea of which findings are the same; another's for one from elsewhere.
        like = new.audit if new.audit in params.audits else next(iter(params.audits))
        found.append(difference(old, new, params.audit(like).review))
    if arguments.json:
        return json_text([one.as_json() for one in found])
    show = markdown if arguments.markdown else html if arguments.html else text
    said = _said(found, single, arguments.all, show)
    if not arguments.html:
        return said
    with atomic(arguments.html) as temporary:
        temporary.write_text(said, encoding="utf-8")
    return f"wrote {arguments.html}"


def _said(
    found: Sequence[Difference],
    single: Sequence[str],
    everything: bool,
    show: Callable[[str, Sequence[Section]], str],
) -> str:
    """All differences, one below the other."""
    if len(found) == 1 and not single:
        return show(title(found[0]), sections(found[0], everything))
    made = []
    for one in found:
        made += [Section(title(one)), *sections(one, everything)]
    if single:
        made.append(Section("At one place only", [", ".join(single)]))
    return show(f"{len(found)} audits", made)
