"""Means over findings, how far they can be trusted, and differences between prompt forms."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95
BASE = "short"
"""Prompt form that the others are compared with."""
ALL = "all"
"""Stands for findings of every mode."""
MEASURES = {
    "spurious_auc": "spurious",
    "valid_auc": "valid",
    "spurious_ap": "spurious_ap",
    "valid_ap": "valid_ap",
}
"""Column of a measure → what its standard error and interval are called after."""


def average(values: np.ndarray, least: float, most: float) -> dict[str, float]:
    """Mean of values [f] over findings, its standard error and 95 % interval.

    `sem` is the sample deviation over √f; `low` and `high` are Student's interval, for a mode may
    have five findings, of which resamples are too much alike. All three are left out for a single
    finding, of which they are not defined. The order of findings does not matter.

    Args:
        values: between least and most.
        least: of what a mean can be; the interval ends there at most.
        most: likewise.

    >>> found = average(np.array([0.7, 0.6, 0.8]), 0.0, 1.0)
    >>> {name: round(value, 3) for name, value in found.items()}
    {'mean': 0.7, 'sem': 0.058, 'low': 0.452, 'high': 0.948}
    >>> average(np.array([0.8]), 0.0, 1.0)
    {'mean': 0.8}

    Raises:
        ValueError: there are no values.
    """
    if not len(values):
        raise ValueError("no values: a mean needs at least one finding")
    ordered = np.sort(np.asarray(values, dtype=float))
    found = {"mean": float(ordered.mean())}
    if len(ordered) > 1:
        found["sem"] = float(ordered.std(ddof=1) / np.sqrt(len(ordered)))
        half = found["sem"] * float(stats.t.ppf((1 + CONFIDENCE) / 2, len(ordered) - 1))
        found["low"] = max(least, found["mean"] - half)
        found["high"] = min(most, found["mean"] + half)
    return found


def summary(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Means over findings of each form, with standard errors and intervals as `average` has them.

    Args:
        table: a row for each finding and form, columns form and those of MEASURES.

    Returns:
        Form → spurious_auc, spurious_sem, spurious_low, spurious_high and so on.
    """
    result: dict[str, dict[str, float]] = {}
    for form, rows in table.groupby("form", sort=False):
        entry = {}
        for column, name in MEASURES.items():
            for key, value in average(rows[column].to_numpy(), 0.0, 1.0).items():
                entry[column if key == "mean" else f"{name}_{key}"] = value
        result[str(form)] = entry
    return result


def by_mode(table: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Mode → `summary` of its findings."""
    return {str(mode): summary(rows) for mode, rows in table.groupby("mode")}


def differences(
    table: pd.DataFrame, pooled: Callable[[str], bool]
) -> dict[str, dict[str, Mapping[str, float | int]]]:
    """Gain in spurious AUC of each form over BASE, paired: the mean over findings of the gain of
    each (paper, Table 1).

    Args:
        table: columns finding_id, mode, form and spurious_auc.
        pooled: whether findings of a mode are part of ALL.

    Returns:
        Form → mode, or ALL → mean, sem, low, high and findings, their number. Findings that lack
        the form are left out.
    """
    wide = table.pivot(index=["mode", "finding_id"], columns="form", values="spurious_auc")
    result: dict[str, dict[str, Mapping[str, float | int]]] = {}
    for form in [form for form in table["form"].unique() if form != BASE]:
        gain = (wide[form] - wide[BASE]).dropna()
        modes = gain.index.get_level_values("mode")
        groups = {ALL: gain[[pooled(mode) for mode in modes]]}
        groups |= {mode: gain[modes == mode] for mode in sorted(set(modes))}
        result[str(form)] = {
            mode: {**average(values.to_numpy(), -1.0, 1.0), "findings": len(values)}
            for mode, values in groups.items()
            if len(values)
        }
    return result
