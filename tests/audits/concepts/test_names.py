"""Figures of names on an invented table of components."""

import numpy as np
import pandas as pd
import pytest

from audits.concepts.names import summarise_names
from pipeline.artifacts.gaps import Gaps


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": ["cat", "dog", None, "sun", "bow"],
            "name_auroc": [0.9, 0.6, np.nan, 0.7, np.nan],
            "name_chance": 0.65,
            "name_fits": pd.array([True, False, None, True, None], "boolean"),
            "name_rank": pd.array([1, 3, None, None, 1], "Int64"),
        }
    )


def test_counts_by_hand() -> None:
    gaps = Gaps()
    assert summarise_names(table(), gaps) == {
        **{"measured": 3, "auroc": 0.7, "chance": 0.65, "fit": 2, "none_fits": 1},
        **{"halves": 3, "survive": pytest.approx(2 / 3)},
    }
    assert gaps.reasons == {}


def test_where_nothing_is_measured_the_reason_is_given() -> None:
    gaps = Gaps()
    nothing = table().assign(name_auroc=np.nan, name_chance=np.nan, name_fits=None, name_rank=None)
    assert summarise_names(nothing, gaps) == {"measured": 0, "halves": 0}
    assert list(gaps.reasons) == ["concepts.names.auroc", "concepts.names.survive"]
    assert gaps.reasons["concepts.names.auroc"] == (
        "of 4 components with a name none fires on enough images (label.top_images) on as many "
        "images that had no say in its name"
    )


def test_without_a_name_there_is_nothing_to_say() -> None:
    gaps = Gaps()
    nameless = table().assign(label=None, name_auroc=np.nan, name_rank=None)
    assert summarise_names(nameless, gaps) == {"measured": 0, "halves": 0}
    assert gaps.reasons == {}


def test_one_name_is_measured_and_compared_with_none() -> None:
    alone = table().iloc[:1].assign(name_chance=np.nan, name_fits=None)
    found = summarise_names(alone, Gaps())
    assert found == {"measured": 1, "auroc": 0.9, "halves": 1, "survive": 1.0}
