"""Spurious ImageNet beside ImageNet."""

from pathlib import Path

import pytest

from pipeline.datasets import Distractor
from tests.pipeline.datasets.invented_imagenet import SHARK, TENCH, listed, put


@pytest.mark.parametrize(
    "base",
    [
        "spurious_imagenet/images",
        "dataset/spurious_imagenet/images",
        "spurious_imagenet/dataset/spurious_imagenet/images",
    ],
)
def test_spurious_imagenet(webdataset: Path, base: str) -> None:
    plain = listed(webdataset)
    put(
        webdataset,
        f"{base}/class_idx_2_comp_14/b 1.jpg",
        f"{base}/class_idx_2_comp_14/a.jpg",
        f"{base}/class_idx_2_comp_14/a.png",
        f"{base}/class_idx_0_comp_3/a.jpg",
        f"{base}/README.md",
    )
    listing = listed(webdataset)
    extra = [item for item in listing.records if item not in plain.records]
    shark, tench = "class_idx_2_comp_14", "class_idx_0_comp_3"
    ids = [f"spurious_imagenet/{name}" for name in (f"{tench}/a", f"{shark}/a", f"{shark}/b_1")]
    assert [(r.image_id, r.split, r.label, r.group_id) for r in extra] == [
        (i, "test", None, i) for i in ids
    ]
    assert extra[2].path == f"{base}/{shark}/b 1.jpg"
    assert listing.distractors == [
        Distractor(ids[0], TENCH, tench),
        Distractor(ids[1], SHARK, shark),
        Distractor(ids[2], SHARK, shark),
    ]
    assert listing.labels == plain.labels
    excluded = [item.path for item in listing.excluded if item not in plain.excluded]
    assert excluded == [f"{base}/README.md", f"{base}/{shark}/a.png"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("class_2_14", "class_2_14: expected a name such as"),
        ("class_idx_two_comp_14", "expected a name"),
        ("class_idx_2_comp_x", "expected a name"),
        ("class_idx_1000_comp_14", "has the class 1000"),
    ],
)
def test_other_folders_of_spurious_imagenet_are_refused(
    webdataset: Path, name: str, message: str
) -> None:
    put(webdataset, f"spurious_imagenet/images/{name}/a.jpg")
    with pytest.raises(ValueError, match=message):
        listed(webdataset)


def test_two_copies_of_spurious_imagenet_are_refused(webdataset: Path) -> None:
    for base in ("spurious_imagenet", "dataset/spurious_imagenet"):
        put(webdataset, f"{base}/images/class_idx_2_comp_14/a.jpg")
    with pytest.raises(ValueError, match="twice"):
        listed(webdataset)
