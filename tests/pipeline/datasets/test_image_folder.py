"""Image folders: what each layout lists, without opening an image."""

import os
from pathlib import Path

import pytest

from pipeline.datasets import Excluded, Listing, Record, image_folder
from pipeline.datasets.adapters import layout, listing
from pipeline.datasets.splits import split_of
from tests.pipeline.datasets.test_adapters import folder_config, touch

SHARES = {"train": 0.6, "val": 0.4}
NFC, NFD = "caf\u00e9", "cafe\u0301"


def read(root: Path, *paths: str, splits: dict[str, float] | None = None) -> Listing:
    touch(root, *paths)
    return image_folder.records(root, folder_config(root, splits=splits), seed=3)


def listed(found: Listing) -> list[tuple[str, str, str | None]]:
    """Path, split and label of each image."""
    return [(record.path, record.split, record.label) for record in found.records]


def test_records_are_sorted(tmp_path: Path) -> None:
    (tmp_path / "val/empty").mkdir(parents=True)
    touch(tmp_path, ".DS_Store", "train/.DS_Store", "train/bat/.hidden.png", "classes.csv")
    found = read(
        tmp_path, "train/hot_dog/b.v2.jpg", "train/bat/a.PNG", "val/bat/a.png", "val/hot_dog/c"
    )
    assert found.labels == ["bat", "empty", "hot_dog"]
    assert found.excluded == []
    assert found.records == [
        Record("train/bat/a", "train/bat/a.PNG", "train", "bat", "train/bat/a"),
        Record(
            "train/hot_dog/b.v2", "train/hot_dog/b.v2.jpg", "train", "hot_dog", "train/hot_dog/b.v2"
        ),
        Record("val/bat/a", "val/bat/a.png", "val", "bat", "val/bat/a"),
        Record("val/hot_dog/c", "val/hot_dog/c", "val", "hot_dog", "val/hot_dog/c"),
    ]


def test_images_lie_at_any_depth_below_their_class(tmp_path: Path) -> None:
    nested = [f"train/bat/session {i}/{j}.png" for i in (1, 2) for j in range(3)]
    touch(tmp_path, "train/bat/.cache/x.png", "train/bat/session 1/._0.png")
    found = read(tmp_path, *nested, "train/bat/a/b/c/0.png", "train/bat/0.png", "val/bat/v.png")
    assert [record.path for record in found.records] == sorted(
        ["train/bat/0.png", "train/bat/a/b/c/0.png", *nested, "val/bat/v.png"]
    )
    assert len({record.image_id for record in found.records}) == 9
    assert found.records[2].image_id == "train/bat/session_1/0"
    assert {record.label for record in found.records} == {"bat"}
    assert found.excluded == []


def test_every_file_that_is_left_out_counts(tmp_path: Path) -> None:
    names = ("s t/1.png", "s t/2.png", "s_t/1.png", "s_t/2.png", "s_t/2.jpg")
    touch(tmp_path, *(f"train/a/{name}" for name in names))
    os.mkfifo(tmp_path / "train/a/pipe")
    found = read(tmp_path, "val/a/1.png")
    assert [item.path for item in found.excluded] == [
        "train/a/pipe", "train/a/s_t/1.png", "train/a/s_t/2.jpg", "train/a/s_t/2.png",
    ]  # fmt: skip
    assert all(item.fault for item in found.excluded)
    assert "taken by train/a/s t/1.png" in found.excluded[1].reason


@pytest.mark.parametrize(
    ("train", "val", "test", "said"),
    [
        ("train", "validation", None, "train/<class>/ and validation/<class>/"),
        ("Train", "VALID", None, "Train/<class>/ and VALID/<class>/"),
        ("training", "dev", "testing", "training/<class>/ and dev/<class>/ and testing/<class>/"),
        ("train", "val", "test", "train/<class>/ and val/<class>/ and test/<class>/"),
        ("train", "test", None, "train/<class>/ and test/<class>/, which serves as val"),
    ],
)
def test_splits_go_by_the_names_that_people_use(
    tmp_path: Path, train: str, val: str, test: str | None, said: str
) -> None:
    paths = {f"{train}/a/1.png": "train", f"{val}/a/2.png": "val"}
    paths |= {f"{test}/a/3.png": "test"} if test else {}
    found = read(tmp_path, *paths)
    assert {record.path: record.split for record in found.records} == paths | {
        path: "val" for path in paths if "serves" in said and path.startswith(val)
    }
    assert layout(folder_config(tmp_path)) == said
    assert list(found.notes) == ([f"read as {said}"] if "serves" in said else [])


