"""Opening every image of a dataset once: hashed, decoded and measured, in several processes."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import chain
from multiprocessing import get_context
from typing import NamedTuple, TypeVar

from tqdm import tqdm

from pipeline.datasets.duplicates import perceptual_hash
from pipeline.datasets.files import file_of, read_bytes
from pipeline.datasets.names import printable
from pipeline.datasets.pixels import Reading, Unusable, decode
from pipeline.engine.crew import LOCAL, TRIES, Engine, Needs
from pipeline.places import Place, at_once

__all__ = ["Image", "Opened", "open_all", "open_each"]

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 32  # images handed to a process at a time
KILLED = "decoding it kills the process: damaged, or too large for memory"


class Opened(NamedTuple):
    """What reading and decoding one image gave."""

    sha256: str = ""
    """Of the bytes of the file; empty where it could not be read."""
    width: int = 0
    """Pixels as stored, before any rotation that EXIF asks for; 0 where there is a fault."""
    height: int = 0
    """As width."""
    fault: str | None = None
    """Why the image is unusable; None where it is fine."""
    perceptual: bytes | None = None
    """Perceptual hash; None where the picture holds too little for one."""
    kinds: tuple[str, ...] = ()
    """What it is counted as, of pixels.KINDS."""
    bits: int = 8
    """The fewest that hold its values, of pixels.DEPTHS."""


class Image(NamedTuple):
    """An image to open."""

    path: str
    """Relative to the dataset's root."""
    sha256: str | None = None
    """Of the bytes with which it need not be decoded; None where it has to be."""


def open_all(
    paths: list[str], root: Place, reading: Reading, workers: int, engine: Engine = LOCAL
) -> list[Opened]:
    """Opened images in the order of paths.

    Args:
        paths: of the images, relative to root.
        root: the dataset's folder.
        reading: how their pixels are taken.
        workers: processes that decode; with more than one, a decoder that takes its process down
            costs that image alone.
        engine: where they are opened.

    Raises:
        OSError: no process can be started.
    """
    opened = open_each([Image(path) for path in paths], root, reading, workers, engine)
    found = {image.path: result for image, result in opened if result is not None}
    return [found[path] for path in paths]


class Opening:
    """Some images at a time, opened in one process of a cluster."""

    def __init__(self, root: Place, reading: Reading) -> None:
        """Arguments are as of `open_all`."""
        self.opening = partial(_open_chunk, root, reading)

    def about(self) -> None:
        """Nothing."""

    def each(self, units: Iterable[list[Image]]) -> Iterator[list[Opened | None] | None]:
        """The images of each unit, opened; None where their bytes are known."""
        for images in units:
            yield self.opening(images)


def open_each(
    images: list[Image], root: Place, reading: Reading, workers: int, engine: Engine = LOCAL
) -> Iterator[tuple[Image, Opened | None]]:
    """Images as they are opened, here in the order in which containers hold them.

    None where the bytes have the SHA-256 with which an image need not be decoded. Arguments and
    errors are as of `open_all`; processes of another engine are as many as it has.
    """
    # of one container, names of the same length are in order, and row 9 comes before row 10
    ordered = sorted(images, key=lambda i: (file_of(i.path), len(i.path), i.path))
    if engine.name != LOCAL.name:
        yield from _by_engine(ordered, root, reading, engine)
        return
    opening, chunks = partial(_open_chunk, root, reading), _chunks(ordered)
    stream: Iterator[Opened | None] = (
        chain.from_iterable(map(opening, chunks))
        if workers == 1
        else _by_processes(opening, chunks, workers)
    )
    with tqdm(total=len(ordered), desc="open images", unit=" images", disable=not ordered) as bar:
        for image, opened in zip(ordered, stream, strict=True):
            yield image, opened
            bar.update()


def _by_engine(
    ordered: list[Image], root: Place, reading: Reading, engine: Engine
) -> Iterator[tuple[Image, Opened | None]]:
    def instead(images: list[Image], died: int) -> list[list[Image]] | None:
        if len(images) > 1:
            return [[image] for image in images]  # one of them did it, or a node died
        return [images] if died < TRIES else None

    chunks = _chunks(ordered)
    if not chunks:
        return
    alone = engine._replace(threads=1)  # an image is decoded by one
    with alone.crew(partial(Opening, root, reading), Needs(sees=(root,)), len(chunks)) as crew:
        for images, opened in crew.each(chunks, "open images", len, None, instead):
            yield from zip(images, opened or [Opened(fault=KILLED)] * len(images), strict=True)


def _chunks(ordered: list[Item]) -> list[list[Item]]:
    return [ordered[first : first + CHUNK] for first in range(0, len(ordered), CHUNK)]


def _by_processes(
    opening: Callable[[list[Item]], list[Result]], chunks: list[list[Item]], workers: int
) -> Iterator[Result | Opened]:
    done = 0
    while done < len(chunks):
        try:
            with _pool(workers) as pool:
                for opened in pool.map(opening, chunks[done:]):
                    yield from opened
                    done += 1
        except BrokenProcessPool:
            # An image of those that were in work did it: they go one at a time.
            suspects = chunks[done : done + workers]
            yield from _one_by_one(opening, list(chain.from_iterable(suspects)))
            done += len(suspects)


def _one_by_one(
    opening: Callable[[list[Item]], list[Result]], paths: list[Item]
) -> Iterator[Result | Opened]:
    pool = _living_pool()
    for path in paths:
        try:
            yield from pool.submit(opening, [path]).result()
        except BrokenProcessPool:
            yield Opened(fault=KILLED)
            pool = _living_pool()
    pool.shutdown()


def _living_pool() -> ProcessPoolExecutor:
    pool = _pool(1)
    try:
        pool.submit(int).result()
    except BrokenProcessPool as error:  # which is no image's fault
        raise OSError("processes that decode images die as they start: try --workers 1") from error
    return pool


def _pool(workers: int) -> ProcessPoolExecutor:
    # spawn: a fork of a process with threads may hang
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def _open_chunk(root: Place, reading: Reading, images: list[Image]) -> list[Opened | None]:
    """As `_open`, for each of some images."""
    return at_once(root, partial(_open, root, reading), images)


def _open(root: Place, reading: Reading, image: Image) -> Opened | None:
    """Read, hash and decode one image to its last row; None where it need not be decoded."""
    try:
        content = read_bytes(root, image.path)
    except ConnectionError:  # which is no image's fault
        raise
    except (OSError, ValueError) as error:  # ValueError of a name that no file can have
        said = (error.strerror if isinstance(error, OSError) else None) or error
        return Opened(fault=printable(f"cannot be read: {said}"))
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 == image.sha256:
        return None
    if not content:
        return Opened(sha256, fault="the file is empty")
    try:
        picture = decode(content, reading)
    except Unusable as error:
        return Opened(sha256, fault=printable(str(error)))
    hashed = perceptual_hash(picture.rgb)
    return Opened(sha256, *picture.size, None, hashed, picture.kinds, picture.bits)
