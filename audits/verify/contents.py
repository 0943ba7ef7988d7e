"""How far the contents of two files of an artifact are apart, by what is in them."""

import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from audits.history.parquet import parquet_of
from pipeline.artifacts.store import TEXTS

__all__ = ["SHOWN", "Apart", "apart"]

SHOWN = (".html", ".md", ".svg")
"""Suffixes of pages: they show what other files hold, rounded."""


class Apart(NamedTuple):
    """A column, tensor or value that is not the same in two files."""

    what: str
    by: float | None
    """Largest difference as a share of the largest number; None where no number says how far."""
    said: str
    """How it differs, in words."""


def apart(name: str, before: bytes, now: bytes) -> list[Apart]:
    """What differs between two files of one name; nothing where only their layout does.

    Tables (Parquet, CSV) are compared by column, safetensors by tensor, JSON by value, and all else
    as bytes.
    """
    if before == now:
        return []
    suffix = f".{name.rpartition('.')[2]}"
    if suffix == ".parquet":
        return list(_tables(*(parquet_of(one) for one in (before, now))))
    if suffix == ".csv":
        frames = (_frame(one) for one in (before, now))
        return list(_tables(*(pa.Table.from_pandas(one, preserve_index=False) for one in frames)))
    if suffix == ".safetensors":
        return list(_tensors(before, now))
    if suffix == ".json":
        return list(_values(json.loads(before), json.loads(now), ""))
    return [Apart("", None, f"{len(before)} bytes, and {len(now)} now")]


def _frame(content: bytes) -> pd.DataFrame:
    """A CSV file, in which only an empty cell is missing: "NA" may be a word."""
    return pd.read_csv(io.BytesIO(content), dtype=TEXTS, keep_default_na=False, na_values=[""])


def _tables(before: pa.Table, now: pa.Table) -> Iterator[Apart]:
    names = [before.column_names, now.column_names]
    if set(names[0]) != set(names[1]):
        lost = sorted(set(names[0]) - set(names[1]))
        new = sorted(set(names[1]) - set(names[0]))
        yield Apart("columns", None, f"without {lost}, with {new}")
    if len(before) != len(now):
        yield Apart("rows", None, f"{len(before)}, and {len(now)} now")
        return
    for name in names[0]:
        if name in names[1]:
            yield from _columns(f"column {name}", before[name], now[name])


def _columns(what: str, before: pa.ChunkedArray, now: pa.ChunkedArray) -> Iterator[Apart]:
    a, b = (one.combine_chunks() for one in (before, now))
    while all(pa.types.is_list(one.type) or pa.types.is_large_list(one.type) for one in (a, b)):
        if not a.value_lengths().equals(b.value_lengths()):
            yield Apart(what, None, "lists of other lengths")
            return
        a, b = a.flatten(), b.flatten()
    if all(pa.types.is_fixed_size_list(one.type) for one in (a, b)):
        a, b = a.flatten(), b.flatten()
    yield from _arrays(what, a.to_numpy(zero_copy_only=False), b.to_numpy(zero_copy_only=False))


def _tensors(before: bytes, now: bytes) -> Iterator[Apart]:
    # Imported late: a second that other files do without.
    from safetensors.torch import load

    tensors = load(before), load(now)
    for name in sorted(tensors[0].keys() | tensors[1].keys()):
        if not all(name in one for one in tensors):
            yield Apart(f"tensor {name}", None, "is in one of them only")
            continue
        a, b = (one[name].double().numpy() for one in tensors)
        if a.shape != b.shape:
            yield Apart(f"tensor {name}", None, f"{list(a.shape)}, and {list(b.shape)} now")
        else:
            yield from _arrays(f"tensor {name}", a.ravel(), b.ravel())


def _values(before: Any, now: Any, path: str) -> Iterator[Apart]:
    """Leaves of two JSON trees that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            below = f"{path}.{key}".removeprefix(".")
            yield from _values(before.get(key), now.get(key), below)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (a, b) in enumerate(zip(before, now, strict=True)):
            yield from _values(a, b, f"{path}[{number}]")
    elif before != now:
        numbers = all(isinstance(one, int | float) for one in (before, now))
        by = _share(abs(now - before), max(abs(before), abs(now))) if numbers else None
        yield Apart(path, by, f"{_short(before)}, and {_short(now)} now")


def _arrays(what: str, before: np.ndarray, now: np.ndarray) -> Iterator[Apart]:
    """Two arrays of one length, by their largest difference."""
    if not all(one.dtype.kind in "fiub" for one in (before, now)):
        old, new = pd.Series(before), pd.Series(now)
        # What is missing is unequal to itself.
        both = old.isna() & new.isna()
        only = old.isna() ^ new.isna()
        other = int((only | ((old.astype(str) != new.astype(str)) & ~both)).sum())
        if other:
            yield Apart(what, None, f"{other} of {len(before)} differ")
        return
    a, b = before.astype(np.float64), now.astype(np.float64)
    missing = int((np.isnan(a) != np.isnan(b)).sum())
    if missing:
        yield Apart(what, None, f"{missing} of {len(a)} are missing in one of them")
        return
    differ = (a != b) & ~np.isnan(a)
    if differ.any():
        largest = float(np.abs(a - b)[differ].max())
        scale = float(np.nanmax(np.abs([a, b])))
        said = f"{int(differ.sum())} of {len(a)} differ, by {largest:.4g} at most of {scale:.4g}"
        yield Apart(what, _share(largest, scale), said)


def _share(difference: float, scale: float) -> float:
    return difference / scale if scale else 0.0


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
