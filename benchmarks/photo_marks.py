"""Words and marks that `benchmarks.photo_worlds` puts on photographs.

What makes a mark takes a generator, which draws its colour and size once, and gives what puts it
on a picture; a word's place and colours are drawn for each picture.
"""

from collections.abc import Callable

import numpy as np
from matplotlib.colors import hsv_to_rgb
from numpy.random import Generator
from PIL import Image

from pipeline.samples.glyphs import painted_word, place

Pixels = np.ndarray
"""[h, w, 3], 0 to 1."""
Drawn = Callable[[Image.Image], Image.Image]
INKS = (("white", "black"), ("black", "white"), ("yellow", "black"), ("red", "white"))
"""Colours of letters and of their edges."""


def written(word: str, rng: Generator) -> Drawn:
    """What writes a word across a picture."""

    def write(picture: Image.Image) -> Image.Image:
        result = picture.copy()
        ink, edge = INKS[rng.integers(len(INKS))]
        width = rng.uniform(0.75, 0.95) * picture.width
        place(result, painted_word(word, width, ink, edge), rng.random(), rng.random())
        return result

    return write


def _colour(rng: Generator) -> np.ndarray:
    """A colour of any hue."""
    return np.array(hsv_to_rgb((rng.random(), rng.uniform(0.6, 1.0), rng.uniform(0.7, 1.0))))


def _on_pixels(change: Callable[[Pixels], Pixels]) -> Drawn:
    def draw(picture: Image.Image) -> Image.Image:
        changed = change(np.asarray(picture) / 255.0)
        return Image.fromarray((changed.clip(0, 1) * 255).round().astype(np.uint8))

    return draw


def _grid(pixels: Pixels) -> tuple[np.ndarray, np.ndarray]:
    """Rows [h, 1] and columns [1, w] in 0 to 1."""
    rows, columns = np.ogrid[: pixels.shape[0], : pixels.shape[1]]
    return (rows + 0.5) / pixels.shape[0], (columns + 0.5) / pixels.shape[1]


def _painted(
    where: Callable[[np.ndarray, np.ndarray], np.ndarray], rng: Generator, strength: float = 1.0
) -> Drawn:
    """A colour where a condition on rows and columns, in 0 to 1, holds."""
    colour = _colour(rng)

    def paint(pixels: Pixels) -> Pixels:
        held = where(*_grid(pixels))[..., None] * strength
        return pixels * (1 - held) + colour * held

    return _on_pixels(paint)


def _tint(rng: Generator) -> Drawn:
    return _painted(lambda y, x: (y >= 0) & (x >= 0), rng, rng.uniform(0.25, 0.4))


def _frame(rng: Generator) -> Drawn:
    edge = rng.uniform(0.05, 0.09)
    return _painted(lambda y, x: np.minimum(np.minimum(y, 1 - y), np.minimum(x, 1 - x)) < edge, rng)


def _corner(rng: Generator) -> Drawn:
    up, left, size = rng.random() < 0.5, rng.random() < 0.5, rng.uniform(0.2, 0.3)
    return _painted(
        lambda y, x: ((y if up else 1 - y) < size) & ((x if left else 1 - x) < size), rng
    )


def _band(rng: Generator) -> Drawn:
    up, size = rng.random() < 0.5, rng.uniform(0.25, 0.4)
    return _painted(lambda y, x: ((y if up else 1 - y) < size) & (x >= 0), rng, 0.6)


def _bar(rng: Generator) -> Drawn:
    at, size = rng.uniform(0.1, 0.8), rng.uniform(0.08, 0.14)
    return _painted(lambda y, x: (y > at) & (y < at + size) & (x >= 0), rng)


def _ring(rng: Generator) -> Drawn:
    row, column, radius = rng.uniform(0.3, 0.7), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.3)
    return _painted(lambda y, x: abs(np.hypot(y - row, x - column) - radius) < 0.04, rng)


def _stripes(rng: Generator) -> Drawn:
    every = rng.uniform(0.15, 0.25)
    return _painted(lambda y, x: (x + y) % every < 0.25 * every, rng)


def _mesh(rng: Generator) -> Drawn:
    every = rng.uniform(0.15, 0.25)
    return _painted(lambda y, x: (x % every < 0.2 * every) | (y % every < 0.2 * every), rng)


def _dots(rng: Generator) -> Drawn:
    every = rng.uniform(0.18, 0.3)
    return _painted(
        lambda y, x: np.hypot(y % every - every / 2, x % every - every / 2) < every / 5, rng
    )


def _wave(rng: Generator) -> Drawn:
    row, turns = rng.uniform(0.3, 0.7), rng.uniform(1.5, 3)
    return _painted(lambda y, x: abs(y - row - 0.12 * np.sin(2 * np.pi * turns * x)) < 0.04, rng)


def _haze(rng: Generator) -> Drawn:
    light, share = rng.uniform(0.7, 1.0), rng.uniform(0.4, 0.6)
    return _on_pixels(lambda pixels: pixels * (1 - share) + light * share)


def _dark_corners(rng: Generator) -> Drawn:
    power = rng.uniform(1.5, 2.5)

    def darken(pixels: Pixels) -> Pixels:
        y, x = _grid(pixels)
        return pixels * (1 - np.hypot(y - 0.5, x - 0.5) / 0.71)[..., None] ** (power / 2)

    return _on_pixels(darken)


def _one_hue(rng: Generator) -> Drawn:
    colour = _colour(rng)
    colour = 0.5 * colour + 0.5 * colour.mean()
    return _on_pixels(lambda pixels: pixels.mean(axis=-1, keepdims=True) * colour / colour.mean())


def _coarse(rng: Generator) -> Drawn:
    up = rng.random() < 0.5

    def coarsen(picture: Image.Image) -> Image.Image:
        result, width, half = picture.copy(), picture.width, picture.height // 2
        box = (0, 0, width, half) if up else (0, half, width, picture.height)
        part = result.crop(box)
        small = part.resize((max(1, width // 8), max(1, half // 8)), Image.Resampling.BOX)
        result.paste(small.resize(part.size, Image.Resampling.NEAREST), box)
        return result

    return coarsen


def _inverted(rng: Generator) -> Drawn:
    row, column, size = rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.5), rng.uniform(0.3, 0.4)

    def invert(pixels: Pixels) -> Pixels:
        y, x = _grid(pixels)
        held = ((y > row) & (y < row + size) & (x > column) & (x < column + size))[..., None]
        return np.where(held, 1 - pixels, pixels)

    return _on_pixels(invert)


def _noise(rng: Generator) -> Drawn:
    strength = rng.uniform(0.12, 0.2)
    return _on_pixels(lambda pixels: pixels + strength * rng.standard_normal(pixels.shape))


MARKS: dict[str, Callable[[Generator], Drawn]] = {
    "tint": _tint,
    "frame": _frame,
    "corner": _corner,
    "band": _band,
    "bar": _bar,
    "ring": _ring,
    "stripes": _stripes,
    "mesh": _mesh,
    "dots": _dots,
    "wave": _wave,
    "haze": _haze,
    "dark corners": _dark_corners,
    "one hue": _one_hue,
    "coarse half": _coarse,
    "inverted square": _inverted,
    "noise": _noise,
}
"""Kinds of marks."""
