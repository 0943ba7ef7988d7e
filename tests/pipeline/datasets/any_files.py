"""Files that a folder of images may hold, drawn at random: whole, damaged, or no images."""

import io
import warnings

import numpy as np
from hypothesis import strategies as st
from PIL import Image

Image.init()
KINDS = sorted(set(Image.SAVE) & set(Image.OPEN) - {"EPS"})  # which runs Ghostscript
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "F")
HEADS = {
    "PSD": b"8BPS\0\1",
    "FLI": b"\0\0\0\0\x11\xaf\0\0",
    "DCX": b"\xb1\x68\xde\x3a",
    "PCX": b"\n\5\1\x08",
    "XPM": b"/* XPM */",
    "GBR": b"\0\0\0\x1c\0\0\0\2",
    "WAL": b"",
    "FITS": b"SIMPLE  =                    T",
    "BLP": b"BLP2",
    "FTEX": b"FTEX",
    "PIXAR": b"\x80\xe8\0\0",
    "SUN": b"\x59\xa6\x6a\x95",
    "QOI": b"qoif",
    "HEIF": b"\0\0\0\x18ftypheic",
    "JXL": b"\xff\x0a",
    "ICNS": b"icns\0\0\1\0",
    "CUR": b"\0\0\2\0\1\0",
    "WMF": b"\xd7\xcd\xc6\x9a\0\0",
    "MIC": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg">',
    "PDF": b"%PDF-1.7",
    "DICOM": bytes(128) + b"DICM",
    "page": b"<!DOCTYPE html>",
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:",
}
"""What files begin with of kinds that Pillow only reads, or that are often called .jpg."""


def saved(image: Image.Image, kind: str, **options: object) -> bytes | None:
    """An image as a file of some kind; None where the kind has no such mode."""
    content = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.save(content, kind, **options)
    except Exception:  # writers raise whatever they like of modes and sizes that they have not
        return None
    return content.getvalue()


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """A whole file of any kind and mode that Pillow writes, from one pixel on."""
    w, h = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    noise = np.random.default_rng(draw(st.integers(0, 99)))
    grey = noise.integers(0, 256, (h, w))
    mode, kind = draw(st.sampled_from(MODES)), draw(st.sampled_from(KINDS))
    top = draw(st.sampled_from((1, 255, 1023, 65535, -7, 7e9)))
    if mode in ("I", "I;16", "F"):
        number = {"I": np.int32, "I;16": np.uint16, "F": np.float32}[mode]
        scale = top if mode == "F" else min(max(top, 1), 65535)
        values = grey / 255 * scale
        if mode == "F" and draw(st.booleans()):
            values[0, 0] = draw(st.sampled_from((np.nan, np.inf, -1.0)))
        image = Image.fromarray(values.astype(number))
    else:
        rgba = Image.fromarray(noise.integers(0, 256, (h, w, 4), dtype=np.uint8))
        try:
            image = rgba.convert("RGB").convert(mode) if mode != "RGBA" else rgba
        except ValueError:  # no way to that mode
            image = rgba
    if kind == "AVIF":  # Pillow's writer kills the process for some sizes and tags
        return saved(image.convert("RGB").resize((32, 24)), kind) or b"BM"
    options: dict[str, object] = {}
    if draw(st.booleans()):
        exif = Image.Exif()
        exif[0x0112] = draw(st.integers(0, 9))
        options = {"exif": exif}
    if draw(st.integers(0, 4)) == 0:
        options |= {"save_all": True, "append_images": [image.copy()]}
    return saved(image, kind, **options) or saved(image.convert("RGB"), kind) or b"BM"


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Cut off, changed in some bytes or in the head, or the head of one on another's body."""
    content = bytearray(draw(pictures()))
    how = draw(st.sampled_from(("cut", "bytes", "head", "bodies")))
    if how == "cut":
        return bytes(content[: draw(st.integers(0, len(content) - 1))])
    if how == "bodies":
        other = draw(pictures())
        at = draw(st.integers(1, 64))
        return bytes(content[:at]) + other[at:]
    reach = len(content) if how == "bytes" else min(64, len(content))
    for _ in range(draw(st.integers(1, 8))):
        content[draw(st.integers(0, reach - 1))] = draw(st.sampled_from((0, 1, 127, 128, 255)))
    return bytes(content)


def no_images() -> st.SearchStrategy[bytes]:
    """Nothing, anything, or what begins like a file of some kind."""
    tails = st.binary(max_size=300)
    begun = st.tuples(st.sampled_from(sorted(HEADS)), tails).map(lambda t: HEADS[t[0]] + t[1])
    return st.one_of(st.just(b""), tails, begun)


def contents() -> st.SearchStrategy[bytes]:
    """Of a file of any kind at all."""
    return st.one_of(pictures(), damaged(), no_images())
