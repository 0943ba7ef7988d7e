"""How much an image looks like a class: its nearest images of the class, by the audited model.

An image that the class's prompt answers and that looks as the class's own images do, say one that
is mislabelled or shows the class beside what it is labelled for, is no failure of the prompt.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.attribution.relevance import blocks

BLOCK_ROWS = 1024
"""Images compared with a class's own at once."""
LEAST_SPREAD = 1e-6
"""Likenesses nearer to each other than this are equal in single precision."""


def likeness(
    z: Float[Tensor, "r p"],
    groups: Int[Tensor, " r"],
    own: Float[Tensor, "o p"],
    own_groups: Int[Tensor, " o"],
    neighbours: int,
) -> Float[np.ndarray, " r"]:
    """Mean cosine of unit embeddings z to the nearest of a class's own images.

    Own images of an image's own group, and so an own image itself, do not count; where fewer than
    `neighbours` are left, all of them count. 1 where the neighbours are equal to the image; −inf
    where none is left (deep nearest neighbours, Sun et al. 2022).
    """
    found = np.empty(len(z))
    for rows in blocks(len(z), BLOCK_ROWS):
        cosine = (z[rows] @ own.T).masked_fill(groups[rows, None] == own_groups, -torch.inf)
        nearest = cosine.topk(min(neighbours, len(own)), dim=1).values.double()
        counted = nearest.isfinite()
        total = nearest.where(counted, 0).sum(dim=1)
        mean = total / counted.sum(dim=1)
        found[rows] = mean.nan_to_num(-torch.inf).numpy()
    return found


def unlike(
    found: Float[np.ndarray, " r"], usual: Float[np.ndarray, " o"], deviations: float
) -> Bool[np.ndarray, " r"]:
    """Images that are less like the class than its own images are to each other.

    Below the median of `usual` by more than so many deviations, a deviation being 1.4826 times the
    median absolute deviation: own images without the usual background or with another object do
    not widen it.
    """
    usual = usual[np.isfinite(usual)]
    middle = np.median(usual)
    spread = max(1.4826 * np.median(np.abs(usual - middle)), LEAST_SPREAD)
    return found < middle - deviations * spread
