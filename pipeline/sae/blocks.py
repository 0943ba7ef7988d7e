"""Embeddings for training, read from shards by memory-mapped blocks, never all in memory.

A block is a row group of a shard. The order of an epoch depends on (seed, epoch), the fraction and
the size of a pool alone, neither on batches nor on ranks:

1. `fraction` of the images are drawn without replacement, each with equal probability.
2. If they do not fit a pool, the blocks are put in random order, and the images, by blocks in that
   order, are cut into the fewest pools that do, of nearly equal size.
3. Each pool is shuffled: a uniform random permutation. Where all images that were drawn fit one
   pool, the whole epoch is.

While a pool is in use, a thread reads the next one: two pools are held at once. Where all images
of the split fit a pool, they are read once and kept. Where they fit on a GPU, they are read once
and kept there, in the precision in which they are stored; the order is the same. Of several ranks
each reads all blocks of a pool and keeps its share of the rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.sae import row_groups
from pipeline.sae.row_groups import Found, Vectors

POOL_BYTES = 2**30
"""Size of a pool in memory, where nothing else is asked for."""
SHARE = 0.5
"""Of a GPU's free memory that embeddings may take; the rest is for the training."""
CPU = torch.device("cpu")
ROWS = 256  # tokens that are in float64 at a time: few enough for the cache

Column = Literal["x", "spatial"]


class Batch(NamedTuple):
    """Tokens of some images: one rank's share of a batch."""

    x: Tensor | None
    """Class tokens [b, d], float32; None where they were not asked for."""
    spatial: Tensor | None
    """Spatial tokens [b, s, d] of the same images, likewise."""
    images: int
    """Images in the batch over all ranks. The sum of a loss over the rank's images, divided by
    this and added up over ranks, is the batch's mean."""


