"""A disk that is full or may not be written: what stood there stays, and the next run works."""

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from pipeline.artifacts import store
from pipeline.artifacts.resume import resumable
from pipeline.artifacts.store import atomic, half_written, write_json, write_table
from pipeline.embeddings.vectors import vector_table, write_vectors

NOISE = np.random.default_rng(0).standard_normal((300, 64)).astype(np.float32)  # 75 kB
ROOM = 40_000


def write_weights(path: Path) -> None:
    with atomic(path) as temporary:
        save_file({"w": torch.from_numpy(NOISE)}, temporary)


def write_folder(path: Path) -> None:
    with atomic(path) as temporary:
        temporary.mkdir()
        (temporary / "part.txt").write_bytes(NOISE.tobytes())


def write_shard(path: Path) -> None:
    write_vectors(path.parent, 0, [vector_table([str(n) for n in range(len(NOISE))], {"z": NOISE})])


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.json": lambda path: write_json(path, NOISE.tolist()),
    "a.csv": lambda path: write_table(path, pd.DataFrame(NOISE)),
    "a.parquet": lambda path: write_table(path, pd.DataFrame(NOISE).rename(columns=str)),
    "part-00000.parquet": write_shard,
    "a.safetensors": write_weights,
    "folder": write_folder,
}


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """No file becomes larger, as on a disk with that much room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with one block of 4 kB more than ROOM."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={ROOM // 4096 + 1 << 2}k", "tmpfs"]
    if os.geteuid() or subprocess.run(["mount", *options, folder], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk, and here not even root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_cannot_grow_leaves_what_stood_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name != "folder":
        path.write_text("old")
    with small_files(ROOM), pytest.raises(OSError, match="raise `ulimit -f`") as caught:
        WRITERS[name](path)
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(path)
    assert half_written(tmp_path) == []
    assert name == "folder" or path.read_text() == "old"
    WRITERS[name](path)
    assert path.exists() and (path.is_dir() or path.read_bytes() != b"old")


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_what_stood_there(small_disk: Path, name: str) -> None:
    path = small_disk / name
    if name != "folder":
        path.write_text("old")
    with pytest.raises(OSError, match="the disk is full: free some space, and run") as caught:
        WRITERS[name](path)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path)
    assert half_written(small_disk) == []
    assert name == "folder" or path.read_text() == "old"
    write_json(small_disk / "little.json", "fits")


def test_shards_that_were_whole_when_the_disk_filled_up_are_taken(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = Path("data/embeddings/a")
    written = []

    def run(room: int) -> None:
        with resumable(out, "key") as parts:
            for number, rows in enumerate((50, 300)):
                path = parts / f"part-{number:05d}.parquet"
                if not path.exists():
                    table = vector_table([str(n) for n in range(rows)], {"z": NOISE[:rows]})
                    with small_files(room):
                        write_vectors(parts, number, [table])
                    written.append(number)

    with pytest.raises(OSError, match=r"part-00001\.parquet"):
        run(ROOM)
    assert written == [0] and not out.exists()
    run(10 * ROOM)
    assert written == [0, 1]
    assert sorted(path.name for path in out.iterdir()) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.EROFS, "mount it writable"), (errno.EACCES, "change the rights of the folder")],
)
@pytest.mark.parametrize("step", ["mkdir", "replace"])
def test_a_folder_that_may_not_be_written_is_named(tmp_path, monkeypatch, code, said, step) -> None:
    path = tmp_path / "a.json"
    write_json(path, "old")

    def refused(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as closed:
        closed.setattr(*((Path, "mkdir") if step == "mkdir" else (store.os, "replace")), refused)
        with pytest.raises(OSError, match=said) as caught:
            write_json(path, "new")
    assert caught.value.filename == str(path)
    assert store.read_json(path) == "old" and half_written(tmp_path) == []
    write_json(path, "new")
    assert store.read_json(path) == "new"


def test_a_file_that_may_not_be_read_is_no_fault_of_what_is_written(tmp_path) -> None:
    with pytest.raises(PermissionError, match="elsewhere"), atomic(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "denied", "elsewhere")
