"""The style of the pages: light and dark, by properties only."""

import re
from itertools import product
from pathlib import Path

import pytest

from audits.report import charts
from audits.report.templating import TEMPLATES

AUDITS = TEMPLATES.parents[1]
CSS = (TEMPLATES / "report.css").read_text(encoding="utf-8")
DARK = re.search(r"@media screen and \(prefers-color-scheme: dark\) { (:root {[^}]*}) }", CSS)
LITERAL = re.compile(
    r"""(?<!href=")\#(?:[0-9a-f]{3,4}){1,2}\b  # as digits, not a link to a place of the page
    | \b(?:rgb|hsl|hwb|lab|lch|oklab|oklch)a?\(
    | (?:color|fill|stroke|background|border|outline|shadow)(?::|=")\s*(?:[^;"{}]*[ ])?
      (?:white|black|red|green|blue|orange|purple|brown|gr[ae]y)\b""",
    re.IGNORECASE | re.VERBOSE,
)


def properties(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): ([^;]+);", block))


LIGHT_OF = properties(CSS[: CSS.index("}")])
DARK_OF = properties(DARK[1] if DARK else "")
SOFT = ("blue", "orange", "green", "purple", "brown")
# Ink and the charts' colours stand on the page and on its tinted boxes; the ends of the list are
# filled buttons, which turn paper and ink round, and pills.
PAIRS = [
    *product(("ink", "dim", *SOFT, "grey"), ("paper", "soft")),
    *product(("ink", "orange"), ("note",)),
    ("ink", "rule"),
    *product(("paper",), ("blue", "orange", "dim")),
    *((f"{name}-deep", f"{name}-soft") for name in SOFT),
]


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_dark_theme_has_every_colour_of_the_light_one() -> None:
    assert "color-scheme: light dark" in CSS
    assert len(LIGHT_OF) > 20
    assert DARK_OF.keys() == LIGHT_OF.keys()
    assert luminance(DARK_OF["paper"]) < 0.02 < 0.9 < luminance(LIGHT_OF["paper"])


@pytest.mark.parametrize("theme", [LIGHT_OF, DARK_OF], ids=["light", "dark"])
def test_text_can_be_read(theme: dict[str, str]) -> None:
    for text, ground in PAIRS:
        low, high = sorted(luminance(theme[name]) for name in (text, ground))
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{text} on {ground}"


@pytest.mark.parametrize(
    "path",
    [*sorted(AUDITS.glob("*/templates/*")), *Path(charts.__file__).parent.glob("*.py")],
    ids=lambda path: path.name,
)
def test_colours_are_properties(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace(CSS[: CSS.index("* {")], "")
    assert not LITERAL.findall(text)
    used = set(re.findall(r"var\(--([\w-]+)\)", text)) - {"n", "half"}
    assert used <= LIGHT_OF.keys()


def test_charts_take_the_colours_of_the_page() -> None:
    bins = [charts.Bin(0, 1, 3), charts.Bin(1, 2, 5)]
    row = charts.Row("a", (charts.Interval(0.5, 0.4, 0.7), None))
    curves = [charts.Line("one", (0.0, 1.0), (0.2, 0.4), (0.1, 0.1))] * 6
    drawn = [
        charts.intervals([row], ("valid", "spurious"), "T", 0.0, 500),
        charts.lines(curves, "T", "steps"),
        charts.histogram(bins, "T", "rate", [(1, "1")], marked=[1]),
        charts.course([(1, bins), (2, bins)], "T", "epoch", [(1, "1")]),
    ]
    for svg in drawn:
        colours = re.findall(r'(?:fill|stroke)="([^"]*)"', svg)
        assert colours
        for colour in set(colours) - {"none", "currentColor"}:
            names = re.findall(r"var\(--([\w-]+)\)", colour)
            assert names and "#" not in colour and set(names) <= LIGHT_OF.keys()
