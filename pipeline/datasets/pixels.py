"""What the pixels of an image file are: its bytes to the RGB picture that every stage works on.

More than 8 bits a channel become 8. Whole numbers are taken at the full scale of the fewest of 8,
10, 12, 14 and 16 bits that hold the largest value of all the dataset's images, so that a dark image
stays darker than its neighbours; floats from 0 to 1 are taken times 255. Other numbers have no
scale that is known, and are refused. Neither is what `Image.convert("RGB")` does, which cuts off
at 255 and so leaves one white or black area.

`shown` is as a viewer shows the picture: turned as its orientation tag says, and on white where it
is transparent. `stored` is as open_clip's preprocessing takes it: neither. Colour profiles are
applied in neither, and of several frames the first is taken.
"""

import io
import sys
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import ExifTags, Image, UnidentifiedImageError

__all__ = ["KINDS", "SHOWN", "Decoded", "Reading", "Unusable", "decode", "reading_of"]

KINDS = ("rotated", "transparent", "deep", "cmyk", "frames", "blank")
"""What a picture may be counted as: it has an orientation tag; transparent pixels; more than 8
bits a channel; CMYK; several frames; and is one flat colour after scaling or on white."""
DEPTHS = (8, 10, 12, 14, 16)
DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
DEEP_COLOUR = ("RGB;16", "RGBX;16", "RGBA;16", "RGBa;16", "CMYK;16", "LA;16")
"""Beginnings of raw modes of which Pillow keeps the upper 8 of 16 bits."""
OTHER_END = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
"""Byte orders, and what reads the lower bytes in place of the upper; N is the machine's own."""
FRAMED = ("AVIF", "GIF", "PNG", "TIFF", "WEBP")
"""Formats whose further frames are pictures like the first, not previews or depth maps."""
ORIENTATION = ExifTags.Base.Orientation
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""ImageOps.exif_transpose does the same and writes the tags anew, which fails on odd ones."""
UNSCALED = "no scale is known for them: save it with 8 or 16 bits a channel"


class Reading(NamedTuple):
    """How the files of a dataset become pictures."""

    how: Literal["shown", "stored"] = "shown"
    bits: int = 8
    """That whole numbers of more than 8 bits are taken at, or more where an image needs more."""


SHOWN = Reading()
"""As a viewer shows it."""


class Decoded(NamedTuple):
    """A picture, and what was found about its file."""

    rgb: Image.Image
    """Mode RGB, as the reading wants it."""
    size: tuple[int, int]
    """Width and height in pixels, before any rotation that the reading asks for."""
    kinds: tuple[str, ...]
    """Those of KINDS that it is, in their order."""
    bits: int
    """The fewest of DEPTHS that hold its largest value; 8 where it is of 8 bits or floats."""


class Unusable(ValueError):
    """Bytes that no picture can be made of; the message says why, for a person to read."""


def reading_of(dataset: Mapping[str, Any]) -> Reading:
    """How the images of a dataset were read when its manifest was made.

    Args:
        dataset: content of `dataset.json` or of `reading.json`.
    """
    return Reading(dataset["pixels"]["as"], dataset["pixels"]["bits"])


def decode(content: bytes, reading: Reading, edge: int | None = None) -> Decoded:
    """The picture that an image file holds, decoded to its last row.

    Args:
        content: bytes of the file.
        reading: how its pixels are taken.
        edge: pixels of the longest side that will be asked for; JPEG's decoder then skips what is
            smaller than half of one. None decodes everything.

    Raises:
        Unusable: it is no image, is damaged, or its numbers have no known scale.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if edge is not None:
                image.draft("RGB", (2 * edge, 2 * edge))
            return _decoded(image, content, reading)
    except Unusable:
        raise
    except UnidentifiedImageError as error:  # its message holds a memory address
        raise Unusable("not an image that Pillow can read") from error
    except Image.DecompressionBombError as error:
        raise Unusable(f"too large: {error}") from error
    except Exception as error:  # on broken data decoders raise nearly everything there is
        said = " ".join(str(error).split())
        named = isinstance(error, OSError | SyntaxError | ValueError | RuntimeError) and said
        what = said if named else f"{type(error).__name__} {said}".strip()
        raise Unusable(f"corrupt: {what}") from error


def _decoded(image: Image.Image, content: bytes, reading: Reading) -> Decoded:
    shown = reading.how == "shown"
    kinds = set()
    raw = _raw_mode(image)
    tag = _orientation(image)
    image.load()
    # A TIFF is turned by now and has lost its tag; a PNG may have its tag behind the pixels.
    turn = TURNS.get(_orientation(image))
    if turn is not None or (shown and tag in TURNS):
        kinds.add("rotated")
    if image.format in FRAMED and _has_frames(content):
        kinds.add("frames")
    if image.mode == "CMYK":
        kinds.add("cmyk")
    size, bits = image.size, 8
    if image.mode in DEEP:
        kinds.add("deep")
        image, bits = _scaled_grey(image, reading)
    elif raw.startswith(DEEP_COLOUR):
        kinds.add("deep")
        image, bits = _scaled_colour(image, raw, content, reading)
    rgb, transparent = _opaque(image, shown)
    if transparent:
        kinds.add("transparent")
    if kinds & {"deep", "transparent"} and all(low == high for low, high in _ranges(rgb)):
        kinds.add("blank")
    if shown and turn is not None:
        rgb = rgb.transpose(turn)
    return Decoded(rgb, size, tuple(kind for kind in KINDS if kind in kinds), bits)


