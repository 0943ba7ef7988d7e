"""Damaged image files: each is a picture or refused with a reason, whatever its decoder raises."""

import random
import struct
import zlib

import pytest
from PIL import Image

from pipeline.datasets import pixels
from pipeline.datasets.pixels import SHOWN, Unusable, decode
from tests.pipeline.datasets.test_pixels import COLOUR, file


def whole_files() -> list[bytes]:
    """A small file of every format that Pillow writes and reads, in several modes."""
    image = Image.fromarray(COLOUR).resize((32, 32))
    Image.init()
    found = []
    for kind in sorted(set(Image.SAVE) & set(Image.OPEN) - {"EPS"}):  # which runs Ghostscript
        for mode in ("RGB", "RGBA", "P", "1", "I;16", "F"):
            try:
                grey = image.convert("L")
                made = grey.convert(mode) if mode in ("I;16", "F") else image.convert(mode)
                found.append(file(made, kind))
            except (OSError, ValueError, KeyError):  # the format has no such mode
                continue
    return found


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut off, or with some bytes changed, half of them in the head."""
    if rng.random() < 0.3:
        return content[: rng.randrange(len(content))]
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 5, 20))):
        changed[rng.randrange(len(changed) if rng.random() < 0.5 else 64) % len(changed)] = (
            rng.randrange(256)
        )
    return bytes(changed)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of formats that Pillow will drop
def test_damaged_files_of_every_format_are_pictures_or_refused() -> None:
    rng = random.Random(0)
    refused = 0
    for content in whole_files():
        for _ in range(4):
            try:
                assert decode(damaged(content, rng), SHOWN).rgb.mode == "RGB"
            except Unusable as error:
                assert str(error)
                refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (OSError("cut"), "corrupt: cut"),
        (SyntaxError("broken PNG"), "corrupt: broken PNG"),
        (RuntimeError("Failed to decode\n frame 0"), "corrupt: Failed to decode frame 0"),
        (ValueError(), "corrupt: ValueError"),
        (EOFError(), "corrupt: EOFError"),
        (struct.error("needs 4"), "corrupt: error needs 4"),
        (zlib.error("bad"), "corrupt: error bad"),
        (MemoryError(), "corrupt: MemoryError"),
        (OverflowError("big"), "corrupt: OverflowError big"),
        (IndexError("out"), "corrupt: IndexError out"),
        (KeyError(7), "corrupt: KeyError 7"),
        (TypeError("None"), "corrupt: TypeError None"),
        (ZeroDivisionError("0"), "corrupt: ZeroDivisionError 0"),
        (RecursionError(), "corrupt: RecursionError"),
        (AssertionError(), "corrupt: AssertionError"),
        (NotImplementedError("kind"), "corrupt: kind"),
        (UserWarning("as an error"), "corrupt: UserWarning as an error"),
        (Image.DecompressionBombError("big"), "too large: big"),
    ],
)
def test_whatever_a_decoder_raises_is_a_reason(
    raised: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise raised

    monkeypatch.setattr(pixels.Image, "open", fail)
    with pytest.raises(Unusable) as error:
        decode(b"", SHOWN)
    assert str(error.value) == said


def test_a_picture_of_too_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(Unusable, match="too large: Image size \\(35 pixels\\) exceeds limit"):
        decode(file(Image.fromarray(COLOUR)), SHOWN)
