"""Metrics of two reports: which of them changed by more than their intervals, and which may not."""

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeGuard

__all__ = ["CONFIDENCE", "OF_DICTIONARY", "Moved", "interval", "is_number", "moved", "moves"]

CONFIDENCE = 0.95
DEVIATIONS = 1.96
"""Half the width of an interval of CONFIDENCE, in standard errors."""
PART = re.compile(r"(.*[._])?(low|high|sem)")
"""Metrics that say how far another one can be trusted."""
OF_DICTIONARY = "faithfulness."
"""Metrics below it have intervals over images, of one dictionary: they say nothing of how far
another one would be."""


class Moved(NamedTuple):
    """A metric that is not the same in two reports."""

    name: str
    before: Any
    """None where the first report has none."""
    now: Any
    interval: tuple[float, float] | None
    """Of now − before; None where one of them has no interval."""

    @property
    def difference(self) -> float | None:
        """None where one of them is no number."""
        before, now = self.before, self.now
        return now - before if is_number(now) and is_number(before) else None

    @property
    def verdict(self) -> Literal["changed", "within", "no interval"]:
        """Changed is only what has an interval that leaves out 0."""
        if self.interval is None:
            return "no interval"
        low, high = self.interval
        return "within" if low <= 0 <= high else "changed"


def moved(before: Mapping[str, Any], now: Mapping[str, Any], other_dictionary: bool) -> list[Moved]:
    """The metrics that differ, in the order of their names.

    Args:
        before: leaves of a report's metrics by dotted name.
        now: likewise.
        other_dictionary: whether the two are of two; then those of OF_DICTIONARY have no interval.
    """
    names = sorted({name for name in before.keys() | now.keys() if not PART.fullmatch(name)})
    return [
        moves(name, before, now, other_dictionary)
        for name in names
        if before.get(name) != now.get(name)
    ]


def moves(
    name: str, before: Mapping[str, Any], now: Mapping[str, Any], other_dictionary: bool
) -> Moved:
    """One metric of two reports.

    The interval of the difference is that of Zou & Donner (2008), from the two metrics' own, l to
    u: from d − √((b − l_b)² + (u_a − a)²) to d + √((u_b − b)² + (a − l_a)²), where a is before, b
    now and d = b − a. For shares that is Newcombe's (1998). It takes the two for independent; they
    share images and most findings, which makes it wider than it had to be.
    """
    a, b = before.get(name), now.get(name)
    of_a, of_b = interval(name, before), interval(name, now)
    apart = other_dictionary and name.startswith(OF_DICTIONARY)
    if apart or of_a is None or of_b is None or not is_number(a) or not is_number(b):
        return Moved(name, a, b, None)
    below = math.hypot(b - of_b[0], of_a[1] - a)
    above = math.hypot(of_b[1] - b, a - of_a[0])
    return Moved(name, a, b, (b - a - below, b - a + above))


def interval(name: str, metrics: Mapping[str, Any]) -> tuple[float, float] | None:
    """A metric's interval of 95 %: `low` and `high` beside it, else 1.96 of `sem`.

    They are called as it is, less an `_auc` (spurious_auc, spurious_low), or nothing but that where
    it is a `mean`, `auc` or `value`.
    """
    value = metrics.get(name)
    if not is_number(value):
        return None
    above, _, leaf = name.rpartition(".")
    path = f"{above}." if above else ""
    stems = [f"{path}{leaf}_", f"{path}{leaf.removesuffix('_auc')}_"]
    if leaf in ("mean", "auc", "value"):
        stems.append(path)
    for stem in stems:
        low, high, sem = (metrics.get(f"{stem}{part}") for part in ("low", "high", "sem"))
        if is_number(low) and is_number(high):
            return float(low), float(high)
        if is_number(sem):
            return value - DEVIATIONS * sem, value + DEVIATIONS * sem
    return None


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a leaf of metrics is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
