"""A report against its budgets: each holds, fails, or could not be measured."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from audits.diff.difference import Difference
from audits.diff.figures import OF_DICTIONARY, interval, moves
from audits.diff.recognition import Missed
from audits.diff.reports import Report
from audits.diff.wording import figure, signed
from pipeline.config import BudgetConfig, GateConfig, UnreviewedConfig

__all__ = ["SEVERITIES", "Check", "failed", "gate", "severity"]

SEVERITIES = ("low", "medium", "high")
NO_RELEASE = "no release to compare with: gate.against is null"


class Check(NamedTuple):
    """One budget of one audit."""

    audit: str
    budget: str
    """What was asked, in words."""
    outcome: Literal["holds", "fails", "not measured"]
    now: str
    before: str
    by: str
    """How far beyond the budget it is, which findings fail, why it could not be measured, and which
    findings were not counted."""


def gate(now: Report, difference: Difference | None, config: GateConfig) -> list[Check]:
    """A report against all budgets.

    Args:
        now: the report to be released.
        difference: from the last release to it; None where there is no release.
        config: the section of params.yaml.
    """
    checks = []
    if config.unreviewed is not None:
        checks.append(_unreviewed(now, difference, config.unreviewed))
    for budget in config.metrics:
        checks += _metric(now, difference, budget)
    return checks


def failed(checks: Sequence[Check], config: GateConfig) -> list[Check]:
    """Those that stop a release: what fails, and what was not measured if that is asked for."""
    stopping = ("fails", "not measured") if config.not_measured == "fail" else ("fails",)
    return [check for check in checks if check.outcome in stopping]


def severity(row: dict[str, Any]) -> str | None:
    """How sure a finding is: `low`, or `medium` where it is confirmed, or `high` where every
    further dictionary finds it again besides.

    None where it is confirmed and no further dictionary has looked for it: medium or high.
    """
    if not row["confirmed"]:
        return "low"
    again = row.get("recurrence")
    if again is None:
        return None
    return "high" if again >= 1 else "medium"


def _unreviewed(now: Report, difference: Difference | None, config: UnreviewedConfig) -> Check:
    new = config.of == "new"
    called = f"no {'new ' if new else ''}unreviewed finding of severity {config.severity}"
    called += "" if config.severity == "high" else " or above"
    if new and difference is None:
        return Check(now.audit, called, "not measured", "-", "-", NO_RELEASE)
    if new and difference is not None and difference.findings.new and not difference.findings.sure:
        why = "too little is here to recognise findings of another dictionary by: `dvc fetch` it"
        return Check(now.audit, called, "not measured", "-", "-", why)
    rows = difference.findings.new if difference is not None and new else now.rows()
    failing, unsure = _of_severity(rows, config)
    missed = difference.findings.only_now if difference is not None and new else []
    left_out = _left_out(missed, config)
    counted = str(len(failing))
    if failing:
        said = "; ".join([_names(failing), *left_out])
        return Check(now.audit, called, "fails", counted, "-", said)
    if unsure:
        why = f"no further dictionary has looked for {_names(unsure)} (stability.seeds)"
        said = "; ".join([why, *left_out])
        return Check(now.audit, called, "not measured", "-", "-", said)
    return Check(now.audit, called, "holds", counted, "-", "".join(left_out))


def _of_severity(
    rows: Sequence[dict[str, Any]], config: UnreviewedConfig
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Findings without a verdict that are of the severity, and those that may be."""
    least = SEVERITIES.index(config.severity)
    found = [(row, severity(row)) for row in rows if row["verdict"] is None]
    certain = [row for row, how in found if how is not None and SEVERITIES.index(how) >= least]
    # Medium at the least, so only `high` leaves it open.
    unsure = [row for row, how in found if how is None]
    return (certain, unsure) if config.severity == "high" else (certain + unsure, [])


def _left_out(missed: Sequence[Missed], config: UnreviewedConfig) -> list[str]:
    """Which findings the last release has not and are yet not counted, and why, in a line; none
    where there are none."""
    certain, unsure = _of_severity([one.row for one in missed], config)
    rows = certain + unsure
    why = "the last release's model may have the failure, which its audit missed"
    return [f"not counted, as {why}: {len(rows)} ({_names(rows)})"] if rows else []


def _names(rows: Sequence[dict[str, Any]]) -> str:
    return ", ".join(str(row["finding_id"]) for row in rows)


def _metric(now: Report, difference: Difference | None, budget: BudgetConfig) -> list[Check]:
    """Checks against the last release, and against the limit, where they are asked for."""
    checks = []
    value = _number(now, budget.metric)
    sign = 1.0 if budget.better == "higher" else -1.0
    if budget.worse_by is not None:
        checks.append(_relative(now, difference, budget, sign))
    if budget.limit is not None:
        least = "at least" if sign > 0 else "at most"
        called = f"{budget.metric} {least} {figure(budget.limit)}"
        if value is None:
            gap = "metrics.json has no such number"
            checks.append(Check(now.audit, called, "not measured", "-", "-", gap))
        else:
            lacking = sign * (budget.limit - value)
            outcome: Literal["fails", "holds"] = "fails" if lacking > 0 else "holds"
            by = f"worse by {lacking:.4g}" if lacking > 0 else ""
            checks.append(Check(now.audit, called, outcome, figure(value), "-", by))
    return checks


def _relative(
    now: Report, difference: Difference | None, budget: BudgetConfig, sign: float
) -> Check:
    allowed = "its interval" if budget.worse_by == "interval" else figure(budget.worse_by)
    called = f"{budget.metric} not worse by more than {allowed}"
    value = _number(now, budget.metric)
    shown = figure(value)
    if difference is None:
        return Check(now.audit, called, "not measured", shown, "-", NO_RELEASE)
    earlier = _number(difference.before, budget.metric)
    ends = (shown, figure(earlier))
    if value is None or earlier is None:
        who = "this report" if value is None else "the last release"
        return Check(now.audit, called, "not measured", *ends, f"{who} has no such number")
    change = value - earlier
    worse = -sign * change
    if budget.worse_by == "interval":
        other = difference.origins.dictionary
        moved = moves(budget.metric, difference.before.metrics, now.metrics, other)
        if other and budget.metric.startswith(OF_DICTIONARY):
            why = f"{signed(change)}, and its interval is of one dictionary, of which there are two"
            return Check(now.audit, called, "not measured", *ends, why)
        if moved.interval is None:
            without = [
                place
                for place, report in (("this report", now), ("the last release", difference.before))
                if interval(budget.metric, report.metrics) is None
            ]
            why = f"{signed(change)}, and {' and '.join(without)} has no interval for it"
            return Check(now.audit, called, "not measured", *ends, why)
        fails = worse > 0 and moved.verdict == "changed"
        room = f", 95 %: {' to '.join(map(signed, moved.interval))}"
    else:
        assert budget.worse_by is not None
        # What metrics.json rounds to is no difference.
        fails, room = worse > budget.worse_by + 1e-9, ""
    said = f"{signed(change)}{room}" if change else ""
    if fails and budget.metric.startswith("robustness.") and _other_findings(difference):
        said += "; its mean is over other findings than before"
    return Check(now.audit, called, "fails" if fails else "holds", *ends, said)


def _other_findings(difference: Difference) -> bool:
    found = difference.findings
    return bool(found.new or found.fixed or found.only_now or found.only_before)


def _number(report: Report, metric: str) -> float | None:
    value = report.metrics.get(metric)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value)
