"""Stages on a Ray cluster of two nodes on this machine: byte for byte what one process makes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.pipeline.engine.nodes import Nodes, cluster, needs_ray

ROOT = Path(__file__).parents[3]
ENTRY = "lesions-tiny"
EMBED = ("pipeline.embeddings.embed", "--embeddings", ENTRY)
SHARD, SHARDS = 2, 600
PATIENCE = 300  # seconds for a stage

pytestmark = [needs_ray, pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Iterator[Nodes]:
    # Short, for the paths of sockets are.
    folder = tmp_path_factory.mktemp("ray")
    with cluster(folder / "r", 2) as found:
        yield found


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A repository with pictures, their manifest and a model, for many small shards."""
    from pipeline import layout
    from pipeline.artifacts.store import read_table, write_table
    from tests.recipes.results import pictures

    folder = tmp_path_factory.mktemp("prepared")
    with pictures():
        raw = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
        raw["embeddings"][ENTRY] |= {"batch_size": 3, "shard_rows": SHARD, "spatial_tokens": 0}
        Path("params.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
        manifest = layout.manifest("lesions")
        few = read_table(manifest / "manifest.parquet")
        many = pd.concat([few] * (SHARD * SHARDS // len(few)), ignore_index=True)
        many["image_id"] = [f"i{row:04d}" for row in range(len(many))]
        write_table(manifest / "manifest.parquet", many)
        write_table(manifest / "images.parquet", many[["image_id", "path", "sha256"]])
        for name in ("embeddings", "heads"):
            shutil.rmtree(layout.DATA / name)
        shutil.copytree(".", folder, dirs_exist_ok=True)
    for name in ("pipeline", "recipes.yaml"):  # nodes find the code beside the data
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def repository(prepared, tmp_path) -> Callable[[str], Path]:
    def copied(engine: str) -> Path:
        folder = shutil.copytree(prepared, tmp_path / engine, symlinks=True)
        raw = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
        (folder / "params.yaml").write_text(yaml.safe_dump(raw | {"engine": engine}))
        return folder

    return copied


def begin(folder: Path, nodes: Nodes, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=nodes.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What a stage that succeeds says."""
    out, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out + said
    return said


def made(folder: Path) -> dict[str, bytes]:
    """Files of a repository's outputs, by path, hidden ones too."""
    data = folder / "data"
    found = (path for path in data.rglob("*") if path.is_file())
    return {str(path.relative_to(data)): path.read_bytes() for path in found}


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def shards_of(folder: Path) -> list[Path]:
    """Of work that is not finished."""
    return list(folder.glob("data/unfinished/*/*/parts/part-*.parquet"))


def test_embed_gives_the_same_bytes_when_a_node_dies_in_mid_work(nodes, repository):
    here, there = repository("local"), repository("ray")
    finish(begin(here, nodes, *EMBED))
    doomed = nodes.join()
    work = begin(there, nodes, *EMBED)
    wait_until(lambda: nodes.works(doomed), work)
    nodes.kill(doomed)
    assert 0 < len(shards_of(there)) < SHARDS
    said = finish(work)
    assert "are done again" in said
    assert made(there) == made(here)
    assert len(list((there / "data/embeddings" / ENTRY).iterdir())) == SHARDS


def test_a_driver_that_is_killed_goes_on_where_it_was(nodes, repository):
    here, there = repository("local"), repository("ray")
    finish(begin(here, nodes, *EMBED))
    work = begin(there, nodes, *EMBED)
    wait_until(lambda: len(shards_of(there)) > SHARDS // 5, work)
    os.killpg(work.pid, signal.SIGKILL)
    work.communicate()
    kept = {path: path.stat().st_mtime_ns for path in shards_of(there)}
    assert SHARDS // 5 < len(kept) < SHARDS
    finish(begin(there, nodes, *EMBED))
    left = there / "data/embeddings" / ENTRY
    for path, modified in kept.items():
        assert (left / path.name).stat().st_mtime_ns == modified
    wrote, expected = made(there), made(here)
    assert {name: wrote[name] for name in expected} == expected
