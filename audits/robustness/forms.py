"""How well a class is told from its distractors, by prompt form (paper, Sec. 5.3)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from audits.inputs import Inputs
from audits.robustness import averages, linear
from audits.robustness.distractors import (
    READY_MADE,
    Distractors,
    component_columns,
    finding_distractors,
)
from audits.robustness.linear import LinearClassifier
from audits.robustness.separability import separability
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.attribution.head import cosine_outputs, project, unit
from pipeline.attribution.relevance import Codes, blocks
from pipeline.config import RobustnessConfig

BLOCK = 8192
"""Images whose codes are held at once."""
COLUMNS = ["finding_id", "mode", "form", "distractors"]
COLUMNS += ["spurious_auc", "valid_auc", "spurious_ap", "valid_ap"]
COLUMNS += ["distractors_taken", "others_taken"]
LEFT_OUT = ["finding_id", "reason"]
REJECT = "reject"
TIED = 1e-6
"""Scores nearer to each other than this are equal in single precision."""
SETS, CLASSIFIER = "distractors.parquet", "classifier.safetensors"
"""Files that the comparison of a dataset's audits measures from."""


def component_activation(inputs: Inputs, component: int) -> np.ndarray:
    """Activation [n] of one component, 0 where it is off."""
    found = [
        (codes.activation * (codes.component == component)).amax(dim=1) for codes in _parts(inputs)
    ]
    return torch.cat(found).numpy()


def _parts(inputs: Inputs) -> Iterator[Codes]:
    return (inputs.coded(rows) for rows in blocks(len(inputs.images), BLOCK))


def labelled(inputs: Inputs, split: str) -> Tensor:
    """Mask [n] of the images of a split whose class is known."""
    return inputs.split(split) & (inputs.class_index >= 0)


def fit_linear(inputs: Inputs, config: RobustnessConfig, seed: int) -> LinearClassifier:
    """The linear classifier of the train images, or of as many of each class as are allowed."""
    known = torch.nonzero(labelled(inputs, "train")).flatten().numpy()
    rows = known[linear.draw(inputs.images.iloc[known], config.train_images, seed)]
    z = unit(project(inputs.tokens(torch.from_numpy(rows)), inputs.head))
    return linear.fit(z.numpy(), inputs.images.iloc[rows], config, seed)


def form_scores(
    inputs: Inputs, rows: Int[Tensor, " v"], classifier: LinearClassifier | None
) -> Iterator[tuple[str, Float[np.ndarray, "v c"]]]:
    """Scores of some images for all classes, by prompt form and of the linear classifier, if any.

    One after the other, for at ImageNet's size each takes 200 MB. A class without train images has
    −inf in the linear classifier's scores.
    """
    x = inputs.tokens(rows)
    for form, t in inputs.texts.items():
        yield form, cosine_outputs(x, t, inputs.head).numpy()
    if classifier is None:
        return
    order = {label: position for position, label in enumerate(inputs.classes["label"])}
    wide = np.full((len(x), len(order)), -np.inf, dtype=np.float32)
    columns = [order[label] for label in classifier.labels]
    wide[:, columns] = classifier.scores(unit(project(x, inputs.head)).numpy())
    yield "linear", wide


def accuracy(scores: Float[np.ndarray, "v c"], classes: np.ndarray) -> float:
    """Fraction of images [v] whose own class has the best score of all classes.

    Classes that share the best score, such as two of one name, share the image: 1/2 is right.

    Raises:
        DoesNotApply: there are no images.
    """
    if not len(classes):
        raise DoesNotApply("there is no validation image with a label")
    best, shared_by = best_classes(scores)
    return float((best[np.arange(len(classes)), classes] / shared_by).mean())


def best_classes(
    scores: Float[np.ndarray, "v c"],
) -> tuple[Bool[np.ndarray, "v c"], Int[np.ndarray, " v"]]:
    """Which classes have the best score of an image, and how many do."""
    best = scores >= scores.max(axis=1, keepdims=True) - TIED
    return best, best.sum(axis=1)


