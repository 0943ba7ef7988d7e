"""Row groups of a folder of embeddings: which images each holds, and their vectors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.artifacts.shards import opened, remedy, shards

Vectors = dict[str, np.ndarray]
"""Column (`x`, `spatial`) → rows [n, d] or, flattened, [n, s·d], as stored."""
NUMPY = {"halffloat": "float16", "float": "float32"}
"""Arrow's precisions → NumPy's."""


class RowGroup(NamedTuple):
    """The images of a split in one row group of a shard."""

    path: Path
    number: int
    """Of the row group in its shard."""
    rows: np.ndarray
    """Rows of the row group that are images of the split, ascending."""


class Format(NamedTuple):
    """What all shards of a folder have in common."""

    sizes: dict[str, int]
    """Column → numbers in a row; 0 for `spatial` where there is none."""
    dtype: str
    """Precision of both columns."""


class Found(NamedTuple):
    """What a folder holds of a split."""

    groups: list[RowGroup]
    """Those with an image of the split, in order."""
    manifest_rows: np.ndarray
    """Row of the manifest of each image [n] of the split, in the order of the shards."""
    form: Format


def find(folder: Path, manifest: pd.DataFrame, split: str | None, columns: Sequence[str]) -> Found:
    """Look through the shards of a folder, without reading a vector.

    Raises:
        FileNotFoundError: the folder holds no shards.
        ValueError: a shard is damaged, lacks a column or is of another format than the first,
            images of shards and manifest are not the same, or none is of the split.
    """
    index = pd.Index(manifest["image_id"])
    of_split = np.ones(len(manifest), dtype=bool)
    if split is not None:
        of_split = (manifest["split"] == split).to_numpy(dtype=bool)
    groups: list[RowGroup] = []
    found: list[np.ndarray] = []
    forms: list[Format] = []
    for path in shards(folder):
        with _whole(path), opened(path) as file:
            forms.append(_format(path, file.schema_arrow, columns))
            ids = file.read(columns=["image_id"]).column(0).to_pandas()
            counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        if forms[-1] != forms[0]:
            raise ValueError(f"{path} holds {forms[-1]}, but the shards before it {forms[0]}")
        found.append(index.get_indexer(ids))
        if (found[-1] < 0).any():
            unknown = ids[found[-1] < 0].iloc[0]
            raise ValueError(
                f"{path} holds images that the manifest does not: {unknown!r}; run `dvc repro`"
            )
        parts = np.split(of_split[found[-1]], np.cumsum(counts)[:-1])
        groups += [RowGroup(path, i, np.flatnonzero(part)) for i, part in enumerate(parts)]
    rows = np.concatenate(found)
    _check_once(folder, manifest["image_id"], rows)
    rows = rows[of_split[rows]]
    if not len(rows):
        raise ValueError(f"{folder} holds no image of the split {split!r}")
    return Found([group for group in groups if len(group.rows)], rows, forms[0])


def read(group: RowGroup, columns: Sequence[str]) -> Vectors:
    """Vectors of all rows of a row group.

    Raises:
        ValueError: the shard is damaged; it names the file.
    """
    # Opened anew each time, for the pages of a mapped file count as memory until it is closed.
    with _whole(group.path), opened(group.path, checked=True) as file:
        table = file.read_row_group(group.number, columns=list(columns))
        lists = {name: table.column(name).combine_chunks() for name in columns}
        if any(column.values.null_count for column in lists.values()):
            raise pa.ArrowInvalid("a number is missing")
        return {
            name: column.values.to_numpy().reshape(len(table), column.type.list_size)
            for name, column in lists.items()
        }


def _format(path: Path, schema: pa.Schema, columns: Sequence[str]) -> Format:
    if "x" not in schema.names:
        raise ValueError(
            f"{path} holds {', '.join(schema.names)} and no class tokens x: the model of these "
            "embeddings can name components and not be audited; audit another"
        )
    if "spatial" in columns and "spatial" not in schema.names:
        raise ValueError(
            f"{path} holds no spatial tokens: set spatial_tokens of the audit's embeddings to "
            "how many an image is to have, and run `dvc repro`"
        )
    types = {name: schema.field(name).type for name in ("x", "spatial") if name in schema.names}
    for name in {"x", *types}:
        if not pa.types.is_fixed_size_list(types.get(name)):
            raise ValueError(f"{path}: column {name} is {types.get(name)}, not lists of fixed size")
    sizes = {"spatial": 0} | {name: kind.list_size for name, kind in types.items()}
    precisions = {str(kind.value_type) for kind in types.values()}
    if sizes["spatial"] % sizes["x"] or len(precisions) > 1:
        raise ValueError(f"{path}: spatial is {types['spatial']}, which does not go with x")
    return Format(sizes, NUMPY[precisions.pop()])


def _check_once(folder: Path, image_ids: pd.Series, rows: np.ndarray) -> None:
    counts = np.bincount(rows, minlength=len(image_ids))
    for problem, which in (("lack", counts == 0), ("repeat", counts > 1)):
        if which.any():
            image = image_ids.iloc[int(np.argmax(which))]
            raise ValueError(f"the shards of {folder} {problem} {image!r}: run `dvc repro`")


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Name the file that is damaged."""
    try:
        yield
    except (FileNotFoundError, ConnectionError):
        raise
    except (pa.ArrowException, OSError) as error:
        what = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be read: {what}; {remedy(path)}") from error
