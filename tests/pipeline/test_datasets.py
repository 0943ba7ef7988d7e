"""Adapters: what a folder layout lists, without opening an image."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.config import DatasetConfig, EmbedConfig
from pipeline.datasets import Record, image_folder, isic
from pipeline.datasets.classes import class_names, read_classes, short_name

EMBED = EmbedConfig(
    batch_size=2, workers=0, shard_rows=3, dtype="float32",
    spatial_tokens=0, device="cpu", precision="float32",
)  # fmt: skip


def folder_config(root: Path, **changes: object) -> DatasetConfig:
    fields = {
        "kind": "image_folder",
        "root": root,
        "splits": None,
        "every": 1,
        "near_duplicates": None,
        "max_excluded": 0.5,
        "licence": None,
        "labeler": "tiny",
        "vocabulary": Path("terms.txt"),
        "embed": EMBED,
        "templates": ["{}"],
        "descriptions": "class_name",
    }
    return DatasetConfig.model_validate({**fields, **changes})


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


# image folders


def test_image_folder_lists_records_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "train/hot_dog/b.v2.jpg", "train/bat/a.PNG", "val/bat/a.png", "val/hot_dog/c")
    touch(tmp_path, ".DS_Store", "train/.DS_Store", "train/bat/.hidden.png")
    (tmp_path / "val/empty").mkdir()
    listing = image_folder.records(tmp_path, folder_config(tmp_path), seed=0)
    assert listing.labels == ["bat", "empty", "hot_dog"]
    assert listing.excluded == []
    assert listing.records == [
        Record("train/bat/a", "train/bat/a.PNG", "train", "bat", "train/bat/a"),
        Record(
            "train/hot_dog/b.v2", "train/hot_dog/b.v2.jpg", "train", "hot_dog", "train/hot_dog/b.v2"
        ),
        Record("val/bat/a", "val/bat/a.png", "val", "bat", "val/bat/a"),
        Record("val/hot_dog/c", "val/hot_dog/c", "val", "hot_dog", "val/hot_dog/c"),
    ]


def test_image_folder_leaves_out_namesakes_and_nested_folders(tmp_path: Path) -> None:
    touch(tmp_path, "train/bat/a.jpg", "train/bat/a.png", "train/bat/more/b.png", "val/bat/a.jpg")
    listing = image_folder.records(tmp_path, folder_config(tmp_path), seed=0)
    assert [record.path for record in listing.records] == ["train/bat/a.jpg", "val/bat/a.jpg"]
    assert [item.path for item in listing.excluded] == ["train/bat/a.png", "train/bat/more"]
    assert "train/bat/a.jpg" in listing.excluded[0].reason


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        (["train/bat/a.jpg"], FileNotFoundError, "val is missing"),
        (["val/bat/a.jpg"], FileNotFoundError, "train is missing"),
        (["train/bat/a.jpg", "val/a.jpg"], ValueError, r"val holds 1 files .*'a\.jpg'"),
        (["train/bat/a.jpg", "val/.keep"], ValueError, "val holds no class folder"),
    ],
)
def test_image_folder_refuses_other_layouts(
    tmp_path: Path, paths: list[str], error: type[Exception], message: str
) -> None:
    touch(tmp_path, *paths)
    with pytest.raises(error, match=message):
        image_folder.records(tmp_path, folder_config(tmp_path), seed=0)
    with pytest.raises(error, match=message):
        image_folder.layout(tmp_path)


# names of classes


def test_class_names_prefer_classes_csv(tmp_path: Path) -> None:
    names = [["label", "name"], ["bat", "bat, small animal with wings"], ["other", "x"]]
    write_csv(tmp_path / "classes.csv", names)
    known = {"bat": "built in"}
    assert class_names(tmp_path, ["bat"], known) == {"bat": "bat, small animal with wings"}
    with pytest.raises(ValueError, match=r"no name for hot_dog .*classes\.csv"):
        class_names(tmp_path, ["bat", "hot_dog"], known)


def test_class_names_without_classes_csv(tmp_path: Path) -> None:
    assert class_names(tmp_path, ["MEL", "BKL"], isic.DIAGNOSES)["MEL"] == "melanoma"
    assert class_names(tmp_path, ["hot_dog"], {}) == {"hot_dog": "hot dog"}
    # a wnid among labels that are none is a name like any other
    assert class_names(tmp_path, ["n01440764", "a_b"], {})["n01440764"] == "n01440764"


def test_class_names_of_wordnet_ids(tmp_path: Path) -> None:
    names = class_names(tmp_path, ["n01440764", "n02012849"], {})
    assert names == {"n01440764": "tench, Tinca tinca", "n02012849": "crane"}
    with pytest.raises(ValueError, match="no name for n99999999"):
        class_names(tmp_path, ["n01440764", "n99999999"], {})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["label", "title"], ["a", "b"]], "no column name"),
        ([["label", "name"], ["a", "b"], ["a", "c"]], "'a' twice"),
        ([["label", "name"], ["a", "b"], ["c", " "]], "line 3"),
    ],
)
def test_read_classes_refuses(tmp_path: Path, rows: list[list[object]], message: str) -> None:
    write_csv(tmp_path / "classes.csv", rows)
    with pytest.raises(ValueError, match=message):
        read_classes(tmp_path)


def test_short_name_is_the_text_before_the_first_comma() -> None:
    assert short_name("bat, small animal, with wings") == "bat"
    assert short_name("golf ball") == "golf ball"
