"""Hidden concepts of invented components."""

import numpy as np
import pandas as pd
import pytest

from audits.concepts.hidden import (
    COLUMNS,
    Thresholds,
    clarity_group,
    hidden_concepts,
    most_relevant,
    thresholds,
)
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import ConceptsConfig, ConfigError

HALVES = ConceptsConfig(activation_quantile=0.5, alignment_quantile=0.5)


def named() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "component": [0, 1, 2, 4, 5],
            "label": ["cat", "dog", "cat", "sun", "bow"],
            "alignment": [0.1, 0.9, 0.2, 0.15, 0.8],
            "clarity": [0.5, 0.7, 0.6, 0.3, 0.2],
            "mean_top20": [4.0, 5.0, 3.0, 1.0, 2.0],
            "relevance": [0.01, 0.02, -0.01, 0.05, np.nan],
            "class": ["ship", "ship", "bat", "bat", None],
            "top_images": [["a", "b"], ["c", "d"], ["e", "f"], ["h", "i"], ["j", "k"]],
        }
    )


def found(**keys: float) -> pd.DataFrame:
    config = ConceptsConfig.model_validate(keys)
    return hidden_concepts(named(), config, thresholds(named(), config))


def test_hidden_are_strong_and_unlike_their_labels() -> None:
    # Medians: activation 3.0, alignment 0.2.
    assert thresholds(named(), HALVES) == Thresholds(3.0, 0.2)
    hidden = hidden_concepts(named(), HALVES, Thresholds(3.0, 0.2))
    assert hidden["component"].tolist() == [0, 2]
    assert hidden["group"].tolist() == ["medium", "high"]
    assert hidden["top_images"].tolist() == ["a b", "e f"]
    assert hidden.columns.tolist() == COLUMNS


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"activation_quantile": 0.0, "alignment_quantile": 1.0}, [1, 0, 2, 5, 4]),
        # Both ends are in.
        ({"activation": 4.0, "alignment": 0.9}, [1, 0]),
        ({"activation": 4.0, "alignment": 0.89}, [0]),
        ({"activation": 4.01, "alignment": 0.89}, []),
        # A component with no relevance is never strong by it, and the strongest come first.
        ({"relevance": -1.0, "alignment": 2.0}, [4, 1, 0, 2]),
        ({"relevance": 0.02, "alignment_quantile": 1.0}, [4, 1]),
        # Of the four with a relevance, the median is 0.015.
        ({"relevance_quantile": 0.5, "alignment": 0.2}, [4]),
        ({"relevance_quantile": 0.0, "alignment": 0.2}, [4, 0, 2]),
    ],
)
def test_thresholds_are_absolute_or_quantiles_of_activation_or_relevance(
    keys: dict[str, float], expected: list[int]
) -> None:
    assert found(**keys)["component"].tolist() == expected


def test_without_thresholds_none_is_hidden() -> None:
    for table in (named(), named().iloc[:0]):
        hidden = hidden_concepts(table, HALVES, None)
        assert hidden.empty and hidden.columns.tolist() == COLUMNS


def test_a_quantile_of_nothing_does_not_apply() -> None:
    config = ConceptsConfig(relevance_quantile=0.5, alignment=0.1)
    with pytest.raises(DoesNotApply, match="of 5 components with a label none has a relevance"):
        thresholds(named().assign(relevance=np.nan), config)
    # A number needs none to compare with.
    absolute = ConceptsConfig(relevance=0.5, alignment=0.1)
    assert thresholds(named().assign(relevance=np.nan), absolute) == Thresholds(0.5, 0.1)


def test_clarity_groups_hold_their_lower_ends() -> None:
    values = (0.6, 0.59, 0.4, 0.39, -0.1)
    assert [clarity_group(value) for value in values] == ["high", "medium", "medium", "low", "low"]


REFERENCE = pd.DataFrame(
    {
        "class": ["bat", "bat", "ship", "ship", "ship"],
        "component": [3, 7, 3, 5, 7],
        "mean": [0.2, -0.1, 0.1, 0.0, -0.3],
    }
)


def test_a_component_goes_with_the_class_for_whose_prompt_it_is_most_relevant() -> None:
    best = most_relevant(REFERENCE, None)
    assert best["class"].to_dict() == {3: "bat", 5: "ship", 7: "bat"}
    assert best["relevance"].to_dict() == {3: 0.2, 5: 0.0, 7: -0.1}
    only = most_relevant(REFERENCE, ["ship"])
    assert only["relevance"].to_dict() == {3: 0.1, 5: 0.0, 7: -0.3}


def test_a_class_that_is_none_is_named_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"'boat' is no class .* such are 'bat', 'ship'$"):
        most_relevant(REFERENCE, ["ship", "boat"])
