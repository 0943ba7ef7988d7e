"""Shards of vectors, written so that little is held and reading them back is fast."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from pipeline.artifacts.on_disk import OnDisk
from pipeline.artifacts.shards import opened, read_shard, rows_in, shards, written
from pipeline.artifacts.store import ROW_GROUP_BYTES

SPLIT = "BYTE_STREAM_SPLIT"
Whole = TypeVar("Whole", np.ndarray, OnDisk)


def vector_table(image_ids: list[str], columns: dict[str, np.ndarray]) -> pa.Table:
    """Image ids beside rows of matrices [n, d] as fixed-size lists, neither of which can be null.

    Readers need not look for nulls then, which takes as long as reading the numbers.
    """
    fields = [pa.field("image_id", pa.string())]
    arrays: list[pa.Array] = [pa.array(image_ids)]
    for name, values in columns.items():
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        element = pa.field("element", flat.type, nullable=False)
        kind = pa.list_(element, values.shape[1])
        fields.append(pa.field(name, kind, nullable=False))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=kind))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def write_vectors(
    folder: Path, number: int, tables: Iterable[pa.Table], store: UPath | None = None
) -> None:
    """Write tables of one schema as one shard, holding one row group of about 64 MB.

    Zstandard over split bytes, so that the exponents of floats are beside each other: float16 takes
    0.85 of its size and is read several times as fast as from dictionaries, Arrow's default. Each
    page has a checksum.

    Args:
        folder: of the shards.
        number: of the shard.
        tables: as `vector_table` makes them, at least one.
        store: where the shard is to lie, if not in the folder; see `shards.written`.
    """
    stream = iter(tables)
    waiting = next(stream)
    vectors = [field for field in waiting.schema if pa.types.is_fixed_size_list(field.type)]
    row_bytes = sum(
        field.type.list_size * field.type.value_type.bit_width // 8 for field in vectors
    )
    rows = max(1, ROW_GROUP_BYTES // row_bytes)
    with (
        written(folder, number, store) as temporary,
        pq.ParquetWriter(
            temporary,
            waiting.schema,
            compression="zstd",
            use_dictionary=False,
            column_encoding={f"{field.name}.list.element": SPLIT for field in vectors},
            write_page_checksum=True,
        ) as writer,
    ):
        for table in stream:
            while len(waiting) >= rows:
                writer.write_table(waiting.slice(0, rows), row_group_size=rows)
                waiting = waiting.slice(rows)
            waiting = pa.concat_tables([waiting, table])
        writer.write_table(waiting, row_group_size=rows)


class Embeddings(NamedTuple):
    """Vectors of images, in the order of the shards."""

    image_ids: np.ndarray
    """[n] strings."""
    values: np.ndarray
    """[n, d] in the precision in which they are stored, float16 or float32."""


def read_vectors(path: Path, column: str) -> Embeddings:
    """The vectors of one shard, column `x` (audited model) or `z` (labeler)."""
    table = read_shard(path, ["image_id", column])
    vectors = table.column(column).combine_chunks()
    values = vectors.values.to_numpy().reshape(len(table), vectors.type.list_size)
    return Embeddings(table.column("image_id").to_numpy(zero_copy_only=False), values)


def read_embeddings(folder: Path, column: str) -> Embeddings:
    """All vectors of a folder of shards, column `x` or `z`; one shard more is held meanwhile.

    Raises:
        FileNotFoundError: the folder holds no shards.
    """
    ids, values = _read(folder, column, np.empty)
    return Embeddings(ids, values)


def store_embeddings(folder: Path, column: str) -> tuple[np.ndarray, OnDisk]:
    """Image ids [n] and vectors [n, d] that stay on the disk; one shard is held meanwhile.

    Arguments and errors are as of `read_embeddings`.
    """
    return _read(folder, column, partial(OnDisk, folder.parent))


def _read(
    folder: Path, column: str, whole: Callable[[tuple[int, int], np.dtype], Whole]
) -> tuple[np.ndarray, Whole]:
    paths = shards(folder)
    with opened(paths[0]) as file:
        form = file.schema_arrow.field(column).type
    shape = sum(map(rows_in, paths)), form.list_size
    values = whole(shape, np.dtype(form.value_type.to_pandas_dtype()))
    ids: list[np.ndarray] = []
    end = 0
    for path in paths:
        part = read_vectors(path, column)
        values[end : end + len(part.values)] = part.values
        ids.append(part.image_ids)
        end += len(part.values)
    return np.concatenate(ids), values
