"""Long work that goes on where a killed run stopped."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import yaml
from filelock import FileLock, Timeout

from pipeline import layout
from pipeline.artifacts.litter import is_litter
from pipeline.artifacts.store import (
    LOCK,
    SHARD,
    files_in,
    half_written,
    is_write,
    put_folder,
)

RECIPES = Path(__file__).parents[2] / "recipes.yaml"
PACKAGES = ("torch", "torchvision", "open_clip_torch", "pillow", "numpy", "pyarrow")
PARTS = "parts"
FORMATS = (".parquet", ".safetensors")
"""Of all files that unfinished work consists of, but for lines about shards in a store; whatever
else lies there is somebody else's."""


def recipe(name: str) -> int:
    """Number of the way in which a costly result is made, of recipes.yaml.

    Raises:
        KeyError: recipes.yaml has none of that name.
    """
    number: int = yaml.safe_load(RECIPES.read_text(encoding="utf-8"))[name]
    return number


def work_key(made_by: str, inputs: Mapping[str, Any]) -> str:
    """SHA-256 of all that decides the bytes of some work, which may be reused where it is equal.

    Over the recipe's number, the inputs, and the versions of the libraries that compute.

    Args:
        made_by: name of the recipe.
        inputs: anything that JSON can say.
    """
    packages = {name: version(name) for name in PACKAGES}
    identity = {"recipe": [made_by, recipe(made_by)], "inputs": inputs, "packages": packages}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def content_hash(paths: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of files, and of those in folders."""
    digest = hashlib.sha256()
    for path in paths:
        for file in files_in(path) if path.is_dir() else [path]:
            with file.open("rb") as opened:
                content = hashlib.file_digest(opened, "sha256").hexdigest()
            digest.update(f"{file.as_posix()} {content}\n".encode())
    return digest.hexdigest()


@contextmanager
def workplace(path: Path, key: str) -> Iterator[Path]:
    """A folder for unfinished work on path that outlives a kill, deleted when the block succeeds.

    A later run with the same key finds in it what an earlier one left; what runs with other keys
    have left for this path is deleted, unless such a run is going on. Files that no run has left
    stay. The folder lies outside DVC's outputs, which DVC deletes before a stage runs.

    Raises:
        RuntimeError: another process is at the same work.
    """
    place = layout.lasting() / layout.unfinished(path.as_posix().replace("/", "-"))
    place.mkdir(parents=True, exist_ok=True)
    for other in sorted(place.iterdir()):
        if other.name != key and (other / PARTS).is_dir():
            _delete_unless_in_use(other)
    work = place / key
    work.mkdir(exist_ok=True)
    try:
        with FileLock(work / LOCK, timeout=0):
            parts = work / PARTS
            parts.mkdir(exist_ok=True)
            yield parts
    except Timeout as error:
        raise RuntimeError(f"another process is making {path}: wait for it, or stop it") from error
    _delete(work)
    with suppress(OSError):  # another run is at work for this path
        place.rmdir()


@contextmanager
def resumable(path: Path, key: str) -> Iterator[Path]:
    """A workplace of shards that is renamed to path when the block succeeds.

    A later run with the same key finds the whole shards of an earlier one in it.

    Raises:
        RuntimeError: another process is at the same work.
    """
    with workplace(path, key) as parts:
        for write in half_written(parts):
            shutil.rmtree(write)
        for file in parts.iterdir():
            if _is_own(file) and not SHARD.fullmatch(file.name):
                file.unlink()  # written last, when all shards are there
        yield parts
        if strays := [file for file in parts.iterdir() if not _is_own(file)]:
            aside = Path(mkdtemp(prefix="stray-", dir=parts.parent))
            for file in strays:
                os.replace(file, aside / file.name)
        put_folder(parts, path)


class Kept(NamedTuple):
    """Work that lies beside DVC."""

    path: Path
    """Of one output under one key, of what decoding a dataset gave, of texts that were embedded or
    of indexes of tars, for later runs to go on with, or of what was being written when its process
    was killed."""
    size: int
    """Bytes of the files that the workflow has written there."""
    in_use: bool
    """Whether a process is at it."""


def kept() -> list[Kept]:
    """All of it, in order; what was being written anywhere in the repository last."""
    root = layout.lasting()
    places = (layout.unfinished, layout.decoded, layout.kept_texts, layout.tar_indexes)
    unfinished, *others = (root / place("") for place in places)
    found = [parts.parent for parts in unfinished.glob(f"*/*/{PARTS}") if parts.is_dir()]
    found += [path for other in others for path in other.glob("*") if path.is_dir()]
    works = [
        Kept(work, sum(_size(f) for f in files_in(work) if _is_own(f)), _in_use(work))
        for work in sorted(found)
    ]
    writes = [
        Kept(write, sum(map(_size, files_in(write))), _in_use(write))
        for write in half_written(root)
        if not {unfinished, *others} & set(write.parents)
    ]
    return works + writes


def discard(work: Kept) -> bool:
    """Delete some work, but for files that no run has written; False where it is in use."""
    if is_write(work.path):
        if _in_use(work.path):
            return False
        shutil.rmtree(work.path)
        return True
    if not _delete_unless_in_use(work.path):
        return False
    with suppress(OSError):  # more is kept for this output
        work.path.parent.rmdir()
    return True


def _in_use(work: Path) -> bool:
    if not (work / LOCK).exists():
        return False
    try:
        with FileLock(work / LOCK, timeout=0):
            return False
    except Timeout:
        return True


def _delete_unless_in_use(work: Path) -> bool:
    if _in_use(work):
        return False
    _delete(work)
    return True


def _size(file: Path) -> int:
    return file.lstat().st_size


def _delete(work: Path) -> None:
    """Delete some work, and its folders where nothing else lies in them."""
    for write in half_written(work):
        shutil.rmtree(write)
    for file in files_in(work):
        if _is_own(file):
            file.unlink()
    (work / LOCK).unlink(missing_ok=True)
    folders = [path for path in work.rglob("*") if path.is_dir() and not path.is_symlink()]
    for folder in [*sorted(folders, reverse=True), work]:
        with suppress(OSError):  # not empty
            folder.rmdir()


def _is_own(file: Path) -> bool:
    # Finder's companions of files are called like them, with `._` before.
    formed = file.suffix in FORMATS or bool(SHARD.fullmatch(file.name))
    return formed and not is_litter(file.name)
