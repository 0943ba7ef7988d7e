"""AUROC of many scores against as many others, ties and all."""

import numpy as np
from jaxtyping import Bool, Float


def auroc(values: Float[np.ndarray, " n"], others: Float[np.ndarray, " o"]) -> float:
    """Share of pairs in which the value is above the other, a tie counting half.

    1 where all values are above all others, 0.5 by chance. The same number as scikit-learn's
    roc_auc_score, of others that are sorted once for many values: with 50 of 50,000 that takes a
    twentieth of the time.

    Args:
        values: at least one.
        others: at least one, rising.

    >>> auroc(np.array([0.9, 0.4]), np.array([0.1, 0.5]))
    0.75
    """
    below = np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")
    return float(below.mean()) / (2 * len(others))


def auroc_of_columns(
    values: Float[np.ndarray, "n j"], positive: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " j"]:
    """AUROC of the positive rows against the others, in each column."""
    others = np.sort(values[~positive], axis=0)
    return np.array([auroc(*pair) for pair in zip(values[positive].T, others.T, strict=True)])
