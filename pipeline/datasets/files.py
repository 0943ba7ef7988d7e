"""The bytes of an image: a plain file, or a part of a tar, a Parquet file or an HDF5 file.

A manifest's path is relative to the dataset's root. What lies inside a container is the container's
path, `#` and its name there: `shard.tar#n01440764_10026.JPEG` is a member, `train.parquet#17` a
row, counted from 0, and `train-image.hdf5#ISIC_0015670` a dataset. A `#` anywhere else is part of
a file's name.
"""

import errno
import os
import re
import sys
import threading
import weakref
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from pipeline.datasets.tars import Tar, fail, refuse_compressed
from pipeline.places import Place, in_parts, opened, read

__all__ = ["Row", "file_of", "hdf5_members", "parquet_rows", "read_bytes", "tar_members"]

CONTAINER = re.compile(
    r"(?P<file>.*?\.(?P<kind>tar|tar\.\w+|tgz|parquet|hdf5|h5))#(?P<member>.+)",
    re.IGNORECASE | re.DOTALL,
)
OPEN = 16  # containers that a process keeps open
ROW_GROUPS = 2  # decoded at a time, for threads that work on either side of an edge


class Row(NamedTuple):
    """A row of a Parquet file of images, without its image."""

    name: str | None
    """The file's name before it was packed; None where the rows hold none."""
    label: int | None
    """The column `label`."""


def read_bytes(root: Place, path: str) -> bytes:
    """The bytes of the image at a manifest's path.

    Fast in the order of a container, right in any order, and safe in threads and in worker
    processes, forked or spawned. A process keeps the index of the last containers (a tar's
    headers, never its content) and the last row groups of Parquet files.

    Args:
        root: the dataset's folder.
        path: of the image, as this module's docstring says.

    Raises:
        ConnectionError: it is in a store that does not give it.
        OSError: there is no such file, member or row, or it is damaged; `strerror` says why.
    """
    match = CONTAINER.fullmatch(path) if "#" in path else None
    if match is None:
        return read(root / path)
    with _State.lock:
        container = _opened(root / match["file"], match["kind"].lower())
    return container.read(match["member"])


def file_of(path: str) -> str:
    """The file that a manifest's path is in: itself, or the container."""
    match = CONTAINER.fullmatch(path) if "#" in path else None
    return path if match is None else match["file"]


def tar_members(path: Place) -> Iterator[str]:
    """Names of a tar's files, in its order.

    Raises:
        OSError: there is no such file, it is compressed, cut off, or holds a name twice.
    """
    with _State.lock:
        container = _opened(path, "tar")
    assert isinstance(container, Tar)
    yield from container.members


def parquet_rows(path: Place) -> Iterator[Row]:
    """Rows of a Parquet file with the columns image (bytes and perhaps path) and label.

    Raises:
        OSError: there is no such file, or it is no Parquet file.
        ValueError: a column is missing or of another type.
    """
    file = _parquet_file(path)
    schema = file.schema_arrow
    image = schema.field("image").type if "image" in schema.names else None
    fields = {f.name: str(f.type).removeprefix("large_") for f in _fields(image)}
    if fields.get("bytes") != "binary" or fields.get("path", "string") != "string":
        raise ValueError(
            f"{path} needs a column image with the fields bytes (binary) and perhaps path (a "
            f"text), and has image: {image}"
        )
    if "label" not in schema.names or not pa.types.is_integer(schema.field("label").type):
        raise ValueError(f"{path} needs a column label of integers, and has {schema.names}")
    named = "path" in fields
    for batch in _batches(file, ["label", *(["image.path"] if named else [])], path):
        labels = batch.column("label").to_pylist()
        images = batch.column("image") if named else None
        names = images.field("path").to_pylist() if images is not None else [None] * len(labels)
        yield from map(Row, names, labels)


def _fields(kind: pa.DataType | None) -> list[pa.Field]:
    """Of a struct; of anything else, none."""
    return list(kind) if kind is not None and pa.types.is_struct(kind) else []


def _batches(file: pq.ParquetFile, columns: list[str], path: Place) -> Iterator[pa.RecordBatch]:
    try:
        yield from file.iter_batches(columns=columns)
    except ConnectionError:
        raise
    except (pa.ArrowException, OSError) as error:
        fail(errno.EIO, f"{path.name} is damaged: {error}", path)


def hdf5_members(path: Place) -> Iterator[str]:
    """Names of an HDF5 file's datasets at its top, sorted.

    Raises:
        OSError: there is no such file, or it is no HDF5 file.
    """
    with _State.lock:
        container = _opened(path, "hdf5")
        assert isinstance(container, _Hdf5)
        names = sorted(container.file)
    yield from names


