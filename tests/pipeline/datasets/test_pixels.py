"""What an image file's pixels are: depths, orientation, transparency and frames."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from pipeline.datasets import pixels
from pipeline.datasets.pixels import SHOWN, Reading, Unusable, decode, reading_of

STORED = Reading("stored")
GREY = np.linspace(0, 255, 7 * 5).round().astype(np.uint8).reshape(7, 5)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)


def file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def tiff(values: np.ndarray) -> bytes:
    return file(Image.fromarray(values), "TIFF")


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write in colour; values [h, w, c]."""
    h, w, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", w, h, 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def tiff16(values: np.ndarray, order: str) -> bytes:
    """An uncompressed TIFF of 16 bits a channel; values [h, w, 3], order < or >."""
    h, w, _ = values.shape
    entries = [
        *((256, 4, 1, w), (257, 4, 1, h), (259, 3, 1, 1), (262, 3, 1, 2)),
        *((273, 4, 1, 200), (277, 3, 1, 3), (278, 4, 1, h), (279, 4, 1, h * w * 6)),
    ]
    packed = [(258, 3, 3, 190), *entries]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    table = struct.pack(order + "H", len(packed))
    for tag, kind, count, value in sorted(packed):
        short = kind == 3 and count == 1
        body = struct.pack(order + ("HH" if short else "I"), *([value, 0] if short else [value]))
        table += struct.pack(order + "HHI", tag, kind, count) + body
    start = (head + table + bytes(4)).ljust(190, b"\0") + struct.pack(order + "HHH", 16, 16, 16)
    return start.ljust(200, b"\0") + values.astype(order + "u2").tobytes()


def seen(content: bytes, reading: Reading = SHOWN) -> np.ndarray:
    image = decode(content, reading).rgb
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


# more than 8 bits

WIDE = GREY.astype(np.uint16)
DEEP = {
    "png, 16 bits": (file(Image.fromarray(WIDE * 257)), 16),
    "png, 12 bits": (file(Image.fromarray((WIDE * (4095 / 255)).round().astype(np.uint16))), 12),
    "png, 8 bits": (file(Image.fromarray(WIDE)), 8),
    "tiff, 16 bits": (tiff(WIDE * 257), 16),
    "tiff, 10 bits": (tiff((WIDE * (1023 / 255)).round().astype(np.uint16)), 10),
    "tiff, big-endian": (tiff((WIDE * 257).astype(">u2")), 16),
    "tiff, 32 bits": (tiff(WIDE.astype(np.int32) * 257), 16),
    "tiff, 14 bits in 32": (tiff((WIDE * (16383 / 255)).round().astype(np.int32)), 14),
    "tiff, floats": (tiff(GREY.astype(np.float32) / 255), 8),
    "tiff, whole floats": (tiff(GREY.astype(np.float32) * 257), 16),
    "pgm": (b"P5 5 7 65535\n" + (WIDE * 257).astype(">u2").tobytes(), 16),
}


@pytest.mark.parametrize("reading", [SHOWN, STORED])
@pytest.mark.parametrize("name", DEEP)
def test_deep_greys_show_what_8_bits_show(name: str, reading: Reading) -> None:
    content, bits = DEEP[name]
    expected = np.repeat(GREY[..., None], 3, axis=2)
    assert np.abs(seen(content, reading) - expected).max() <= 1
    decoded = decode(content, reading)
    assert (decoded.kinds, decoded.bits, decoded.size) == (("deep",), bits, (5, 7))


@pytest.mark.parametrize("high", [65535, 4095, 1023])
@pytest.mark.parametrize("make", [png16, lambda v: tiff16(v, "<"), lambda v: tiff16(v, ">")])
def test_deep_colours_show_what_8_bits_show(make, high: int) -> None:
    content = make((COLOUR * (high / 255)).round())
    assert np.abs(seen(content) - COLOUR).max() <= 1
    assert decode(content, SHOWN).bits == high.bit_length()


