"""Mean and scale of the tokens."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from pipeline.artifacts.shards import write_shard
from pipeline.artifacts.store import vector_column
from pipeline.sae.blocks import EmbeddingBlocks
from tests.pipeline.sae.invented_shards import TRAIN, D, opened, write


@pytest.mark.parametrize("pool", [1000, 4])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_mean_and_scale_are_those_of_the_tokens(tmp_path, pool, dtype):
    manifest, x, tokens = write(tmp_path, dtype=dtype)
    blocks = opened(tmp_path, manifest, columns=("x", "spatial"), pool=pool)
    x, tokens = x[TRAIN].astype(float), tokens[TRAIN].reshape(-1, D).astype(float)
    wanted = {"x": x, "spatial": tokens, "both": np.concatenate([x, tokens])}
    for name, values in wanted.items():
        mean, scale = blocks.mean_and_scale(name)
        assert mean.dtype == torch.float64
        np.testing.assert_allclose(mean, values.mean(0), rtol=1e-12)
        away = ((values - values.mean(0)) ** 2).sum(1)
        assert scale == pytest.approx(np.sqrt(away.mean()), rel=1e-12)


def test_scale_keeps_its_digits_far_from_zero(tmp_path):
    x = 1e6 + np.array([[-1, 0, 1], [1, 0, -1], [-1, 0, 1], [1, 0, -1]], np.float32)
    ids = list("abcd")
    write_shard(tmp_path, 0, pa.table({"image_id": ids, "x": vector_column(x)}))
    blocks = EmbeddingBlocks.open(tmp_path, pd.DataFrame({"image_id": ids}), None)
    mean, scale = blocks.mean_and_scale()
    assert mean.tolist() == [1e6] * 3
    assert scale == pytest.approx(2**0.5, rel=1e-9)


def test_what_is_not_finite_is_an_error(tmp_path):
    x = np.array([[1, 2], [np.inf, 0]], np.float16)
    write_shard(tmp_path, 0, pa.table({"image_id": ["a", "b"], "x": vector_column(x)}))
    blocks = EmbeddingBlocks.open(tmp_path, pd.DataFrame({"image_id": ["a", "b"]}), None)
    with pytest.raises(ValueError, match="not finite"):
        blocks.mean_and_scale()
