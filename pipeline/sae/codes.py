"""Shards of sparse codes: the active components of each image."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from pipeline.artifacts.store import shards
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


def read_codes(folder: Path, k: int) -> tuple[np.ndarray, Codes]:
    """Image ids [n] and codes [n, k] of a folder; one shard more is held meanwhile.

    Args:
        folder: of shards as `codes_table` makes them.
        k: most components that an image can have active; with fewer, the last slots are empty.

    Raises:
        FileNotFoundError: the folder holds no shards.
        ValueError: an image has more.
    """
    paths = shards(folder)
    n = sum(pq.read_metadata(path).num_rows for path in paths)
    component, activation = np.zeros((n, k), np.int32), np.zeros((n, k), np.float32)
    ids, end = [], 0
    for path in paths:
        table = pq.read_table(path).combine_chunks()
        components = table.column("component").combine_chunks()
        offsets = components.offsets.to_numpy()
        lengths = np.diff(offsets)
        if lengths.max(initial=0) > k:
            raise ValueError(
                f"{path}: an image has {lengths.max()} active components, more than {k}"
            )
        rows = end + np.repeat(np.arange(len(table)), lengths)
        slots = np.arange(len(rows)) - np.repeat(offsets[:-1] - offsets[0], lengths)
        component[rows, slots] = components.values.to_numpy()
        strengths = table.column("activation").combine_chunks()
        activation[rows, slots] = strengths.values.to_numpy()
        ids.append(table.column("image_id").to_numpy(zero_copy_only=False))
        end += len(table)
    codes = Codes(torch.from_numpy(component), torch.from_numpy(activation))
    return np.concatenate(ids), codes
