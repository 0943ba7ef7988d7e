"""A balanced logistic regression on unit embeddings, its regularisation and its threshold."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict, cross_val_score

from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import ShortcutConfig

STEPS = 2000
BINS = 10


def fit(
    features: Float[np.ndarray, "n p"],
    positive: Bool[np.ndarray, " n"],
    c: float,
    weight: Float[np.ndarray, " n"] | None = None,
) -> LogisticRegression:
    """Logistic regression in which both sides weigh the same.

    Args:
        features: of the train images.
        positive: which of them are.
        c: inverse strength of the regularisation.
        weight: of each image within its side, None for all the same.
    """
    model = LogisticRegression(C=c, class_weight="balanced", max_iter=STEPS)
    return model.fit(features, positive, sample_weight=weight)


def regularisation(
    features: Float[np.ndarray, "n p"],
    positive: Bool[np.ndarray, " n"],
    groups: np.ndarray,
    config: ShortcutConfig,
    seed: int,
) -> float:
    """The C with the best cross-validated AUROC, the strongest regularisation of equals.

    Folds are stratified by side and do not split a group.

    Raises:
        DoesNotApply: a side has fewer groups than there are folds.
    """
    for name, side in (("positive", positive), ("negative", ~positive)):
        found = len(np.unique(groups[side]))
        if found < config.folds:
            raise DoesNotApply(
                f"the {name} side has {found} groups of train images in a half of them, and "
                f"shortcut.folds asks for {config.folds}: check shortcut.positive and the splits"
            )
    folds = StratifiedGroupKFold(config.folds, shuffle=True, random_state=seed)
    rising = sorted(config.regularisation)
    model = LogisticRegression(class_weight="balanced", max_iter=STEPS)
    scores = [
        cross_val_score(
            model.set_params(C=c), features, positive, groups=groups, cv=folds, scoring="roc_auc"
        ).mean()
        for c in rising
    ]
    return rising[int(np.nanargmax(scores))]


def scores_by_others(
    features: Float[np.ndarray, "n p"],
    positive: Bool[np.ndarray, " n"],
    groups: np.ndarray,
    config: ShortcutConfig,
    seed: int,
) -> Float[np.ndarray, " n"]:
    """Log-odds of each image by a classifier that has learnt from the groups of other folds.

    Raises:
        DoesNotApply: a side has fewer groups than there are folds.
    """
    c = regularisation(features, positive, groups, config, seed)
    folds = StratifiedGroupKFold(config.folds, shuffle=True, random_state=seed)
    model = LogisticRegression(C=c, class_weight="balanced", max_iter=STEPS)
    found: Float[np.ndarray, " n"] = cross_val_predict(
        model, features, positive, groups=groups, cv=folds, method="decision_function"
    )
    return found


def threshold(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """Score above which an image is called positive so that both sides are right equally often.

    Raises:
        DoesNotApply: a side has no image.
    """
    if not positive.any() or positive.all():
        raise DoesNotApply(
            f"{positive.sum()} of {len(positive)} images are positive: a threshold needs both sides"
        )
    order = np.sort(scores)
    between = np.concatenate([[order[0] - 1], (order[1:] + order[:-1]) / 2, [order[-1] + 1]])
    missed = np.searchsorted(np.sort(scores[positive]), between, side="right") / positive.sum()
    right = np.searchsorted(np.sort(scores[~positive]), between, side="right") / (~positive).sum()
    return float(between[np.argmin(np.abs(1 - missed - right))])


def calibration(
    scores: Float[np.ndarray, "r n"], positive: Bool[np.ndarray, " n"], prior: float
) -> pd.DataFrame:
    """Predicted and observed share of positives, BINS bins of equally many images.

    The classifier is balanced, so that its log-odds are moved to the share of positives in the
    train images before they are read as probabilities.

    Args:
        scores: log-odds of each classifier.
        positive: of the images, of which as many are as of any.
        prior: share of positives among the train images.
    """
    probability = 1 / (1 + np.exp(-(scores + np.log(prior / (1 - prior)))))
    observed, predicted = calibration_curve(
        np.tile(positive, len(scores)), probability.ravel(), n_bins=BINS, strategy="quantile"
    )
    return pd.DataFrame({"predicted": predicted, "observed": observed})
