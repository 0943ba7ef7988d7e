"""Shards: numbered Parquet files of a folder, each whole or not there.

With `shards` in params.yaml they lie in a store, each under the hash of its content, and the folder
holds a line for each that says where. What DVC tracks is these lines, which say a version as the
content would: nothing in the store is ever changed or deleted.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from pipeline import places
from pipeline.artifacts.store import ELSEWHERE, SHARD, atomic, write_parquet

README = """What stages of clip-audit have written: Parquet files, each called by the SHA-256 of its
content. Lines in part-*.parquet.url under data/ of a repository say which belong to it. Nothing
here is ever changed or deleted by clip-audit; what no version of such a line names may go.
"""


def number_of(path: Path) -> int | None:
    """Number of the shard that a file is, or is a line about; None of any other file."""
    found = SHARD.fullmatch(path.name)
    return int(found["number"]) if found else None


def shards(folder: Path) -> list[Path]:
    """The shards of a folder in order, of those in a store the lines about them.

    Raises:
        FileNotFoundError: the folder holds none.
    """
    there = folder.iterdir() if folder.is_dir() else ()
    found = sorted(path for path in there if number_of(path) is not None)
    if not found:
        raise FileNotFoundError(
            f"{folder} holds no part-00000.parquet or the like: run `dvc repro` to make it"
        )
    return found


def ready(store: UPath | None) -> UPath | None:
    """The store itself, once it has taken a file that says what lies there.

    For stages to call before work that costs hours.

    Raises:
        ConnectionError: it takes none.
    """
    if store is None:
        return None
    try:
        places.put(README.encode(), store / "README.txt")
    except ConnectionError as error:
        raise ConnectionError(
            f"shards is {store} in params.yaml: {error}. Name a folder that can be written to, or "
            "set it to null"
        ) from error
    return store


@contextmanager
def written(folder: Path, number: int, store: UPath | None) -> Iterator[Path]:
    """A temporary path for a shard's content, which is put into its place when the block succeeds.

    Args:
        folder: of the shards.
        number: of the shard.
        store: folder of a store where the content is to lie, None for the folder itself.

    Raises:
        OSError: as of `atomic` and `places.put`.
    """
    path = folder / f"part-{number:05d}.parquet"
    if store is None:
        with atomic(path) as temporary:
            yield temporary
        return
    with atomic(path.with_name(path.name + ELSEWHERE)) as temporary:
        yield temporary
        with temporary.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        there = store / f"{digest}.parquet"
        places.put(temporary, there)
        temporary.write_text(f"{there} {temporary.stat().st_size}\n", encoding="utf-8")


@contextmanager
def opened(path: Path, *, checked: bool = False) -> Iterator[pq.ParquetFile]:
    """A shard, memory-mapped or in a store, to be read in parts.

    Args:
        path: of `shards`.
        checked: whether the checksum of each page that is read is verified.

    Raises:
        FileNotFoundError: the store does not hold it.
        OSError: it is no whole Parquet file, or the store does not give it (ConnectionError).
    """
    if path.suffix != ELSEWHERE:
        with pq.ParquetFile(path, memory_map=True, page_checksum_verification=checked) as file:
            yield file
        return
    there, size = _there(path)
    try:
        footer = _footer(there, size)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} says that its content is at {there}, and nothing is there: {_anew(path)}"
        ) from error
    how = {"metadata": footer, "pre_buffer": True, "page_checksum_verification": checked}
    with places.in_parts(there, size) as source, pq.ParquetFile(source, **how) as file:
        yield file


def read_shard(path: Path, columns: list[str] | None = None) -> pa.Table:
    """A shard, or some of its columns, of one chunk each; errors are as of `opened`."""
    with opened(path) as file:
        return file.read(columns=columns).combine_chunks()


def content(path: Path) -> bytes:
    """The bytes of a shard that lies in a store, by the line about it."""
    return places.read(_there(path)[0])


def rows_in(path: Path) -> int:
    """Number of rows of a shard."""
    with opened(path) as file:
        return int(file.metadata.num_rows)


def remedy(path: Path) -> str:
    """What to do about a shard that cannot be read."""
    if path.suffix != ELSEWHERE:
        return "remove its folder and run `dvc repro` to make it anew"
    return f"delete {_there(path)[0]} and {_anew(path)}"


def write_shard(folder: Path, number: int, table: pa.Table, store: UPath | None = None) -> None:
    """Write one shard, `part-00000.parquet` and so on; see `written`."""
    with written(folder, number, store) as temporary:
        write_parquet(temporary, table)


def _anew(path: Path) -> str:
    return (
        "make it anew with `dvc repro --force --single-item STAGE`, the stage that dvc.lock has "
        f"for {path.parent}"
    )


def _there(path: Path) -> tuple[UPath, int]:
    """Where a store holds a shard, and its bytes, by the line about it."""
    line = path.read_text(encoding="utf-8").strip()
    url, _, size = line.rpartition(" ")
    there = places.place(url)
    if not isinstance(there, UPath) or not size.isdecimal():
        raise ValueError(f"{path} says {line!r}, which is in no store: `dvc repro` makes it anew")
    return there, int(size)


@cache
def _footer(there: UPath, size: int) -> pq.FileMetaData:
    """What is asked for once of a shard that is read again and again, and never changed."""
    with places.in_parts(there, size) as source:
        return pq.read_metadata(source)
