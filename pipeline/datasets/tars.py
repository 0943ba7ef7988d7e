"""Tars of images: where each member lies, and its bytes.

A tar has no index, so that its headers are read once. Of one in a store that takes all of its bytes
over the network, so what they say, and what small members such as labels hold, is kept beside DVC,
by the tar's URL and version, for the other processes and stages that read from it.
"""

import errno
import io
import os
import sys
import tarfile
import threading
import weakref
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple, NoReturn, cast

import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from pipeline import layout
from pipeline.artifacts.store import atomic
from pipeline.places import Place, opened, read_part, state

__all__ = ["Tar", "fail", "refuse_compressed"]

COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
END = bytes(tarfile.BLOCKSIZE)  # what ends a tar
VERSION = b"version"
SMALL = 4096  # bytes; a label, and what WebDataset says of an image in JSON
SCHEMA = pa.schema(
    {"name": pa.string(), "offset": pa.int64(), "size": pa.int64(), "content": pa.binary()}
)


class Member(NamedTuple):
    """Where the content of a file of a tar lies."""

    offset: int
    size: int
    content: bytes | None
    """Itself, where it is small and the tar in a store; else None."""


Members = dict[str, Member]


class Tar:
    """Where each member lies."""

    def __init__(self, path: Place) -> None:
        """
        Raises:
            OSError: there is no such file, it is compressed, cut off, or holds a name twice.
        """
        self.path = path
        self.members = _kept(path) if isinstance(path, UPath) else _index(path)
        self.file = None if isinstance(path, UPath) else path.open("rb", buffering=0)
        if self.file is not None:
            weakref.finalize(self, self.file.close)

    def read(self, member: str) -> bytes:
        """The bytes of a member.

        Raises:
            OSError: there is none, or the tar ends within it.
        """
        if member not in self.members:
            fail(errno.ENOENT, f"{self.path.name} has no member {member!r}", self.path)
        offset, size, content = self.members[member]
        if content is not None:
            return content
        if self.file is None:
            content = read_part(cast(UPath, self.path), offset, size)
        else:
            content = _read_at(self.file, size, offset)
        if len(content) != size:
            fail(errno.EIO, f"{self.path.name} ends within {member!r}", self.path)
        return content


def refuse_compressed(path: Place, kind: str) -> NoReturn:
    """Say what to do with a compressed tar."""
    reason = f"{path.name} is compressed ({kind}), so its members cannot be read one by one"
    fail(errno.EINVAL, f"{reason}: decompress it into a plain .tar", path)


def fail(code: int, reason: str, path: Place) -> NoReturn:
    """Raise what is wrong with a container."""
    raise OSError(code, reason, str(path))


def _index(path: Place) -> Members:
    with opened(path, "on") as file:
        head = file.read(8)
        for magic, kind in COMPRESSED.items():
            if head.startswith(magic):
                refuse_compressed(path, kind)
        file.seek(0)
        members: Members = {}
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                while (info := tar.next()) is not None:
                    tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                    if not info.isreg() or info.issparse():
                        continue
                    if info.name in members:
                        fail(errno.EINVAL, f"{path.name} holds {info.name!r} twice", path)
                    content = None
                    if isinstance(path, UPath) and info.size <= SMALL:
                        file.seek(info.offset_data)
                        content = file.read(info.size)
                    members[info.name] = Member(info.offset_data, info.size, content)
                # tarfile takes a damaged header for the end
                file.seek(tar.offset)
                whole = file.read(len(END)) == END
        except tarfile.TarError as error:
            fail(errno.EIO, f"{path.name} is no whole tar: {error}", path)
    if not whole:
        fail(errno.EIO, f"{path.name} is cut off or damaged after {len(members)} files", path)
    return members


def _kept(path: UPath) -> Members:
    """The index of a tar in a store, of an earlier reading where the tar is as it was."""
    now = state(path)
    if now is None:
        return _index(path)
    folder = layout.lasting() / layout.tar_indexes(_named(str(path.parent)))
    file, version = folder / f"{_named(path.name)}.parquet", f"{now.size} {now.changed}".encode()
    found = _read(file, version)
    if found is None:
        found = _index(path)
        columns = [list(found), *map(list, zip(*found.values(), strict=True))]
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(file) as temporary:
            schema = SCHEMA.with_metadata({VERSION: version})
            table = pa.table(columns, schema=schema) if found else schema.empty_table()
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    return found


def _named(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]


def _read(file: Path, version: bytes) -> Members | None:
    """None where there is no file, or it is damaged or of another version of the tar."""
    try:
        table = pq.read_table(file, page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        return None
    if (table.schema.metadata or {}).get(VERSION) != version:
        return None
    names, *places = (column.to_pylist() for column in table.columns)
    return dict(zip(names, map(Member, *places), strict=True))


_LOCK = threading.Lock()
"""Of reading where that moves a file's position."""


def _read_at(file: io.FileIO, size: int, offset: int) -> bytes:
    if sys.platform != "win32":  # several threads at once, for it moves no file's position
        return os.pread(file.fileno(), size, offset)
    with _LOCK:
        file.seek(offset)
        return file.read(size)
