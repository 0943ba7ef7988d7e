"""Batches that processes share, or that a resumed run starts in the middle of."""

import pytest
import torch

from tests.pipeline.sae.invented_shards import D, opened, write


@pytest.mark.parametrize("pool", [1000, 11])
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_batches_of_one_process(tmp_path, pool, world):
    manifest, *_ = write(tmp_path)
    blocks = opened(tmp_path, manifest, pool=pool)
    alone = list(blocks.batches(6, 1.0, 0, 1))
    shares = [list(blocks.batches(6, 1.0, 0, 1, rank, world)) for rank in range(world)]
    assert {len(share) for share in shares} == {len(alone)}
    for index, batch in enumerate(alone):
        for rank, share in enumerate(shares):
            assert torch.equal(share[index].x, batch.x[rank::world])
            assert share[index].images == len(batch.x)


@pytest.mark.parametrize("pool", [1000, 3])
def test_a_rank_that_gets_none_of_the_last_images_still_takes_part(tmp_path, pool):
    manifest, *_ = write(tmp_path, n=7)
    blocks = opened(tmp_path, manifest, split=None, pool=pool)
    last = [list(blocks.batches(3, 1.0, 0, 1, rank, 3))[-1] for rank in range(3)]
    assert [tuple(batch.x.shape) for batch in last] == [(1, D), (0, D), (0, D)]
    assert [batch.images for batch in last] == [1, 1, 1]