@pytest.mark.parametrize("prefix", ["", "train/"])
def test_splits_are_drawn_where_no_folder_is_for_validation(tmp_path: Path, prefix: str) -> None:
    paths = [f"{prefix}{label}/{i}.png" for label in ("bat", "dog") for i in range(20)]
    found = read(tmp_path, *paths, splits=SHARES)
    assert sorted(record.path for record in found.records) == sorted(paths)
    assert {record.split for record in found.records} == {"train", "val"}
    for record in found.records:
        assert record.split == split_of(record.group_id, SHARES, 3)
    assert found.labels == ["bat", "dog"]
    said = layout(folder_config(tmp_path, splits=SHARES))
    assert said == (f"{prefix}<class>/" + ("" if prefix else " of 2 classes") + ", splits drawn")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    found = read(tmp_path, "car/1.png", "train/1.png", "bus/1.png", splits=SHARES)
    assert found.labels == ["bus", "car", "train"]
    assert len(found.records) == 3


def test_what_lies_beside_the_splits_is_said(tmp_path: Path) -> None:
    found = read(
        tmp_path, "train/a/1.png", "val/a/2.png", "notes/x/1.txt", "notes/2.txt", "test/1.png",
        "cover.JPG", "README.md", "paper.pdf",
    )  # fmt: skip
    assert found.excluded == [
        Excluded("cover.JPG", "not in the folder of a class"),
        Excluded("notes", "its 2 files are of no split, for it lies beside the splits", False),
        Excluded("test/1.png", "test has no class folders, so its class is unknown", False),
    ]
    assert len(found.records) == 2


def test_a_test_without_classes_leaves_train_to_draw_from(tmp_path: Path) -> None:
    found = read(tmp_path, "train/a/1.png", "test/1.png", splits=SHARES)
    assert [record.path for record in found.records] == ["train/a/1.png"]


def test_a_class_in_two_unicode_forms_is_one(tmp_path: Path) -> None:
    found = read(tmp_path, f"train/{NFC}/1.png", f"val/{NFD}/2.png", f"train/{NFD}/3.png")
    assert found.labels == [NFC]
    assert [record.label for record in found.records] == [NFC] * 3
    for record in found.records:
        assert (tmp_path / record.path).is_file()


def test_a_class_in_two_cases_is_a_fault_where_one_has_no_train_image(tmp_path: Path) -> None:
    touch(tmp_path, "train/Cat/1.png", "val/cat/2.png", "train/dog/1.png", "val/dog/1.png")
    with pytest.raises(ValueError, match=r"'Cat' and 'cat' differ by case .* 'cat' has no train"):
        listing(folder_config(tmp_path), 0)
    touch(tmp_path, "train/cat/1.png")
    [note] = listing(folder_config(tmp_path), 0).notes
    assert "'Cat' and 'cat' differ by case or spacing only, and count as two" in note


LINE = r"`splits: \{train: 0\.8, val: 0\.2\}`"


@pytest.mark.parametrize(
    ("paths", "splits", "error", "message"),
    [
        (["train/bat/a.jpg"], None, ValueError, rf"and splits is null: put the line {LINE}"),
        (["bat/a.jpg", "dog/a.jpg"], None, ValueError, rf"<class>/ of 2 classes .* {LINE}"),
        (["val/bat/a.jpg"], None, FileNotFoundError, "holds val: expected train/<class>/<image>"),
        (["a.jpg"], None, FileNotFoundError, "holds no folder: expected train/<class>/<image>"),
        (["train/bat/a.jpg", "val/a.jpg"], None, ValueError, r"val holds 1 files .*'a\.jpg'"),
        (["train/bat/a.jpg", "val/.keep"], None, ValueError, "val holds no class folder"),
        (["train/a.jpg"], SHARES, ValueError, r"train holds 1 files .*kind csv"),
        (
            ["train/bat/a.jpg", "val/bat/a.jpg", "valid/bat/a.jpg"],
            None,
            ValueError,
            "both val and valid, which both name the split val",
        ),
        (
            ["train/bat/a.jpg", "test/bat/a.jpg"],
            SHARES,
            ValueError,
            r"test/<class>/, which serves as val, and splits is \{.* `splits: null`",
        ),
        (
            ["train/bat/a.jpg", "notes/1.txt"],
            SHARES,
            ValueError,
            "holds train, which holds folders only, beside notes",
        ),
        (["birds/bat/a.jpg", "birds/dog/a.jpg"], SHARES, ValueError, "name .*/birds as root"),
        (["birds/train/bat/a.jpg", "birds/val/bat/a.jpg"], None, ValueError, "/birds as root"),
        (
            ["bat/train/a.jpg", "bat/val/a.jpg", "dog/train/a.jpg"],
            SHARES,
            ValueError,
            "bat holds splits, .* train/bat/<image>",
        ),
    ],
)
def test_other_layouts_are_refused(
    tmp_path: Path,
    paths: list[str],
    splits: dict[str, float] | None,
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        read(tmp_path, *paths, splits=splits)
    with pytest.raises((OSError, ValueError), match=message):
        layout(folder_config(tmp_path, splits=splits))


def test_a_folder_inside_that_looks_right_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", "archive/train/bat/1.png", "archive/val/bat/2.png", "more/x.txt")
    with pytest.raises(ValueError, match=f"name {tmp_path / 'archive'} as root"):
        layout(folder_config(tmp_path))
