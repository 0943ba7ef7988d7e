"""What is read of the shards, how often, and how much of it is held."""

import weakref
from concurrent.futures import Executor, Future

import numpy as np

from pipeline.sae import blocks as module
from pipeline.sae import row_groups
from pipeline.sae.blocks import EmbeddingBlocks
from tests.pipeline.sae.invented_shards import GROUP, images, opened, write


def counting(monkeypatch):
    """The row groups that are read from now on."""
    seen, plain = [], row_groups.read

    def read(group, columns):
        seen.append((group.path.name, group.number))
        return plain(group, columns)

    monkeypatch.setattr(row_groups, "read", read)
    return seen


def test_row_groups_are_read_about_once_an_epoch(tmp_path, monkeypatch):
    manifest, *_ = write(tmp_path, n=210)  # 32 row groups
    blocks = opened(tmp_path, manifest, split=None, pool=2 * GROUP)
    seen = counting(monkeypatch)
    list(blocks.batches(7, 1.0, 0, 1))
    assert len(set(seen)) == 32
    assert len(seen) < 2 * 32


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


class AtOnce(Executor):
    """Has read a pool before whoever asks for it goes on."""

    def submit(self, work, *arguments):
        future = Future()
        future.set_result(work(*arguments))
        return future


def test_no_more_than_two_pools_are_held(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ThreadPoolExecutor", lambda count: AtOnce())
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
