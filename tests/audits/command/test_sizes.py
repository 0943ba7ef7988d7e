"""Sizes of a dictionary by width and images."""

import json

import pytest

from audits.command.sizes import images_of, sizes, width_of
from pipeline.config import DatasetConfig, read_catalog

SAE = {"components": 256, "k": 24, "epochs": 15, "epoch_fraction": 1.0, "batch_size": 128}


@pytest.mark.parametrize(
    ("width", "images", "components", "k", "rate"),
    [
        (128, 9610, 512, 16, 0.0005),  # 601 → 512; 15 epochs of 76 steps
        (384, 12000, 1024, 48, 0.0004),  # 750 → 1024
        (128, 100, 64, 16, 0.04),  # the fewest components
        (8, 1_000_000, 256, 1, 5e-6),  # the most, 32 · 8
        (768, 600, 64, 32, 0.008),  # k 96 is above half
    ],
)
def test_the_rule_by_hand(width, images, components, k, rate):
    found = sizes(width, images, SAE)
    assert found.sae == {"components": components, "k": k, "learning_rate": rate}
    for part in (f"components {components:,}", f"k {k} ", f"{images:,} train", f"{rate:g}"):
        assert part in found.said


def test_an_epoch_of_a_part_has_fewer_steps():
    assert sizes(128, 9610, SAE | {"epoch_fraction": 0.1}).sae["learning_rate"] == 0.005


@pytest.mark.parametrize(
    ("width", "images", "missing"),
    [
        (None, 50, "the model's width"),
        (64, None, "the images"),
        (None, None, "the model's width and the images"),
    ],
)
def test_what_is_not_known_is_said_and_nothing_set(width, images, missing):
    found = sizes(width, images, SAE)
    assert found.sae == {}
    assert f"components 256, k 24, the catalog's, for {missing} cannot" in found.said


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for label in "ab":
        for split, count in (("train", 7), ("val", 2)):
            (tmp_path / "raw" / split / label).mkdir(parents=True)
            for n in range(count):
                (tmp_path / "raw" / split / label / f"{n}.png").touch()
    return tmp_path


def test_images_are_counted_by_name(folder, request):
    catalog = read_catalog(request.config.rootpath / "catalog.yaml")
    entry = catalog["defaults"]["dataset"] | {
        "kind": "image_folder",
        "root": "raw",
        "labeler": "x",
        "embeddings": "birds-x",
        "vocabulary": "v.csv",
    }
    config = DatasetConfig.model_validate(entry)
    assert images_of("birds", config, 0) == 14
    # Of seven images of a class every third: 0, 3 and 6.
    assert images_of("birds", config.model_copy(update={"every": 3}), 0) == 6
    assert images_of("birds", config.model_copy(update={"root": folder / "none"}), 0) is None
    about = folder / "data" / "manifests" / "birds"
    about.mkdir(parents=True)
    (about / "dataset.json").write_text(json.dumps({"counts": {"splits": {"train": 5, "val": 2}}}))
    assert images_of("birds", config, 0) == 5


def test_width_of_a_folder_a_name_and_a_repository(tmp_path):
    (tmp_path / "mine").mkdir()
    config = {"model_cfg": {"vision_cfg": {"width": 96}}}
    (tmp_path / "mine" / "open_clip_config.json").write_text(json.dumps(config))
    assert width_of("mine", "local-dir:data/models/mine", tmp_path) == 96
    assert width_of("elsewhere", f"local-dir:{tmp_path}/mine", tmp_path / "models") == 96
    assert width_of("b32", "ViT-B-32", tmp_path) == 768
    assert width_of("hub", "hf-hub:someone/namer", tmp_path) is None
    assert width_of("other", "local-dir:data/models/other", tmp_path) is None
