"""How well scores tell a class's images from others."""

from typing import NamedTuple

import numpy as np

from audits.auroc import auroc


class Separability(NamedTuple):
    """Two measures of one ranking."""

    auroc: float
    """Share of pairs in which the own image scores higher, a tie counting half: 1 is perfect, 0.5
    is chance, below that the others score higher."""
    average_precision: float
    """Mean over own images of the share of own images among all that score at least as high: 1 is
    perfect, the share of own images is chance, so sets of other sizes do not compare."""


def separability(own: np.ndarray, others: np.ndarray) -> Separability:
    """AUROC and average precision of own scores [o] against other scores [r].

    The same numbers as scikit-learn's roc_auc_score and average_precision_score.

    >>> separability(np.array([0.9, 0.4]), np.array([0.5, 0.1]))
    Separability(auroc=0.75, average_precision=0.8333333333333333)

    Raises:
        ValueError: one of the two is empty, or a score is NaN.
    """
    if not (len(own) and len(others)):
        raise ValueError(
            f"{len(own)} own and {len(others)} other scores: at least one of each is needed"
        )
    if np.isnan(own).any() or np.isnan(others).any():
        raise ValueError("a score is NaN: it has no rank")
    own, others = np.sort(own), np.sort(others)
    below = np.searchsorted(others, own, side="left")
    own_at_least = len(own) - np.searchsorted(own, own, side="left")
    return Separability(
        auroc=auroc(own, others),
        average_precision=float((own_at_least / (own_at_least + len(others) - below)).mean()),
    )
