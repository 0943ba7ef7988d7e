"""ImageNet in folders, as torchvision and Kaggle have it."""

from pathlib import Path

import pytest

from pipeline.datasets import Excluded, imagenet
from pipeline.datasets.adapters import KNOWN_NAMES
from pipeline.datasets.classes import class_names
from tests.pipeline.datasets.invented_imagenet import (
    GOLDFISH,
    SHARK,
    TENCH,
    assert_all_open,
    listed,
    put,
    record,
)

KAGGLE = "ILSVRC/Data/CLS-LOC"


def test_torchvision(tmp_path: Path) -> None:
    put(
        tmp_path,
        f"train/{SHARK}/{SHARK}_10.JPEG",
        f"train/{TENCH}/{TENCH}_7.JPEG",
        f"val/{TENCH}/ILSVRC2012_val_00000293.JPEG",
    )
    (tmp_path / "val" / GOLDFISH).mkdir()
    listing = listed(tmp_path)
    assert imagenet.layout(tmp_path) == "torchvision"
    assert listing.labels == [TENCH, GOLDFISH, SHARK]
    ids = [
        f"train/{TENCH}/{TENCH}_7",
        f"train/{SHARK}/{SHARK}_10",
        f"val/{TENCH}/ILSVRC2012_val_00000293",
    ]
    assert listing.records == [
        record(f"{i}.JPEG", i.split("/")[0], i.split("/")[1], i) for i in ids
    ]
    assert listing.excluded == listing.distractors == []
    assert_all_open(tmp_path, listing)
    names = class_names(tmp_path, listing.labels, KNOWN_NAMES["imagenet"])
    assert names[TENCH] == "tench, Tinca tinca"


def test_class_folders_that_are_no_wnids_are_refused(tmp_path: Path) -> None:
    put(tmp_path, f"train/{TENCH}/a.JPEG", "train/tench/b.JPEG", f"val/{TENCH}/c.JPEG")
    with pytest.raises(ValueError, match=r"class folder 'tench': .* kind image_folder"):
        listed(tmp_path)


SOLUTION = f"""ImageId,PredictionString
ILSVRC2012_val_00000001,{TENCH} 111 108 290 320{" "}
ILSVRC2012_val_00000002,{SHARK} 1 2 3 4 {SHARK} 5 6 7 8{" "}
ILSVRC2012_val_00000003,{SHARK} 1 2 3 4 {TENCH} 5 6 7 8{" "}
ILSVRC2012_val_00000004,{TENCH} 1 2 3 4{" "}
"""


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    put(
        tmp_path,
        f"{KAGGLE}/train/{TENCH}/{TENCH}_10026.JPEG",
        f"{KAGGLE}/train/{SHARK}/{SHARK}_9.JPEG",
        f"{KAGGLE}/test/ILSVRC2012_test_00000001.JPEG",
        *(f"{KAGGLE}/val/ILSVRC2012_val_0000000{i}.JPEG" for i in (1, 2, 3, 5)),
    )
    (tmp_path / "LOC_val_solution.csv").write_text(SOLUTION)
    (tmp_path / "LOC_synset_mapping.txt").write_text(
        f"{TENCH} tench, Tinca tinca\n{GOLDFISH} goldfish, Carassius auratus\n"
    )
    return tmp_path


def test_kaggle(kaggle: Path) -> None:
    listing = listed(kaggle)
    assert imagenet.layout(kaggle) == "kaggle"
    assert listing.labels == [TENCH, GOLDFISH, SHARK]  # goldfish of the mapping alone
    assert [(r.image_id, r.split, r.label) for r in listing.records] == [
        (f"train/{TENCH}/{TENCH}_10026", "train", TENCH),
        (f"train/{SHARK}/{SHARK}_9", "train", SHARK),
        (f"val/{TENCH}/ILSVRC2012_val_00000001", "val", TENCH),
        (f"val/{SHARK}/ILSVRC2012_val_00000002", "val", SHARK),
    ]
    val = f"{KAGGLE}/val/ILSVRC2012_val_0000000"
    assert listing.records[2].path == f"{val}1.JPEG"
    assert listing.excluded == [
        Excluded(
            f"{val}3.JPEG", f"boxes of several classes in LOC_val_solution.csv: {TENCH}, {SHARK}"
        ),
        Excluded(f"{val}5.JPEG", "no row in LOC_val_solution.csv"),
    ]
    [note] = listing.notes
    assert note.startswith("1 of 4 rows of LOC_val_solution.csv have no image")
    assert "(ILSVRC2012_val_00000004)" in note
    assert_all_open(kaggle, listing)


def test_kaggle_with_val_in_folders_is_like_torchvision(tmp_path: Path) -> None:
    paths = [f"train/{TENCH}/a.JPEG", f"val/{TENCH}/b.JPEG"]
    put(tmp_path / "torchvision", *paths)
    put(tmp_path / "kaggle" / KAGGLE, *paths)
    one, other = (listed(tmp_path / name) for name in ("torchvision", "kaggle"))
    assert [r.image_id for r in one.records] == [r.image_id for r in other.records]
    assert other.records[0].path == f"{KAGGLE}/train/{TENCH}/a.JPEG"


@pytest.mark.parametrize("base", ["", f"{KAGGLE}/"])
def test_a_flat_val_without_its_table_names_the_devkits_trap(tmp_path: Path, base: str) -> None:
    put(tmp_path, f"{base}train/{TENCH}/a.JPEG", f"{base}val/ILSVRC2012_val_00000001.JPEG")
    (tmp_path / "ILSVRC2012_validation_ground_truth.txt").write_text("490\n")
    with pytest.raises(FileNotFoundError) as caught:
        listed(tmp_path)
    for part in (
        str(tmp_path / base / "val"),
        "LOC_val_solution.csv there",
        "val/<wnid>/",
        "ILSVRC2012_validation_ground_truth.txt) are in another order",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ImageId", "Image", "no column ImageId"),
        ("00000002,", "00000001,", r"line 3, lists the ImageId 'ILSVRC2012_val_00000001' twice"),
        (f",{TENCH} 111", ",490 111", "line 2: PredictionString is '490 111"),
        (" 290 320", " 290", "line 2: PredictionString"),
    ],
)
def test_kaggles_table_is_checked(kaggle: Path, old: str, new: str, message: str) -> None:
    table = kaggle / "LOC_val_solution.csv"
    assert old in SOLUTION
    table.write_text(SOLUTION.replace(old, new))
    with pytest.raises(ValueError, match=message):
        listed(kaggle)


def test_kaggles_mapping_is_checked(kaggle: Path) -> None:
    (kaggle / "LOC_synset_mapping.txt").write_text(f"{TENCH} tench\ngoldfish\n")
    with pytest.raises(ValueError, match="line 2: 'goldfish' is no wnid"):
        listed(kaggle)
