"""What the names of components are worth, over all of them."""

from typing import Any

import pandas as pd

from pipeline.artifacts.gaps import DoesNotApply, Gaps


def summarise_names(labels: pd.DataFrame, gaps: Gaps) -> dict[str, Any]:
    """Metrics `concepts.names`, see `pipeline.labels.quality`; None for what does not apply.

    `measured` counts the names that have an AUROC, `auroc` is their median and `chance` what one in
    twenty names dealt to other components reaches; `fit` and `none_fits` count those above it and
    the rest, and those of which too few images tell are in neither. `halves` counts the names that
    both halves of the train images can give, `survive` is the fraction that both give.

    Args:
        labels: one row a component.
        gaps: takes up what does not apply.
    """
    named = labels[labels["label"].notna()]
    measured = named["name_auroc"].dropna()
    result: dict[str, Any] = {"measured": len(measured), "halves": int(named["name_rank"].count())}
    if named.empty:
        return result
    gaps.measured("concepts.names.auroc", lambda: _check(named, "name_auroc", ON_OTHERS))
    gaps.measured("concepts.names.survive", lambda: _check(named, "name_rank", IN_HALVES))
    fits = named["name_fits"].dropna().astype(bool)
    if len(measured):
        result["auroc"] = float(measured.median())
    if len(fits):
        result["chance"] = float(named["name_chance"].iloc[0])
        result |= {"fit": int(fits.sum()), "none_fits": int((~fits).sum())}
    if result["halves"]:
        result["survive"] = float((named["name_rank"].dropna() == 1).mean())
    return result


ON_OTHERS = "on as many images that had no say in its name"
IN_HALVES = "in each of two halves of the train images"


def _check(named: pd.DataFrame, column: str, where: str) -> None:
    """Make sure that something is measured.

    Raises:
        DoesNotApply: it is of no component.
    """
    if named[column].isna().all():
        raise DoesNotApply(
            f"of {len(named)} components with a name none fires on enough images "
            f"(label.top_images) {where}"
        )
