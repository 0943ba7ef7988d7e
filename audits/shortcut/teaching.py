"""What train images could teach a classifier of a shift: what goes with a side in them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool
from scipy.stats import mannwhitneyu

from audits.shortcut import classifier
from audits.shortcut.images import PLAIN, Shifted
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import STATISTICS, ShortcutConfig

LEVEL = 0.05
"""Of the test that something goes with a side, over all that is tested."""


def looks_shifted(
    shifted: Shifted, name: str, config: ShortcutConfig, seed: int
) -> Bool[np.ndarray, " n"]:
    """Which images look as if they were shifted already: no less than half of those that are.

    So it can be told who has a patch or is out of focus, of which no statistic of the pixels
    speaks. A classifier tells the embeddings of shifted images from those of the same as they are;
    each image is judged by one that has learnt from other groups.

    Args:
        shifted: n images.
        name: of the shift.
        config: `folds` and `regularisation`.
        seed: of the folds.

    Raises:
        DoesNotApply: there are fewer groups than folds.
    """
    plain, moved = shifted.views[PLAIN].z, shifted.views[name].z
    features = np.concatenate([plain, moved])
    is_moved = np.arange(len(features)) >= len(plain)
    groups = np.tile(shifted.images.groups, 2)
    scores = classifier.scores_by_others(features, is_moved, groups, config, seed)
    found: Bool[np.ndarray, " n"] = scores[~is_moved] >= np.median(scores[is_moved])
    return found


def associations(
    shifted: Shifted, shifts: pd.DataFrame, config: ShortcutConfig, seed: int
) -> dict[str, int]:
    """Kind of shift → 1 where positive images have more of it, −1 where they have less, 0 where
    chance would do: by a Mann-Whitney test of the groups' means, at LEVEL over all kinds.

    Of the kinds that have a statistic it is asked for that, with masks of the surroundings: that a
    lesion is dark is no shortcut. Of others for the share of images that look as if they had the
    strongest shift in range already, with masks one of the surroundings alone.

    Args:
        shifted: train images with their statistics.
        shifts: of `read_shifts`.
        config: `folds` and `regularisation`.
        seed: of the folds.

    Raises:
        DoesNotApply: the surroundings of no image of a side are known, or there are fewer groups
            than folds.
    """
    table = shifted.statistics if shifted.surroundings is None else shifted.surroundings
    table = table[list(STATISTICS)]
    unmeasured = shifts[shifts["in_range"] & ~shifts["kind"].isin(STATISTICS)]
    for row in unmeasured.sort_values("strength").groupby("kind").tail(1).to_dict("records"):
        shift = row["shift"] if pd.isna(row["alone"]) else row["alone"]
        table = table.assign(**{row["kind"]: looks_shifted(shifted, shift, config, seed)})
    names = [str(name) for name in table]
    means = (
        table.assign(group=shifted.images.groups, positive=shifted.images.positive)
        .dropna()
        .groupby(["group", "positive"], as_index=False)
        .mean()
    )
    if means["positive"].nunique() < 2:
        raise DoesNotApply(
            "the masks leave nothing around the object in any image of a side: set shortcut.mask "
            "to null, or give masks of the dataset's own"
        )
    found = {}
    for name in names:
        own, others = (means[name][means["positive"] == side] for side in (True, False))
        result = mannwhitneyu(own, others)
        more = result.statistic > len(own) * len(others) / 2
        found[name] = (1 if more else -1) if result.pvalue < LEVEL / len(names) else 0
    return found


def learnable(goes: Mapping[str, int], kind: str, strength: float, side: str) -> bool:
    """Whether train images could teach that what a shift adds speaks against a side: they have it
    on the other side.

    Args:
        goes: of `associations`; kinds of which no shift is in range may be missing.
        kind: of the shift.
        strength: of the shift, below 0 the other way.
        side: that falls.
    """
    towards = (1 if strength > 0 else -1) * (1 if side == "negative" else -1)
    return goes.get(kind, 0) == towards