class _Parquet:
    """Where each row group begins."""

    def __init__(self, path: Place) -> None:
        self.path = path
        self.file = _parquet_file(path)
        metadata = self.file.metadata
        sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        self.starts = list(accumulate(sizes, initial=0))

    def read(self, member: str) -> bytes:
        if not member.isdecimal():
            fail(errno.EINVAL, f"{self.path.name}#{member}: {member!r} is no row", self.path)
        row, rows = int(member), self.starts[-1]
        if row >= rows:
            reason = f"{self.path.name} has no row {row}, its {rows} rows count from 0"
            fail(errno.ENOENT, reason, self.path)
        group = bisect_right(self.starts, row) - 1
        with _State.lock:
            images = _row_group(self, group)
        content = images[row - self.starts[group]].as_py()
        if content is None:
            fail(errno.EIO, f"row {row} of {self.path.name} holds no image", self.path)
        if not isinstance(content, bytes):
            kind = type(content).__name__
            reason = f"row {row} of {self.path.name} holds {kind}, not the bytes of an image"
            fail(errno.EINVAL, reason, self.path)
        return content


class _Hdf5:
    """An open HDF5 file, which no two threads may read at once."""

    def __init__(self, path: Place) -> None:
        import h5py  # here, for few datasets need it

        self.path = path
        _must_exist(path)
        source = opened(path, "here and there") if isinstance(path, UPath) else path
        try:
            # no lock: files that are only read may lie where locks cannot be had
            self.file = h5py.File(source, "r", locking=False)
        except ConnectionError:
            raise
        except OSError as error:
            fail(errno.EIO, f"{path.name} is no whole HDF5 file: {error}", path)
        # h5py crashes where Python ends before it has closed a file that Python reads for it
        weakref.finalize(self, self.file.close)

    def read(self, member: str) -> bytes:
        with _State.lock:
            try:
                value = self.file[member][()]
            except KeyError:
                fail(errno.ENOENT, f"{self.path.name} has no dataset {member!r}", self.path)
            except ConnectionError:
                raise
            except (TypeError, AttributeError, OSError) as error:  # a group, or damaged
                fail(errno.EIO, f"{self.path.name}#{member} cannot be read: {error}", self.path)
        if isinstance(value, bytes):
            return bytes(value)
        if isinstance(value, np.void) or (isinstance(value, np.ndarray) and value.dtype == "uint8"):
            return value.tobytes()
        kind = getattr(value, "dtype", type(value).__name__)
        reason = f"{self.path.name}#{member} holds {kind}, not the bytes of an image"
        fail(errno.EINVAL, reason, self.path)


@lru_cache(maxsize=OPEN)
def _opened(path: Place, kind: str) -> Tar | _Parquet | _Hdf5:
    # Called with the lock, so that threads do not index one container at a time each.
    if kind == "tar":
        return Tar(path)
    if kind == "parquet":
        return _Parquet(path)
    if kind in ("hdf5", "h5"):
        return _Hdf5(path)
    refuse_compressed(path, kind)


@lru_cache(maxsize=ROW_GROUPS)
def _row_group(parquet: _Parquet, group: int) -> pa.Array:
    """The bytes of the images of a row group, nothing else of it."""
    try:
        table = parquet.file.read_row_group(group, columns=["image.bytes"], use_threads=False)
        return table.column("image").combine_chunks().field("bytes")
    except ConnectionError:
        raise
    except (pa.ArrowException, KeyError, OSError) as error:
        reason = f"row group {group} of {parquet.path.name} cannot be read: {error}"
        fail(errno.EIO, reason, parquet.path)


class _State:
    """What a process shares among its threads, beside the two caches."""

    lock = threading.Lock()


def _forget() -> None:
    """A forked child opens its containers anew, and no thread of it holds the lock."""
    _State.lock = threading.Lock()
    _opened.cache_clear()
    _row_group.cache_clear()


if sys.platform != "win32":  # which has no fork
    os.register_at_fork(after_in_child=_forget)


def _parquet_file(path: Place) -> pq.ParquetFile:
    _must_exist(path)
    source = in_parts(path) if isinstance(path, UPath) else path
    try:
        file = pq.ParquetFile(source, pre_buffer=False)
        _ = file.schema_arrow.names  # which are decoded here
        return file
    except ConnectionError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        fail(errno.EIO, f"{path.name} is no whole Parquet file: {error}", path)


def _must_exist(path: Place) -> None:
    """Raise the plain OSError of a missing file, which libraries hide in longer ones."""
    opened(path, "on").close()