class EmbeddingBlocks:
    """The embeddings of a split's images; without an order they come as in the shards."""

    def __init__(self, found: Found, columns: Sequence[Column], pool_bytes: int) -> None:
        """Args: what the folder holds; see `open`, which is to be called instead."""
        sizes = found.form.sizes
        self.width = sizes["x"]
        """Numbers in a token, d."""
        self.tokens = sizes["spatial"] // self.width if "spatial" in columns else 0
        """Spatial tokens of an image that batches hold, s."""
        self.manifest_rows = found.manifest_rows
        """Row of the manifest of each image [n]."""
        self._sizes: dict[str, int] = {column: sizes[column] for column in columns}
        self._dtype = np.dtype(found.form.dtype)
        self._groups = found.groups
        self._edges = np.cumsum([0, *(len(group.rows) for group in found.groups)])
        self._there: dict[torch.device, dict[str, Tensor]] = {}
        self.pool_rows = max(1, pool_bytes // (sum(self._sizes.values()) * self._dtype.itemsize))
        """Images in a pool at most."""

    @classmethod
    def open(
        cls,
        folder: Path,
        manifest: pd.DataFrame,
        split: str | None,
        columns: Sequence[Column] = ("x",),
        pool_bytes: int = POOL_BYTES,
    ) -> "EmbeddingBlocks":
        """Look through the shards of a folder, without reading a vector.

        Args:
            folder: shards with the columns image_id and x, and perhaps spatial.
            manifest: image_id and split of every image that the shards hold, and of no other.
            split: whose images are wanted; None for all.
            columns: what batches hold.
            pool_bytes: size of the vectors that are shuffled at a time, in the precision in which
                they are stored. It decides the order (see the module) and, twice, the memory.

        Raises:
            FileNotFoundError: the folder holds no shards.
            ValueError: a shard is damaged, lacks a column or is of another format than the first,
                images of shards and manifest are not the same, or none is of the split.
        """
        return cls(row_groups.find(folder, manifest, split, columns), columns, pool_bytes)

    @property
    def rows(self) -> int:
        """Number of images, n."""
        return len(self.manifest_rows)

    def batches(
        self,
        batch_size: int,
        fraction: float,
        seed: int,
        epoch: int,
        rank: int = 0,
        world: int = 1,
        device: torch.device = CPU,
    ) -> Iterator[Batch]:
        """One epoch, in the order that the module describes.

        Every rank yields the same number of batches. The last one holds what remains: where
        `world` does not divide it, the first ranks get one image more than the last, which may get
        none at all.

        Args:
            batch_size: images in a batch over all ranks.
            fraction: share of the images in (0, 1], rounded to a count of at least 1.
            seed: of the order.
            epoch: likewise; every epoch has another order.
            rank: which share: images rank, rank + world, … of each batch.
            world: number of ranks.
            device: where the batches are wanted.

        Raises:
            ValueError: fraction is not in (0, 1], or world does not divide batch_size; while
                iterating, a shard is damaged.
        """
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction is {fraction}: it must be above 0 and at most 1")
        if batch_size < 1 or batch_size % world:
            raise ValueError(
                f"batch_size is {batch_size}: {world} devices cannot share it equally; make it a "
                "multiple of their number"
            )
        if not 0 <= rank < world:
            raise ValueError(f"rank is {rank}: it must be from 0 to {world - 1}")
        pools = self._order(fraction, seed, epoch)
        count = sum(map(len, pools))
        wholes = [min(batch_size, count - at) for at in range(0, count, batch_size)]
        own = [len(range(rank, whole, world)) for whole in wholes]
        place = np.arange(count)
        taken = np.split(place % world == rank, np.cumsum([len(pool) for pool in pools])[:-1])
        parts = [pool[which] for pool, which in zip(pools, taken, strict=True)]
        if self._fits_on(device):
            return self._dealt_there(np.concatenate(parts), own, wholes, device)
        batches = self._from_pools(parts, own, wholes)
        return batches if device.type == "cpu" else _brought(batches, device)

    def _from_pools(
        self, parts: Sequence[np.ndarray], own: Sequence[int], wholes: Sequence[int]
    ) -> Iterator[Batch]:
        if self._fits:
            held = map(self._read, np.split(np.concatenate(parts), np.cumsum(own)[:-1]))
            return self._dealt(iter(held), own, wholes)
        return self._dealt(self._ahead([rows for rows in parts if len(rows)]), own, wholes)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """All images in the order of the shards, at most batch_size at a time."""
        for vectors in self._by_blocks():
            for at in range(0, _length(vectors), batch_size):
                part = _slice(vectors, at, batch_size)
                yield self._batch([part], _length(part))

    def mean_and_scale(
        self, tokens: Literal["x", "spatial", "both"] = "x"
    ) -> tuple[Float[Tensor, " d"], float]:
        """Mean of the tokens, in float64, and the root mean square distance of a token to it.

        Exact, in one pass: means and sums of squares of parts are joined (Chan, Golub and LeVeque
        1983).

        Args:
            tokens: class tokens, spatial tokens, or both, each token counted once.

        Raises:
            ValueError: the column was not opened, or holds a number that is not finite.
        """
        columns = ["x", "spatial"] if tokens == "both" else [tokens]
        if missing := set(columns) - set(self._sizes):
            raise ValueError(f"columns {sorted(missing)} were not opened")
        mean = torch.zeros(self.width, dtype=torch.float64)
        squares, count = 0.0, 0
        for vectors in self._by_blocks():
            for part in (part for name in columns for part in _parts(vectors[name], self.width)):
                here = part.mean(dim=0)
                way = here - mean
                share = len(part) / (count + len(part))
                squares += float((part - here).square().sum() + way.square().sum() * count * share)
                mean += way * share
                count += len(part)
        if not np.isfinite(squares):
            raise ValueError(f"{self._groups[0].path.parent} holds numbers that are not finite")
        return mean, float(np.sqrt(squares / count))

    def _order(self, fraction: float, seed: int, epoch: int) -> list[np.ndarray]:
        """The images of each pool, in the order in which they are used."""
        rng = np.random.default_rng([seed, epoch])
        count = max(1, round(fraction * self.rows))
        drawn = np.sort(rng.permutation(self.rows)[:count])
        pools = -(-count // self.pool_rows)
        if pools > 1:
            parts = np.split(drawn, np.searchsorted(drawn, self._edges[1:-1]))
            drawn = np.concatenate([parts[block] for block in rng.permutation(len(parts))])
        return [rng.permutation(pool) for pool in np.array_split(drawn, pools)]

    def _ahead(self, pools: Sequence[np.ndarray]) -> Iterator[Vectors]:
        """Pools one after the other; while one is in use, the next one is read."""
        if not pools:
            return
        with ThreadPoolExecutor(1) as reader:
            following = reader.submit(self._read, pools[0])
            for rows in pools[1:]:
                ready = following.result()
                following = reader.submit(self._read, rows)
                yield ready
            yield following.result()

    def _dealt(
        self, held: Iterator[Vectors], own: Iterable[int], wholes: Iterable[int]
    ) -> Iterator[Batch]:
        """Batches of `own` images each, out of pools whose ends need not fall on theirs."""
        nothing = pool = self._read(np.arange(0))
        at = 0
        for missing, whole in zip(own, wholes, strict=True):
            parts = [] if missing else [nothing]
            while missing:
                if at == _length(pool):
                    # Copied and let go, for the pool after the next one is read from here on.
                    parts = [{name: part[name].copy() for name in part} for part in parts]
                    pool = nothing
                    pool, at = next(held), 0
                parts.append(_slice(pool, at, missing))
                at += _length(parts[-1])
                missing -= _length(parts[-1])
            yield self._batch(parts, whole)

    def _batch(self, parts: Sequence[Vectors], images: int) -> Batch:
        # Copies, so that no batch keeps a pool alive.
        joined = {
            name: torch.from_numpy(np.concatenate([part[name] for part in parts]))
            for name in self._sizes
        }
        return self._as_batch(joined, images)

    def _as_batch(self, stored: dict[str, Tensor], images: int) -> Batch:
        found = {name: values.float() for name, values in stored.items()}
        spatial = found.get("spatial")
        if spatial is not None:
            spatial = spatial.unflatten(1, (self.tokens, self.width))
        return Batch(found.get("x"), spatial, images)

    def _fits_on(self, device: torch.device) -> bool:
        """Whether all images of the split are, or can be, kept on a device with the training."""
        if device in self._there or device.type != "cuda":
            return device in self._there
        size = self.rows * sum(self._sizes.values()) * self._dtype.itemsize
        return size <= SHARE * torch.cuda.mem_get_info(device)[0]

    def hold(self, device: torch.device) -> dict[str, Tensor]:
        """All images of the split on a device, in the order of the shards, from now on."""
        if device not in self._there:
            held = {
                name: torch.empty(
                    (self.rows, size), dtype=getattr(torch, self._dtype.name), device=device
                )
                for name, size in self._sizes.items()
            }
            for first, vectors in zip(self._edges[:-1], self._by_blocks(), strict=True):
                for name, values in vectors.items():
                    held[name][first : first + len(values)] = torch.from_numpy(values).to(device)
            self._there[device] = held
        return self._there[device]

    def _dealt_there(
        self, rows: np.ndarray, own: Sequence[int], wholes: Sequence[int], device: torch.device
    ) -> Iterator[Batch]:
        held = self.hold(device)
        # The epoch's order at once: a batch then waits for no copy.
        order = torch.from_numpy(rows).to(device)
        for part, whole in zip(order.split(list(own)), wholes, strict=True):
            yield self._as_batch({name: values[part] for name, values in held.items()}, whole)

    @property
    def _fits(self) -> bool:
        return self.rows <= self.pool_rows

    @cached_property
    def _kept(self) -> Vectors:
        return self._read_blocks(np.arange(self.rows))

    def _by_blocks(self) -> Iterator[Vectors]:
        for first, end in pairwise(self._edges):
            yield self._read(np.arange(first, end))

    def _read(self, rows: np.ndarray) -> Vectors:
        """Vectors of some images, in their order."""
        if self._fits:
            return {name: values[rows] for name, values in self._kept.items()}
        return self._read_blocks(rows)

    def _read_blocks(self, rows: np.ndarray) -> Vectors:
        out = {name: np.empty((len(rows), size), self._dtype) for name, size in self._sizes.items()}
        order = np.argsort(rows)
        cuts = np.searchsorted(rows[order], self._edges)
        for group, first, (begin, end) in zip(
            self._groups, self._edges[:-1], pairwise(cuts), strict=True
        ):
            places = order[begin:end]
            if len(places):
                wanted = group.rows[rows[places] - first]
                for name, values in row_groups.read(group, list(self._sizes)).items():
                    out[name][places] = values[wanted]
        return out


def _parts(values: np.ndarray, width: int) -> Iterator[Float[Tensor, "b d"]]:
    for part in torch.from_numpy(values).reshape(-1, width).split(ROWS):
        yield part.double()


def _brought(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Batches on a device; while one is in use, a thread makes the next one."""
    cuda = device.type == "cuda"

    def there(values: Tensor | None) -> Tensor | None:
        if values is None:
            return None
        return (values.pin_memory() if cuda else values).to(device, non_blocking=cuda)

    with ThreadPoolExecutor(1) as maker:
        following = maker.submit(next, batches, None)
        while (batch := following.result()) is not None:
            following = maker.submit(next, batches, None)
            yield Batch(there(batch.x), there(batch.spatial), batch.images)


def _length(vectors: Vectors) -> int:
    return len(next(iter(vectors.values())))


def _slice(vectors: Vectors, first: int, count: int) -> Vectors:
    return {name: values[first : first + count] for name, values in vectors.items()}
