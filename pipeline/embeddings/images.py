"""Images of a manifest, decoded and preprocessed in parallel."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise, starmap
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from upath import UPath

from pipeline.artifacts.shards import number_of
from pipeline.datasets.files import read_bytes
from pipeline.datasets.pixels import Reading, Unusable, decode
from pipeline.places import AT_ONCE, Place, at_once

Item = TypeVar("Item")
Preprocess = Callable[[Image.Image], Tensor]
"""RGB picture to tensor, all of one shape."""
Ahead = Callable[[Callable[[range], np.ndarray], Sequence[range], int], Iterator[np.ndarray]]
"""A function's results for runs of rows, in their order; so many are in work at a time."""


class Part(NamedTuple):
    """The images of one shard."""

    number: int
    """Of the shard."""
    images: pd.DataFrame
    """Their rows of the manifest: image_id, path, sha256."""


def parts_left(images: pd.DataFrame, rows: int, folder: Path | None = None) -> list[Part]:
    """A manifest's images in shards of `rows`, but for those that a folder holds."""
    done = set() if folder is None else {number_of(path) for path in folder.iterdir()}
    return [
        Part(number, images.iloc[part.start : part.stop])
        for number, part in enumerate(runs(len(images), rows))
        if number not in done
    ]


def joined(parts: Sequence[Part]) -> tuple[pd.DataFrame, list[range]]:
    """The images of some shards, and which rows of that table are of each."""
    edges = [0, *accumulate(len(part.images) for part in parts)]
    return pd.concat([part.images for part in parts]), list(starmap(range, pairwise(edges)))


class Batch(NamedTuple):
    """Preprocessed images and where they stand in the manifest."""

    image_ids: list[str]
    pixels: Tensor
    """[n, ...], one row an image, as the preprocessing leaves it."""


class _Images(Dataset[Tensor]):
    def __init__(
        self,
        images: pd.DataFrame,
        root: Place,
        reading: Reading,
        preprocess: Preprocess,
    ) -> None:
        self.paths = images["path"].tolist()
        self.sha256 = images["sha256"].tolist() if "sha256" in images else None
        self.root = root
        self.reading = reading
        self.preprocess = preprocess

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        path = self.paths[index]
        try:
            content = read_bytes(self.root, path)
            if self.sha256 and hashlib.sha256(content).hexdigest() != self.sha256[index]:
                raise OSError("its bytes have changed")
            return self.preprocess(decode(content, self.reading).rgb)
        except ConnectionError:  # which is no image's fault
            raise
        except (OSError, Unusable) as error:
            raise OSError(
                f"{self.root / path}: {error}. The image was as it should be when the manifest was "
                "made: run `dvc repro prepare` to make it anew"
            ) from error

    def __getitems__(self, rows: Sequence[int]) -> list[Tensor]:
        """The images of a batch, as DataLoader asks for them."""
        return at_once(self.root, self.__getitem__, rows)

    def stacked(self, rows: range) -> np.ndarray:
        """The pixels of some rows."""
        return torch.stack(self.__getitems__(rows)).numpy()


def runs(images: int, size: int, until: int | None = None) -> list[range]:
    """Rows in runs of `size`, in order; no run crosses a multiple of `until`."""
    edge = images if until is None else until
    return [
        range(start, min(start + size, block + edge, images))
        for block in range(0, images, max(1, edge))
        for start in range(block, min(block + edge, images), size)
    ]


def batches(
    images: pd.DataFrame,
    root: Place,
    reading: Reading,
    preprocess: Preprocess,
    rows: Sequence[range],
    workers: int,
    progress: str,
    pinned: bool = False,
    ahead: Ahead | None = None,
) -> Iterator[Batch]:
    """Batches of a manifest's images, decoded by worker processes, or by threads where they are 0.

    With 0 workers a batch is decoded, on all threads, when it is asked for: best where the model
    runs on the same cores, since decoding then never takes one away from it.

    Args:
        images: image_id, path and, where the bytes are to be checked, sha256.
        root: folder that the paths are relative to.
        reading: how the files' pixels are taken.
        preprocess: RGB picture to tensor, all of one shape.
        rows: rows of `images` in each batch.
        workers: processes that decode; the result does not depend on it.
        progress: what the progress bar says.
        pinned: pixels lie in memory from which CUDA copies without waiting.
        ahead: what decodes in place of processes of this machine.

    Raises:
        OSError: an image of the manifest is missing, no longer readable or has changed; it names
            the file.
    """
    dataset = _Images(images, root, reading, preprocess)
    ids = images["image_id"].to_numpy(dtype=object)
    with tqdm(total=sum(map(len, rows)), desc=progress, unit=" images") as bar:
        if not workers:
            stream = _by_threads(dataset, rows)
        elif ahead is None:
            stream = _by_processes(dataset, rows, workers)
        else:
            stream = (torch.from_numpy(np.array(p)) for p in ahead(dataset.stacked, rows, workers))
        for part, pixels in zip(rows, stream, strict=True):
            yield Batch(ids[part].tolist(), pixels.pin_memory() if pinned else pixels)
            bar.update(len(part))


def made_ahead(items: Iterable[Item], count: int) -> Iterator[Item]:
    """Items in their order, up to `count` of which a thread makes while one is in use."""
    stream, end = iter(items), object()
    maker = ThreadPoolExecutor(1)
    try:
        waiting = deque(maker.submit(next, stream, end) for _ in range(count))
        while (item := waiting.popleft().result()) is not end:
            waiting.append(maker.submit(next, stream, end))
            yield cast(Item, item)
    finally:
        maker.shutdown(cancel_futures=True)


def _by_processes(dataset: _Images, rows: Sequence[range], workers: int) -> Iterator[Tensor]:
    sampler = [list(part) for part in rows]
    yield from DataLoader(dataset, batch_sampler=sampler, num_workers=workers)


def _by_threads(dataset: _Images, rows: Sequence[range]) -> Iterator[Tensor]:
    # Threads, for Pillow decodes and resizes outside the interpreter's lock.
    threads = torch.get_num_threads()
    if isinstance(dataset.root, UPath):
        threads = max(threads, AT_ONCE)
    with ThreadPoolExecutor(threads) as pool:
        for part in rows:
            yield torch.stack(list(pool.map(dataset.__getitem__, part)))


def to_bytes(image: Image.Image) -> Tensor:
    """Pixels of an RGB image as uint8 [h, w, 3]."""
    return torch.from_numpy(np.array(image.convert("RGB")))
