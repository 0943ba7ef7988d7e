"""Halves of the train images that further seeds learn from."""

import numpy as np
import pandas as pd

from pipeline.artifacts.gaps import DoesNotApply


def half(images: pd.DataFrame, seed: int, number: int) -> np.ndarray:
    """Mask [n] of the train images that a further seed learns from.

    Further seeds come in pairs: 1 and 2 learn from the two halves of one random split of the train
    groups, 3 and 4 from those of another, and so on. Those of a pair share no image and no group.

    Args:
        images: the manifest's columns split and group_id.
        seed: of the splits.
        number: of the further seed, from 1 on.

    Raises:
        DoesNotApply: the train images are of fewer than 2 groups.
    """
    train = (images["split"] == "train").to_numpy(dtype=bool)
    group, groups = pd.factorize(images["group_id"].where(train), sort=True)
    if len(groups) < 2:
        raise DoesNotApply(
            f"the train images are of {len(groups)} groups, and two halves take 2 at least"
        )
    order = np.random.default_rng([seed, (number - 1) // 2]).permutation(len(groups))
    return train & (order[group] % 2 == (number - 1) % 2)


def apart(a: int, b: int) -> bool:
    """Whether two seeds, by number, share no image: 0 is the audit's own, which has all."""
    return min(a, b) > 0 and a != b and (a - 1) // 2 == (b - 1) // 2
