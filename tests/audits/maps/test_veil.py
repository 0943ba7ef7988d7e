"""Veils: clear where a component fires, and over what the model sees."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from audits.maps.veil import DARKEST, Maps, seen_part, veil

PARTS = np.array([[0.0, 2.0, -1.0], [1.0, 0.0, 0.0]], dtype=np.float32)


def opened(uri: str) -> np.ndarray:
    kind, _, text = uri.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def test_the_brightest_patch_is_clear_and_what_takes_off_is_darkest():
    found = veil(PARTS, 7, (100.0, 100.0))
    pixels = opened(found.uri)
    darkest = round(255 * DARKEST)
    assert (pixels[..., 0] == 0).all()
    assert pixels[..., 1].tolist() == [[darkest, 0, darkest], [round(darkest / 2), *[darkest] * 2]]
    assert len(found.uri) < 300


def test_a_map_is_said_in_words():
    square = np.zeros((6, 6), dtype=np.float32)
    square[4, 1], square[2, 3], square[0, 0] = 3.0, 1.0, -5.0
    words = veil(square, 7, (100.0, 100.0)).words
    assert words == "what adds to component 7: 75% at the bottom left"
    nothing = veil(-np.ones((4, 4), dtype=np.float32), 7, (100.0, 100.0))
    assert nothing.words == "what adds to component 7: nothing in the picture"
    assert len(set(opened(nothing.uri)[..., 1].flat)) == 1
    assert veil(PARTS, 7, (1.0, 1.0)).place == "67% in it"


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(80, 50), (50, 80), (60, 60)])
@pytest.mark.parametrize("asked", [40, (40, 60)])
def test_it_lies_on_what_the_model_sees(mode, size, asked):
    """A gradient over the picture says at the model's edges where these lie in the picture."""
    settings = PreprocessCfg(
        size=asked, mean=(0, 0, 0), std=(1, 1, 1), resize_mode=mode, interpolation="bilinear"
    )
    width, height = size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    marks = np.stack([255 * x / width, 255 * y / height, np.full_like(x, 200)], axis=-1)
    made = image_transform_v2(settings, is_train=False)(Image.fromarray(marks.astype(np.uint8)))
    found = seen_part(size, {"size": asked, "resize_mode": mode})
    for axis, (extent, share) in enumerate(zip(size, found, strict=True)):
        line = made[axis, made.shape[1] // 2] if axis == 0 else made[axis, :, made.shape[2] // 2]
        line = line * extent
        # Two pixels of the model that lie within the picture, and what is between them.
        one = len(line) // 3
        other = len(line) - 1 - one
        step = float(line[other] - line[one]) / (other - one)
        assert step * len(line) == pytest.approx(share * min(size) / 100, abs=2.5)
        assert float(line[one] + line[other]) / 2 == pytest.approx(extent / 2, abs=1.5)


def test_only_what_was_mapped_is_veiled():
    table = pd.DataFrame(
        {"image_id": ["a"], "component": [3], "rows": [2], "columns": [3], "parts": [PARTS.ravel()]}
    )
    maps = Maps(table, {"size": 40, "resize_mode": "shortest"})
    assert maps.veil("a", 4, (8, 8)) is None
    assert maps.veil("b", 3, (8, 8)) is None
    assert maps.veil("a", 3, (80, 50)) == veil(PARTS, 3, (100.0, 100.0))
