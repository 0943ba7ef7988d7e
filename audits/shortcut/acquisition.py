"""How images came about: columns of a table of the dataset's, and bands of its numbers."""

from itertools import pairwise

import numpy as np
import pandas as pd

from pipeline.artifacts.store import read_csv
from pipeline.config import AcquisitionConfig, ConfigError
from pipeline.places import Place, exists, opened

BANDS = 4


def read_acquisition(
    root: Place, config: AcquisitionConfig, ids: np.ndarray, train: np.ndarray
) -> pd.DataFrame:
    """A row for each image: the columns asked for as texts, null where unknown.

    Numbers are cut into BANDS at quantiles over the train images.

    Args:
        root: of the dataset.
        config: table and columns.
        ids: [n] of the images.
        train: [n] mask of the train images.

    Raises:
        ConfigError: the table is missing, lacks a column, or has none of the images.
    """
    path = root / config.table
    if not exists(path):
        raise ConfigError(
            f"shortcut.acquisition.table: {path} does not exist; name a CSV in the dataset's "
            "folder, or set shortcut.acquisition to null"
        )
    with opened(path, "on") as file:
        table = read_csv(file, ids=config.image)
    missing = [name for name in (config.image, *config.columns) if name not in table]
    if missing:
        raise ConfigError(
            f"shortcut.acquisition: {path} has no column {missing}, but {list(table.columns)}"
        )
    rows = table.drop_duplicates(config.image).set_index(config.image, drop=False)
    found = rows.reindex(ids)
    if not rows.index.isin(ids).any():
        raise ConfigError(
            f"shortcut.acquisition.image: the column {config.image} of {path} has none of the "
            f"dataset's image ids, such as {ids[0]!r}"
        )
    return pd.DataFrame(
        {name: _as_texts(found[name].reset_index(drop=True), train) for name in config.columns}
    )


def _as_texts(values: pd.Series, train: np.ndarray) -> pd.Series:
    if not pd.api.types.is_numeric_dtype(values):
        return values.astype("string")
    edges = np.unique(values[train].dropna().quantile(np.linspace(0, 1, BANDS + 1)))
    if len(edges) < 2:
        return values.astype("string")
    inner = [-np.inf, *edges[1:-1], np.inf]
    names = [
        f"{edges[0]:g} to {edges[1]:g}",
        *(f"above {a:g} to {b:g}" for a, b in pairwise(edges[1:])),
    ]
    return pd.cut(values, inner, labels=names).astype("string")
