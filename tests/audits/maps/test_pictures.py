"""Sheets of pictures: which components, which images, and where on the sheet."""

import numpy as np
import pandas as pd
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch.nn import functional as F

from audits.maps import pictures
from audits.maps.pictures import EDGE, ROWS, Sheet, drawn, sheets, table_of, tile, veiled
from audits.maps.veil import DARKEST


def labels(components: int) -> pd.DataFrame:
    table = pd.DataFrame({"component": range(components)})
    table["mean_top20"] = [float(component % 7) for component in range(components)]
    table["top_images"] = [[f"{component}-{at}" for at in range(4)] for component in table.index]
    return table


def test_what_people_look_at_first_comes_first_then_the_strongest():
    table = labels(10)
    table.at[9, "top_images"] = []
    table.loc[6, "mean_top20"] = np.nan  # fires on too few images to be named
    (sheet,) = sheets(table, [3, 8, 3], 2)
    assert sheet.components == [3, 8, 5, 4, 2, 1, 0, 7, 6]
    assert sheet.image_ids[0] == ["3-0", "3-1"]


def test_sheets_are_full_but_for_the_last_and_pictures_are_within_the_budget(monkeypatch):
    packed = sheets(labels(2 * ROWS + 1), [], 3)
    assert [len(sheet.components) for sheet in packed] == [ROWS, ROWS, 1]
    monkeypatch.setattr(pictures, "MOST", 2 * (2 * ROWS + 1))
    packed = sheets(labels(2 * ROWS + 1), [], 3)
    assert {len(ids) for sheet in packed for ids in sheet.image_ids} == {2}
    monkeypatch.setattr(pictures, "MOST", 1)
    assert {len(ids) for s in sheets(labels(40), [], 3) for ids in s.image_ids} == {1}
    assert sheets(labels(0), [], 3) == []


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(90, 60), (60, 90), (64, 64)])
@pytest.mark.parametrize("asked", [EDGE, (EDGE, 2 * EDGE)])
def test_a_tile_is_what_the_model_sees_as_a_square(mode, size, asked):
    """A picture that gets brighter to the right and down, beside what open_clip makes of it."""
    settings = PreprocessCfg(
        size=asked, mean=(0, 0, 0), std=(1, 1, 1), resize_mode=mode, interpolation="bilinear"
    )
    x, y = np.meshgrid(np.linspace(0, 250, size[0]), np.linspace(0, 250, size[1]))
    picture = Image.fromarray(np.stack([x, y, np.full_like(x, 200)], axis=-1).astype(np.uint8))
    seen = image_transform_v2(settings, is_train=False)(picture)
    seen = F.interpolate(seen[None], (EDGE, EDGE), mode="area")[0].permute(1, 2, 0) * 255
    found = tile(picture, {"size": asked, "resize_mode": mode})
    assert found.shape == (EDGE, EDGE, 3) and found.dtype == torch.uint8
    assert (found.float() - seen).abs().median() < 3
    assert (found.float() - seen).abs().mean() < 8  # where a model fills up, edges are a row apart


def test_a_square_model_sees_the_square_in_the_middle():
    wide = Image.new("RGB", (3 * EDGE, EDGE), (255, 0, 0))
    wide.paste((0, 0, 255), (EDGE, 0, 2 * EDGE, EDGE))
    found = tile(wide, {"size": 224, "resize_mode": "shortest"})
    assert (found == torch.tensor([0, 0, 255], dtype=torch.uint8)).all()


def test_a_sheet_has_a_row_a_component_and_a_column_an_image():
    sheet = Sheet([5, 2], [["a"], ["b", "c"]])
    tiles = torch.arange(3, dtype=torch.uint8).add(1)[:, None, None, None]
    picture = np.asarray(drawn(sheet, tiles.expand(-1, EDGE, EDGE, 3), 2))
    assert picture.shape == (2 * EDGE, 2 * EDGE, 3)
    corners = picture[::EDGE, ::EDGE, 0]
    assert corners.tolist() == [[1, 0], [2, 3]]
    assert picture[EDGE - 1, EDGE - 1, 2] == 1 and picture[-1, -1, 2] == 3


MAPS = {
    ("a", 5): np.array([[0.0, 1.0], [0.5, -1.0]], dtype=np.float32),
    ("c", 2): np.array([[4.0, 0.0], [0.0, 0.0]], dtype=np.float32),
    ("b", 9): np.ones((2, 2), dtype=np.float32),  # on no sheet: component 9 has the image d
}
PACKED = [Sheet([5, 2], [["a"], ["b", "c"]]), Sheet([9], [["d"]])]


def test_veils_lie_where_the_tiles_do():
    over = np.asarray(veiled(PACKED[0], MAPS, 2))
    dark = round(255 * DARKEST)
    assert over.shape == (4, 4, 2) and not over[..., 0].any()
    assert over[:2, :2, 1].tolist() == [[dark, 0], [round(dark / 2), dark]]  # a
    assert over[2:, 2:, 1].tolist() == [[0, dark], [dark, dark]]  # c
    assert not over[:2, 2:].any() and not over[2:, :2].any()  # no picture, and b without a map
    assert veiled(PACKED[1], MAPS, 2) is None


def test_the_table_says_sheet_images_and_places_in_the_order_of_rows():
    table = table_of(PACKED, MAPS)
    assert table["component"].tolist() == [5, 2, 9] and table["sheet"].tolist() == [0, 0, 1]
    assert table["image_ids"].tolist() == [["a"], ["b", "c"], ["d"]]
    assert table["places"].tolist() == [["67% in it"], ["", "100% in it"], [""]]
    assert table_of([], {}).empty