def test_deep_colours_keep_their_transparency() -> None:
    alpha = np.full((7, 5, 1), 65535)
    alpha[0] = 0
    for high in (65535, 4095):
        content = png16(np.concatenate([(COLOUR * (high / 255)).round(), alpha], axis=2))
        assert decode(content, SHOWN).kinds == ("transparent", "deep")
        assert np.abs(seen(content)[1:] - COLOUR[1:]).max() <= 1
        assert (seen(content)[0] == 255).all()
    grey = png16(np.concatenate([WIDE[..., None] * 257, alpha], axis=2))
    assert np.abs(seen(grey)[1:, :, 0] - GREY[1:]).max() <= 1
    dim = png16(np.concatenate([WIDE[..., None] * 16, alpha], axis=2))
    with pytest.raises(Unusable, match="16 bits of which few are used: save it with 8"):
        decode(dim, SHOWN)


def test_a_dark_image_stays_darker_than_its_neighbours() -> None:
    dark = file(Image.fromarray((GREY / 255 * 200).astype(np.uint16)))
    assert seen(dark).max() == 200  # alone
    assert seen(dark, Reading(bits=12)).max() == round(200 / 4095 * 255)
    colour = png16((COLOUR / 255 * 900).astype(np.uint16))
    assert seen(colour, Reading(bits=14)).max() == round(900 / 16383 * 255)
    bright = file(Image.fromarray(WIDE * 257))
    assert seen(bright, Reading(bits=12)).max() == 255  # a foreign image is not cut off


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_black_stays_black(kind: type) -> None:
    decoded = decode(tiff(np.zeros((3, 4), dtype=kind)), Reading(bits=12))
    assert not np.asarray(decoded.rgb).any()
    assert decoded.kinds == ("deep", "blank")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([[-1000, 400]], dtype=np.int32), "whole numbers from -1000 to 400"),
        (np.array([[0, 65536]], dtype=np.int32), "whole numbers from 0 to 65536"),
        (np.array([[-0.5, 0.5]], dtype=np.float32), "floats from -0.5 to 0.5"),
        (np.array([[0.0, 37.5]], dtype=np.float32), "floats from 0 to 37.5"),
        (np.array([[0.1, np.nan]], dtype=np.float32), "floats from nan to nan"),
        (np.array([[0.0, np.inf]], dtype=np.float32), "floats from 0 to inf"),
    ],
)
def test_numbers_without_a_known_scale_are_refused(values: np.ndarray, said: str) -> None:
    with pytest.raises(Unusable, match=f"{said}, and no scale is known for them: save it with 8"):
        decode(tiff(values), SHOWN)


# orientation


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_pictures_are_turned_as_a_viewer_turns_them(kind: str, tag: int) -> None:
    exif = Image.Exif()
    exif[pixels.ORIENTATION] = tag
    options = {"lossless": True} if kind == "WEBP" else {}
    content = file(Image.fromarray(COLOUR), kind, exif=exif, **options)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    with Image.open(io.BytesIO(content)) as image:
        open_clip = np.asarray(image.convert("RGB"))  # of a TIFF turned too
    assert np.array_equal(seen(content), expected)
    assert np.array_equal(seen(content, STORED), open_clip)
    assert decode(content, SHOWN).kinds == (("rotated",) if tag > 1 else ())
    assert decode(content, STORED).kinds == (("rotated",) if tag > 1 and kind != "TIFF" else ())


def test_the_size_is_the_stored_one() -> None:
    exif = Image.Exif()
    exif[pixels.ORIENTATION] = 6
    decoded = decode(file(Image.fromarray(COLOUR), "JPEG", exif=exif), SHOWN)
    assert (decoded.size, decoded.rgb.size) == ((5, 7), (7, 5))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"])
def test_tags_that_cannot_be_read_cost_no_picture(exif: bytes) -> None:
    content = file(Image.fromarray(COLOUR), "JPEG", exif=exif)
    assert decode(content, SHOWN).kinds == ()


# transparency


