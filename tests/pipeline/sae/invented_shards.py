"""Shards of numbered images, and blocks opened on them."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from pipeline.artifacts import shards
from pipeline.embeddings.vectors import vector_table
from pipeline.sae.blocks import EmbeddingBlocks

D, TOKENS, SHARD, GROUP = 3, 2, 20, 7
"""Width, spatial tokens, images in a shard and in a row group."""
TRAIN = [row for row in range(50) if row % 5 != 3]


def write(folder, n=50, dtype="float32", spatial=True):
    """Shards in which number i starts image i's tokens, and their manifest: 4 in 5 images train.

    The manifest is in another order than the shards.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, D)).astype(dtype)
    tokens = rng.normal(size=(n, TOKENS * D)).astype(dtype)
    x[:, 0] = tokens[:, 0] = np.arange(n)
    ids = [f"i{row:04d}" for row in range(n)]
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, n, SHARD)):
        rows = slice(first, first + SHARD)
        columns = {"x": x[rows]} | ({"spatial": tokens[rows]} if spatial else {})
        path = folder / f"part-{number:05d}.parquet"
        pq.write_table(vector_table(ids[rows], columns), path, row_group_size=GROUP)
    split = np.where(np.arange(n) % 5 == 3, "val", "train")
    manifest = pd.DataFrame({"image_id": ids, "split": split})
    return manifest.iloc[rng.permutation(n)].reset_index(drop=True), x, tokens


def opened(folder, manifest, split="train", columns=("x",), pool=1000):
    """Blocks whose pool holds so many images."""
    bytes_of = {"x": D, "spatial": TOKENS * D}
    with shards.opened(shards.shards(folder)[0]) as file:
        precision = file.schema_arrow.field("x").type.value_type.bit_width
    row = sum(bytes_of[column] for column in columns) * precision // 8
    blocks = EmbeddingBlocks.open(folder, manifest, split, columns, pool * row)
    assert blocks.pool_rows == pool
    return blocks


def images(batches):
    """Which images batches hold, by the number that starts their tokens."""
    return torch.cat([batch.x[:, 0] for batch in batches]).int().tolist()
