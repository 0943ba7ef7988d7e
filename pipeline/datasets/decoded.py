"""What decoding has given, kept beside DVC so that an image is decoded once.

A row for each image holds its file's size and times (what says its version, in a store) and the
SHA-256 of its bytes, so that an image
whose file is as it was is not read again, and one whose bytes are as they were is not decoded
again. Rows are written in shards as the work goes on: a run that was killed goes on where it
stopped, and one with another seed, other splits or another radius of duplicates decodes nothing.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from pipeline.artifacts.resume import recipe
from pipeline.artifacts.store import atomic
from pipeline.datasets.files import file_of
from pipeline.datasets.opening import Image, Opened, open_each
from pipeline.datasets.pixels import Reading
from pipeline.engine.crew import LOCAL, Engine
from pipeline.places import Place, State, state

RECIPE = "prepare"
"""Whose number says how an image is decoded."""
PACKAGES = ("imagehash", "numpy", "pillow", "scipy")
"""Libraries whose other versions may give other rows."""
SHARD_ROWS = 1024  # what a kill costs at most
MERGED = 2**18  # images in a shard once all are known
LOCK = "lock"
KEY = b"decoded"
SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("modified", pa.int64(), nullable=False),
        pa.field("changed", pa.int64(), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("fault", pa.string()),
        pa.field("perceptual", pa.binary()),
        pa.field("kinds", pa.list_(pa.string()), nullable=False),
        pa.field("bits", pa.int8(), nullable=False),
    ]
)


class _Row(NamedTuple):
    state: State
    """Of the image's file, or of the container that it is in."""
    opened: Opened


def open_kept(
    paths: list[str],
    root: Place,
    reading: Reading,
    workers: int,
    folder: Path,
    engine: Engine = LOCAL,
) -> list[Opened]:
    """As `open_all`, from what folder holds of earlier runs where that is still so.

    Rows that are not of these paths, or were made otherwise, are dropped when all are known. What
    could not be read, or killed its process, is tried again. Waits while another process works in
    the folder.

    Args:
        paths: of the images, relative to root.
        root: the dataset's folder.
        reading: how their pixels are taken.
        workers: processes that decode.
        folder: of the shards; nothing but shards is touched in it.
        engine: where they are decoded.

    Raises:
        OSError: the folder cannot be written, or no process can be started.
    """
    key = _key(reading)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        files = _shards(folder)
        number = first = 1 + max((int(f.stem.removeprefix("part-")) for f in files), default=-1)
        known, stale = _read(files, key)
        states = _states(root, paths)
        rows = {p: known[p] for p in paths if p in known and known[p].state == states[p]}
        opened = {path: row.opened for path, row in rows.items()}
        changed = [
            Image(path, known[path].opened.sha256 if path in known else None)
            for path in paths
            if path not in rows
        ]
        fresh: dict[str, _Row] = {}
        for image, result in open_each(changed, root, reading, workers, engine):
            opened[image.path] = result = result or known[image.path].opened
            now = states[image.path]
            if now is None or not result.sha256:
                continue
            rows[image.path] = fresh[image.path] = _Row(now, result)
            if len(fresh) == SHARD_ROWS:
                _write(folder, number, fresh, key)
                number, fresh = number + 1, {}
        written = fresh or number > first
        if written or stale or rows.keys() != known.keys() or len(files) > 1 + len(rows) // MERGED:
            _merge(folder, rows, key, number)
    return [opened[path] for path in paths]


def _key(reading: Reading) -> bytes:
    made = [
        f"recipe {recipe(RECIPE)}",
        *reading._asdict().values(),
        *(version(p) for p in PACKAGES),
    ]
    return " ".join(map(str, made)).encode()


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"part-{5 * '[0-9]'}.parquet"))


def _states(root: Place, paths: list[str]) -> dict[str, State | None]:
    """State by path of the file that it is in; None where there is none."""
    found: dict[str, State | None] = {}
    for path in paths:
        file = file_of(path)
        if file not in found:
            found[file] = state(root / file)
    return {path: found[file_of(path)] for path in paths}


def _read(files: list[Path], key: bytes) -> tuple[dict[str, _Row], bool]:
    """Rows by path, later ones in place of earlier ones, and whether a shard had to be passed over.

    Shards that were made otherwise, or are damaged, are passed over.
    """
    rows: dict[str, _Row] = {}
    stale = False
    for file in files:
        try:
            table = pq.read_table(file, schema=SCHEMA, page_checksum_verification=True)
            made = pq.read_schema(file).metadata or {}
        except (pa.ArrowException, OSError):
            stale = True
            continue
        if made.get(KEY) != key:
            stale = True
            continue
        columns = [column.to_pylist() for column in table.columns]
        for path, size, modified, changed, *others, kinds, bits in zip(*columns, strict=True):
            rows[path] = _Row(
                State(size, modified, changed), Opened._make([*others, tuple(kinds), bits])
            )
    return rows, stale


def _write(folder: Path, number: int, rows: dict[str, _Row], key: bytes) -> None:
    flat = [(path, *row.state, *row.opened) for path, row in rows.items()]
    columns = list(zip(*flat, strict=True)) or [()] * len(SCHEMA)
    table = pa.table(list(columns), schema=SCHEMA.with_metadata({KEY: key}))
    with atomic(folder / f"part-{number:05d}.parquet") as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def _merge(folder: Path, rows: dict[str, _Row], key: bytes, number: int) -> None:
    """Write all rows into few shards, and remove the others when these are there."""
    before = _shards(folder)
    paths = sorted(rows)
    for first in range(0, len(paths), MERGED):
        part = {path: rows[path] for path in paths[first : first + MERGED]}
        _write(folder, number + first // MERGED, part, key)
    for file in before:
        file.unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another process is decoding into {folder}: waiting for it", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
