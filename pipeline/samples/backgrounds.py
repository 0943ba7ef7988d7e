"""Procedural backgrounds: five landscapes and seven neutral surfaces."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Pixels = Float[np.ndarray, "size size 3"]
"""Red, green, blue in 0 to 255, not yet rounded."""


def _noise(rng: Generator, size: int, cells: int) -> Float[np.ndarray, "size size"]:
    """Smooth noise in about −1 to 1 with blobs of about size / cells pixels."""
    grid = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC))


def _vary(rng: Generator, colour: Colour, by: int = 14) -> Float[np.ndarray, "3"]:
    """The colour, each channel shifted by up to `by` and all of them together by up to `by`."""
    return np.array(colour) + rng.uniform(-by, by, 3) + rng.uniform(-by, by)


def _vertical(rng: Generator, size: int, top: Colour, bottom: Colour) -> Pixels:
    """A gradient from the top colour to the bottom colour."""
    t = np.linspace(0, 1, size)[:, None, None]
    rows = (1 - t) * _vary(rng, top) + t * _vary(rng, bottom)
    return np.broadcast_to(rows, (size, size, 3)).copy()


def _hills(
    rng: Generator, size: int, pixels: Pixels, colours: tuple[Colour, ...], start: float
) -> Pixels:
    """Paint layered hills over the pixels, one a colour, from the horizon `start` downwards."""
    across = np.linspace(0, 1, size)
    down = np.arange(size)[:, None]
    for i, colour in enumerate(colours):
        wave = np.sin(2 * np.pi * (across * rng.uniform(0.5, 1.4) + rng.uniform()))
        level = start + (0.95 - start) * i / len(colours) + 0.06 * wave + rng.uniform(-0.03, 0.03)
        depth = (down - level * size) / size  # [size, size]
        shade = _vary(rng, colour, 8) - 60 * np.clip(depth, 0, 0.5)[..., None]
        pixels = np.where((depth > 0)[..., None], shade, pixels)
    return pixels


def _sea(rng: Generator, size: int) -> Pixels:
    """Open water with waves under a strip of haze."""
    pixels = _vertical(rng, size, (38, 150, 190), (12, 60, 130))
    rows = np.arange(size)[:, None] / size
    swell = _noise(rng, size, 6) * 0.6
    ripple = np.sin(2 * np.pi * (12 * rows**0.6 + swell + 0.4 * _noise(rng, size, 12)))
    pixels += 16 * ripple[..., None]
    crest = (ripple > 0.9) & (_noise(rng, size, 10) > 0.1)
    pixels[crest] += np.array([70, 60, 50])
    horizon = int(rng.uniform(0.06, 0.2) * size)
    pixels[:horizon] = _vertical(rng, size, (250, 214, 190), (252, 236, 214))[:horizon]
    return pixels


def _meadow(rng: Generator, size: int) -> Pixels:
    """Green hills with blades of grass and small flowers."""
    greens = ((150, 200, 95), (118, 182, 72), (92, 160, 58))
    pixels = _hills(rng, size, _vertical(rng, size, (186, 218, 140), (150, 200, 95)), greens, 0.1)
    image = Image.fromarray(_round(pixels))
    draw = ImageDraw.Draw(image)
    for x, y, lean in rng.uniform((0, 0.2, -2), (1, 1, 2), (140, 3)):
        length = size * (0.02 + 0.05 * y)
        foot = (x * size, y * size)
        draw.line([foot, (foot[0] + lean, foot[1] - length)], fill=(58, 122 + int(40 * x), 40))
    for x, y in rng.uniform((0, 0.3), (1, 1), (int(rng.integers(4, 14)), 2)):
        box = [x * size - 1, y * size - 1, x * size + 1, y * size + 1]
        draw.ellipse(box, fill=((255, 250, 235), (250, 225, 90))[int(x * 10) % 2])
    return np.asarray(image, dtype=np.float64)


def _desert(rng: Generator, size: int) -> Pixels:
    """Sand dunes with ripples under a hot sky."""
    sands = ((240, 200, 130), (230, 182, 108), (218, 164, 90))
    sky = _vertical(rng, size, (250, 190, 140), (252, 226, 180))
    pixels = _hills(rng, size, sky, sands, rng.uniform(0.15, 0.3))
    rows = np.arange(size)[:, None] / size
    ripple = np.sin(2 * np.pi * (18 * rows + 1.5 * _noise(rng, size, 5)))
    return pixels + (5 * ripple * (rows > 0.4))[..., None]


def _sky(rng: Generator, size: int) -> Pixels:
    """Blue sky with soft clouds."""
    pixels = _vertical(rng, size, (86, 160, 232), (176, 216, 248))
    cloud = 0.7 * _noise(rng, size, 5) + 0.3 * _noise(rng, size, 14)
    cover = np.clip((cloud - rng.uniform(0.1, 0.3)) * 4, 0, 0.95)[..., None]
    return pixels * (1 - cover) + 252 * cover


def _snow(rng: Generator, size: int) -> Pixels:
    """White hills and flakes under a grey winter sky."""
    whites = ((222, 232, 244), (234, 242, 250), (246, 250, 254))
    winter = _vertical(rng, size, (136, 156, 182), (188, 204, 222))
    pixels = _hills(rng, size, winter, whites, rng.uniform(0.2, 0.35))
    image = Image.fromarray(_round(pixels))
    draw = ImageDraw.Draw(image)
    for x, y, r in rng.uniform((0, 0, 0.5), (1, 1, 1.6), (40, 3)):
        centre = (x * size, y * size)
        draw.ellipse([centre[0] - r, centre[1] - r, centre[0] + r, centre[1] + r], fill="white")
    return np.asarray(image, dtype=np.float64)


def _any_colour(rng: Generator) -> Colour:
    """A pastel colour."""
    hue, strength = rng.uniform(0, 2 * np.pi), rng.uniform(15, 40)
    r, g, b = 205 + strength * np.cos(hue + np.array([0, 2.1, 4.2]))
    return int(r), int(g), int(b)


def _plain(rng: Generator, size: int) -> Pixels:
    """One pastel colour with the grain of paper."""
    grain = _noise(rng, size, size // 2)
    return np.array(_any_colour(rng)) + 4 * grain[..., None]


def _gradient(rng: Generator, size: int) -> Pixels:
    """A gradient between two pastel colours."""
    return _vertical(rng, size, _any_colour(rng), _any_colour(rng))


def _brick(rng: Generator, size: int) -> Pixels:
    """A brick wall."""
    height = int(rng.integers(12, 20))
    width = 2 * height
    rows, columns = np.mgrid[:size, :size]
    course = rows // height
    shifted = columns + (course % 2) * (width // 2)
    tint = rng.uniform(-14, 14, (size // height + 1, size // width + 2))
    pixels = _vary(rng, (186, 104, 84)) + tint[course, shifted // width][..., None]
    mortar = (rows % height < 2) | (shifted % width < 2)
    return np.where(mortar[..., None], _vary(rng, (214, 204, 192)), pixels)


def _wood(rng: Generator, size: int) -> Pixels:
    """Wooden boards."""
    height = int(rng.integers(22, 36))
    rows = np.arange(size)[:, None]
    tint = rng.uniform(-12, 12, size // height + 1)[rows // height]
    grain = np.sin(rows * 1.3 + 4 * _noise(rng, size, 4)) + _noise(rng, size, 24)
    pixels = _vary(rng, (196, 152, 104)) + (tint + 5 * grain)[..., None]
    return np.where((rows % height < 1)[..., None], pixels - 50, pixels)


def _tiles(rng: Generator, size: int) -> Pixels:
    """A floor of two pale tiles in turns."""
    edge = int(rng.integers(16, 32))
    rows, columns = np.mgrid[:size, :size] // edge
    odd = ((rows + columns) % 2 == 1)[..., None]
    base = np.array(_any_colour(rng), dtype=np.float64)
    return np.where(odd, base, base + rng.uniform(14, 26))


def _dots(rng: Generator, size: int) -> Pixels:
    """Wallpaper with dots."""
    edge = int(rng.integers(12, 22))
    rows, columns = np.mgrid[:size, :size] % edge - edge / 2
    dot = (rows**2 + columns**2 < (0.25 * edge) ** 2)[..., None]
    base = np.array(_any_colour(rng), dtype=np.float64)
    return np.where(dot, base + 26, base)


def _bokeh(rng: Generator, size: int) -> Pixels:
    """Blurred lights in the dusk."""
    image = Image.fromarray(_round(_vertical(rng, size, (74, 82, 120), (128, 112, 150))))
    lights = Image.new("RGB", image.size)
    draw = ImageDraw.Draw(lights)
    for x, y, r in rng.uniform((0, 0, 0.03), (1, 1, 0.1), (9, 3)) * size:
        draw.ellipse([x - r, y - r, x + r, y + r], fill=tuple(_round(_vary(rng, (80, 66, 60)))))
    blurred = lights.filter(ImageFilter.GaussianBlur(2))
    return np.asarray(image, dtype=np.float64) + np.asarray(blurred)


_PAINTERS: dict[str, Callable[[Generator, int], Pixels]] = {
    "sea": _sea,
    "meadow": _meadow,
    "desert": _desert,
    "sky": _sky,
    "snow": _snow,
    "plain": _plain,
    "gradient": _gradient,
    "brick": _brick,
    "wood": _wood,
    "tiles": _tiles,
    "dots": _dots,
    "bokeh": _bokeh,
}

LANDSCAPES = ("sea", "meadow", "desert", "sky", "snow")
"""Backgrounds that belong to one class each."""

NEUTRAL = tuple(kind for kind in _PAINTERS if kind not in LANDSCAPES)
"""Backgrounds that any object may stand on."""


def _round(pixels: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Pixels clipped to 0 to 255 and rounded."""
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def background(kind: str, rng: Generator, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """A square background.

    Args:
        kind: one of LANDSCAPES or NEUTRAL.
        rng: source of all that varies.
        size: edge in pixels.

    Raises:
        ValueError: the kind is unknown.
    """
    if kind not in _PAINTERS:
        raise ValueError(f"background {kind!r} is unknown: choose one of {', '.join(_PAINTERS)}")
    return _round(_PAINTERS[kind](rng, size))
