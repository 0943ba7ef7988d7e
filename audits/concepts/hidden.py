"""Components that matter but that no term of the vocabulary describes (paper, Eq. 7)."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import ConceptsConfig, ConfigError

HIGH_CLARITY, MEDIUM_CLARITY = 0.6, 0.4
"""Where the paper divides components by how clear they are (App. C.2)."""
COLUMNS = [
    *("component", "label", "alignment", "clarity", "group", "mean_top20", "relevance", "class"),
    "top_images",
]


class Thresholds(NamedTuple):
    """From where on a component is strong, and up to where its label is weak."""

    strength: float
    """τ_act, of the mean activation on the top images, or τ_rel, in units of the output."""
    alignment: float
    """τ_align."""


def most_relevant(reference: pd.DataFrame, classes: Sequence[str] | None) -> pd.DataFrame:
    """The class for whose prompt each component is most relevant on the class's own images.

    Args:
        reference: columns class, component and mean (relevance, in units of the output).
        classes: labels of the classes that count, None for all.

    Returns:
        Columns class and relevance, indexed by component; none for one that is active on no image
        of these classes.

    Raises:
        ConfigError: a label is no class's.
    """
    if classes is not None:
        known = reference["class"].unique().tolist()
        if unknown := [label for label in classes if label not in known]:
            raise ConfigError(
                f"concepts.classes: {unknown[0]!r} is no class with labelled train images; such "
                f"are {', '.join(map(repr, known[:10]))}{', …' if len(known) > 10 else ''}"
            )
        reference = reference[reference["class"].isin(classes)]
    best = reference.groupby("component")["mean"].idxmax()
    found = reference.loc[best, ["component", "class", "mean"]].set_index("component")
    return found.rename(columns={"mean": "relevance"})


def thresholds(named: pd.DataFrame, config: ConceptsConfig) -> Thresholds:
    """The config's thresholds, quantiles of them over the components that have a label.

    Raises:
        DoesNotApply: none of these has what a quantile is asked of.
    """

    def limit(column: str, value: float | None, quantile: float | None) -> float:
        if value is not None:
            return value
        if named[column].isna().all():
            raise DoesNotApply(
                f"of {len(named)} components with a label none has a {column}: no labelled train "
                "image of the classes that are asked for fires one"
            )
        return float(named[column].quantile(quantile or 0.0))

    strength = (
        limit("mean_top20", config.activation, config.activation_quantile)
        if config.by == "activation"
        else limit("relevance", config.relevance, config.relevance_quantile)
    )
    return Thresholds(strength, limit("alignment", config.alignment, config.alignment_quantile))


def hidden_concepts(
    named: pd.DataFrame, config: ConceptsConfig, limits: Thresholds | None
) -> pd.DataFrame:
    """Components with a strong activation, or relevance to a prompt, and a weak label.

    Args:
        named: the components that have a label, with relevance and class, see `most_relevant`.
        config: by which of the two a component is strong.
        limits: both are in; None where there are none, and nothing is hidden then.

    Returns:
        COLUMNS, the strongest first. Group is `high` (clarity 0.6 or more), `medium` (0.4 or more)
        or `low`; top_images are joined by spaces.
    """
    strength = "mean_top20" if config.by == "activation" else "relevance"
    if limits is None:
        named, limits = named[:0], Thresholds(0.0, 0.0)
    chosen = (named[strength] >= limits.strength) & (named["alignment"] <= limits.alignment)
    hidden = named[chosen].sort_values([strength, "component"], ascending=[False, True])
    return hidden.assign(
        group=[clarity_group(value) for value in hidden["clarity"]],
        top_images=[" ".join(ids) for ids in hidden["top_images"]],
    )[COLUMNS]


def clarity_group(clarity: float) -> str:
    """`high`, `medium` or `low`."""
    if clarity >= HIGH_CLARITY:
        return "high"
    return "medium" if clarity >= MEDIUM_CLARITY else "low"
