"""Distractors: images of other classes that a finding is about."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.sparse import csc_array, csr_array, vstack

from pipeline.artifacts.store import read_table
from pipeline.attribution.relevance import Codes

READY_MADE = "ready_made"
"""Mode of the distractor sets that a dataset brings."""


class Distractors(NamedTuple):
    """Images that look like a class to the model, and are not of it."""

    finding_id: str
    """Of the finding, or the name of a set that the dataset brings."""
    mode: str
    position: int
    """Class, as a row of Inputs.classes; −1 where the dataset lacks it."""
    rows: np.ndarray
    """Images, as rows of Inputs.images."""


def component_columns(parts: Iterable[Codes], components: Sequence[int], m: int) -> csc_array:
    """Activations of some components as sparse columns [n, len(components)], all taken at once.

    Args:
        parts: codes of all images, each component once an image; one part is held at a time.
        components: which, in the order of the columns.
        m: number of components there are.
    """
    found = []
    for codes in parts:
        component, activation = codes.component.numpy(), codes.activation.numpy()
        n, k = component.shape
        starts = np.arange(0, n * k + 1, k)
        table = csr_array((activation.reshape(-1), component.reshape(-1), starts), shape=(n, m))
        found.append(table[:, list(components)])
        found[-1].eliminate_zeros()  # empty slots
    columns: csc_array = vstack(found, format="csc")
    return columns


def strong_activation(activation: np.ndarray) -> float:
    """The activation from which on a component fires strongly.

    The lower quartile over those of its finding's train images [r] on which it is active.

    Raises:
        ValueError: it is active on none.
    """
    active = activation[activation > 0]
    if not len(active):
        raise ValueError("the component is active on none of its finding's images")
    return float(np.quantile(active, 0.25))


def finding_distractors(
    findings: pd.DataFrame,
    images: Mapping[str, np.ndarray],
    columns: csc_array,
    positions: Mapping[str, int],
    candidates: np.ndarray,
    class_index: np.ndarray,
) -> list[Distractors]:
    """Distractors of findings: candidates of other classes on which the component fires strongly.

    Which images they are is decided by the component's activation, never by a model's output or by
    whether the finding was confirmed: candidates took part in confirming it, and the AUC is not to
    profit from that.

    Args:
        findings: columns finding_id, class, component and mode.
        images: finding_id → the images it was found on, as rows.
        columns: activations [n, f] of the findings' components, in their order.
        positions: label → row of Inputs.classes.
        candidates: mask [n] of the images to choose from.
        class_index: class of each image [n].

    Raises:
        ValueError: a finding's component is active on none of its images.
    """
    found = []
    for column, finding in enumerate(findings.to_dict("records")):
        finding_id, position = finding["finding_id"], positions[finding["class"]]
        part = slice(columns.indptr[column], columns.indptr[column + 1])
        rows, activation = columns.indices[part], columns.data[part]
        try:
            strong = strong_activation(activation[np.isin(rows, images[finding_id])])
        except ValueError as error:
            raise ValueError(
                f"finding {finding_id}: {error}; run `dvc repro` to bring codes and findings "
                "together"
            ) from error
        chosen = rows[activation >= strong]
        chosen = chosen[candidates[chosen] & (class_index[chosen] != position)]
        found.append(Distractors(finding_id, finding["mode"], position, np.sort(chosen)))
    return found


def sets_table(
    sets: Sequence[Distractors], image_ids: pd.Series, classes: pd.Series, min_images: int
) -> pa.Table:
    """Sets of at least `min_images` images by the names of what they hold, for other audits of the
    dataset: columns finding_id, mode, class (a label) and image_ids.

    Args:
        sets: of classes that the dataset has.
        image_ids: of all images.
        classes: labels in the order of Inputs.classes.
        min_images: fewer are left out.
    """
    kept = [found for found in sets if len(found.rows) >= min_images]
    columns = {
        "finding_id": [found.finding_id for found in kept],
        "mode": [found.mode for found in kept],
        "class": [classes.iloc[found.position] for found in kept],
    }
    ids = [sorted(image_ids.iloc[found.rows]) for found in kept]
    table = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    return pa.table(table | {"image_ids": pa.array(ids, pa.list_(pa.string()))})


def read_ready_made(folder: Path, image_ids: pd.Series, classes: pd.Series) -> list[Distractors]:
    """Distractor sets of a manifest's `distractors.csv`.

    Args:
        folder: of the manifest.
        image_ids: of all images.
        classes: labels in the order of Inputs.classes.

    Raises:
        ValueError: it lists an image that has no embedding.
    """
    path = folder / "distractors.csv"
    table = read_table(path)
    table["row"] = pd.Index(image_ids).get_indexer(table["image_id"])
    table["position"] = pd.Index(classes).get_indexer(table["label"])
    if (table["row"] < 0).any():
        missing = table["image_id"][table["row"] < 0].iloc[0]
        raise ValueError(f"{path} lists {missing}, which has no embedding: run `dvc repro`")
    return [
        Distractors(
            str(name), READY_MADE, int(rows["position"].iloc[0]), np.sort(rows["row"].to_numpy())
        )
        for (_, name), rows in table.groupby(["position", "set"])
    ]
