"""What lies before a reviewer: an audit's findings, the verdicts so far, and where they go."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audits.review.component_files import PINNED, pointer
from audits.review.identity import Pin
from audits.review.pinning import check_components, pin_components
from audits.review.verdict_files import (
    PINNED_FINDINGS,
    Verdict,
    read_pins,
    read_verdicts,
    write_pins,
    write_verdicts,
)
from pipeline import layout
from pipeline.artifacts.store import read_json, read_table


def pins_after(
    pins: Iterable[Pin],
    present: Iterable[Pin],
    before: Mapping[str, Verdict],
    after: Mapping[str, Verdict],
    again: Collection[str] = (),
) -> list[Pin]:
    """Findings as they were last reviewed, once verdicts have been given.

    A finding is pinned as it is now, unless it has a verdict that is not given now: then as it was
    when that was given, so that what changed since is still seen. Findings that are gone stay
    pinned while they have a verdict, and get it back if they are found again.

    Args:
        pins: of the last review.
        present: the findings as they are now.
        before: verdicts of the last review.
        after: verdicts now; one that differs from before is given now.
        again: ids of findings whose verdict is given now though it is the same as before.
    """
    kept = {pin.finding_id: pin for pin in pins}
    now = {pin.finding_id: pin for pin in present}
    held = {
        finding_id: pin
        for finding_id, pin in kept.items()
        if finding_id in after
        and finding_id not in again
        and (finding_id not in now or after[finding_id] == before.get(finding_id))
    }
    pinned = {**now, **held}
    return [pinned[finding_id] for finding_id in sorted(pinned)]


@dataclass
class Desk:
    """The findings of an audit and its verdicts, which are written at every decision."""

    audit: str
    findings: pd.DataFrame
    """Of the stage `review`."""
    evidence: dict[str, dict[str, Any]]
    """Likewise, by finding id."""
    present: list[Pin]
    """The findings as they are pinned when they are reviewed now."""
    pins: list[Pin]
    """The findings as they were last reviewed."""
    verdicts: dict[str, Verdict]
    pinned: bool = False
    """Whether the components are pinned as they are now."""

    @classmethod
    def open(cls, audit: str) -> "Desk":
        """Read an audit's findings and verdicts.

        Raises:
            FileNotFoundError: the stage `review` has not run.
            ReviewError: a file in reviews/ cannot be used, or the stage is to run again first.
        """
        folder = layout.audit(audit, "review")
        findings = read_table(folder / "findings.csv")
        present = read_pins(folder / "present.parquet")
        check_components(audit)
        pins = read_pins(layout.reviewed(audit) / PINNED_FINDINGS)
        known = {pin.finding_id for pin in (*present, *pins)}
        verdicts = read_verdicts(layout.reviews(audit), known)
        return cls(audit, findings, read_json(folder / "evidence.json"), present, pins, verdicts)

    @property
    def known(self) -> set[str]:
        """Ids that a verdict may be about."""
        return {pin.finding_id for pin in (*self.present, *self.pins)}

    def suggested(self) -> dict[str, str]:
        """Finding id → suggested mode, for a finding that is gone the one of its review."""
        return {pin.finding_id: pin.mode for pin in (*self.pins, *self.present)}

    def open_findings(self) -> list[str]:
        """Ids of findings that wait for a verdict, or for theirs to be given again."""
        pinned = {pin.finding_id: pin for pin in self.pins}
        again = set(self.findings.loc[self.findings["review_again"], "finding_id"])
        return [
            pin.finding_id
            for pin in self._in_order()
            if pin.finding_id not in self.verdicts
            # What was pinned since the stage ran is what there is now: it has been given again.
            or (pin.finding_id in again and not _same(pin, pinned.get(pin.finding_id)))
        ]

    def _in_order(self) -> list[Pin]:
        present = {pin.finding_id: pin for pin in self.present}
        return [present[finding_id] for finding_id in self.findings["finding_id"]]

    def decide(self, verdicts: Sequence[Verdict], again: Collection[str] = ()) -> None:
        """Add or replace verdicts, and write `reviews/<audit>.csv` and `reviews/<audit>/`.

        Args:
            verdicts: what is decided now; empty pins findings and components only.
            again: ids of findings whose verdict is given now though it may be the same as before.

        Raises:
            ReviewError: verdicts and findings are written, but the components could not be.
        """
        after = self.verdicts | {verdict.finding_id: verdict for verdict in verdicts}
        pins = pins_after(self.pins, self.present, self.verdicts, after, again)
        write_verdicts(layout.reviews(self.audit), after)
        write_pins(layout.reviewed(self.audit) / PINNED_FINDINGS, pins)
        self.pins, self.verdicts = pins, after
        if not self.pinned:
            pin_components(self.audit)
            self.pinned = True

    def written(self) -> str:
        """What has been written, and what to do with it."""
        files = (layout.reviews(self.audit), layout.reviewed(self.audit))
        large = pointer(files[1] / PINNED).exists()
        push = f"`dvc push {pointer(files[1] / PINNED)}` takes the components along.\n"
        gone = sorted(set(self.verdicts) - {pin.finding_id for pin in self.present})
        kept = f", of them {len(gone)} on findings that are gone" if gone else ""
        return (
            f"wrote {files[0]} ({len(self.verdicts)} verdicts{kept}) and {files[1]}/ "
            f"({len(self.pins)} findings and all components, by which ids carry over to an SAE "
            f"trained anew).\n{push if large else ''}"
            f"Commit both; `dvc repro publish@{self.audit}` brings the verdicts into the report."
        )

    @property
    def report(self) -> Path:
        """The page that shows the findings' images."""
        return layout.report(self.audit) / "report.html"


def _same(pin: Pin, other: Pin | None) -> bool:
    return other is not None and (
        pin.images == other.images
        and pin.mode == other.mode
        and np.array_equal(pin.atom, other.atom)
    )
