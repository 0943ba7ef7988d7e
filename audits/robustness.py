"""Stage `robustness`: how well a class is told from its distractors, by prompt form.

For each finding the validation images of other classes on which its component fires strongly are
its distractors; a dataset may bring distractor sets of its own (Spurious ImageNet). Spurious AUC is
the AUROC of the class's own validation images against them, valid AUC against all other images
(paper, Sec. 5.3).
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from audits.inputs import Inputs, load_inputs
from pipeline import layout
from pipeline.attribution import cosine_outputs, project, unit
from pipeline.config import RobustnessConfig
from pipeline.stage import begin
from pipeline.store import read_json, read_table, write_json, write_table

REGULARISATION = (1.0, 10.0, 100.0)
"""Inverse strengths C that cross-validation chooses from."""

READY_MADE = "ready_made"
"""Mode of the distractor sets that a dataset brings."""

COLUMNS = ["finding_id", "mode", "form", "distractors", "spurious_auc", "valid_auc"]


def strong_activation(activation: np.ndarray) -> float:
    """The activation from which on a component fires strongly.

    The lower quartile over those of its finding's train images [r] on which it is active.
    """
    return float(np.quantile(activation[activation > 0], 0.25))


def component_activation(inputs: Inputs, component: int) -> np.ndarray:
    """Activation [n] of one component, 0 where it is off."""
    hit = inputs.codes.component == component
    return (inputs.codes.activation * hit).amax(dim=1).numpy()


def aucs(scores: np.ndarray, own: np.ndarray, distractors: np.ndarray) -> tuple[float, float]:
    """Spurious and valid AUC of a class.

    Args:
        scores: score [v] of each validation image for the class.
        own: mask [v] of the class's images.
        distractors: mask [v] of its distractors.

    Returns:
        AUROC of own images against distractors, and against all images that are neither.
        1 is perfect, 0.5 is chance, below that distractors score higher.

    Raises:
        ValueError: one of the three sets is empty.
    """
    rest = ~own & ~distractors
    if not (own.any() and distractors.any() and rest.any()):
        raise ValueError(
            f"{own.sum()} own images, {distractors.sum()} distractors, {rest.sum()} others: "
            "an AUROC needs at least one of each"
        )

    def against(negatives: np.ndarray) -> float:
        chosen = own | negatives
        return float(roc_auc_score(own[chosen], scores[chosen]))

    return against(distractors), against(rest)


def linear_scores(
    z: Float[Tensor, "n p"],
    labels: np.ndarray,
    held_out: Float[Tensor, "v p"],
    folds: int,
    seed: int,
) -> tuple[np.ndarray, list[str]]:
    """Scores [v, c] of a logistic regression on unit embeddings, and the classes of its columns.

    Its regularisation is the one of REGULARISATION with the best cross-validated accuracy, the
    first of equals.
    """
    model = LogisticRegressionCV(
        Cs=REGULARISATION,
        cv=StratifiedKFold(folds, shuffle=True, random_state=seed),
        scoring="accuracy",
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
        max_iter=500,
    ).fit(z.double().numpy(), labels)
    scores = model.decision_function(held_out.double().numpy())
    if scores.ndim == 1:
        scores = np.stack([-scores, scores], axis=1)
    return scores, [str(label) for label in model.classes_]


def labelled(inputs: Inputs, split: str) -> Tensor:
    """Mask [n] of the images of a split whose class is known."""
    return inputs.split(split) & (inputs.class_index >= 0)


def form_scores(
    inputs: Inputs, rows: Int[Tensor, " v"], config: RobustnessConfig, seed: int
) -> dict[str, np.ndarray]:
    """Scores [v, c] of some images, by prompt form and of the linear classifier.

    A class without train images has −inf in the linear classifier's scores.
    """
    x = inputs.x[rows]
    scores = {form: cosine_outputs(x, t, inputs.head).numpy() for form, t in inputs.texts.items()}
    known = labelled(inputs, "train")
    linear, columns = linear_scores(
        unit(project(inputs.x[known], inputs.head)),
        inputs.images["label"].to_numpy()[known.numpy()],
        unit(project(x, inputs.head)),
        config.folds,
        seed,
    )
    order = {label: position for position, label in enumerate(inputs.classes["label"])}
    wide = np.full((linear.shape[0], len(order)), -np.inf)
    wide[:, [order[label] for label in columns]] = linear
    return {**scores, "linear": wide}


def accuracy(scores: np.ndarray, classes: np.ndarray) -> float:
    """Fraction of images [v] whose own class has the best score of all classes [v, c]."""
    return float((scores.argmax(axis=1) == classes).mean())


def robustness(
    inputs: Inputs,
    scores: dict[str, np.ndarray],
    findings: pd.DataFrame,
    finding_images: dict[str, list[str]],
    config: RobustnessConfig,
) -> pd.DataFrame:
    """Spurious and valid AUC of every finding in every form of scores, columns as in COLUMNS.

    Left out are findings with fewer than min_images distractors among the validation images, of a
    class without validation images, and those whose distractors are all images of other classes.
    """
    val = labelled(inputs, "val").numpy()
    rows_of = pd.Series(np.arange(len(inputs.images)), index=inputs.images["image_id"])
    positions = {label: index for index, label in enumerate(inputs.classes["label"])}
    table = []
    for finding in findings.to_dict("records"):
        position = positions[finding["class"]]
        activation = component_activation(inputs, finding["component"])
        strong = strong_activation(activation[rows_of[finding_images[finding["finding_id"]]]])
        own = inputs.class_index.numpy()[val] == position
        distractors = ~own & (activation[val] >= strong)
        if distractors.sum() < config.min_images or not own.any() or (own | distractors).all():
            continue
        for form, values in scores.items():
            spurious, valid = aucs(values[:, position], own, distractors)
            table.append(
                {
                    "finding_id": finding["finding_id"],
                    "mode": finding["mode"],
                    "form": form,
                    "distractors": int(distractors.sum()),
                    "spurious_auc": spurious,
                    "valid_auc": valid,
                }
            )
    return pd.DataFrame(table, columns=COLUMNS)


def ready_made(
    inputs: Inputs,
    scores: dict[str, np.ndarray],
    distractors: pd.DataFrame,
    distractor_scores: dict[str, np.ndarray],
    config: RobustnessConfig,
) -> pd.DataFrame:
    """Spurious and valid AUC of the dataset's own distractor sets, columns as in COLUMNS.

    The finding_id is the set's name, the mode READY_MADE. Left out are sets of fewer than
    min_images, and those of a class without validation images.

    Args:
        inputs: the audit's artifacts.
        scores: of the labelled validation images.
        distractors: columns label and set, one row an image.
        distractor_scores: of these images.
        config: the section of params.yaml.
    """
    classes = inputs.class_index[labelled(inputs, "val")].numpy()
    positions = {label: index for index, label in enumerate(inputs.classes["label"])}
    table = []
    for (label, name), rows in distractors.groupby(["label", "set"]):
        position = positions.get(label, -1)
        own = classes == position
        if len(rows) < config.min_images or not own.any() or own.all():
            continue
        mask = np.concatenate([np.zeros(len(own), bool), np.ones(len(rows), bool)])
        for form, values in scores.items():
            column = np.concatenate(
                [values[:, position], distractor_scores[form][rows.index, position]]
            )
            spurious, valid = aucs(column, np.append(own, np.zeros(len(rows), bool)), mask)
            entry = (name, READY_MADE, form, len(rows), spurious, valid)
            table.append(dict(zip(COLUMNS, entry, strict=True)))
    return pd.DataFrame(table, columns=COLUMNS)


def read_distractors(folder: Path, image_ids: pd.Series) -> pd.DataFrame:
    """A manifest's `distractors.csv` with the row of each image; empty where it has none."""
    path = folder / "distractors.csv"
    if not path.exists():
        return pd.DataFrame({"label": [], "set": [], "row": np.array([], dtype=np.int64)})
    table = read_table(path)
    rows = pd.Index(image_ids).get_indexer(table["image_id"])
    if (rows < 0).any():
        missing = table["image_id"][rows < 0].iloc[0]
        raise ValueError(f"{path} lists {missing}, which has no embedding: run `dvc repro`")
    return table.assign(row=rows)


