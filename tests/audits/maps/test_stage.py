"""The stage on a CLIP of random weights: which maps are made and tested, and what it leaves."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from audits.maps import __main__ as stage
from audits.maps.parts import ROWS, component_parts
from audits.maps.pictures import EDGE, Sheet
from audits.maps.veil import opacity, parts_by_pair
from pipeline.artifacts.store import read_table
from pipeline.config import Params, load_params
from pipeline.datasets.pixels import SHOWN
from pipeline.models.catalog import Clip, load_clip
from pipeline.sae.model import Sae
from tests.small_repository import ROOT

AUDIT = "scenes-tiny"
IMAGES, COMPONENTS = 5, 8


@pytest.fixture
def params() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture
def sae() -> Sae:
    made = Sae(64, COMPONENTS, 2)
    generator = torch.Generator().manual_seed(2)
    made.encoder_weight.data = torch.randn(COMPONENTS, 64, generator=generator)
    made.encoder_bias.data = torch.full((COMPONENTS,), 50.0)  # each fires on every image
    return made.requires_grad_(False)


@pytest.fixture
def clip(clip_folder: Path, tmp_path: Path, sae: Sae, monkeypatch: pytest.MonkeyPatch) -> Clip:
    """With pictures of two shapes on disk, whose ids are their numbers."""
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        size = (40 + 8 * (number % 2), 40, 3)
        made = Image.fromarray(rng.integers(256, size=size, dtype=np.uint8))
        made.save(tmp_path / f"{number}.png")

    def images(_params: object, _name: str, ids: list[str]) -> tuple[pd.DataFrame, Path, object]:
        return pd.DataFrame({"image_id": ids, "path": [f"{i}.png" for i in ids]}), tmp_path, SHOWN

    monkeypatch.setattr(stage, "dataset_images", images)
    monkeypatch.setattr(stage.files, "load", lambda _folder: sae)
    monkeypatch.setattr(stage, "pick_device", lambda *_asked: torch.device("cpu"))
    return load_clip(clip_folder)


def chosen(count: int) -> list[tuple[str, int]]:
    return [(str(at % IMAGES), (at // IMAGES) % COMPONENTS) for at in range(count)]


def test_a_row_a_map_whatever_is_tested(
    params: Params, clip: Clip, sae: Sae, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = chosen(2 * ROWS + 3)
    whole, all_tested = stage.maps(params, AUDIT, clip, pairs)
    assert list(zip(whole["image_id"], whole["component"], strict=True)) == pairs
    with torch.inference_mode():
        _, root, _ = stage.dataset_images(params, AUDIT, [])
        picture = clip.preprocess(Image.open(root / "3.png"))
    own = component_parts(clip.model, picture[None], sae, [pairs[3][1]])
    assert np.allclose(whole["parts"][3], own.patches.flatten(), atol=1e-5)
    assert whole["rest"][3] == pytest.approx(float(own.rest), rel=1e-5)
    monkeypatch.setattr(stage, "TESTED", 1)
    again, some_tested = stage.maps(params, AUDIT, clip, pairs)
    assert again["parts"].map(tuple).tolist() == whole["parts"].map(tuple).tolist()
    _, first = stage.maps(params, AUDIT, clip, pairs[:ROWS])
    # Of all maps there are, and of what the first batch shows.
    assert some_tested == {**first, "maps": len(pairs)}
    assert all_tested["drop"] != first["drop"]


def test_sheets_have_veils_where_they_are_mapped(
    params: Params, clip: Clip, tmp_path: Path
) -> None:
    packed = [Sheet([4, 1], [["0", "1", "2"], ["3"]]), Sheet([6], [["2"]])]
    table, _ = stage.maps(params, AUDIT, clip, [("1", 4), ("3", 1), ("4", 6)])
    folder = tmp_path / "maps"
    stage.write_sheets(params, AUDIT, clip, packed, parts_by_pair(table), folder)
    assert sorted(path.name for path in (folder / "pictures").iterdir()) == [
        *("00000.jpg", "00000.png", "00001.jpg")
    ]
    with Image.open(folder / "pictures" / "00000.jpg") as sheet:
        assert sheet.size == (3 * EDGE, 2 * EDGE)
    high, wide = clip.model.visual.grid_size
    with Image.open(folder / "pictures" / "00000.png") as over:
        veils = np.asarray(over)[..., 1]
    assert veils.shape == (2 * high, 3 * wide)
    parts = parts_by_pair(table)
    assert np.array_equal(veils[:high, wide : 2 * wide], opacity(parts["1", 4]))
    assert np.array_equal(veils[high:, :wide], opacity(parts["3", 1]))
    places = read_table(folder / "pictures.parquet")["places"].map(list).tolist()
    assert [[bool(place) for place in one] for one in places] == [
        *([False, True, False], [True], [False])
    ]
