"""The times of `benchmarks.gpu` are taken by code that runs, also where no GPU is."""

import open_clip
import pytest

from benchmarks.gpu import results, times
from benchmarks.gpu.table import Table
from benchmarks.gpu.times import time_embedding, time_saes

NAME = "clip-audit-timed"


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    table = Table()
    yield table
    assert not table.failed, table.rows


def test_steps_are_timed_beside_their_floor_and_in_a_training(table, tmp_path, monkeypatch):
    monkeypatch.setattr(times, "SIZES", ((768, 1024),))
    monkeypatch.setattr(times, "COMPONENTS", 64)
    monkeypatch.setattr(times, "K", 4)
    time_saes(table, "cpu", tmp_path)
    beside = {row["what"].rsplit(", ", 1)[-1]: row["beside"] for row in table.rows}
    assert "of the floor" in beside["topk"]
    assert "of the floor" in beside["matryoshka"]
    assert float(beside["batch 1024"].removesuffix(" of bare")) > 0


def test_the_stage_is_timed_beside_the_model_and_decoding(table, tmp_path, monkeypatch):
    config = {"embed_dim": 48, "vision_cfg": results.TOWER, "text_cfg": results.TEXT}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, NAME, config)
    time_embedding(table, "cpu", tmp_path, NAME, 256)
    (row,) = table.rows
    assert row["what"] == f"embed {NAME}, float32, 0 workers"
    assert "of bare" in row["beside"] and "of decoding" in row["beside"]
