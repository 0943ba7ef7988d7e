"""`audit clean`: what lies beside DVC is listed with its size, and deleted when asked to."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from filelock import FileLock

from audits.command.__main__ import main
from pipeline.artifacts.resume import resumable, workplace

SHARD = 1_500_000
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)


@pytest.fixture
def left() -> list[Path]:
    """What two killed runs have left, and a person's file beside it."""
    with pytest.raises(KeyboardInterrupt), resumable(Path("data/embeddings/a"), "k1") as folder:
        (folder / "part-00000.parquet").write_bytes(bytes(SHARD))
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt), workplace(Path("data/saes/a"), "k2") as folder:
        (folder / "7").mkdir()
        (folder / "7" / "checkpoint.safetensors").write_bytes(bytes(SHARD // 3))
        (folder / "notes.txt").write_text("a person's")
        raise KeyboardInterrupt
    return [
        Path("data/unfinished/data-embeddings-a/k1"),
        Path("data/unfinished/data-saes-a/k2"),
    ]


def files() -> set[str]:
    return {path.name for path in Path().rglob("*") if path.is_file() and path.name != "lock"}


def test_it_lists_with_sizes_and_deletes_nothing(left, capsys):
    before = files()
    main(["clean"])
    assert capsys.readouterr().out.splitlines() == [
        f"      1.5 MB  {left[0]}",
        f"      0.5 MB  {left[1]}",
        "      2.0 MB  in all",
        "nothing is deleted without --delete",
    ]
    assert files() == before == {"part-00000.parquet", "checkpoint.safetensors", "notes.txt"}


def test_it_deletes_what_the_workflow_has_written_and_nothing_else(left, capsys):
    stray = Path("data/unfinished/mine/thesis.parquet")
    stray.parent.mkdir()
    stray.write_text("a person's, of no run")
    main(["clean", "--delete"])
    assert capsys.readouterr().out == "deleted: 2.0 MB\n"
    assert files() == {"notes.txt", "thesis.parquet"}
    assert not left[0].parent.exists()


def test_work_that_is_going_on_stays(left, capsys):
    with FileLock(left[0] / "lock"):
        main(["clean"])
        assert f"{left[0]} (in use)" in capsys.readouterr().out
        main(["clean", "--delete"])
    assert capsys.readouterr().out == f"deleted: 0.5 MB\nin use, left: {left[0]}\n"
    assert files() == {"part-00000.parquet", "notes.txt"}


def test_indexes_of_tars_are_what_is_kept(capsys):
    folder = Path("data/indexes/6c1f")
    folder.mkdir(parents=True)
    (folder / "09be.parquet").write_bytes(bytes(SHARD))
    main(["clean"])
    assert f"1.5 MB  {folder}\n" in capsys.readouterr().out
    main(["clean", "--delete"])
    assert not Path("data/indexes").exists()


def test_where_nothing_is_kept_it_says_so(capsys):
    main(["clean", "--delete"])
    assert capsys.readouterr().out == "nothing is kept beside DVC\n"


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from pipeline.artifacts.resume import resumable
    from pipeline.artifacts.store import atomic

    def write(path):
        path.write_bytes(bytes(1_500_000))

    with atomic(Path("data/raw/lesions")) as folder, resumable(Path("data/embeddings/a"), "k") as w:
        (folder / "images").mkdir(parents=True)
        write(folder / "images" / "a.jpg")
        with (
            atomic(folder / "truth.csv") as truth,
            atomic(w / "part-00000.parquet") as shard,
            atomic(Path("reports/a/report.html")) as page,
            atomic(Path("params.yaml")) as params,
        ):
            for path in (truth, shard, page, params):
                write(path)
            print("writing", flush=True)
            sys.stdin.read()
"""
"""Writes wherever the workflow does, until it is killed."""


@pytest.fixture
def writing():
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(KILLED)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout.readline() == b"writing\n"
        yield process
        process.send_signal(signal.SIGKILL)


def test_what_was_being_written_is_deleted_when_its_process_is_gone(writing, capsys):
    main(["clean", "--delete"])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "deleted: 0.0 MB"
    assert [line.rpartition("-")[0] for line in said[2:]] == [
        f"in use, left: {place}"
        for place in (".params.yaml", "data/raw/.lesions", "reports/a/.report.html")
    ]
    writing.send_signal(signal.SIGKILL)
    writing.wait()
    mine = [Path("data/raw/.lesions-2019abcd"), Path("data/raw/.thesis-2019abcd")]
    for folder in mine:
        folder.mkdir()
        (folder / "lock").touch()
        (folder / "thesis.txt").write_text("a person's")
    main(["clean"])
    sizes = [line.split("MB")[0].strip() for line in capsys.readouterr().out.splitlines()]
    assert sizes[:5] == ["1.5", "1.5", "3.0", "1.5", "7.5"]
    main(["clean", "--delete"])
    assert capsys.readouterr().out == "deleted: 7.5 MB\n"
    left = {file for folder in mine for file in (folder / "lock", folder / "thesis.txt")}
    assert {path for path in Path().rglob("*") if path.is_file()} == left
