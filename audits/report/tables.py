"""Tables of an audit with the types that a CSV cannot say, and their rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

TEXT = (
    "finding_id",
    "class",
    "component_label",
    "mode",
    "mode_source",
    "status",
    "verdict",
    "note",
    "label",
    "kind",
    "group",
    "reason",
    *("called", "remedy", "shift", "side", "column", "other_shift"),
    *("colour_statistic", "answer_shift", "acquisition_column"),
)
IDS = ("example_ids", "top_images", "finding_ids")
FLAGS = (
    *("confirmed", "review_again", "suspect", "fallen", "found"),
    *("in_range", "proven", "fragile", "recommended", "recommended_matched"),
)


def read_columns(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table with at least these columns; in a CSV, texts become text, flags bool, ids lists.

    Raises:
        ValueError: it lacks a column.
    """
    if path.suffix == ".csv":
        texts = dict.fromkeys((*TEXT, *IDS, *FLAGS), str)
        # Only an empty field is none: a class may be called "NA".
        table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    else:
        table = pq.read_table(path).to_pandas()
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"{path} lacks the columns {missing}; it has {list(table.columns)}")
    if path.suffix != ".csv":
        return table
    converted = table.copy()
    for column in converted.columns.intersection(list(TEXT)):
        converted[column] = [_text(value) for value in table[column]]
    for column in converted.columns.intersection(list(IDS)):
        converted[column] = pd.Series(
            [_ids(value) for value in table[column]], index=table.index, dtype=object
        )
    for column in converted.columns.intersection(list(FLAGS)):
        converted[column] = [_text(value).lower() in ("true", "1") for value in table[column]]
    return converted


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table, each by the names of the columns."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)


def _ids(value: object) -> list[str]:
    return _text(value).split()
