"""What train images could teach a classifier of a shift: what goes with a side in them."""

from collections.abc import Mapping

from scipy.stats import mannwhitneyu

from audits.shortcut.images import Shifted
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import STATISTICS

LEVEL = 0.05
"""Of the test that a statistic goes with a side."""


def associations(shifted: Shifted) -> dict[str, int]:
    """Statistic → 1 where positive images have more of it, −1 where they have less, 0 where chance
    would do: by a Mann-Whitney test of the groups' means, at LEVEL over all statistics.

    With masks the statistics are of the surroundings: that a lesion is dark is no shortcut.

    Args:
        shifted: train images with their statistics.

    Raises:
        DoesNotApply: the surroundings of no image of a side are known.
    """
    names = list(STATISTICS)
    table = shifted.statistics if shifted.surroundings is None else shifted.surroundings
    means = (
        table[names]
        .assign(group=shifted.images.groups, positive=shifted.images.positive)
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
        own, others = (means.loc[means["positive"] == side, name] for side in (True, False))
        result = mannwhitneyu(own, others)
        more = result.statistic > len(own) * len(others) / 2
        found[name] = (1 if more else -1) if result.pvalue < LEVEL / len(names) else 0
    return found


def learnable(goes: Mapping[str, int], kind: str, strength: float, side: str) -> bool:
    """Whether train images could teach that what a shift adds speaks against a side: they have it
    on the other side. Nothing tells of a kind without a statistic, which is taken to be so.

    Args:
        goes: of `associations`.
        kind: of the shift.
        strength: of the shift, below 0 the other way.
        side: that falls.
    """
    towards = (1 if strength > 0 else -1) * (1 if side == "negative" else -1)
    return kind not in goes or goes[kind] == towards
