"""Measuring this machine gives something for all that costs are made of."""

from pathlib import Path

import numpy as np
from PIL import Image

from audits.plan.beginning import begin
from audits.plan.calibration import of_model, of_sae, opening
from pipeline.config import EmbedConfig
from pipeline.datasets.pixels import SHOWN


def test_a_model_and_images_are_measured(clip_folder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(tmp_path / path)
    entry = EmbedConfig(
        batch_size=4,
        workers=0,
        shard_rows=8,
        dtype="float32",
        spatial_tokens=0,
        device="cpu",
        precision="float32",
    )
    found = of_model(clip_folder, entry, paths, tmp_path, SHOWN)
    assert (found.width, found.projected) == (64, 48)
    assert all(value > 0 for value in found)
    assert opening(paths, tmp_path, SHOWN) > 0


def test_a_larger_dictionary_takes_longer(sae_config) -> None:
    small, large = (of_sae(sae_config(components=m, k=8, batch_size=64), 48, 0) for m in (64, 2048))
    assert all(value > 0 for value in (*small, *large))
    assert large.step > small.step
    assert large.match > small.match


def test_a_beginning_counts_what_the_other_process_holds() -> None:
    found = begin("json.tool")  # which imports little
    assert 0 < found.seconds < 5
    assert found.memory > 4_000_000
