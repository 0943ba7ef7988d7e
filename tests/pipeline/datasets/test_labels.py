"""Classes that are known from names and tables are those that a listing declares."""

from pathlib import Path

import pytest

from pipeline.datasets.adapters import ADAPTERS, LABELS_OF
from pipeline.datasets.imagenet_labels import wnids
from tests.pipeline.datasets.invented_imagenet import put, write_webdataset
from tests.pipeline.datasets.invented_isic import row, write_2019
from tests.pipeline.datasets.test_adapters import folder_config, touch, write_csv

HALVES = {"train": 0.5, "val": 0.5}


def of_splits(root: Path) -> dict[str, object]:
    touch(root, "train/bat/0.png", "train/hot dog/0.png", "val/bat/0.png", "val/fox/0.png")
    return {}


def of_classes(root: Path) -> dict[str, object]:
    touch(root, "bat/0.png", "fox/0.png")
    return {"splits": HALVES}


def of_table(root: Path) -> dict[str, object]:
    touch(root, "a.png", "b.png")
    write_csv(root / "images.csv", [["path", "label"], ["a.png", "fox"], ["b.png", ""]])
    return {"kind": "csv", "splits": HALVES}


def of_torchvision(root: Path) -> dict[str, object]:
    put(root, "train/n01440764/a.JPEG", "train/n02012849/a.JPEG", "val/n01440764/a.JPEG")
    return {"kind": "imagenet"}


def of_isic(root: Path) -> dict[str, object]:
    write_2019(root, [row("i0", "NV")], {"i0": ""})
    return {"kind": "isic", "splits": HALVES}


def of_isic_with_names(root: Path) -> dict[str, object]:
    write_csv(root / "classes.csv", [["label", "name"], ["NV", "mole"], ["MEL", "melanoma"]])
    return of_isic(root)


@pytest.mark.parametrize(
    "make", [of_splits, of_classes, of_table, of_torchvision, of_isic, of_isic_with_names]
)
def test_labels_are_those_of_the_listing(tmp_path: Path, make) -> None:
    config = folder_config(tmp_path, **make(tmp_path))
    labels = LABELS_OF[config.kind](tmp_path, config)
    assert labels == ADAPTERS[config.kind](tmp_path, config, 0).labels
    assert labels


def test_a_container_of_imagenet_may_hold_any_of_its_classes(tmp_path: Path) -> None:
    write_webdataset(tmp_path)
    config = folder_config(tmp_path, kind="imagenet")
    labels = LABELS_OF["imagenet"](tmp_path, config)
    assert labels == wnids()
    assert set(ADAPTERS["imagenet"](tmp_path, config, 0).labels) < set(labels)
