"""Parquet that is not a file: what Git, DVC's cache or a remote hold of an older version."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["parquet_of"]


def parquet_of(content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """A table, or some of its columns.

    By ParquetFile: `read_table`, which scans a dataset, leaves a thread that lets go of the bytes
    when it likes, and where Python has ended by then, the process is aborted with exit code 134
    though all was right (pyarrow 25: one process in eight). Files are let go of without Python.
    """
    return pq.ParquetFile(pa.BufferReader(content)).read(columns=columns)
