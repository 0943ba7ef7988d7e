"""Where a dataset lies: in a folder of this machine, or in a store such as S3.

Stores are those that DVC takes a dependency from and fsspec reads, under one scheme. What lies in a
dataset is read and never written; into a store go shards alone, where they are asked to. Who one is
there, and where it answers, its own library finds, in the environment or its own files: nothing of
it is in params.yaml.
"""

import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

import fsspec
from upath import UPath

__all__ = [
    "AT_ONCE",
    "STORES",
    "Entry",
    "Place",
    "State",
    "at_once",
    "entries",
    "exists",
    "in_parts",
    "is_file",
    "is_folder",
    "opened",
    "place",
    "put",
    "read",
    "read_part",
    "state",
]

Item = TypeVar("Item")
Result = TypeVar("Result")
Place: TypeAlias = Path | UPath
"""A file or a folder. A UPath is one of a store."""
STORES = {
    "gs": "dvc-gs",
    "hdfs": "dvc-hdfs",
    "oss": "dvc-oss",
    "s3": "dvc-s3",
    "webhdfs": "dvc-webhdfs",
}
"""The package that brings what reads it, by scheme."""
URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]+):/(?P<rest>/?.*)", re.IGNORECASE | re.DOTALL)
SECRET = re.compile(r"/[^/@:]*:[^/@]*@")
VERSIONS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime")
"""What a store may say of an object that changes with it."""
AT_ONCE = 8
"""Files of a store that a process reads at a time, for a request is mostly waited for."""
OPTIONS: dict[str, dict[str, Any]] = {"s3": {"max_concurrency": 1}}
"""Of fsspec, by scheme. S3's asks for a file's size before it reads it, for whether to read it in
parts at a time: two requests for each image."""
CACHING: dict[str, dict[str, Any]] = {
    "on": {"cache_type": "readahead", "block_size": 2**24},
    "here and there": {"cache_type": "blockcache", "block_size": 2**18},
}
"""Of fsspec, by how a file will be read; sizes in bytes."""


@runtime_checkable
class Entry(Protocol):
    """What a folder holds; `os.DirEntry` is one."""

    @property
    def name(self) -> str:
        """Without the folder's."""

    def is_dir(self) -> bool:
        """Whether it is a folder, or leads to one."""

    def is_file(self) -> bool:
        """Whether it is a file, or leads to one."""


class State(NamedTuple):
    """By which a file is known to be as it was."""

    size: int
    """Bytes."""
    modified: int
    """Nanoseconds; 0 of a store."""
    changed: int
    """Nanoseconds; what sets the time of modification back does not set this one. Of a store, a
    number for what it says of the object's version."""


class _Stored(NamedTuple):
    """An entry of a store."""

    name: str
    folder: bool

    def is_dir(self) -> bool:
        return self.folder

    def is_file(self) -> bool:
        return not self.folder


def place(text: str) -> Place:
    """The place that a path or a URL names.

    Raises:
        ValueError: a URL is of none of STORES, or holds a password.

    >>> place("data/raw/scenes")
    PosixPath('data/raw/scenes')
    >>> str(place("s3://bucket/birds/"))
    's3://bucket/birds'
    """
    url = URL.fullmatch(text)
    if url is None:
        return Path(text)
    scheme, rest = url["scheme"].lower(), url["rest"]
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in STORES)
        raise ValueError(
            f"{text} is neither a folder nor in a store that can be read ({known}): mount it and "
            "name the folder, or bring a copy with `dvc import-url` (docs/clusters.md)"
        )
    if not rest.startswith("/"):
        raise ValueError(f"{text} has one slash where {scheme}:// has two")
    if SECRET.match(rest):
        raise ValueError(
            f"a URL of {scheme}:// holds a password, which would stand in params.yaml and reports: "
            "leave it to the environment or to the store's own file (docs/clusters.md)"
        )
    return UPath(f"{scheme}:/{rest.rstrip('/')}")


def at_once(root: Place, function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """What a function gives for files below root, AT_ONCE at a time in a store, else one by one."""
    if not isinstance(root, UPath):
        return [function(item) for item in items]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(function, items))


def entries(folder: Place) -> list[Entry]:
    """What a folder holds, in no order. Of a store, a page of a thousand is a request.

    Raises:
        FileNotFoundError: there is no such folder.
        OSError: it cannot be listed.
    """
    if not isinstance(folder, UPath):
        with os.scandir(folder) as found:
            return list(found)
    with _reached(folder):
        infos = _fs(folder).ls(folder.path, detail=True)
    own = folder.path.strip("/")
    paths = [(info["name"].strip("/"), info["type"] == "directory") for info in infos]
    # a store may hold an empty object where a folder's path ends
    return [_Stored(path.rpartition("/")[2], inner) for path, inner in paths if path != own]


def exists(at: Place) -> bool:
    """Whether there is a file or a folder.

    Raises:
        ConnectionError: its store does not say.
    """
    if not isinstance(at, UPath):
        return at.exists()
    with _reached(at):
        return bool(_fs(at).exists(at.path))


def is_file(at: Place) -> bool:
    """Whether there is a file.

    Raises:
        ConnectionError: its store does not say.
    """
    if not isinstance(at, UPath):
        return at.is_file()
    with _reached(at):
        return bool(_fs(at).isfile(at.path))


