"""Settings, embeddings and pictures that are made up for both machines."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.embed import listed
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.sae.blocks import EmbeddingBlocks

SMALL_SAE: dict[str, Any] = {
    "kind": "topk", "components": 48, "k": 4, "tokens": "class", "loss": "variance", "epochs": 3,
    "epoch_fraction": 1.0, "batch_size": 64, "learning_rate": 0.003, "warmup": 0,
    "decay_after": [], "clip": 1.0, "centre": True, "atoms_init": "kmeans",
    "encoder_init": "transpose", "auxk": 0.0, "auxk_k": 4, "dead_after": 0.2, "revive_after": [1],
    "prefixes": [0.25, 0.5], "device": "cpu", "devices": 1,
}  # fmt: skip
EMBED: dict[str, Any] = {
    "batch_size": 256, "workers": "auto", "shard_rows": 8192, "dtype": "float32",
    "spatial_tokens": 0, "device": "cpu", "precision": "float32",
}  # fmt: skip


def blocks_of(folder: Path, n: int, width: int, tokens: int, dtype: str) -> EmbeddingBlocks:
    """Invented embeddings with directions in common, written and opened."""
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(64, width))

    def sums(count: int) -> np.ndarray:
        weight = rng.random((count, 64)) * (rng.random((count, 64)) < 0.08)
        return (weight @ atoms + 0.05 * rng.normal(size=(count, width))).astype(dtype)

    columns = {"x": sums(n)}
    if tokens:
        columns["spatial"] = sums(n * tokens).reshape(n, -1)
    ids = [f"i{row:07d}" for row in range(n)]
    folder.mkdir()
    write_vectors(folder, 0, [vector_table(ids, columns)])
    manifest = pd.DataFrame({"image_id": ids, "split": "train"})
    return EmbeddingBlocks.open(folder, manifest, "train", list(columns))  # type: ignore[arg-type]


def photos(folder: Path, count: int, size: tuple[int, int]) -> pd.DataFrame:
    """JPEGs of coarse noise, and their manifest rows."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)
    return listed(folder, count)
