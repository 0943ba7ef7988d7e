"""Rendering a little, and training a little, tells what all of it takes."""

from pathlib import Path

import pandas as pd
import pytest
import torch

from audits.plan import samples
from pipeline import layout
from pipeline.artifacts.store import write_table
from pipeline.config import SamplesConfig, load_params
from pipeline.samples import lesions, scenes
from tests.recipes.results import DATASET, RAW, SIZE, workspace, write_picture
from tests.small_repository import ROOT


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> SamplesConfig:
    monkeypatch.setattr(samples, "PICTURES", 3)
    found = load_params(ROOT / "params.yaml").samples
    few = {"train_images": 2, "confuser_images": 1, "val_images": 1}
    return found.model_copy(
        update={
            "scenes": found.scenes.model_copy(update=few),
            "lesions": found.lesions.model_copy(update={"lesions": 8}),
        }
    )


def test_as_many_images_as_are_rendered(config: SamplesConfig, tmp_path: Path) -> None:
    found = samples.rendering("lesions", config, 0)
    lesions.render(tmp_path, config.lesions, 0, 1)
    assert found.images == len(list(tmp_path.rglob("*.jpg"))) > 8
    assert found.begin > 0
    assert found.each > 0
    found = samples.rendering("scenes", config, 0)
    assert found.images == len(list(scenes.tasks(config.scenes)))
    assert found.each > 0


def test_a_small_clip_is_trained_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "ENOUGH", 0.05)
    config = {"datasets": [DATASET], "image_size": SIZE, "patch_size": 8, "width": 64}
    config |= {"layers": 1, "text_layers": 1, "context_length": 8, "epochs": 3, "batch_size": 2}
    with workspace(pretrain=config):
        paths = [f"{number}.ppm" for number in range(12)]
        for number, path in enumerate(paths):
            write_picture(RAW / path, number)
        table = pd.DataFrame({"path": paths, "caption": "a wave"})
        write_table(RAW / "captions.csv", table)
        manifest = pd.DataFrame({"path": paths, "split": ["train"] * 11 + ["val"]})
        write_table(layout.manifest(DATASET) / "manifest.parquet", manifest)
        found = samples.pretraining(load_params().pretrain, 0)
        assert (found.images, found.steps) == (11, 3 * 5)
        assert found.decode > 0
        assert found.step > 0
        assert found.size > 100_000
        assert not torch.are_deterministic_algorithms_enabled()
        (RAW / "captions.csv").unlink()
        with pytest.raises(FileNotFoundError, match=r"captions\.csv"):
            samples.pretraining(load_params().pretrain, 0)
