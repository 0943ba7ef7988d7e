"""All that differs between two reports of an audit."""

from dataclasses import dataclass
from typing import Any

from audits.diff.figures import Moved, moved
from audits.diff.origins import Origins, origins
from audits.diff.places import PlaceError
from audits.diff.recognition import Findings, recognise
from audits.diff.reports import Report
from pipeline.config import ReviewConfig

__all__ = ["Difference", "difference", "paired"]

BY_COMPONENT = "shortcut."
"""Metrics below it that have a number next are of that component of the dictionary."""


@dataclass(frozen=True)
class Difference:
    """One audit, twice."""

    before: Report
    now: Report
    findings: Findings
    metrics: list[Moved]
    origins: Origins

    @property
    def nothing(self) -> bool:
        """Whether the reports say the same of the same findings."""
        found = self.findings
        return not (
            found.new
            or found.fixed
            or found.only_now
            or found.only_before
            or any(one.changes for one in found.persisting)
            or self.metrics
        )

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        found, why = self.findings, self.origins
        return {
            "audit": self.now.audit,
            "before": self.before.place,
            "now": self.now.place,
            "findings": {
                "recognised_by": found.recognised_by,
                "sure": found.sure,
                "new": found.new,
                "fixed": found.fixed,
                "only_now": [one._asdict() for one in found.only_now],
                "only_before": [one._asdict() for one in found.only_before],
                "persisting": [
                    {
                        "finding_id": one.now["finding_id"],
                        "finding_id_before": one.before["finding_id"],
                        "recognised_by": one.by,
                        "changes": {
                            key: {"before": a, "now": b} for key, (a, b) in one.changes.items()
                        },
                    }
                    for one in found.persisting
                ],
            },
            "metrics": [
                {
                    "metric": one.name,
                    "before": one.before,
                    "now": one.now,
                    "difference": one.difference,
                    "interval": one.interval,
                    "verdict": one.verdict,
                }
                for one in self.metrics
            ],
            "origins": why._asdict(),
        }


def difference(before: Report, now: Report, config: ReviewConfig) -> Difference:
    """What differs; `config` says from where on findings are the same."""
    why = origins(before, now)
    metrics = moved(before.metrics, now.metrics, why.dictionary)
    if why.dictionary:  # the same number is another component then
        metrics = [one for one in metrics if not _of_component(one.name)]
    return Difference(before, now, recognise(before, now, config), metrics, why)


def _of_component(name: str) -> bool:
    return name.startswith(BY_COMPONENT) and name.split(".")[1].isdigit()


def paired(
    before: dict[str, Report], now: dict[str, Report], audit: str | None
) -> tuple[list[tuple[Report, Report]], list[str]]:
    """Reports of one audit at two places, and audits that only one of them has.

    Two single reports are compared whatever their audits are called.

    Raises:
        PlaceError: no audit is at both, or not the one that is asked for.
    """
    if audit is not None:
        for reports in (before, now):
            if audit not in reports and len(reports) > 1:
                place = next(iter(reports.values())).place
                raise PlaceError(f"{place} has no report of {audit}; it has {sorted(reports)}")
        before, now = ({audit: one[audit]} if audit in one else one for one in (before, now))
    if len(before) == len(now) == 1:
        (one,), (other,) = before.values(), now.values()
        return [(one, other)], []
    both = [name for name in before if name in now]
    if not both:
        raise PlaceError(f"no audit is at both: {sorted(before)} and {sorted(now)}")
    return [(before[name], now[name]) for name in both], sorted(before.keys() ^ now.keys())
