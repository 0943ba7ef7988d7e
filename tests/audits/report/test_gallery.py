"""Thumbnails inside the page."""

import base64
import io
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from audits.report import gallery as module
from audits.report.gallery import Gallery, jpeg_uri, thumbnail
from pipeline.datasets.pixels import SHOWN
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


def test_thumbnails_are_of_the_picture_that_was_embedded() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.new("RGB", (64, 32)).save(content, "JPEG", exif=exif)
    sizes = []
    for reading in (SHOWN, SHOWN._replace(how="stored")):
        uri = jpeg_uri(thumbnail(content.getvalue(), reading, 16))
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            sizes.append(image.size)
    assert sizes == [(8, 16), (16, 8)]


def test_an_image_that_is_damaged_by_now_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")
    manifest = pd.DataFrame({"image_id": ["a"], "path": ["a.png"], "label": ["bat"]})
    gallery = Gallery(manifest, tmp_path, SHOWN, {"bat": "bat"}, 16)
    with pytest.raises(FileNotFoundError, match=r"a\.png is unusable though .*not an image that"):
        gallery.images(["a"], 1)


def test_a_store_that_fails_is_not_said_to_lack_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> bytes:
        raise ConnectionError("s3://data/birds/a.png cannot be read from its store")

    monkeypatch.setattr(module, "read_bytes", lost)
    manifest = pd.DataFrame({"image_id": ["a"], "path": ["a.png"], "split": "val", "label": "bat"})
    with pytest.raises(ConnectionError, match="from its store"):
        Gallery(manifest, tmp_path, SHOWN, {"bat": "bat"}, 16).images(["a"], 1)
