"""`audit gate`: exit code 1 where a report is worse than the last release's allows for."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from audits.diff.difference import difference
from audits.diff.places import find_reports
from audits.diff.reports import Report
from audits.diff.sections import markdown, text
from audits.gate.budgets import Check, failed, gate
from audits.gate.outcome import as_json, junit, sections, summary
from audits.history.versions import WORKSPACE
from audits.output import show
from pipeline import layout
from pipeline.artifacts.store import atomic, json_text
from pipeline.config import Params, load_params

DESCRIPTION = """\
Hold the reports of the workspace to the budgets of params.yaml, section gate: no unreviewed finding
of a severity, no metric worse than the last release's by more than its interval or a number, or
worse than a limit. Exit code 1 if one fails. What could not be measured is named, and fails only
where gate.not_measured is fail."""
EXAMPLES = """\
examples:
  audit gate --against HEAD
  audit gate scenes-tiny --against HEAD --junit gate.xml --markdown gate.md
"""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "gate",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="AUDIT", nargs="?", help="only this one; else all")
    parser.add_argument("--against", metavar="A", help="the last release, in place of gate.against")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write Markdown")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.set_defaults(run=_run, command="gate")


def _run(arguments: argparse.Namespace) -> str:
    params = load_params()
    against = arguments.against or params.gate.against
    checks = list(_checks(params, arguments.name, against))
    stopping = failed(checks, params.gate)
    said = summary(checks, stopping, against)
    tables = sections(checks, params.gate.not_measured)
    for path, content in (
        (arguments.junit, junit(checks, stopping)),
        (arguments.markdown, markdown(said, tables) + "\n"),
    ):
        if path is not None:
            with atomic(path) as temporary:
                temporary.write_text(content, encoding="utf-8")
    shown = text(said, tables)
    if arguments.json:
        shown = json_text(as_json(checks, stopping, against))
    if stopping:
        show(shown)
        sys.exit(1)
    return shown


def _checks(params: Params, asked: str | None, against: str | None) -> Iterator[Check]:
    """Of the audit that is asked for; else of all, those included that only the release has."""
    names = params.chosen(asked)
    reports: dict[str, Report] = find_reports(WORKSPACE, params)
    released = {} if against is None else find_reports(against, params)
    for name in names:
        if name not in reports:
            why = f"{layout.report(name)} is not there: dvc repro report@{name}"
            yield Check(name, "a report", "not measured", "-", "-", why)
            continue
        now, before = reports[name], released.get(name)
        if before is None and against is not None:
            why = f"{against} has no report of it: a new audit"
            yield Check(name, "a report of the last release", "not measured", "-", "-", why)
        change = None if before is None else difference(before, now, params.audit(name).review)
        yield from gate(now, change, params.gate)
    for name in sorted(released.keys() - params.audits.keys()) if asked is None else []:
        why = f"{against} has a report of it, and params.yaml has no such audit"
        yield Check(name, "an audit of the last release", "not measured", "-", "-", why)
