"""A linear classifier on image embeddings, the baseline of prompts."""

import json
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from safetensors import safe_open
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, StratifiedKFold
from threadpoolctl import threadpool_limits

from pipeline.artifacts.gaps import DoesNotApply
from pipeline.artifacts.store import atomic
from pipeline.config import RobustnessConfig

STEPS = 1000
"""Steps of the solver at most."""
SMALL = 10**9
"""Multiplications in a step of the solver below which threads wait for one another longer than they
work: on a busy machine two take ten times the processor time of one."""
TENSORS = ("weight", "intercept", "centre")
DETAILS = "details"
"""Key of a file's metadata. All the rest is JSON below this one, since safetensors keeps several
keys in no fixed order."""


class LinearClassifier(NamedTuple):
    """A fitted logistic regression and how it came about."""

    labels: list[str]
    """Classes, in the order of the rows of `weight`."""
    weight: Float[np.ndarray, "c p"]
    intercept: Float[np.ndarray, " c"]
    centre: Float[np.ndarray, " p"]
    """Mean embedding, which is taken off before the weights."""
    c: float
    """The regularisation that was chosen, inverse strength."""
    images: int
    """Images it learned from."""
    steps: int
    """Steps the solver took; STEPS where it did not converge."""

    def scores(self, z: Float[np.ndarray, "v p"]) -> Float[np.ndarray, "v c"]:
        """Score of each image for each class: (z − centre) weightᵀ + intercept."""
        return (z - self.centre) @ self.weight.T + self.intercept


def save(path: Path, classifier: LinearClassifier) -> None:
    """Write a classifier as safetensors, its other fields as JSON in the metadata."""
    fields = classifier._asdict()
    tensors = {name: np.ascontiguousarray(fields.pop(name)) for name in TENSORS}
    with atomic(path) as temporary:
        save_file(tensors, temporary, {DETAILS: json.dumps(fields, sort_keys=True)})


def read(path: Path) -> LinearClassifier:
    """A classifier that `save` has written.

    Raises:
        FileNotFoundError: there is none.
    """
    with safe_open(path, framework="numpy") as file:
        details = json.loads(file.metadata()[DETAILS])
        return LinearClassifier(**details, **{name: file.get_tensor(name) for name in TENSORS})


def draw(images: pd.DataFrame, each: int, seed: int) -> np.ndarray:
    """Rows [r] of at most `each` images of each class, in an order that is random but the same for
    the same images in whatever order they come.

    Args:
        images: columns image_id and label, no label null.
        each: images of a class at most.
        seed: of the drawing.
    """
    in_order = np.argsort(images["image_id"].to_numpy(), kind="stable")
    drawn = np.random.default_rng(seed).permutation(in_order)
    turn = images["label"].iloc[drawn].groupby(images["label"].iloc[drawn].to_numpy()).cumcount()
    return drawn[turn.to_numpy() < each]


def fit(
    z: Float[np.ndarray, "n p"], images: pd.DataFrame, config: RobustnessConfig, seed: int
) -> LinearClassifier:
    """Logistic regression over all classes (multinomial), by lbfgs in float32.

    Regularisation is the one with the best cross-validated accuracy on at most `search_images` of
    each class, the strongest of equals; the model is then fitted once to all that is given. Folds
    are stratified by class and do not split a group of images.

    Args:
        z: unit embeddings.
        images: of the same rows: columns label and group_id. The order decides which are searched.
        config: section robustness of an audit.
        seed: of the folds.

    Raises:
        DoesNotApply: there is one class only, or too few images or groups for the folds.
    """
    labels = images["label"].to_numpy().astype(str)
    if len(np.unique(labels)) < 2:
        raise DoesNotApply(
            f"there are train images of {len(np.unique(labels))} class, and a linear classifier "
            "needs two"
        )
    # The intercept is free, so centring changes no optimum; it is what the solver starts best from.
    centre = z.mean(axis=0)
    c = _chosen(z - centre, images, config, seed)
    with _threads(z, labels):
        model = _model(c, labels).fit(z - centre, labels)
    weight, intercept = model.coef_, model.intercept_
    if len(weight) == 1:  # of two classes scikit-learn keeps the second's only
        weight, intercept = np.vstack([-weight, weight]), np.hstack([-intercept, intercept])
    found = [str(label) for label in model.classes_]
    steps = int(model.n_iter_.max())
    return LinearClassifier(found, weight, intercept, centre, c, len(z), steps)


def _threads(z: np.ndarray, labels: np.ndarray) -> AbstractContextManager[object]:
    """One thread for images so few that several would take longer; else what there are."""
    small = z.size * len(np.unique(labels)) < SMALL
    return threadpool_limits(1) if small else nullcontext()


def _model(c: float, labels: np.ndarray) -> LogisticRegression:
    # The loss's gradient is a mean over images, so that of one class's weights shrinks as classes
    # grow in number. At 1,000 classes the usual 1e-4 would be met before the first step.
    tolerance = min(1e-4, 1e-3 / len(np.unique(labels)))
    return LogisticRegression(C=c, tol=tolerance, max_iter=STEPS)


def _chosen(
    z: Float[np.ndarray, "n p"], images: pd.DataFrame, config: RobustnessConfig, seed: int
) -> float:
    """The best of the regularisations."""
    grid = sorted(config.regularisation)
    if len(grid) == 1:
        return grid[0]
    turn = images.groupby("label").cumcount().to_numpy()
    rows = np.flatnonzero(turn < config.search_images)
    labels = images["label"].to_numpy().astype(str)[rows]
    search = GridSearchCV(
        _model(1.0, labels),
        {"C": grid},
        scoring="accuracy",
        cv=folds(labels, images["group_id"].to_numpy()[rows], config.folds, seed),
        refit=False,
        error_score="raise",
    )
    with _threads(z[rows], labels):
        search.fit(z[rows], labels)
    return float(search.best_params_["C"])


def folds(
    labels: np.ndarray, groups: np.ndarray, count: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from and to test on, for each fold, stratified by label [n].

    No group [n] is on both sides. A class of fewer images or groups than folds is tested in some
    folds only.

    Raises:
        DoesNotApply: no class has as many images as there are folds, or there are fewer groups.
    """
    largest = int(np.unique(labels, return_counts=True)[1].max())
    if largest < count or len(np.unique(groups)) < count:
        raise DoesNotApply(
            f"the largest class has {largest} train images, in {len(np.unique(groups))} groups in "
            f"all: too few for {count} folds (robustness.folds in params.yaml)"
        )
    shared = len(np.unique(groups)) < len(groups)
    splitter = (StratifiedGroupKFold if shared else StratifiedKFold)(
        count, shuffle=True, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return list(splitter.split(labels, labels, groups if shared else None))