def is_folder(at: Place) -> bool:
    """Whether there is a folder; in a store, whether something lies in it.

    Raises:
        ConnectionError: its store does not say.
    """
    if not isinstance(at, UPath):
        return at.is_dir()
    with _reached(at):
        return bool(_fs(at).isdir(at.path))


def read(file: Place) -> bytes:
    """The bytes of a file.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: its store does not give it.
        OSError: it cannot be read.
    """
    if not isinstance(file, UPath):
        return file.read_bytes()
    with _reached(file):
        return cast(bytes, _fs(file).cat_file(file.path))


def read_part(file: UPath, offset: int, size: int) -> bytes:
    """Some bytes of a file in a store, fewer where it ends before.

    Raises:
        OSError: as `read`.
    """
    with _reached(file):
        return cast(bytes, _fs(file).cat_file(file.path, start=offset, end=offset + size))


def put(content: Path | bytes, at: UPath) -> None:
    """Put a file or some bytes into a store, unless as many bytes are there.

    Args:
        content: what is put.
        at: its place, whose name says the content.

    Raises:
        ConnectionError: the store does not take it.
    """
    size = len(content) if isinstance(content, bytes) else content.stat().st_size
    there = state(at)
    if there is not None and there.size == size:
        return
    try:
        with _reached(at, "put into"):
            if isinstance(content, bytes):
                _fs(at).pipe_file(at.path, content)
            else:
                _fs(at).put_file(str(content), at.path)
    except FileNotFoundError as error:
        raise ConnectionError(f"{at} cannot be put into its store, which says: {error}") from error


class _StoreFile(io.RawIOBase):
    """A file of a store, open to be read; what its library raises becomes what `read` raises."""

    def __init__(self, at: UPath, caching: dict[str, Any]) -> None:
        self.at = at
        with _reached(at):
            self.file = _fs(at).open(at.path, "rb", **caching)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return cast(int, self.file.seek(offset, whence))

    def tell(self) -> int:
        return cast(int, self.file.tell())

    def readinto(self, buffer: Any) -> int:
        with _reached(self.at):
            content = self.file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def opened(file: Place, reads: Literal["on", "here and there"]) -> io.BufferedReader:
    """A file, open to be read.

    Args:
        file: its place.
        reads: how it will be read, by which a store's file is fetched: `on` from its beginning, or
            `here and there`.

    Raises:
        OSError: as `read`.
    """
    if not isinstance(file, UPath):
        return file.open("rb")
    return io.BufferedReader(_StoreFile(file, CACHING[reads]))


def in_parts(file: UPath, size: int | None = None) -> io.RawIOBase:
    """A file of a store, open to be read in parts, each of which is one request.

    Args:
        file: its place.
        size: its bytes, where they are known; else the store is asked for them.

    Raises:
        OSError: as `read`.
    """
    if size is None:
        with _reached(file):
            size = _fs(file).info(file.path)["size"]
    return _Parts(file, size)


class _Parts(io.RawIOBase):
    """See `in_parts`. The files of s3fs would ask for the size before each read."""

    def __init__(self, at: UPath, size: int) -> None:
        self.at, self.size, self.next = at, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.next, io.SEEK_END: self.size}
        self.next = start[whence] + offset
        return self.next

    def tell(self) -> int:
        return self.next

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self.size - self.next)
        content = read_part(self.at, self.next, wanted) if wanted > 0 else b""
        buffer[: len(content)] = content
        self.next += len(content)
        return len(content)


def state(file: Place) -> State | None:
    """The state of a file; None where there is none, or its store says no version of it."""
    try:
        if not isinstance(file, UPath):
            stat = file.stat()
            return State(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        with _reached(file):
            info = _fs(file).info(file.path)
    except ConnectionError:
        raise
    except (OSError, ValueError):  # ValueError of a name that no file can have
        return None
    said = [f"{key} {info[key]}" for key in VERSIONS if info.get(key) is not None]
    digest = sha256("\n".join(said).encode()).digest()
    return State(info["size"], 0, int.from_bytes(digest[:8], signed=True)) if said else None


@contextmanager
def _reached(at: UPath, done: str = "read from") -> Iterator[None]:
    """What a store's library raises, as what Python has for it.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ConnectionError: anything else is wrong, which is the store's fault and no file's.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except ImportError as error:
        package = STORES[at.protocol]
        raise ConnectionError(
            f"{at} cannot be read without a package: `pip install {package}`"
        ) from error
    except Exception as error:
        # every store has exceptions of its own; one of Python's is an error of ours
        if not isinstance(error, OSError) and type(error).__module__ == "builtins":
            raise
        raise ConnectionError(
            f"{at} cannot be {done} its store, {type(error).__name__}: {error} (its address and "
            "who one is there are not in params.yaml: docs/clusters.md)"
        ) from error


def _fs(at: UPath) -> Any:
    """What reads a store, for all threads of this process."""
    return _connected(at.protocol, tuple(at.storage_options.items()))


@cache
def _connected(scheme: str, options: tuple[tuple[str, Any], ...]) -> Any:
    return fsspec.filesystem(scheme, **dict(options), **OPTIONS.get(scheme, {}))


if sys.platform != "win32":  # which has no fork; what a parent has is of no use after one
    os.register_at_fork(after_in_child=_connected.cache_clear)
