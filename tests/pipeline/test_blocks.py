"""Blocks of embeddings: every image once, in a seeded order, in bounded memory."""

import weakref
from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pipeline.sae import row_groups
from pipeline.sae.blocks import EmbeddingBlocks
from pipeline.store import vector_column, write_shard
from pipeline.vectors import vector_table, write_vectors

D, TOKENS, SHARD, GROUP = 3, 2, 20, 7
"""Width, spatial tokens, images in a shard and in a row group."""


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
    precision = pq.read_schema(folder / "part-00000.parquet").field("x").type.value_type.bit_width
    row = sum(bytes_of[column] for column in columns) * precision // 8
    blocks = EmbeddingBlocks.open(folder, manifest, split, columns, pool * row)
    assert blocks.pool_rows == pool
    return blocks


def images(batches):
    """Which images batches hold, by the number that starts their tokens."""
    return torch.cat([batch.x[:, 0] for batch in batches]).int().tolist()


TRAIN = [row for row in range(50) if row % 5 != 3]


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


@pytest.mark.parametrize("pool", [1000, 11])
@pytest.mark.parametrize(("rank", "world"), [(0, 1), (1, 2)])
def test_a_start_leaves_batches_out(tmp_path, pool, rank, world):
    manifest, *_ = write(tmp_path)
    blocks = opened(tmp_path, manifest, pool=pool)
    whole = list(blocks.batches(6, 1.0, 0, 1, rank, world))
    for start in (1, 5, 6):
        rest = list(blocks.batches(6, 1.0, 0, 1, rank, world, start))
        assert len(rest) == 7 - start
        assert all(torch.equal(a.x, b.x) for a, b in zip(rest, whole[start:], strict=True))
    assert not list(blocks.batches(6, 1.0, 0, 1, rank, world, start=7))


def counting(monkeypatch):
    """The row groups that are read from now on."""
    seen, plain = [], row_groups.read

    def read(group, columns):
        seen.append((group.path.name, group.number))
        return plain(group, columns)

    monkeypatch.setattr(row_groups, "read", read)
    return seen


def test_a_start_reads_only_the_pools_that_are_left(tmp_path, monkeypatch):
    manifest, *_ = write(tmp_path, n=210)  # 32 row groups
    blocks = opened(tmp_path, manifest, split=None, pool=2 * GROUP)
    seen = counting(monkeypatch)
    list(blocks.batches(7, 1.0, 0, 1))
    assert len(set(seen)) == 32
    assert len(seen) < 2 * 32
    seen.clear()
    list(blocks.batches(7, 1.0, 0, 1, start=28))
    assert len(seen) <= 4


def test_what_fits_is_read_once(tmp_path, monkeypatch):
    manifest, *_ = write(tmp_path)
    blocks = opened(tmp_path, manifest)
    seen = counting(monkeypatch)
    blocks.mean_and_scale()
    for epoch in range(3):
        list(blocks.batches(6, 0.5, 0, epoch))
    list(blocks.in_order(6))
    assert len(seen) == len(set(seen)) == 8


def test_row_groups_without_a_wanted_image_are_not_read(tmp_path, monkeypatch):
    manifest, *_ = write(tmp_path)
    manifest["split"] = np.where(manifest["image_id"] < "i0006", "train", "val")
    blocks = opened(tmp_path, manifest, pool=2)
    seen = counting(monkeypatch)
    assert sorted(images(blocks.batches(2, 1.0, 0, 1))) == list(range(6))
    assert set(seen) == {("part-00000.parquet", 0)}


def test_no_more_than_two_pools_are_held(tmp_path, monkeypatch):
    manifest, *_ = write(tmp_path, n=200)
    blocks = opened(tmp_path, manifest, split=None, pool=20)
    alive: dict[int, int] = {}
    most = []
    plain = EmbeddingBlocks._read_blocks

    def read(self, rows):
        vectors = plain(self, rows)
        key = id(vectors["x"])
        alive[key] = len(rows)
        weakref.finalize(vectors["x"], alive.pop, key)
        most.append(sum(alive.values()))
        return vectors

    monkeypatch.setattr(EmbeddingBlocks, "_read_blocks", read)
    kept = [batch for epoch in range(2) for batch in blocks.batches(6, 1.0, 0, epoch)]
    assert sum(len(batch.x) for batch in kept) == 400
    assert 20 < max(most) <= 40


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


