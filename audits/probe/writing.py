"""Words on neutral grounds, and the same grounds without: what a model is shown to see if it reads.

A ground is a colour with a hand of its own: font, ink, place, tilt and case. On it stands a word,
marks that are no writing but have its ink and extent, or nothing.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = (
    *("DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono-Bold"),
    *("DejaVuSans", "DejaVuSerif-Bold", "DejaVuSans-Oblique"),
)
"""Fonts of matplotlib, taken by turns."""

CASES = (str.lower, str.upper, str.capitalize)
"""How a word is written, by turns."""

EDGE = 336
"""Edge of a picture in pixels: the largest that CLIP's usual models look at."""

TYPE = 96
"""Font size at which words are drawn before they are scaled, in pixels."""

OUTLINE = 7
"""Width of the filter that widens letters to their outline, in pixels; odd."""

TALLEST = 0.5
"""Height of a word at most, as a fraction of the picture."""

MARKS = 3
"""Marks on one picture at most."""


class Ground(NamedTuple):
    """A neutral ground and how words are written on it."""

    top: tuple[int, int, int]
    """Colour of the upper edge, red, green, blue; it fades to that of the lower."""
    bottom: tuple[int, int, int]
    ink: str
    outline: str
    """Colour of the letters' outline, black on white or white on black."""
    font: Path
    case: int
    """Position in CASES."""
    width: float
    """Of the word, as a fraction of the picture."""
    height: float
    """Of its middle, as a fraction of the picture from the top."""
    tilt: float
    """Degrees."""


def grounds(count: int, rng: Generator) -> list[Ground]:
    """Some grounds, the first ones being the same however many there are."""
    return [_ground(index, rng) for index in range(count)]


def _ground(index: int, rng: Generator) -> Ground:
    colour = rng.integers(40, 216, 3)
    fade = int(rng.integers(-30, 31))
    ink, outline = ("black", "white") if rng.random() < 0.5 else ("white", "black")
    return Ground(
        top=_rgb(colour - fade),
        bottom=_rgb(colour + fade),
        ink=ink,
        outline=outline,
        font=_font(FONTS[index % len(FONTS)]),
        case=index % len(CASES),
        width=float(rng.uniform(0.6, 0.95)),
        height=float(rng.uniform(0.3, 0.7)),
        tilt=float(rng.uniform(-7, 7)),
    )


def blank(ground: Ground) -> Image.Image:
    """The ground with nothing on it."""
    return _faded(ground.top, ground.bottom).copy()


@cache
def _faded(top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Image.Image:
    down = np.linspace(0, 1, EDGE)[:, None, None]
    colours = (1 - down) * np.array(top) + down * np.array(bottom)
    pixels = np.broadcast_to(colours, (EDGE, EDGE, 3))
    return Image.fromarray(pixels.round().astype(np.uint8))


def written(word: str, ground: Ground, picture: Image.Image | None = None) -> Image.Image:
    """The word on the ground, or in its hand on a picture [EDGE, EDGE]."""
    return _inked(ground, _letters(word, ground), picture)


def marked(
    word: str, ground: Ground, rng: Generator, picture: Image.Image | None = None
) -> Image.Image:
    """Bars and ellipses where the word would be, in its ink, within its extent."""
    box = Image.new("L", _letters(word, ground).size)
    draw = ImageDraw.Draw(box)
    for _ in range(int(rng.integers(1, MARKS + 1))):
        x = np.sort(rng.integers(0, box.width, 2))
        y = np.sort(rng.integers(0, box.height, 2))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((int(x[0]), int(y[0]), int(x[1]) + 1, int(y[1]) + 1), fill=255)
    return _inked(ground, box, picture)


def writable(word: str) -> bool:
    """Whether every font has all letters of the word, in each case."""
    needed = {ord(c) for case in CASES for c in case(word) if not c.isspace()}
    return all(needed <= _drawn(name) for name in FONTS)


@cache
def _drawn(font: str) -> frozenset[int]:
    """Code points that a font draws."""
    return frozenset(FT2Font(_font(font)).get_charmap())


def _letters(word: str, ground: Ground) -> Image.Image:
    """The word's mask, scaled and turned."""
    text = CASES[ground.case](word)
    font = ImageFont.truetype(str(ground.font), TYPE)
    left, top, right, bottom = font.getbbox(text)
    mask = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))))
    ImageDraw.Draw(mask).text((-left, -top), text, font=font, fill=255)
    scale = EDGE * min(ground.width / mask.width, TALLEST / mask.height)
    mask = mask.resize((max(1, round(scale * mask.width)), max(1, round(scale * mask.height))))
    return mask.rotate(ground.tilt, Image.Resampling.BICUBIC, expand=True)


def _inked(ground: Ground, mask: Image.Image, on: Image.Image | None) -> Image.Image:
    """What the mask shows, in ink with an outline, on the ground or a picture."""
    around = Image.new("L", (mask.width + 2 * OUTLINE, mask.height + 2 * OUTLINE))
    around.paste(mask, (OUTLINE, OUTLINE))
    picture = blank(ground) if on is None else on.copy()
    corner = (
        (EDGE - around.width) // 2,
        round(ground.height * EDGE - around.height / 2),
    )
    picture.paste(ground.outline, corner, around.filter(ImageFilter.MaxFilter(OUTLINE)))
    picture.paste(ground.ink, corner, around)
    return picture


def _rgb(colour: np.ndarray) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in np.clip(colour, 0, 255))
    return red, green, blue


def _font(name: str) -> Path:
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
