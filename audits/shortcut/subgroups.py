"""Accuracy by how images came about: site, sex, age, source."""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from audits.shortcut.columns import COLUMNS
from audits.shortcut.uncertainty import Resamples, mean_of


def subgroups(
    right: Float[np.ndarray, "r n"],
    positive: Bool[np.ndarray, " n"],
    over: Resamples,
    acquisition: pd.DataFrame,
    least: int,
) -> pd.DataFrame:
    """A row for each group and side with at least so many images, the worst first.

    Args:
        right: whether each classifier is right on each image.
        positive: side of the images.
        over: the images' groups.
        acquisition: columns of how they came about, null where unknown.
        least: images of a side; fewer are left out.
    """
    rows = []
    for name in acquisition:
        for group in sorted(acquisition[name].dropna().unique()):
            of_group = (acquisition[name] == group).fillna(False).to_numpy(dtype=bool)
            for side, member in (("positive", positive), ("negative", ~positive)):
                which = of_group & member
                if which.sum() >= least:
                    judged = mean_of(np.where(which, right, np.nan), over).interval()
                    rows.append((name, str(group), side, int(which.sum()), *judged))
    table = pd.DataFrame(rows, columns=COLUMNS["subgroups"])
    return table.sort_values("accuracy", kind="stable", ignore_index=True)