def summary(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Means and standard errors over findings, for each form.

    A standard error over a single finding is left out, since it is undefined.
    """
    result: dict[str, dict[str, float]] = {}
    for form, rows in table.groupby("form", sort=False):
        entry = {}
        for key in ("spurious", "valid"):
            values = rows[f"{key}_auc"].to_numpy(dtype=float)
            entry[f"{key}_auc"] = float(values.mean())
            if len(values) > 1:
                entry[f"{key}_sem"] = float(values.std(ddof=1) / np.sqrt(len(values)))
        result[str(form)] = entry
    return result


def main() -> None:
    """Measure an audit's robustness against the distractors of its findings."""
    name, params = begin(__doc__)
    folder = layout.audit(name, "failures")
    evidence = read_json(folder / "evidence.json")
    inputs = load_inputs(params, name)
    config = params.audit(name).robustness
    manifest = layout.manifest(params.audit(name).dataset)
    own = read_distractors(manifest, inputs.images["image_id"])
    val = torch.nonzero(labelled(inputs, "val")).flatten()
    rows = torch.cat([val, torch.from_numpy(own["row"].to_numpy())])
    every = form_scores(inputs, rows, config, params.seed)
    scores = {form: values[: len(val)] for form, values in every.items()}
    theirs = {form: values[len(val) :] for form, values in every.items()}
    table = robustness(
        inputs,
        scores,
        read_table(folder / "findings.csv"),
        {finding_id: found["images"] for finding_id, found in evidence.items()},
        config,
    )
    sets = ready_made(inputs, scores, own, theirs, config)
    classes = inputs.class_index[val].numpy()
    metrics: dict[str, object] = {**summary(table)}
    metrics["by_mode"] = {
        str(mode): summary(part) for found in (table, sets) for mode, part in found.groupby("mode")
    }
    metrics["findings"] = int(table["finding_id"].nunique())
    write_table(layout.audit(name, "robustness") / "findings.csv", pd.concat([table, sets]))
    write_json(
        layout.audit(name, "robustness") / "metrics.json",
        {
            "robustness": metrics,
            "accuracy": {form: accuracy(values, classes) for form, values in scores.items()},
        },
    )


if __name__ == "__main__":
    main()
