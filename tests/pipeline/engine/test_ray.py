"""Stages on a Ray cluster of two nodes on this machine: byte for byte what one process makes."""

import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmarks.nodes import Nodes, cluster
from pipeline.places import place, read
from tests.pipeline.invented_store import credentials

ROOT = Path(__file__).parents[3]
ENTRY = "lesions-tiny"
EMBED = ("pipeline.embeddings.embed", "--embeddings", ENTRY)
SHARD, SHARDS = 2, 240
PATIENCE = 600  # seconds for a stage

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="needs Ray: pip install -e '.[ray]'"
    ),
    pytest.mark.ray,
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory, s3_server) -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in credentials(s3_server).items():
            patch.setenv(name, value)
        # All work is on nodes that can be killed.
        with cluster(tmp_path_factory.mktemp("ray") / "r", 0, 1, 1) as found:
            yield found


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Path:
    """A repository with pictures, their manifest and a model, embedded in many small shards."""
    from pipeline import layout
    from pipeline.artifacts.store import read_table, write_table
    from pipeline.embeddings import embed
    from tests.recipes.results import pictures, run

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
        run(embed.main, "--embeddings", ENTRY)
        shutil.copytree(".", folder, dirs_exist_ok=True)
    for name in ("pipeline", "recipes.yaml"):  # nodes find the code beside the data
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def repository(local, tmp_path) -> Path:
    """The same with nothing embedded, and Ray as its engine."""
    folder = shutil.copytree(local, tmp_path / "repository", symlinks=True)
    for name in ("embeddings", "heads"):
        shutil.rmtree(folder / "data" / name)
    raw = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    (folder / "params.yaml").write_text(yaml.safe_dump(raw | {"engine": "ray"}))
    return folder


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
    """Files of a repository's data, by path, hidden ones too."""
    found = (path for path in folder.rglob("data/**/*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + PATIENCE
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def shards_of(folder: Path) -> list[Path]:
    """Of work that is not finished."""
    return list(folder.glob("data/unfinished/*/*/parts/part-*.parquet*"))


def embed_while_a_node_dies(nodes: Nodes, repository: Path) -> None:
    """Embed, with one of the nodes killed in the midst of a shard."""
    work = begin(repository, nodes, *EMBED)
    at_work: list[subprocess.Popen[bytes]] = []

    def one_is_at_work() -> bool:
        halted = (node for node in nodes.processes[1:] if nodes.halted(node))
        at_work.extend(islice(halted, 1))
        return bool(at_work)

    wait_until(one_is_at_work, work)
    nodes.kill(at_work[0])
    assert len(shards_of(repository)) < SHARDS
    said = finish(work)
    assert "2 images were lost with a process" in said
    nodes.join()


def test_embed_gives_the_same_bytes_when_a_node_dies_in_mid_work(nodes, local, repository):
    embed_while_a_node_dies(nodes, repository)
    assert made(repository) == made(local)
    assert len(list((repository / "data/embeddings" / ENTRY).iterdir())) == SHARDS


def test_shards_in_a_store_are_the_same_when_a_node_dies_in_mid_work(
    nodes, local, repository, bucket, tmp_path
):
    (tmp_path / "empty").mkdir()
    store = bucket(tmp_path / "empty")
    raw = yaml.safe_load((repository / "params.yaml").read_text(encoding="utf-8"))
    (repository / "params.yaml").write_text(yaml.safe_dump(raw | {"shards": str(store)}))
    embed_while_a_node_dies(nodes, repository)
    here, there = made(local), made(repository)
    shards = {name: content for name, content in here.items() if "/embeddings/" in name}
    assert len(shards) == SHARDS
    for name, content in shards.items():
        url = f"{store}/{hashlib.sha256(content).hexdigest()}.parquet"
        assert there.pop(f"{name}.url").decode() == f"{url} {len(content)}\n"
        assert read(place(url)) == content
    assert there == {name: content for name, content in here.items() if name not in shards}


def test_a_stage_that_is_killed_goes_on_where_it_was(nodes, local, repository):
    work = begin(repository, nodes, *EMBED)
    wait_until(lambda: len(shards_of(repository)) > SHARDS // 5, work)
    os.killpg(work.pid, signal.SIGKILL)
    work.communicate()
    kept = {path.name: path.stat().st_mtime_ns for path in shards_of(repository)}
    assert SHARDS // 5 < len(kept) < SHARDS
    finish(begin(repository, nodes, *EMBED))
    for name, modified in kept.items():
        assert (repository / "data/embeddings" / ENTRY / name).stat().st_mtime_ns == modified
    wrote, expected = made(repository), made(local)
    assert {name: wrote[name] for name in expected} == expected


def test_every_stage_gives_the_same_bytes(nodes, tmp_path):
    run = "tests.pipeline.engine.stages"
    for engine in ("local", "ray"):
        finish(begin(ROOT, nodes, run, engine, str(tmp_path / engine)))
    here, there = made(tmp_path / "local"), made(tmp_path / "ray")
    assert here.keys() == there.keys()
    # Rows of data/decoded hold the times of files.
    assert [name for name in here if here[name] != there[name] and "/decoded/" not in name] == []
    for folder in ("manifests", "embeddings", "codes"):
        assert any(f"data/{folder}/" in name for name in here)


def test_pictures_are_decoded_by_tasks_on_any_node_in_their_order(nodes):
    script = (
        "import ray; from pipeline.engine.cluster import by_tasks;"
        "ray.init(address='auto', log_to_driver=False);"
        "print(list(by_tasks(lambda rows: sum(rows), [range(n) for n in range(9)], 3)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=nodes.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert str([sum(range(n)) for n in range(9)]) in run.stdout, run.stderr


def test_documented_commands_of_ray_are_ray_s():
    from ray.scripts.scripts import cli

    from tests.test_commands import RAY

    for name, options in RAY.items():
        known = {option for param in cli.commands[name].params for option in param.opts}
        assert options <= known, name
