"""ISIC 2020: diagnoses beside targets, copies, and patients as well as lesions."""

from pathlib import Path

import pytest

from pipeline.datasets import Excluded
from tests.pipeline.datasets.invented_isic import found, read, write_2020
from tests.pipeline.datasets.test_adapters import write_csv


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("ISIC_2020_Training_GroundTruth_v2.csv", "train"),
        ("ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_JPEG/train"),
        ("ISIC_2020_Training_GroundTruth.csv", "ISIC_2020_Training_JPEG"),
        ("train.csv", "jpeg/train"),
        ("train.csv", "train"),
    ],
)
def test_2020_reads_diagnoses_and_targets(tmp_path: Path, table: str, folder: str) -> None:
    rows = [
        ("i1", "P1", "", "melanoma", "1"),
        ("i2", "P2", "", "nevus", "0"),
        ("i3", "P3", "", "seborrheic keratosis", "0"),
        ("i4", "P4", "", "lentigo NOS", "0"),
        ("i5", "P5", "", "solar lentigo", "0"),
        ("i6", "P6", "", "lichenoid keratosis", "0"),
        ("i7", "P7", "", "unknown", "0"),
        ("i8", "P8", "", "cafe-au-lait macule", "0"),
        ("i9", "", "", "atypical melanocytic proliferation", "0"),
    ]
    write_2020(tmp_path, rows, table, folder)
    listing = read(tmp_path)
    labels = ["MEL", "NV", "BKL", "BKL", "BKL", "BKL", None, None, None]
    assert found(listing) == {
        f"i{i}": (label, f"P{i}" if i < 9 else "i9") for i, label in enumerate(labels, start=1)
    }
    assert listing.records[0].path == f"{folder}/i1.jpg"
    assert listing.excluded == []


def test_2020_leaves_out_copies_and_contradictions(tmp_path: Path) -> None:
    rows = [
        ("a", "P1", "L1", "nevus", "0"),
        ("b", "P2", "L2", "nevus", "0"),
        ("c", "P3", "L3", "nevus", "0"),
        ("d", "P4", "L4", "nevus", "1"),
        ("e", "P5", "L5", "melanoma", "0.0"),
        ("f", "P6", "L6", "unknown", "0"),
    ]
    write_2020(tmp_path, rows)
    pairs = [["a", "b"], ["b", "c"], ["b", "a"], ["gone", "f"]]
    table = tmp_path / "ISIC_2020_Training_Duplicates.csv"
    write_csv(table, [["image_name_1", "image_name_2"], *pairs])
    listing = read(tmp_path)
    assert found(listing) == {"a": ("NV", "L1"), "f": (None, "L6")}
    copy = f"a copy of a, as {table.name} says"
    assert listing.excluded == [
        Excluded("train/b.jpg", copy, fault=False),
        Excluded("train/c.jpg", copy, fault=False),
        Excluded("train/d.jpg", "target is 1, but diagnosis is 'nevus'"),
        Excluded("train/e.jpg", "target is 0, but diagnosis is 'melanoma'"),
    ]
    table.write_text("one,two\na,b\n")
    with pytest.raises(ValueError, match=r"Duplicates\.csv, line 1: no column image_name_1, image"):
        read(tmp_path)


def test_patients_and_lesions_span_one_group(tmp_path: Path) -> None:
    rows = [
        ("a", "P2", "L5", "nevus", "0"),
        ("b", "P2", "L4", "nevus", "0"),
        ("c", "P1", "L4", "nevus", "0"),  # to a through b
        ("d", "L5", "", "nevus", "0"),  # a patient that is called as a lesion is
        ("e", "", "L9", "nevus", "0"),
    ]
    write_2020(tmp_path, rows)
    (tmp_path / "train/b.jpg").unlink()
    expected = {"a": "L4", "c": "L4", "d": "L5", "e": "L9"}
    assert {name: group for name, (_, group) in found(read(tmp_path)).items()} == expected
    write_2020(tmp_path, rows[::-1])
    assert found(read(tmp_path))["c"] == ("NV", "L4")


@pytest.mark.parametrize(
    ("target", "message"),
    [("2", "image a, column target: '2' is not 0 or 1"), ("", "column target: '' is not")],
)
def test_2020_names_a_wrong_target(tmp_path: Path, target: str, message: str) -> None:
    write_2020(tmp_path, [("a", "P", "", "nevus", target)])
    with pytest.raises(ValueError, match=message):
        read(tmp_path)
