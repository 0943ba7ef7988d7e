"""Thumbnails inside the page."""

from pathlib import Path

import pandas as pd
import pytest

from audits.report.gallery import Gallery
from pipeline.pixels import SHOWN
from tests.audits.report.invented import DATASET, build


def test_gallery_scales_down_and_spreads_over_a_class(tmp_path: Path) -> None:
    build(tmp_path)
    manifest = pd.read_parquet(tmp_path / "data" / "manifests" / DATASET / "manifest.parquet")
    manifest.loc[manifest["image_id"] == "val/bold/1", "label"] = None
    gallery = Gallery(
        manifest, tmp_path / "raw", SHOWN, {"bat": "bat", "bold": "b", "club": "c"}, 16
    )
    images = gallery.of_class("bat", 2)
    assert [image.image_id for image in images] == ["val/bat/0", "val/bat/2"]
    assert gallery.spent == sum(len(image.uri) for image in images)
    assert gallery.of_class("nothing", 2) == []
    assert [image.label for image in gallery.images(["val/bold/1", "val/bold/2"], 2)] == [
        "no label",
        "b",
    ]
    with pytest.raises(ValueError, match="val/bat/99"):
        gallery.images(["val/bat/99"], 1)
