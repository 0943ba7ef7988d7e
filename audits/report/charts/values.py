"""Charts of values: with intervals, one row a condition, and as curves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from audits.report.charts.svg import (
    COLOURS,
    EDGE,
    GREY,
    RULE,
    Number,
    drawing,
    line,
    text,
    ticks_of,
    width_of,
)

MARKS = ("circle", "diamond")


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its whisker, equal to it where it has none (a single finding)."""

    value: Number
    low: Number
    high: Number

    @classmethod
    def of_auc(cls, figures: Mapping[str, Number], kind: str) -> "Interval":
        """The AUC of a kind of images; a single finding or set has no interval."""
        value = figures[f"{kind}_auc"]
        return cls(value, figures.get(f"{kind}_low", value), figures.get(f"{kind}_high", value))


@dataclass(frozen=True)
class Row:
    """One line of an interval chart: a value for each series, None where there is none."""

    label: str
    values: tuple[Interval | None, ...]


@dataclass(frozen=True)
class Line:
    """One curve with the standard error of each point."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    sem: tuple[float, ...]


def axis_start(rows: Sequence[Row]) -> float:
    """The tenth below the least whisker's low end, at least 0; 0.9 without values."""
    ends = [value.low for row in rows for value in row.values if value is not None]
    return max(0.0, math.floor(10 * min(ends, default=1.0) - 1e-9) / 10)


def intervals(
    rows: Sequence[Row], names: Sequence[str], title: str, low: Number, width: int
) -> str:
    """Values with whiskers on a common axis, one row a condition.

    Args:
        rows: conditions, top to bottom; values are fractions.
        names: one a series; the numbers stand in a column of that name too.
        title: what a screen reader says.
        low: where the axis starts; it ends at 1. Give charts to be compared the same.
        width: of the drawing, in the units of its 14-unit text.

    Raises:
        ValueError: there are no values.
    """
    if all(value is None for row in rows for value in row.values):
        raise ValueError(f"chart {title!r} has no values")
    column_width = 70
    left = max(146, 12 + width_of([row.label for row in rows]))
    right = width - column_width * len(names) - 8
    top, step = 34, 28
    height = top + step * len(rows) + 30

    def at(value: Number) -> float:
        return left + (min(max(value, low), 1.0) - low) / (1 - low) * (right - left)

    parts = []
    for tick in ticks_of(low, 1.0):
        x = at(tick)
        parts.append(line(x, top - 6, x, height - 28, RULE))
        parts.append(text(x, height - 12, f"{tick:.2g}", "axis", "middle"))
    for column, name in enumerate(names):
        x = right + column_width * (column + 1)
        parts.append(text(x, top - 16, name, "head", "end", COLOURS[column]))
    for index, row in enumerate(rows):
        y = top + step * index + step / 2
        parts.append(text(left - 12, y + 4, row.label, "label", "end"))
        ends = [at(value.value) for value in row.values if value is not None]
        if ends:
            parts.append(line(min(ends), y, max(ends), y, EDGE, 2))
        for column, value in enumerate(row.values):
            x = right + column_width * (column + 1)
            if value is None:
                parts.append(text(x, y + 4, "n/a", "value", "end", GREY))
                continue
            colour = COLOURS[column]
            parts.append(line(at(value.low), y, at(value.high), y, colour, 2))
            parts.append(_mark(at(value.value), y, colour, MARKS[column % len(MARKS)]))
            parts.append(text(x, y + 4, f"{value.value:.2f}", "value", "end", colour))
    return drawing(width, height, title, parts)


def lines(curves: Sequence[Line], title: str, x_label: str, digits: int = 2) -> str:
    """Curves with bands of one standard error, each named at its right end.

    Raises ValueError without curves or with an empty one.
    """
    if not curves or any(not curve.x for curve in curves):
        raise ValueError(f"chart {title!r} has no points")
    xs = [x for curve in curves for x in curve.x]
    ys = [y + s * e for c in curves for y, e in zip(c.y, c.sem, strict=True) for s in (-1, 1)]
    x_low, x_high = min(xs), max(max(xs), min(xs) + 1e-9)
    margin = 0.06 * (max(ys) - min(ys)) or 0.5
    y_low, y_high = min(ys) - margin, max(ys) + margin
    # The curves give way to a long name, down to half of their width; then the drawing grows.
    named = 14 + width_of([curve.name for curve in curves])
    left, right, top, bottom, height = 56, min(330, max(470 - named, 193)), 14, 226, 262

    def at(x: Number, y: Number) -> tuple[float, float]:
        return (
            left + (x - x_low) / (x_high - x_low) * (right - left),
            bottom - (y - y_low) / (y_high - y_low) * (bottom - top),
        )

    parts = []
    for tick in ticks_of(y_low, y_high):
        y = at(x_low, tick)[1]
        parts.append(line(left, y, right, y, RULE))
        parts.append(text(left - 8, y + 4, f"{tick:.{digits}f}", "axis", "end"))
    for tick in sorted({round(x_low), round((x_low + x_high) / 2), round(x_high)}):
        parts.append(text(at(tick, y_low)[0], bottom + 18, f"{tick}", "axis", "middle"))
    parts.append(text((left + right) / 2, height - 4, x_label, "axis", "middle"))
    ends = _apart([at(curve.x[-1], curve.y[-1])[1] for curve in curves], 16, top + 6, bottom)
    # The first curve is the one that the text is about: drawn last, on top, and thicker.
    for index in reversed(range(len(curves))):
        curve, colour = curves[index], COLOURS[index % len(COLOURS)]
        upper = [at(x, y + e) for x, y, e in zip(curve.x, curve.y, curve.sem, strict=True)]
        lower = [at(x, y - e) for x, y, e in zip(curve.x, curve.y, curve.sem, strict=True)]
        if any(curve.sem):
            parts.append(
                f'<polygon points="{_points(upper + lower[::-1])}" fill="{colour}" opacity="0.12"/>'
            )
        points = [at(x, y) for x, y in zip(curve.x, curve.y, strict=True)]
        dash = ' stroke-dasharray="5 4"' if colour == GREY else ""
        parts.append(
            f'<polyline points="{_points(points)}" fill="none" stroke="{colour}" '
            f'stroke-width="{2.8 if index == 0 else 1.7}" stroke-linejoin="round"{dash}/>'
        )
        parts.append(line(right, points[-1][1], right + 10, ends[index] - 4, colour, 1))
        parts.append(text(right + 14, ends[index], curve.name, "label", "start", colour))
    return drawing(max(470, right + named), height, title, parts)


def _apart(wanted: Sequence[Number], gap: Number, low: Number, high: Number) -> list[Number]:
    """Heights near the wanted ones, at least a gap from each other where there is room."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    placed: list[Number] = [0.0] * len(wanted)
    previous = low - gap
    for i in order:
        placed[i] = previous = max(wanted[i] + 4, previous + gap)
    limit = high + gap
    for i in reversed(order):
        placed[i] = min(placed[i], limit - gap)
        limit = placed[i]
    return placed


def _mark(x: Number, y: Number, colour: str, shape: str) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{colour}"/>'
    return (
        f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" fill="{colour}" '
        f'transform="rotate(45 {x:.1f} {y:.1f})"/>'
    )


def _points(points: Sequence[tuple[Number, Number]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