def robustness(
    sets: Sequence[Distractors],
    scores: Iterable[tuple[str, Float[np.ndarray, "v c"]]],
    rows: np.ndarray,
    classes: np.ndarray,
    min_images: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Separability of each set's class from its distractors, and from all that are neither; and
    which share of either is taken for the class, its score being the best of all classes'.

    Args:
        sets: distractors, all of them among `rows`.
        scores: form, and score of each image for each class; taken once.
        rows: the images [v], as rows of Inputs.images, rising.
        classes: class of each image [v]; −1 for one that is a distractor only, never one of "all
            other images".
        min_images: distractors that a set needs.

    Returns:
        A row for each set and form with COLUMNS, and the sets left out with the reason of each,
        columns LEFT_OUT. A form that has no score for the class is left out for that set.
    """
    reasons = [_reason(found, rows, classes, min_images) for found in sets]
    left_out = [
        (found.finding_id, reason) for found, reason in zip(sets, reasons, strict=True) if reason
    ]
    table: list[list[tuple[object, ...]]] = [[] for _ in sets]
    for form, values in scores:
        best, shared_by = best_classes(values)
        for found, reason, entries in zip(sets, reasons, table, strict=True):
            if reason:
                continue
            column = values[:, found.position]
            own, distractors, rest = _sides(found, rows, classes)
            if np.isneginf(column[own]).any():
                continue
            spurious = separability(column[own], column[distractors])
            valid = separability(column[own], column[rest])
            entry = (found.finding_id, found.mode, form, len(distractors))
            aps = (spurious.average_precision, valid.average_precision)
            taken = best[:, found.position] / shared_by
            shares = (float(taken[side].mean()) for side in (distractors, rest))
            entries.append((*entry, spurious.auroc, valid.auroc, *aps, *shares))
    flat = [entry for entries in table for entry in entries]
    return pd.DataFrame(flat, columns=COLUMNS), pd.DataFrame(left_out, columns=LEFT_OUT)


def _sides(
    found: Distractors, rows: np.ndarray, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the images: mask of the class's own, places of the distractors, mask of all others."""
    own = classes == found.position
    distractors = np.searchsorted(rows, found.rows)
    rest = (classes >= 0) & ~own
    rest[distractors] = False
    return own, distractors, rest


def _reason(found: Distractors, rows: np.ndarray, classes: np.ndarray, min_images: int) -> str:
    """Why a set cannot be measured, empty where it can."""
    own, distractors, rest = _sides(found, rows, classes)
    if len(distractors) < min_images:
        return f"{len(distractors)} distractors of {min_images}"
    if found.position < 0 or not own.any():
        return "no validation image of its class"
    return "" if rest.any() else "every other image is a distractor"


def metrics(table: pd.DataFrame) -> dict[str, object]:
    """Means over findings in total and by mode, and paired differences between forms.

    In total are findings of the audit's own; READY_MADE is a mode of its own.
    """
    findings = table[table["mode"] != READY_MADE]
    return {
        **averages.summary(findings),
        "by_mode": averages.by_mode(table),
        "differences": averages.differences(table, lambda mode: mode != READY_MADE),
        "findings": int(findings["finding_id"].nunique()),
    }


def found_on(
    evidence: Mapping[str, Mapping[str, Sequence[str]]], image_ids: pd.Series
) -> dict[str, np.ndarray]:
    """Finding → its images as rows.

    Raises:
        ValueError: an image has no embedding.
    """
    index = pd.Index(image_ids)
    rows = {
        finding_id: index.get_indexer(found["images"]) for finding_id, found in evidence.items()
    }
    for finding_id, found in rows.items():
        if (found < 0).any():
            missing = evidence[finding_id]["images"][int(np.argmin(found))]
            raise ValueError(
                f"finding {finding_id} is on {missing}, which has no embedding: run `dvc repro`"
            )
    return rows


def own_sets(
    inputs: Inputs,
    findings: pd.DataFrame,
    evidence: Mapping[str, Mapping[str, Sequence[str]]],
) -> list[Distractors]:
    """Distractors among the validation images of every finding that nobody rejected."""
    kept = findings[findings["verdict"] != REJECT].reset_index(drop=True)
    return finding_distractors(
        kept,
        found_on({key: evidence[key] for key in kept["finding_id"]}, inputs.images["image_id"]),
        component_columns(_parts(inputs), kept["component"].tolist(), len(inputs.atoms)),
        {label: index for index, label in enumerate(inputs.classes["label"])},
        labelled(inputs, "val").numpy(),
        inputs.class_index.numpy(),
    )


def measured_rows(inputs: Inputs, sets: Sequence[Distractors]) -> tuple[np.ndarray, np.ndarray]:
    """Labelled validation images and distractors beside them, as rows [v], and the class of each,
    −1 for the latter."""
    val = labelled(inputs, "val").numpy()
    beside = np.zeros(len(val), dtype=bool)
    for found in sets:
        beside[found.rows] = True
    rows = np.flatnonzero(val | beside)
    return rows, np.where(val, inputs.class_index.numpy(), -1)[rows]
