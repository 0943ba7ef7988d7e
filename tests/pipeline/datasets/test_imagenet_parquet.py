"""ImageNet in Parquet shards, as Hugging Face has it."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.datasets import imagenet
from pipeline.datasets.files import read_bytes
from tests.pipeline.datasets.invented_imagenet import (
    GOLDFISH,
    SHARK,
    TENCH,
    assert_all_open,
    jpeg,
    listed,
    record,
)
from tests.pipeline.datasets.test_files import write_parquet


def shard(root: Path, name: str, rows: list[tuple[str | None, int | None]], group: int = 2) -> None:
    images = [{"bytes": jpeg(i), "path": path} for i, (path, _) in enumerate(rows)]
    write_parquet(root / name, images, [label for _, label in rows], group)


@pytest.fixture
def huggingface(tmp_path: Path) -> Path:
    rows = [(f"{SHARK}_53_{SHARK}.JPEG", 2), (f"{TENCH}_1_{TENCH}.JPEG", 0), (None, 1)]
    shard(tmp_path, "data/train-00000-of-00002.parquet", rows)
    shard(tmp_path, "data/train-00001-of-00002.parquet", [(None, -1), ("x y.JPEG", 2)])
    val = [(f"ILSVRC2012_val_00000001_{GOLDFISH}.JPEG", 1), (None, None)]
    shard(tmp_path, "data/validation-00000-of-00001.parquet", val)
    shard(tmp_path, "data/test-00000-of-00009.parquet", [("t.JPEG", -1)])
    return tmp_path


def test_huggingface(huggingface: Path) -> None:
    listing = listed(huggingface)
    assert imagenet.layout(huggingface) == "huggingface"
    assert listing.labels == [TENCH, GOLDFISH, SHARK]
    stem = "train-00000-of-00002"
    assert listing.records == [
        record(
            f"data/{stem}.parquet#0", "train", SHARK, f"train/{stem}/0000000-{SHARK}_53_{SHARK}"
        ),
        record(f"data/{stem}.parquet#1", "train", TENCH, f"train/{stem}/0000001-{TENCH}_1_{TENCH}"),
        record(f"data/{stem}.parquet#2", "train", GOLDFISH, f"train/{stem}/0000002"),
        record(
            "data/train-00001-of-00002.parquet#1",
            "train",
            SHARK,
            "train/train-00001-of-00002/0000001-x_y",
        ),
        record(
            "data/validation-00000-of-00001.parquet#0",
            "val",
            GOLDFISH,
            f"val/validation-00000-of-00001/0000000-ILSVRC2012_val_00000001_{GOLDFISH}",
        ),
    ]
    assert [item.path for item in listing.excluded] == [
        "data/train-00001-of-00002.parquet#0",
        "data/validation-00000-of-00001.parquet#1",
    ]
    assert_all_open(huggingface, listing)
    assert read_bytes(huggingface, listing.records[2].path) == jpeg(2)


def test_missing_shards_are_named(huggingface: Path) -> None:
    (huggingface / "data" / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of 2 .*train-00001-of-00002\.parquet$"):
        listed(huggingface)
    (huggingface / "data" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"train-\*-of-\*\.parquet are missing"):
        listed(huggingface)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((None, 1000), r"row 0, has the class 1000: expected 0 to 999 .*devkit"),
        ((None, -2), "has the class -2"),
        # what the devkit's order would do
        ((f"{TENCH}_1.JPEG", 1), f"label {GOLDFISH}, but its name '{TENCH}_1.JPEG' says {TENCH}"),
    ],
)
def test_impossible_labels_of_rows(
    huggingface: Path, row: tuple[str | None, int], message: str
) -> None:
    shard(huggingface, "data/validation-00000-of-00001.parquet", [row])
    with pytest.raises(ValueError, match=message):
        listed(huggingface)


def name_classes(path: Path, names: list[str]) -> None:
    """Write names of classes into a shard as the `datasets` library does."""
    table = pq.read_table(path)
    features = {"label": {"names": names, "_type": "ClassLabel"}}
    metadata = json.dumps({"info": {"features": features}})
    pq.write_table(table.replace_schema_metadata({"huggingface": metadata}), path)


def test_classes_named_by_wnids_are_taken_by_name(huggingface: Path) -> None:
    for path in huggingface.glob("data/*-0000*"):
        shard(huggingface, f"data/{path.name}", [(None, 0), (None, 1)])
    first = huggingface / "data" / "train-00000-of-00002.parquet"
    name_classes(first, [SHARK, TENCH])  # a part of ImageNet, in another order
    assert {r.label for r in listed(huggingface).records} == {SHARK, TENCH}
    assert [r.label for r in listed(huggingface).records[:2]] == [SHARK, TENCH]
    shard(huggingface, "data/validation-00000-of-00001.parquet", [(None, 2)])
    with pytest.raises(ValueError, match="class 2: its metadata name 2 classes"):
        listed(huggingface)


def test_classes_named_in_words_must_be_in_order(huggingface: Path) -> None:
    from open_clip import IMAGENET_CLASSNAMES

    first = huggingface / "data" / "train-00000-of-00002.parquet"
    name_classes(first, list(IMAGENET_CLASSNAMES))
    assert len(listed(huggingface).records) == 5
    name_classes(first, sorted(IMAGENET_CLASSNAMES))
    with pytest.raises(ValueError, match="must be in the order of wnids"):
        listed(huggingface)
    name_classes(first, ["tench", "goldfish"])
    with pytest.raises(ValueError, match="names 2 classes, not 1000"):
        listed(huggingface)
