"""ImageNet in tars, as WebDataset has it."""

from pathlib import Path

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
from tests.pipeline.datasets.test_files import write_tar


def test_webdataset(webdataset: Path) -> None:
    listing = listed(webdataset)
    assert imagenet.layout(webdataset) == "webdataset"
    assert listing.labels == [TENCH, GOLDFISH, SHARK]
    tar = "imagenet1k-train-0000"
    assert listing.records == [
        record(f"{tar}.tar#{SHARK}_5.JPEG", "train", SHARK, f"train/{tar}/0000000-{SHARK}_5"),
        record(f"{tar}.tar#d/{TENCH}_1.jpg", "train", TENCH, f"train/{tar}/0000001-{TENCH}_1"),
        record(f"{tar}.tar#a b.png", "train", GOLDFISH, f"train/{tar}/0000002-a_b"),
        record("train/x-train-1.tar#4.jpg", "train", GOLDFISH, "train/x-train-1/0000004-4"),
        record("val/validation.tar#0.jpg", "val", SHARK, "val/validation/0000000-0"),
    ]
    reasons = {item.path.split("#")[1]: item.reason for item in listing.excluded}
    assert list(reasons) == ["0.jpg", "1.cls", "2.jpg", "3.jpg", "4.png", "5.jpg"]
    assert "no label" in reasons["0.jpg"]
    assert "no image" in reasons["1.cls"]
    assert "'shark', not a number" in reasons["2.jpg"]
    assert "no JSON" in reasons["3.jpg"]
    assert reasons["4.png"] == "its sample has 4.jpg"
    assert "no label" in reasons["5.jpg"]
    assert_all_open(webdataset, listing)
    assert read_bytes(webdataset, listing.records[3].path) == jpeg(6)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"0.cls": b"1000"}, r"sample 0, has the class 1000: .*devkit"),
        ({"0.json": b'{"label": 1000}'}, "has the class 1000"),
        ({"0.cls": b"1", "0.json": b'{"label": 2}'}, "contradict each other"),
        ({"0.json": b'{"label": 2, "wnid": "n01440764"}'}, "contradict each other"),
        ({f"{TENCH}_0.cls": b"1"}, f"label {GOLDFISH}, but its name '{TENCH}_0' says {TENCH}"),
    ],
)
def test_impossible_labels_of_samples(
    webdataset: Path, members: dict[str, bytes], message: str
) -> None:
    key = next(iter(members)).partition(".")[0]
    write_tar(webdataset / "val" / "validation.tar", {**members, f"{key}.jpg": jpeg(0)})
    with pytest.raises(ValueError, match=message):
        listed(webdataset)


def test_both_splits_need_tars_of_their_own(webdataset: Path) -> None:
    (webdataset / "val" / "validation.tar").rename(webdataset / "train-val.tar")
    with pytest.raises(ValueError, match=r"train-val\.tar names both"):
        listed(webdataset)
    (webdataset / "train-val.tar").unlink()
    with pytest.raises(FileNotFoundError, match=r"holds no \*val\*\.tar"):
        listed(webdataset)
