"""Blocks of embeddings: every image once, in a seeded order."""

from itertools import islice

import numpy as np
import pytest
import torch

from tests.pipeline.invented_device import Held, gpu
from tests.pipeline.sae.invented_shards import GROUP, SHARD, TOKENS, TRAIN, D, images, opened, write


@pytest.mark.parametrize("pool", [1000, 13, 5, 1])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_an_epoch_shows_every_train_image_once_with_its_own_tokens(tmp_path, pool, dtype):
    manifest, x, tokens = write(tmp_path, dtype=dtype)
    blocks = opened(tmp_path, manifest, columns=("x", "spatial"), pool=pool)
    assert (blocks.rows, blocks.width, blocks.tokens) == (40, D, TOKENS)
    batches = list(blocks.batches(6, 1.0, seed=0, epoch=1))
    assert [len(batch.x) for batch in batches] == [6] * 6 + [4]
    assert [batch.images for batch in batches] == [6] * 6 + [4]
    order = images(batches)
    assert sorted(order) == TRAIN
    assert order != TRAIN
    found, beside = torch.cat([b.x for b in batches]), torch.cat([b.spatial for b in batches])
    assert found.dtype == beside.dtype == torch.float32
    np.testing.assert_array_equal(found, x[order].astype(np.float32))
    expected = tokens[order].reshape(-1, TOKENS, D).astype(np.float32)
    np.testing.assert_array_equal(beside, expected)


def test_only_the_columns_that_were_asked_for_are_there(tmp_path):
    manifest, *_ = write(tmp_path)
    blocks = opened(tmp_path, manifest)
    assert blocks.tokens == 0
    assert next(blocks.batches(4, 1.0, 0, 0)).spatial is None
    blocks = opened(tmp_path, manifest, columns=("spatial",))
    batch = next(blocks.batches(4, 1.0, 0, 0))
    assert batch.x is None
    assert batch.spatial.shape == (4, TOKENS, D)


@pytest.mark.parametrize("pool", [1000, 9])
def test_a_fraction_is_drawn_anew_each_epoch(tmp_path, pool):
    manifest, *_ = write(tmp_path)
    blocks = opened(tmp_path, manifest, pool=pool)
    first, second = (images(blocks.batches(8, 0.33, 0, epoch)) for epoch in (1, 2))
    assert len(first) == len(set(first)) == len(second) == len(set(second)) == 13
    assert set(first) <= set(TRAIN)
    assert set(first) != set(second)
    assert len(images(blocks.batches(8, 0.001, 0, 1))) == 1


@pytest.mark.parametrize("pool", [1000, 11])
def test_the_order_depends_on_seed_and_epoch_only(tmp_path, pool):
    manifest, *_ = write(tmp_path)
    order = images(opened(tmp_path, manifest, pool=pool).batches(6, 1.0, seed=3, epoch=2))
    blocks = opened(tmp_path, manifest, pool=pool)
    list(blocks.batches(6, 1.0, seed=0, epoch=0))
    assert images(blocks.batches(9, 1.0, seed=3, epoch=2)) == order
    assert images(blocks.batches(6, 1.0, seed=3, epoch=3)) != order
    assert images(blocks.batches(6, 1.0, seed=2, epoch=2)) != order


def test_a_fraction_that_fits_the_pool_is_ordered_as_if_all_did(tmp_path):
    manifest, *_ = write(tmp_path)
    small, large = (opened(tmp_path, manifest, pool=pool) for pool in (20, 1000))
    orders = [images(blocks.batches(6, 0.5, 4, 1)) for blocks in (small, large)]
    assert orders[0] == orders[1]


def test_where_all_fits_every_image_is_as_likely_at_every_place(tmp_path):
    manifest, *_ = write(tmp_path, n=10)
    blocks = opened(tmp_path, manifest, split=None)
    epochs = 3000
    counts = np.zeros((10, 10))
    for epoch in range(epochs):
        counts[np.arange(10), images(blocks.batches(5, 1.0, 0, epoch))] += 1
    expected = epochs / 10
    # Chi-squared of a permutation matrix' mean: (n - 1)² degrees of freedom, 81 ± 12.7.
    assert ((counts - expected) ** 2 / expected).sum() * 9 / 10 < 81 + 4 * 12.7


def test_a_pool_mixes_several_blocks_and_the_blocks_change(tmp_path):
    manifest, *_ = write(tmp_path, n=200)
    blocks = opened(tmp_path, manifest, split=None, pool=4 * GROUP)
    firsts = [set(images(islice(blocks.batches(4, 1.0, 0, epoch), 7))) for epoch in range(2)]
    groups = [{(row // SHARD, row % SHARD // GROUP) for row in first} for first in firsts]
    assert all(4 <= len(which) <= 7 for which in groups)
    assert groups[0] != groups[1]


def test_images_come_in_the_order_of_the_shards(tmp_path):
    manifest, x, _ = write(tmp_path)
    for pool in (1000, 4):
        blocks = opened(tmp_path, manifest, "val", ("x", "spatial"), pool)
        batches = list(blocks.in_order(2))
        assert max(len(batch.x) for batch in batches) == 2
        rows = images(batches)
        assert rows == list(range(3, 50, 5))
        assert manifest["image_id"].iloc[blocks.manifest_rows].tolist() == [
            f"i{row:04d}" for row in rows
        ]
        np.testing.assert_array_equal(torch.cat([b.x for b in batches]), x[rows])


def test_impossible_requests_are_refused(tmp_path):
    manifest, *_ = write(tmp_path)
    blocks = opened(tmp_path, manifest)
    with pytest.raises(ValueError, match="fraction is 0"):
        blocks.batches(6, 0.0, 0, 0)
    with pytest.raises(ValueError, match="batch_size is 7: 2 devices"):
        blocks.batches(7, 1.0, 0, 0, 0, 2)
    with pytest.raises(ValueError, match="rank is 2"):
        blocks.batches(6, 1.0, 0, 0, 2, 2)


@pytest.mark.parametrize("pool", [9, 1000])
def test_images_that_are_held_on_a_device_come_in_the_same_order(tmp_path, pool):
    manifest, *_ = write(tmp_path, dtype="float16")
    blocks = opened(tmp_path, manifest, columns=("x", "spatial"), pool=pool)
    expected = list(blocks.batches(6, 0.7, seed=3, epoch=2))
    with gpu() as device:
        brought = list(blocks.batches(6, 0.7, seed=3, epoch=2, device=device))
        blocks.hold(device)
        held = list(blocks.batches(6, 0.7, seed=3, epoch=2, device=device))
        for found in (brought, held):
            for there, here in zip(found, expected, strict=True):
                assert isinstance(there.x, Held)
                assert torch.equal(there.x.cpu(), here.x)
                assert torch.equal(there.spatial.cpu(), here.spatial)
                assert there.images == here.images
