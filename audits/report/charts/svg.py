"""What all charts are drawn with: colours, axes' ticks, and the elements of an SVG."""

import math
from collections.abc import Sequence
from html import escape

Number = float | int

# Properties of the page's style, which has them for light and for dark.
BLUE, ORANGE, GREEN, PURPLE, BROWN, GREY = (
    f"var(--{name})" for name in ("blue", "orange", "green", "purple", "brown", "grey")
)
RULE, EDGE = "var(--rule)", "var(--edge)"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, BROWN, GREY)
LETTER = 7.5
"""Mean width of a letter of a label, in a wide font: DejaVu Sans has 7.3."""


def ticks_of(low: Number, high: Number) -> list[float]:
    """Three to seven round values within [low, high]."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    size = next(step * power for step in (1, 2, 5, 10) if step * power >= raw * 0.999)
    first = math.ceil(low / size - 1e-9)
    return [
        round((first + i) * size, 12) for i in range(8) if (first + i) * size <= high + 1e-9 * size
    ]


def width_of(labels: Sequence[str]) -> int:
    """Room that the longest of some labels wants."""
    return math.ceil(LETTER * max(map(len, labels), default=0))


def drawing(width: int, height: Number, title: str, parts: Sequence[str]) -> str:
    name = escape(title, quote=True)
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height:g}" role="img" aria-label="{name}">'
        f"<title>{name}</title>{''.join(parts)}</svg>"
    )


def line(x1: Number, y1: Number, x2: Number, y2: Number, colour: str, width: Number = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{colour}" stroke-width="{width:g}"/>'
    )


def text(
    x: Number, y: Number, text: str, kind: str, anchor: str, colour: str = "currentColor"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(text)}</text>'
    )