def _orientation(image: Image.Image) -> int:
    """The orientation tag; 1, upright, where there is none."""
    try:
        tag = image.getexif().get(ORIENTATION, 1)
    except Exception:  # tags that cannot be read turn no picture in a viewer either
        return 1
    return tag if isinstance(tag, int) else 1


def _has_frames(content: bytes) -> bool:
    # Opened again, for looking for a second frame leaves an image at it.
    try:
        with Image.open(io.BytesIO(content)) as image:
            return bool(image.is_animated)  # type: ignore[attr-defined]  # in all of FRAMED
    except Exception:  # a broken second frame is no fault of the first
        return False


def _has_alpha(image: Image.Image) -> bool:
    # Not Pillow's has_transparency_data, which fails on a palette that is still to come.
    if image.mode in ALPHA or "transparency" in image.info:
        return True
    return image.palette is not None and image.palette.mode in ALPHA


def _opaque(image: Image.Image, shown: bool) -> tuple[Image.Image, bool]:
    """The picture without transparency, and whether some but not all of it was transparent."""
    if not _has_alpha(image):
        return (image if image.mode == "RGB" else image.convert("RGB")), False
    if image.mode == "La":
        image = image.convert("LA")  # the only mode it converts to
    rgba = image.convert("RGBA")
    low, high = _ranges(rgba)[3]
    # Writers of TGA and BMP leave 0 everywhere for none.
    transparent = high > 0 and low < 255
    if shown and transparent:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB"), True
    return rgba.convert("RGB"), transparent


def _scaled_grey(image: Image.Image, reading: Reading) -> tuple[Image.Image, int]:
    """An image of mode L or LA, and the bits that the numbers need."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    within = low >= 0 and high < 2 ** DEPTHS[-1]  # never where there is a NaN
    if image.mode == "F" and low >= 0 and high <= 1:
        bits, scale = 8, 1.0
    elif within and (image.mode != "F" or np.array_equal(values, np.rint(values))):
        bits = _depth(int(high))
        scale = 2.0 ** max(bits, reading.bits) - 1
    else:
        kind = "floats" if image.mode == "F" else "whole numbers"
        raise Unusable(f"its pixels are {kind} from {low:.6g} to {high:.6g}, and {UNSCALED}")
    grey = Image.fromarray(_eight_bits(values, scale))
    key = image.info.get("transparency")
    if isinstance(key, int):
        alpha = np.where(values == key, 0, 255).astype(np.uint8)
        grey.putalpha(Image.fromarray(alpha))
    return grey, bits


def _scaled_colour(
    image: Image.Image, raw: str, content: bytes, reading: Reading
) -> tuple[Image.Image, int]:
    """A loaded image of 16 bits a channel as one of 8, and the bits that its colours need."""
    upper = np.asarray(image)
    colours = upper[..., :3] if image.mode == "RGBA" else upper
    # Where the largest value needs all 16 bits, the upper 8, which Pillow keeps, are the picture.
    if image.mode == "CMYK" or _depth(256 * int(colours.max()) + 255) == DEPTHS[-1]:
        return image, DEPTHS[-1]
    if raw[-1] not in OTHER_END or raw.startswith("LA"):
        raise Unusable("its pixels have 16 bits of which few are used: save it with 8 bits")
    with Image.open(io.BytesIO(content)) as again:
        other = raw[:-1] + OTHER_END[raw[-1]]
        again.tile = [tile._replace(args=_renamed(tile.args, other)) for tile in again.tile]
        lower = np.asarray(again)[..., :3]
    values = colours.astype(np.uint16) * 256 + lower
    bits = _depth(int(values.max()))
    scaled = _eight_bits(values, 2.0 ** max(bits, reading.bits) - 1)
    made = Image.fromarray(scaled)
    if image.mode == "RGBA":
        made.putalpha(image.getchannel("A"))
    return made, bits


def _raw_mode(image: Image.Image) -> str:
    """How the file stores a pixel, in Pillow's words; blank where the format does not say."""
    tiles = getattr(image, "tile", [])
    args = tiles[0].args if tiles else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _renamed(args: Any, raw: str) -> Any:
    return (raw, *args[1:]) if isinstance(args, tuple) else raw


def _depth(high: int) -> int:
    return next(bits for bits in DEPTHS if high < 2**bits)


def _eight_bits(values: Shaped[np.ndarray, "h w *c"], scale: float) -> UInt8[np.ndarray, "h w *c"]:
    return np.rint(values * (255 / scale)).astype(np.uint8)


def _ranges(image: Image.Image) -> tuple[tuple[int, int], ...]:
    """Smallest and largest value of each band of an image of several."""
    return image.getextrema()  # type: ignore[return-value]
