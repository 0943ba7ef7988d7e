"""Charts as inline SVG: no script, no asset, the same bytes for the same numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

Number = float | int

# Properties of the page's style, which has them for light and for dark.
BLUE, ORANGE, GREEN, PURPLE, BROWN, GREY = (
    f"var(--{name})" for name in ("blue", "orange", "green", "purple", "brown", "grey")
)
RULE, EDGE = "var(--rule)", "var(--edge)"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, BROWN, GREY)
MARKS = ("circle", "diamond")


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its whisker, equal to it where it has none (a single finding)."""

    value: Number
    low: Number
    high: Number

    @classmethod
    def of_error(cls, value: Number, error: Number | None) -> "Interval":
        """Value ± error; an error of None gives no whisker."""
        return cls(value, value - (error or 0.0), value + (error or 0.0))


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


@dataclass(frozen=True)
class Bin:
    """One bar of a histogram."""

    low: Number
    high: Number
    count: int


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
    left, right = 146, width - column_width * len(names) - 8
    top, step = 34, 28
    height = top + step * len(rows) + 30

    def at(value: Number) -> float:
        return left + (min(max(value, low), 1.0) - low) / (1 - low) * (right - left)

    parts = []
    for tick in _ticks(low, 1.0):
        x = at(tick)
        parts.append(_line(x, top - 6, x, height - 28, RULE))
        parts.append(_text(x, height - 12, f"{tick:.2g}", "axis", "middle"))
    for column, name in enumerate(names):
        x = right + column_width * (column + 1)
        parts.append(_text(x, top - 16, name, "head", "end", COLOURS[column]))
    for index, row in enumerate(rows):
        y = top + step * index + step / 2
        parts.append(_text(left - 12, y + 4, row.label, "label", "end"))
        ends = [at(value.value) for value in row.values if value is not None]
        if ends:
            parts.append(_line(min(ends), y, max(ends), y, EDGE, 2))
        for column, value in enumerate(row.values):
            x = right + column_width * (column + 1)
            if value is None:
                parts.append(_text(x, y + 4, "n/a", "value", "end", GREY))
                continue
            colour = COLOURS[column]
            parts.append(_line(at(value.low), y, at(value.high), y, colour, 2))
            parts.append(_mark(at(value.value), y, colour, MARKS[column % len(MARKS)]))
            parts.append(_text(x, y + 4, f"{value.value:.2f}", "value", "end", colour))
    return _svg(width, height, title, parts)


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
    left, right, top, bottom, height = 56, 330, 14, 226, 262

    def at(x: Number, y: Number) -> tuple[float, float]:
        return (
            left + (x - x_low) / (x_high - x_low) * (right - left),
            bottom - (y - y_low) / (y_high - y_low) * (bottom - top),
        )

    parts = []
    for tick in _ticks(y_low, y_high):
        y = at(x_low, tick)[1]
        parts.append(_line(left, y, right, y, RULE))
        parts.append(_text(left - 8, y + 4, f"{tick:.{digits}f}", "axis", "end"))
    for tick in sorted({round(x_low), round((x_low + x_high) / 2), round(x_high)}):
        parts.append(_text(at(tick, y_low)[0], bottom + 18, f"{tick}", "axis", "middle"))
    parts.append(_text((left + right) / 2, height - 2, x_label, "axis", "middle"))
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
        parts.append(_line(right, points[-1][1], right + 10, ends[index] - 4, colour, 1))
        parts.append(_text(right + 14, ends[index], curve.name, "label", "start", colour))
    return _svg(470, height, title, parts)


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
    for tick in _ticks(0, max(tallest, 5)):
        y = bottom - tick / max(tallest, 5) * (bottom - top)
        parts.append(_line(left, y, right, y, RULE))
        parts.append(_text(left - 8, y + 4, f"{tick:,.0f}", "axis", "end"))
    for one in bins:
        tall = one.count / max(tallest, 5) * (bottom - top)
        parts.append(
            f'<rect x="{at(one.low):.1f}" y="{bottom - tall:.1f}" '
            f'width="{max(at(one.high) - at(one.low) - 1, 0.5):.1f}" height="{tall:.1f}" '
            f'fill="{BLUE}"/>'
        )
    for value in marked:
        x = at(min(max(value, low), high))
        parts.append(_line(x, bottom + 1, x, bottom + 8, ORANGE, 2))
    for value, text in ticks:
        if low <= value <= high:
            parts.append(_text(at(value), bottom + 23, text, "axis", "middle"))
    parts.append(_text((left + right) / 2, height - 4, x_label, "axis", "middle"))
    return _svg(470, height, title, parts)


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
    left, right, bars, end, top, bottom, height = 56, 330, 342, 424, 14, 214, 262
    numbers, last = [number for number, _ in columns], columns[-1][1]
    low, high = last[0].low, last[-1].high
    step = (right - left) / len(columns)
    longest = max(max(one.count for one in last), 5)

    def at(value: Number) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    parts = [_line(left, bottom, right, bottom, RULE), _line(bars, top, bars, bottom, GREY)]
    for column, (_, bins) in enumerate(columns):
        x = left + column * step
        # Wider than a step, so that no rounding leaves a gap before the next column.
        edge = min(x + step + 0.5, right)
        parts += [_cell(x, at(one.high), edge, at(one.low), one.count / most) for one in bins]
    for one in last:
        tip = bars + one.count / longest * (end - bars)
        parts.append(_cell(bars, at(one.high) + 1, tip, at(one.low), one.count / most))
    for value, text in ticks:
        if low <= value <= high:
            parts.append(_text(left - 8, at(value) + 4, text, "axis", "end"))
    for index in sorted({0, len(columns) // 2, len(columns) - 1}):
        x = left + (index + 0.5) * step
        parts.append(_text(x, bottom + 18, f"{numbers[index]}", "axis", "middle"))
    legend = f"{x_label} (stronger: more components)"
    parts.append(_text((left + right) / 2, height - 4, legend, "axis", "middle"))
    peak = max(last, key=lambda one: one.count)
    x, y = bars + peak.count / longest * (end - bars) + 5, at((peak.low + peak.high) / 2) + 4
    parts.append(_text(x, y, f"{peak.count:,}", "axis", "start"))
    parts.append(_text(bars, height - 4, f"{x_label} {numbers[-1]}", "axis", "start"))
    return _svg(470, height, title, parts)


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


def _ticks(low: Number, high: Number) -> list[float]:
    """Three to seven round values within [low, high]."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    size = next(step * power for step in (1, 2, 5, 10) if step * power >= raw * 0.999)
    first = math.ceil(low / size - 1e-9)
    return [
        round((first + i) * size, 12) for i in range(8) if (first + i) * size <= high + 1e-9 * size
    ]


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


def _svg(width: int, height: Number, title: str, parts: Sequence[str]) -> str:
    name = escape(title, quote=True)
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height:g}" role="img" aria-label="{name}">'
        f"<title>{name}</title>{''.join(parts)}</svg>"
    )


def _line(x1: Number, y1: Number, x2: Number, y2: Number, colour: str, width: Number = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width:g}"/>'
    )


def _text(
    x: Number, y: Number, text: str, kind: str, anchor: str, colour: str = "currentColor"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def _mark(x: Number, y: Number, colour: str, shape: str) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{colour}"/>'
    return (
        f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10" fill="{colour}" '
        f'transform="rotate(45 {x:.1f} {y:.1f})"/>'
    )


def _points(points: Sequence[tuple[Number, Number]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
