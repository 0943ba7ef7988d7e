"""Names that are no images of anyone's, and names that no later stage could write down."""

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from pipeline.datasets import Distractor, Excluded, Listing, Record, image_folder
from pipeline.datasets.names import (
    NOT_UTF8,
    NOTE,
    check_utf8,
    is_note,
    is_passed_over,
    printable,
    utf8_only,
)
from pipeline.datasets.prepare import prepare
from pipeline.datasets.splits import split_of
from tests.pipeline.checks.test_locate import fault
from tests.pipeline.datasets.invented_imagenet import jpeg
from tests.pipeline.datasets.test_adapters import folder_config
from tests.pipeline.datasets.test_files import write_tar
from tests.pipeline.datasets.test_manifest import draw
from tests.pipeline.datasets.test_prepare import scenes

ODD = b"caf\xe9".decode("utf-8", "surrogateescape")
bytes_in_names = pytest.mark.skipif(
    sys.platform == "darwin", reason="macOS has no file names but UTF-8"
)

LITTER = [
    "Thumbs.db",
    "thumbs.db",
    "desktop.ini",
    "Desktop.ini",
    ".DS_Store",
    "._photo.jpg",
    ".ipynb_checkpoints",
    "__MACOSX",
    "@eaDir",
    "ehthumbs.db",
    "Icon\r",
    "$RECYCLE.BIN",
]


@pytest.mark.parametrize("name", LITTER)
def test_what_desktops_leave_is_litter(name: str) -> None:
    assert is_passed_over(name)


@pytest.mark.parametrize("name", ["thumbs.jpg", "a.db", "desktop", "macosx", "icon", "bat"])
def test_other_names_are_no_litter(name: str) -> None:
    assert not is_passed_over(name)


def test_notes_are_texts_by_their_suffix() -> None:
    assert all(map(is_note, ["notes.txt", "LABELS.CSV", "a.b.json"]))
    assert not any(map(is_note, ["a.jpg", "a.dcm", "txt", "a", "a.txt.png"]))


def test_folders_of_images_are_read_without_what_desktops_leave(tmp_path: Path) -> None:
    scenes(tmp_path)
    plain = image_folder.records(tmp_path, folder_config(tmp_path), 0)
    for name in LITTER:
        for folder in ("train", "train/bat", "val"):
            (tmp_path / folder / name).write_bytes(b"litter")
    assert image_folder.records(tmp_path, folder_config(tmp_path), 0) == plain
    (tmp_path / "train/notes.txt").touch()
    (tmp_path / "val/dog/notes.txt").touch()
    listing = image_folder.records(tmp_path, folder_config(tmp_path), 0)
    assert listing.records == plain.records
    assert listing.excluded == [Excluded("val/dog/notes.txt", NOTE, fault=False)]


def test_printable_names_keep_what_is_utf8() -> None:
    assert printable("café/é.jpg") == "café/é.jpg"
    assert printable(f"é/{ODD}.jpg") == "é/caf\\xe9.jpg"


def test_images_and_classes_without_utf8_are_listed_out() -> None:
    good = Record("a/b", "a/b.png", "train", "a", "a/b")
    odd = Record(f"{ODD}/b", f"{ODD}/b.png", "train", ODD, f"{ODD}/b")
    listing = Listing(
        [good, odd],
        ["a", ODD],
        [Excluded(f"z/{ODD}", f"as {ODD}")],
        [Distractor(odd.image_id, "a", "set"), Distractor(good.image_id, "a", "set")],
    )
    assert utf8_only(listing) == Listing(
        [good],
        ["a"],
        [
            Excluded("caf\\xe9/b.png", NOT_UTF8),
            Excluded("z/caf\\xe9", "as caf\\xe9"),
        ],
        [Distractor(good.image_id, "a", "set")],
    )
    assert utf8_only(listing._replace(records=[good], labels=["a"])).records == [good]


def test_the_split_of_an_odd_name_can_be_drawn() -> None:
    assert split_of(ODD, {"train": 1.0}, 0) == "train"


@bytes_in_names
def test_prepare_leaves_out_names_that_are_not_utf8(tmp_path: Path) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    scenes(root)
    draw(root / f"train/bat/{ODD}.png", 91)
    draw(root / f"train/{ODD}/0.png", 92)
    summary = prepare("scenes", folder_config(root), 0, out, workers=1)
    assert "2 images and 0 classes left out" in summary
    description = json.loads((out / "dataset.json").read_text("utf-8"))
    left_out = {item["path"]: item["reason"] for item in description["excluded"]}
    assert list(left_out) == ["train/bat/caf\\xe9.png", "train/caf\\xe9/0.png"]
    assert all("not UTF-8" in reason for reason in left_out.values())
    assert len(pd.read_parquet(out / "manifest.parquet")) == 6
    with pytest.raises(ValueError, match=r"2 of 8 .*\n  train/bat/caf\\xe9.png: its name is not"):
        prepare("scenes", folder_config(root, max_excluded=0.1), 0, out, workers=1)


def test_prepare_leaves_out_members_of_a_tar_that_are_not_utf8(tmp_path: Path) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    for shade, split in enumerate(("train", "val")):
        members = {
            "./0.jpg": jpeg(2 * shade),
            "./0.cls": b"0",
            f"./{ODD}.jpg": jpeg(2 * shade + 1),
            f"./{ODD}.cls": b"0",
            "./__MACOSX/._0.jpg": b"",
            "./Thumbs.db": b"",
        }
        write_tar(root / f"{split}.tar", members)
    config = folder_config(root, kind="imagenet", max_excluded=0.5)
    prepare("wds", config, 0, out, workers=1)
    description = json.loads((out / "dataset.json").read_text("utf-8"))
    assert [item["path"] for item in description["excluded"]] == [
        "train.tar#./caf\\xe9.jpg",
        "val.tar#./caf\\xe9.jpg",
    ]


@bytes_in_names
def test_locate_names_what_dvc_cannot_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "raw"
    scenes(root)
    check_utf8(root)
    draw(root / f"val/dog/{ODD}.png", 91)
    (root / ODD).mkdir()
    message = fault(tmp_path, monkeypatch, root="raw")
    assert re.search(r"/caf\\xe9, .*/val/dog/caf\\xe9.png: DVC takes no", message)
    for number in range(6):
        (root / f"{ODD}{number}").touch()
    with pytest.raises(ValueError, match=r" and 3 more: DVC .*convmv"):
        check_utf8(root)