def translucent(mode: str) -> bytes:
    """A picture whose upper left pixel is transparent, stored black."""
    grey = np.full((4, 3), 90, dtype=np.uint8)
    grey[0, 0] = 0
    plain = Image.fromarray(grey)
    if mode in ("L", "RGB", "P"):
        key = (0, 0, 0) if mode == "RGB" else 0
        image = plain.convert(mode)
        if mode == "P":
            image = Image.fromarray((grey > 0).astype(np.uint8)).convert("P")
            image.putpalette([0, 0, 0, 90, 90, 90])
        return file(image, transparency=key)
    if mode == "I;16":
        return file(Image.fromarray(grey.astype(np.uint16) * 257), transparency=0)
    if mode == "P, bytes":
        image = Image.fromarray((grey > 0).astype(np.uint8)).convert("P")
        image.putpalette([0, 0, 0, 90, 90, 90])
        return file(image, transparency=bytes([0, 255]))
    image = plain.convert("LA" if mode == "LA" else "RGBA")
    image.putalpha(Image.fromarray(np.where(grey > 0, 255, 0).astype(np.uint8)))
    return file(image, "TIFF" if mode == "TIFF" else "PNG")


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "P, bytes", "I;16", "LA", "RGBA", "TIFF"])
def test_what_is_transparent_lies_on_white(mode: str) -> None:
    content = translucent(mode)
    shown, stored = seen(content), seen(content, STORED)
    assert (shown[0, 0].tolist(), stored[0, 0].tolist()) == ([255] * 3, [0] * 3)
    assert (shown[1:] == 90).all()
    for reading in (SHOWN, STORED):
        assert "transparent" in decode(content, reading).kinds


def test_half_transparent_is_half_white() -> None:
    content = file(Image.new("RGBA", (2, 3), (0, 100, 200, 128)))
    assert seen(content)[0, 0].tolist() == [127, 177, 227]
    assert seen(content, STORED)[0, 0].tolist() == [0, 100, 200]


def test_alpha_that_hides_nothing_or_everything_is_none() -> None:
    for alpha in (0, 255):
        content = file(Image.new("RGBA", (2, 3), (9, 8, 7, alpha)), "TGA")
        assert seen(content)[0, 0].tolist() == [9, 8, 7]
        assert decode(content, SHOWN).kinds == ()


def test_a_white_drawing_on_nothing_is_counted_as_blank() -> None:
    image = Image.new("RGBA", (4, 4))
    image.paste((255, 255, 255, 255), (1, 1, 3, 3))
    assert decode(file(image), SHOWN).kinds == ("transparent", "blank")
    assert decode(file(image), STORED).kinds == ("transparent",)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB", "LA", "RGBA"])
def test_stored_is_what_open_clip_takes(mode: str) -> None:
    made = Image.fromarray(COLOUR)
    image = Image.merge("LAB", made.split()) if mode == "LAB" else made.convert(mode)
    content = file(image, "TIFF")
    with Image.open(io.BytesIO(content)) as opened:
        assert np.array_equal(seen(content, STORED), np.asarray(opened.convert("RGB")))
    assert seen(content).shape == (7, 5, 3)
    assert decode(content, SHOWN).kinds == (("cmyk",) if mode == "CMYK" else ())


@pytest.mark.parametrize("mode", ["La", "RGBa", "PA", "HSV", "RGBX", "I;16B", "I;16L"])
@pytest.mark.parametrize("reading", [SHOWN, STORED])
def test_modes_that_no_file_here_has(
    mode: str, reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Image.new(mode, (3, 2))
    monkeypatch.setattr(pixels.Image, "open", lambda _: made)
    assert decode(b"", reading).rgb.mode == "RGB"


# frames


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_of_several_frames_the_first_is_taken(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    frames = [Image.new("RGB", (16, 12), colour) for colour in ("red", "blue")]
    decoded = decode(file(frames[0], kind, save_all=True, append_images=frames[1:]), SHOWN)
    assert decoded.kinds == ("frames",)
    red, _, blue = decoded.rgb.getpixel((8, 6))
    assert red > 200 > 60 > blue
    assert decode(file(frames[0], kind), SHOWN).kinds == ()


def test_a_phone_s_second_picture_is_no_frame() -> None:
    frames = [Image.new("RGB", (16, 12), colour) for colour in ("red", "blue")]
    assert (
        decode(file(frames[0], "MPO", save_all=True, append_images=frames[1:]), SHOWN).kinds == ()
    )


# the rest


def test_a_thumbnail_is_decoded_no_larger_than_needed() -> None:
    content = file(Image.fromarray(COLOUR).resize((400, 320)), "JPEG")
    assert decode(content, SHOWN).rgb.size == (400, 320)
    assert decode(content, SHOWN, 24).rgb.size == (100, 80)


def test_the_reading_is_that_of_the_manifest() -> None:
    assert reading_of({"pixels": {"as": "stored", "bits": 12, "deep": {"12": 3}}}) == (
        "stored",
        12,
    )