def test_shards_without_spatial_tokens_say_what_to_set(tmp_path):
    manifest, *_ = write(tmp_path, spatial=False)
    with pytest.raises(ValueError, match=r"00000\.parquet.*embed\.spatial_tokens.*dvc repro"):
        opened(tmp_path, manifest, columns=("x", "spatial"))
    with pytest.raises(ValueError, match="were not opened"):
        opened(tmp_path, manifest).mean_and_scale("both")


def test_images_of_shards_and_manifest_are_the_same(tmp_path):
    manifest, *_ = write(tmp_path)
    known = manifest["image_id"] != "i0021"
    with pytest.raises(ValueError, match=r"00001\.parquet holds images.*'i0021'.*dvc repro"):
        opened(tmp_path, manifest[known])
    more = pd.concat([manifest, pd.DataFrame({"image_id": ["j"], "split": ["train"]})])
    with pytest.raises(ValueError, match="lack 'j'"):
        opened(tmp_path, more)
    with pytest.raises(ValueError, match="no image of the split 'test'"):
        opened(tmp_path, manifest, split="test")
    (tmp_path / "part-00009.parquet").write_bytes((tmp_path / "part-00001.parquet").read_bytes())
    with pytest.raises(ValueError, match=r"repeat 'i00[23]"):
        opened(tmp_path, manifest)


def test_a_damaged_shard_is_named(tmp_path):
    manifest, *_ = write(tmp_path)
    blocks = opened(tmp_path, manifest, pool=3)
    path = tmp_path / "part-00001.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 8 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 8)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"part-00001\.parquet cannot be read.*dvc repro"):
        list(blocks.batches(6, 1.0, 0, 1))
    path.write_bytes(content[:50])
    with pytest.raises(ValueError, match=r"part-00001\.parquet cannot be read"):
        opened(tmp_path, manifest)


def test_one_wrong_bit_is_noticed(tmp_path):
    path = tmp_path / "part-00000.parquet"
    write_vectors(path, [vector_table(["a", "b"], {"x": np.ones((2, 500), np.float32)})])
    blocks = EmbeddingBlocks.open(tmp_path, pd.DataFrame({"image_id": ["a", "b"]}), None)
    chunk = pq.read_metadata(path).row_group(0).column(1)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"00000\.parquet cannot be read.*(?i:crc|checksum)"):
        blocks.mean_and_scale()


def test_a_missing_number_is_an_error(tmp_path):
    x = pa.array([[1.0, 2.0], [None, 1.0]], pa.list_(pa.float32(), 2))
    write_shard(tmp_path, 0, pa.table({"image_id": ["a", "b"], "x": x}))
    blocks = EmbeddingBlocks.open(tmp_path, pd.DataFrame({"image_id": ["a", "b"]}), None)
    with pytest.raises(ValueError, match=r"00000\.parquet cannot be read: a number is missing"):
        next(blocks.batches(2, 1.0, 0, 0))


def test_shards_of_two_formats_are_refused(tmp_path):
    for number, (name, width) in enumerate([("a", 2), ("b", 3)]):
        x = vector_column(np.ones((1, width), np.float32))
        write_shard(tmp_path, number, pa.table({"image_id": [name], "x": x}))
    with pytest.raises(ValueError, match=r"part-00001\.parquet holds .*'x': 3.*before it.*'x': 2"):
        EmbeddingBlocks.open(tmp_path, pd.DataFrame({"image_id": ["a", "b"]}), None)
    write_shard(tmp_path, 1, pa.table({"image_id": ["b"], "x": [[1.0, 2.0]]}))
    with pytest.raises(ValueError, match="column x is list<"):
        EmbeddingBlocks.open(tmp_path, pd.DataFrame({"image_id": ["a", "b"]}), None)


def test_impossible_requests_are_refused(tmp_path):
    manifest, *_ = write(tmp_path)
    blocks = opened(tmp_path, manifest)
    with pytest.raises(ValueError, match="fraction is 0"):
        blocks.batches(6, 0.0, 0, 0)
    with pytest.raises(ValueError, match="batch_size is 7: 2 devices"):
        blocks.batches(7, 1.0, 0, 0, 0, 2)
    with pytest.raises(ValueError, match="rank is 2"):
        blocks.batches(6, 1.0, 0, 0, 2, 2)
