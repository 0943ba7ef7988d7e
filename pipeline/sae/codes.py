"""Shards of sparse codes: the active components of each image."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from pipeline.artifacts.on_disk import OnDisk
from pipeline.artifacts.shards import read_shard, rows_in, shards
from pipeline.attribution.relevance import Codes

HALF = (2.0**-4, 65504.0)
"""Largest activations of a shard that half precision is for: a thousandth of the least is still in
full precision, and above the most there is only infinity."""


def codes_table(image_ids: np.ndarray, codes: Codes) -> pa.Table:
    """Codes as lists of the active components only, strongest first.

    Activations are in half precision, in which one too small for it counts as off; in float32 where
    the largest is out of `HALF`.
    """
    activation = codes.activation.numpy()
    low, high = HALF
    half = low <= activation.max(initial=0) <= high
    stored: np.ndarray = activation.astype(np.float16 if half else np.float32)
    active = stored > 0
    offsets = pa.array(np.concatenate([[0], active.sum(axis=1).cumsum()]), pa.int32())
    component = pa.array(codes.component.numpy()[active].astype(np.int32))
    activation = pa.array(stored[active])
    return pa.table(
        {
            "image_id": image_ids,
            "component": pa.ListArray.from_arrays(offsets, component),
            "activation": pa.ListArray.from_arrays(offsets, activation),
        }
    )


class CodeShard(NamedTuple):
    """The images of one shard."""

    image_ids: np.ndarray
    """[rows] strings."""
    codes: Codes


def code_shards(folder: Path, k: int) -> Iterator[CodeShard]:
    """Image ids and codes [rows, k] of a folder, shard by shard.

    Args:
        folder: of shards as `codes_table` makes them.
        k: most components that an image can have active; with fewer, the last slots are empty.

    Raises:
        FileNotFoundError: the folder holds no shards.
        ValueError: an image has more.
    """
    for path in shards(folder):
        table = read_shard(path)
        components = table.column("component").combine_chunks()
        offsets = components.offsets.to_numpy()
        lengths = np.diff(offsets)
        if lengths.max(initial=0) > k:
            raise ValueError(
                f"{path}: an image has {lengths.max()} active components, more than {k}"
            )
        rows = np.repeat(np.arange(len(table)), lengths)
        slots = np.arange(len(rows)) - np.repeat(offsets[:-1] - offsets[0], lengths)
        component = np.zeros((len(table), k), np.int32)
        activation = np.zeros((len(table), k), np.float32)
        component[rows, slots] = components.values.to_numpy()
        strengths = table.column("activation").combine_chunks()
        activation[rows, slots] = strengths.values.to_numpy()
        codes = Codes(torch.from_numpy(component), torch.from_numpy(activation))
        yield CodeShard(table.column("image_id").to_numpy(zero_copy_only=False), codes)


class StoredCodes(NamedTuple):
    """Codes of an audit's images, as `Codes`, that stay on the disk: int32 and float32."""

    component: OnDisk
    activation: OnDisk

    @classmethod
    def empty(cls, folder: Path, images: int, k: int) -> "StoredCodes":
        """All slots empty; see `OnDisk` for the folder and errors."""
        kinds = np.dtype(np.int32), np.dtype(np.float32)
        return cls(*(OnDisk(folder, (images, k), kind) for kind in kinds))


def read_codes(folder: Path, k: int) -> tuple[np.ndarray, StoredCodes]:
    """Image ids [n] and codes [n, k] of a folder; one shard is held meanwhile.

    Arguments and errors are as of `code_shards`.
    """
    n = sum(map(rows_in, shards(folder)))
    whole = StoredCodes.empty(folder.parent, n, k)
    ids, end = [], 0
    for part in code_shards(folder, k):
        rows = slice(end, end + len(part.image_ids))
        for held, read in zip(whole, part.codes, strict=True):
            held[rows] = read
        ids.append(part.image_ids)
        end = rows.stop
    return np.concatenate(ids), whole
