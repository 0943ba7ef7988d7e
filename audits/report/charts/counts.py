"""Charts of counts: bins as bars, their course, points in cells, and bars with a name each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from audits.report.charts.svg import (
    BLUE,
    COLOURS,
    GREY,
    ORANGE,
    RULE,
    Number,
    drawing,
    line,
    text,
    ticks_of,
)

COLUMNS, ROWS = 52, 28
"""Cells of `cloud`."""


@dataclass(frozen=True)
class Bin:
    """One bar of a histogram."""

    low: Number
    high: Number
    count: int


def histogram(
    bins: Sequence[Bin],
    title: str,
    x_label: str,
    ticks: Sequence[tuple[Number, str]],
    marked: Sequence[Number] = (),
) -> str:
    """Counts as bars from each bin's low to its high end.

    Args:
        bins: in order, each beginning where the one before ends.
        title: what a screen reader says.
        x_label: what is counted.
        ticks: places on the axis and what stands there; those outside the bins are left out.
        marked: values to mark below the bars.

    Raises:
        ValueError: there are no counts.
    """
    if not sum(one.count for one in bins):
        raise ValueError(f"chart {title!r} has no counts")
    left, right, top, bottom, height = 56, 440, 14, 214, 262
    low, high = bins[0].low, bins[-1].high
    tallest = max(one.count for one in bins)

    def at(value: Number) -> float:
        return left + (value - low) / (high - low) * (right - left)

    parts = []
    for tick in ticks_of(0, max(tallest, 5)):
        y = bottom - tick / max(tallest, 5) * (bottom - top)
        parts.append(line(left, y, right, y, RULE))
        parts.append(text(left - 8, y + 4, f"{tick:,.0f}", "axis", "end"))
    for one in bins:
        tall = one.count / max(tallest, 5) * (bottom - top)
        parts.append(
            f'<rect x="{at(one.low):.1f}" y="{bottom - tall:.1f}" '
            f'width="{max(at(one.high) - at(one.low) - 1, 0.5):.1f}" height="{tall:.1f}" '
            f'fill="{BLUE}"/>'
        )
    for value in marked:
        x = at(min(max(value, low), high))
        parts.append(line(x, bottom + 1, x, bottom + 8, ORANGE, 2))
    for value, said in ticks:
        if low <= value <= high:
            parts.append(text(at(value), bottom + 23, said, "axis", "middle"))
    parts.append(text((left + right) / 2, height - 4, x_label, "axis", "middle"))
    return drawing(470, height, title, parts)


def course(
    columns: Sequence[tuple[int, Sequence[Bin]]],
    title: str,
    x_label: str,
    ticks: Sequence[tuple[Number, str]],
) -> str:
    """Components in bins that change: a column of shades for each step, and the last one as bars.

    The stronger a cell's colour, the more components; bars have the shade of their cells.

    Args:
        columns: steps, numbered in order, and the bins of each, the same in all of them.
        title: what a screen reader says.
        x_label: what a step is.
        ticks: places on the bins' axis and what stands there; those outside are left out.

    Raises:
        ValueError: there are no counts.
    """
    most = max((one.count for _, bins in columns for one in bins), default=0)
    if not most:
        raise ValueError(f"chart {title!r} has no counts")
    left, right, start, end, top, bottom, height = 56, 330, 342, 424, 14, 214, 262
    numbers, last = [number for number, _ in columns], columns[-1][1]
    low, high = last[0].low, last[-1].high
    step = (right - left) / len(columns)
    longest = max(max(one.count for one in last), 5)

    def at(value: Number) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    parts = [line(left, bottom, right, bottom, RULE), line(start, top, start, bottom, GREY)]
    for column, (_, bins) in enumerate(columns):
        x = left + column * step
        # Wider than a step, so that no rounding leaves a gap before the next column.
        edge = min(x + step + 0.5, right)
        parts += [_cell(x, at(one.high), edge, at(one.low), one.count / most) for one in bins]
    for one in last:
        tip = start + one.count / longest * (end - start)
        parts.append(_cell(start, at(one.high) + 1, tip, at(one.low), one.count / most))
    for value, said in ticks:
        if low <= value <= high:
            parts.append(text(left - 8, at(value) + 4, said, "axis", "end"))
    for index in sorted({0, len(columns) // 2, len(columns) - 1}):
        x = left + (index + 0.5) * step
        parts.append(text(x, bottom + 18, f"{numbers[index]}", "axis", "middle"))
    legend = f"{x_label} (stronger: more components)"
    parts.append(text((left + right) / 2, height - 4, legend, "axis", "middle"))
    peak = max(last, key=lambda one: one.count)
    x, y = start + peak.count / longest * (end - start) + 5, at((peak.low + peak.high) / 2) + 4
    parts.append(text(x, y, f"{peak.count:,}", "axis", "start"))
    parts.append(text(start, height - 4, f"{x_label} {numbers[-1]}", "axis", "start"))
    return drawing(470, height, title, parts)


def cloud(
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " n"],
    title: str,
    labels: tuple[str, str],
    ticks: Sequence[tuple[Number, str]] | None = None,
) -> str:
    """Points as cells of a grid, so that a million take no more room than a few.

    The stronger a cell's colour, the more points are in it.

    Args:
        x: from left to right.
        y: from below; the axis ends at 1 and begins at 0, or at the least value if that is less.
        title: what a screen reader says.
        labels: of the two axes.
        ticks: places on the axis of x and what stands there, those outside are left out; round
            numbers where there are none.

    Raises:
        ValueError: there are no points.
    """
    if not len(x):
        raise ValueError(f"chart {title!r} has no points")
    left, right, top, bottom, height = 56, 440, 22, 214, 262
    low, high = float(x.min()), max(float(x.max()), float(x.min()) + 1e-9)
    least = min(0.0, float(y.min()))
    counts, edges_x, edges_y = np.histogram2d(
        x, y.clip(max=1), (COLUMNS, ROWS), ((low, high), (least, 1.0))
    )

    def across(value: Number) -> float:
        return left + (value - low) / (high - low) * (right - left)

    def up(value: Number) -> float:
        return bottom - (value - least) / (1 - least) * (bottom - top)

    parts = [line(left, up(tick), right, up(tick), RULE) for tick in ticks_of(least, 1.0)]
    for column, row in zip(*counts.nonzero(), strict=True):
        begin, end = across(edges_x[column]), across(edges_x[column + 1])
        upper, lower = up(edges_y[row + 1]), up(edges_y[row])
        parts.append(_cell(begin, upper, end, lower, counts[column, row] / counts.max()))
    for tick in ticks_of(least, 1.0):
        parts.append(text(left - 8, up(tick) + 4, f"{tick:.2g}", "axis", "end"))
    for value, said in ticks or [(tick, f"{tick:g}") for tick in ticks_of(low, high)]:
        if low <= value <= high:
            parts.append(text(across(value), bottom + 18, said, "axis", "middle"))
    parts.append(text(left, 12, labels[1], "axis", "start"))
    parts.append(text((left + right) / 2, height - 4, labels[0], "axis", "middle"))
    return drawing(470, height, title, parts)


def bars(rows: Sequence[tuple[str, int]], title: str) -> str:
    """Counts as lying bars, each with its name before it and its number behind it.

    Raises:
        ValueError: there are no counts.
    """
    most = max((count for _, count in rows), default=0)
    if not most:
        raise ValueError(f"chart {title!r} has no counts")
    left, right, step = 130, 400, 46
    parts = []
    for index, (name, count) in enumerate(rows):
        y = 14 + step * index
        width = count / most * (right - left)
        colour = COLOURS[index % len(COLOURS)]
        parts.append(
            f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{step - 16}" fill="{colour}"/>'
        )
        parts.append(text(left - 10, y + 20, name, "label", "end"))
        parts.append(text(left + width + 8, y + 20, f"{count:,}", "value", "start", colour))
    return drawing(470, 14 + step * len(rows), title, parts)


def _cell(left: Number, top: Number, right: Number, bottom: Number, share: Number) -> str:
    """A rectangle, blue where share is 1, paler below; nothing where it is 0."""
    if not share:
        return ""
    # By the root, so that a few can be told from none beside many. Mixed, not transparent: cells
    # overlap.
    colour = f"color-mix(in srgb, {BLUE} {100 * math.sqrt(share):.1f}%, var(--paper))"
    return (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" '
        f'height="{bottom - top:.1f}" fill="{colour}" shape-rendering="crispEdges"/>'
    )
