"""What a gate found, for people and for CI."""

from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from audits.diff.sections import Section
from audits.gate.budgets import Check

__all__ = ["as_json", "junit", "sections", "summary"]

HEADER = ("audit", "budget", "now", "last release", "by how much")
TITLES = {
    "fails": "Failed",
    "not measured": "Not measured",
    "holds": "Held",
}


def summary(checks: Sequence[Check], stopping: Sequence[Check], against: str | None) -> str:
    """The outcome in a line."""
    counts = {outcome: sum(check.outcome == outcome for check in checks) for outcome in TITLES}
    said = (
        f"{counts['fails']} failed, {counts['holds']} held, "
        f"{counts['not measured']} not measured; against {against or 'no release'}"
    )
    if not stopping and counts["not measured"] == len(checks):
        return f"NOTHING MEASURED: {said}"
    return f"{'FAILED' if stopping else 'passed'}: {said}"


def sections(checks: Sequence[Check], not_measured: str) -> list[Section]:
    """A table for each outcome, what failed first."""
    made = []
    for outcome, title in TITLES.items():
        rows = [
            (one.audit, one.budget, one.now, one.before, one.by)
            for one in checks
            if one.outcome == outcome
        ]
        said = []
        if outcome == "not measured":
            does = "fail" if not_measured == "fail" else "do not fail"
            said = [f"These {does} (gate.not_measured: {not_measured})."]
        if rows:
            made.append(Section(title, said, HEADER, rows))
    return made


def as_json(
    checks: Sequence[Check], stopping: Sequence[Check], against: str | None
) -> dict[str, Any]:
    """All of it, for programs."""
    return {
        "passed": not stopping,
        "against": against,
        "checks": [one._asdict() for one in checks],
    }


def junit(checks: Sequence[Check], stopping: Sequence[Check]) -> str:
    """JUnit XML: a suite an audit, a case a budget; what was not measured is skipped, or a failure
    where that stops the release."""
    root = ElementTree.Element("testsuites", name="audit gate")
    for audit in dict.fromkeys(one.audit for one in checks):
        cases = [one for one in checks if one.audit == audit]
        failures = [one for one in cases if one in stopping]
        skipped = [one for one in cases if one.outcome == "not measured" and one not in failures]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=audit,
            tests=str(len(cases)),
            failures=str(len(failures)),
            skipped=str(len(skipped)),
            errors="0",
        )
        for one in cases:
            case = ElementTree.SubElement(suite, "testcase", classname=audit, name=one.budget)
            said = f"{one.outcome}: now {one.now}, last release {one.before}; {one.by}"
            if one in failures:
                ElementTree.SubElement(case, "failure", message=said)
            elif one in skipped:
                ElementTree.SubElement(case, "skipped", message=said)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
