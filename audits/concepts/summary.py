"""Metrics of the audit `concepts`."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audits.concepts.hidden import Thresholds
from audits.concepts.interpretability import correlation, correlations
from pipeline.artifacts.gaps import DoesNotApply, Gaps


def summarise(
    components: pd.DataFrame,
    hidden: pd.DataFrame,
    limits: Mapping[str, float] | None,
    others: Mapping[str, pd.DataFrame],
    answer: float,
    gaps: Gaps,
) -> dict[str, Any]:
    """Metrics of this audit, None for what does not apply.

    Args:
        components: one row a component: label (null where it fires on too few images), clarity,
            mean_top5, written and what `correlations` takes.
        hidden: the hidden ones.
        limits: thresholds of these by what they are of; None without named components.
        others: basis → `audits.concepts.bases.judged`.
        answer: AUROC from which on the top images of a component count as written on.
        gaps: takes up what does not apply.
    """
    named = components[components["label"].notna()]
    judged = {"sae": named, **others}
    correlated, others_correlated = None, None
    if len(named):
        correlated = gaps.measured(
            "concepts.clarity_activation_correlation",
            lambda: correlation(named["clarity"].to_numpy(), named["mean_top5"].to_numpy()),
        )
    if correlated is not None:
        others_correlated = correlations(named, gaps)
    return {
        "components": len(named),
        "left_out": len(components) - len(named),
        "hidden": len(hidden),
        "threshold": limits,
        "unique_labels": {basis: int(table["label"].nunique()) for basis, table in judged.items()},
        "clarity": {basis: _median(table["clarity"]) for basis, table in judged.items()},
        "monosemanticity": _median(named["monosemanticity"]),
        "written": int((named["written"] >= answer).sum()),
        "clarity_activation_correlation": correlated,
        "clarity_correlation": others_correlated,
    }


def _median(values: pd.Series) -> float | None:
    known = values.dropna()
    return float(known.median()) if len(known) else None


def named_limits(limits: Thresholds, by: str) -> dict[str, float]:
    """Thresholds by what they are of."""
    return {by: limits.strength, "alignment": limits.alignment}


def check_named(labels: pd.DataFrame, needed: int, train_images: int) -> None:
    """Make sure that some component has a name.

    Args:
        labels: one row a component.
        needed: train images on which a component has to fire to be named.
        train_images: how many there are.

    Raises:
        DoesNotApply: none has.
    """
    if labels["label"].isna().all():
        raise DoesNotApply(
            f"no component has a name: it has to fire on {needed} train images "
            f"(label.top_images), and of {train_images:,} none fires on more than "
            f"{int(labels['activations'].max()):,}"
        )
