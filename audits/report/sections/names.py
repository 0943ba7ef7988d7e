"""What the names of components are worth."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audits.report import wording

NONE_FITS = "no name fits"


def worth(named: Mapping[str, Any]) -> str:
    """The AUROC of one component's name, and whether none fits; "n/a" where it is not measured."""
    measured = wording.decimal(named["name_auroc"], 2)
    return f"{measured}, {NONE_FITS}" if none_fits(named) else measured


def none_fits(named: Mapping[str, Any]) -> bool:
    """Whether a component's name was measured and does not fit."""
    return bool(pd.notna(named["name_fits"]) and not named["name_fits"])


def sentences(concepts: Mapping[str, Any]) -> list[str]:
    """How many names hold on images that had no say in them; none where nothing was measured.

    Args:
        concepts: `components` and `names`, see `audits.concepts.names`.
    """
    names, said = concepts.get("names", {}), []
    if "fit" in names:
        unfit = names["none_fits"]
        said.append(
            f"On images that had no say in a name, {names['fit']:,} of {names['measured']:,} names "
            "tell those that fire their component from those that do not better than "
            f"19 in 20 names of other components would (AUROC above "
            f"{wording.decimal(names['chance'], 2)}; median {wording.decimal(names['auroc'], 2)}). "
            f"For {unfit:,} {'component' if unfit == 1 else 'components'} {NONE_FITS}."
        )
    if "survive" in names:
        said.append(
            f"Of {names['halves']:,} names, {wording.percent(names['survive'])} are given by each "
            "of two halves of the train images alone."
        )
    return said
