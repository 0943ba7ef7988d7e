"""What a verification found, for people and for programs."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from audits.diff.origins import Origins
from audits.diff.sections import Section
from audits.diff.wording import figure, origins_section, signed
from audits.verify.comparison import Judged, Part, StageOutcome, beyond

__all__ = ["Verified"]

LISTED = 12
"""Metrics, findings and parts of a stage that are listed; --json has all."""


class Verified(NamedTuple):
    """An audit of a commit, made anew."""

    audit: str
    commit: str
    kept: list[str]
    """Stages that were not computed again."""
    stages: list[StageOutcome]
    """Those that were, in the order of the DAG."""
    metrics: list[Judged]
    findings: list[Judged]
    origins: Origins
    """Of the committed report and the one made anew."""

    @property
    def holds(self) -> bool:
        """Whether all metrics and findings are within their tolerances."""
        return not beyond([*self.metrics, *self.findings])

    @property
    def first(self) -> StageOutcome | None:
        """The first stage whose outputs differ by more than `verify.relative`."""
        return next((one for one in self.stages if one.outcome == "differs"), None)

    def summary(self) -> str:
        """The outcome in a line."""
        again, same = len(self.stages), sum(one.outcome == "same" for one in self.stages)
        place = f"{self.audit} at {self.commit[:8]}"
        said = f"{again} stages computed again, {same} gave the same bytes"
        if self.kept:
            said += f", {len(self.kept)} taken from the cache"
        if self.holds:
            return f"reproduced: {place}; {said}"
        which = f"; {self.first.stage} differs first" if self.first else ""
        return f"NOT REPRODUCED: {place}; {said}{which}"

    def sections(self) -> list[Section]:
        """What differs: first stage, metrics, findings, other stages, and what could explain it."""
        made = []
        if self.first is not None:
            name = f"Differs first: {self.first.stage}"
            made.append(Section(name, [], PART, _parts(self.first.parts)))
        for title, judged in (("metrics", self.metrics), ("findings", self.findings)):
            out = beyond(judged)
            if out:
                made.append(
                    Section(f"{title.capitalize()} beyond their tolerance", [], *_table(out))
                )
            if len(judged) > len(out):
                many = len(judged) - len(out)
                made.append(Section(f"{many} {title} differ within their tolerance"))
        rows = [(one.stage, one.outcome, f"{len(one.parts)}") for one in self.stages if one.parts]
        if rows:
            header = ("stage", "outcome", "differences")
            made.append(Section("Stages with other outputs, in the DAG's order", [], header, rows))
            made.append(origins_section(self.origins))
        return made

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "audit": self.audit,
            "commit": self.commit,
            "holds": self.holds,
            "differs_first": self.first.stage if self.first else None,
            "kept": self.kept,
            "stages": [
                {**one._asdict(), "parts": [part._asdict() for part in one.parts]}
                for one in self.stages
            ],
            "metrics": [one._asdict() for one in self.metrics],
            "findings": [one._asdict() for one in self.findings],
            "origins": self.origins._asdict(),
        }


PART = ("file", "what", "how")


def _parts(parts: Sequence[Part]) -> list[tuple[str, ...]]:
    # What is judged stands before pages, which follow from it.
    worst = sorted(parts, key=lambda part: part.holds is not False)
    rows = [(part.file, part.what, part.said) for part in worst[:LISTED]]
    return [*rows, *_more(parts, 3)]


def _more(all_of_them: Sequence[Any], columns: int) -> list[tuple[str, ...]]:
    """A row that says how many are not listed."""
    more = len(all_of_them) - LISTED
    return [(f"{more} more: --json lists them", *[""] * (columns - 1))] if more > 0 else []


def _table(judged: Sequence[Judged]) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    header = ("which", "committed", "made anew", "difference", "allowed")
    rows = [
        (
            one.name,
            figure(one.before),
            figure(one.now),
            "" if one.by is None else signed(one.by),
            one.allowed,
        )
        for one in sorted(judged, key=_size)[:LISTED]
    ]
    return header, [*rows, *_more(judged, len(header))]


def _size(one: Judged) -> float:
    """What differs most comes first, and before all what has no number."""
    return -math.inf if one.by is None else -abs(one.by)
