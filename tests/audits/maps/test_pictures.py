"""Sheets of pictures: which components, which images, and where on the sheet."""

import numpy as np
import pandas as pd
import torch
from PIL import Image

from audits.maps import pictures
from audits.maps.pictures import EDGE, ROWS, Sheet, drawn, sheets, table_of, tile


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


def test_a_tile_is_the_square_in_the_middle():
    wide = Image.new("RGB", (3 * EDGE, EDGE), (255, 0, 0))
    wide.paste((0, 0, 255), (EDGE, 0, 2 * EDGE, EDGE))
    assert np.array_equal(tile(wide).unique(dim=0).numpy()[0, 0], [0, 0, 255])
    assert tile(wide).shape == (EDGE, EDGE, 3) and tile(wide).dtype == torch.uint8


def test_a_sheet_has_a_row_a_component_and_a_column_an_image():
    sheet = Sheet([5, 2], [["a"], ["b", "c"]])
    tiles = torch.arange(3, dtype=torch.uint8).add(1)[:, None, None, None]
    picture = np.asarray(drawn(sheet, tiles.expand(-1, EDGE, EDGE, 3), 2))
    assert picture.shape == (2 * EDGE, 2 * EDGE, 3)
    corners = picture[::EDGE, ::EDGE, 0]
    assert corners.tolist() == [[1, 0], [2, 3]]
    assert picture[EDGE - 1, EDGE - 1, 2] == 1 and picture[-1, -1, 2] == 3


def test_the_table_says_sheet_and_images_in_the_order_of_rows():
    packed = [Sheet([5, 2], [["a"], ["b", "c"]]), Sheet([9], [["d"]])]
    table = table_of(packed)
    assert table["component"].tolist() == [5, 2, 9] and table["sheet"].tolist() == [0, 0, 1]
    assert table["image_ids"].tolist() == [["a"], ["b", "c"], ["d"]]
    assert table_of([]).empty
