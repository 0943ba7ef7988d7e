"""Metrics of the audit `concepts` on invented components."""

import numpy as np
import pandas as pd
import pytest

from audits.concepts.hidden import Thresholds
from audits.concepts.summary import check_named, named_limits, summarise
from pipeline.artifacts.gaps import Gaps


def components() -> pd.DataFrame:
    rising = [5.0, 7.0, 6.0, 100.0, 3.0, 2.0]
    return pd.DataFrame(
        {
            "component": range(6),
            "label": ["cat", "dog", "cat", None, "sun", "bow"],
            "clarity": [0.5, 0.7, 0.6, np.nan, 0.3, 0.2],
            "mean_top5": rising,
            "mean_top20": rising,
            "mean_activation": rising,
            "firing_rate": rising,
            "monosemanticity": rising,
            "polysemanticity": rising,
            "redundancy": rising,
            "written": [0.9, 0.5, 0.89, np.nan, 1.0, 0.1],
            "activations": [30, 40, 50, 7, 20, 25],
        }
    )


def test_summary_of_the_components_with_a_name() -> None:
    others = {
        "pca": pd.DataFrame({"label": ["a", "b", "a"], "clarity": [0.1, 0.2, 0.9]}),
        "neuron": pd.DataFrame({"label": ["a"], "clarity": [0.4]}),
    }
    limits = named_limits(Thresholds(2.5, 0.3), "relevance")
    found = summarise(components(), components()[:2], limits, others, 0.9, Gaps())
    correlated = found.pop("clarity_correlation")
    assert found == {
        "components": 5,
        "left_out": 1,
        "hidden": 2,
        "threshold": {"relevance": 2.5, "alignment": 0.3},
        "unique_labels": {"sae": 4, "pca": 2, "neuron": 1},
        "clarity": {"sae": 0.5, "pca": 0.2, "neuron": 0.4},
        "monosemanticity": 5.0,
        "written": 2,
        # On the five named, activation is 10 clarity.
        "clarity_activation_correlation": pytest.approx(1),
    }
    assert correlated["mean_top20"] == pytest.approx(1)
    assert len(correlated) == 8


def test_one_named_component_has_no_correlation_which_is_said_once() -> None:
    table, gaps = components().assign(label=["cat"] + [None] * 5), Gaps()
    found = summarise(table, table[:1], {}, {}, 0.9, gaps)
    assert found["clarity_activation_correlation"] is found["clarity_correlation"] is None
    assert found["components"] == found["hidden"] == 1
    assert list(gaps.reasons) == ["concepts.clarity_activation_correlation"]


def test_no_named_component_is_said_once() -> None:
    table = components().assign(label=None, activations=[3, 0, 7, 1, 2, 2])
    gaps = Gaps()
    gaps.measured("concepts", lambda: check_named(table, 20, 16))
    found = summarise(table, table[:0], None, {}, 0.9, gaps)
    assert found["components"] == found["hidden"] == 0 and found["clarity"] == {"sae": None}
    assert gaps.reasons == {
        "concepts": "no component has a name: it has to fire on 20 train images "
        "(label.top_images), and of 16 none fires on more than 7"
    }
