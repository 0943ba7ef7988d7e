"""Hidden concepts and unique labels on invented components."""

import numpy as np
import pandas as pd
import pytest
import torch

from audits.concepts.hidden import (
    Farthest,
    bases,
    check_named,
    clarity_group,
    correlation,
    hidden_concepts,
    summarise,
    unique_labels,
)
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.config import ConceptsConfig
from pipeline.labels.label import Vocabulary

HALVES = ConceptsConfig(activation_quantile=0.5, alignment_quantile=0.5)


def labels_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "component": range(6),
            "label": ["cat", "dog", "cat", None, "sun", "bow"],
            "alignment": [0.1, 0.9, 0.2, np.nan, 0.15, 0.8],
            "clarity": [0.5, 0.7, 0.6, np.nan, 0.3, 0.2],
            "mean_top20": [4.0, 5.0, 3.0, np.nan, 1.0, 2.0],
            "top_images": [["a", "b"], ["c", "d"], ["e", "f"], ["g"], ["h", "i"], ["j", "k"]],
        }
    )


def test_hidden_are_strong_and_unlike_their_labels() -> None:
    # Medians of the five named: activation 3.0, alignment 0.2.
    hidden = hidden_concepts(labels_table(), HALVES)
    assert hidden["component"].tolist() == [2, 0]
    assert hidden["group"].tolist() == ["high", "medium"]
    assert hidden["top_images"].tolist() == ["e f", "a b"]


def test_quantiles_are_over_named_components_only() -> None:
    everything = ConceptsConfig(activation_quantile=0.0, alignment_quantile=1.0)
    hidden = hidden_concepts(labels_table(), everything)
    assert hidden["component"].tolist() == [1, 2, 0, 4, 5]
    none = hidden_concepts(labels_table().assign(label=None), everything)
    assert none.empty and "group" in none


def test_clarity_groups_hold_their_lower_ends() -> None:
    values = (0.6, 0.59, 0.4, 0.39, -0.1)
    assert [clarity_group(value) for value in values] == ["high", "medium", "medium", "low", "low"]


def test_correlation_by_hand_and_undefined() -> None:
    rising = np.array([1.0, 2.0, 4.0])
    assert correlation(rising, -3 * rising + 1) == pytest.approx(-1)
    assert correlation(np.array([0.0, 1.0, 0.0]), rising) == pytest.approx(-0.188982, abs=1e-6)
    with pytest.raises(ValueError, match="correlation of 3 values is undefined"):
        correlation(rising, np.ones(3))
    with pytest.raises(ValueError, match="correlation of 1 values is undefined"):
        correlation(rising[:1], rising[:1])


def test_direction_tops_are_the_farthest_images() -> None:
    projections = torch.tensor([[1.0, -5.0], [3.0, 0.0], [2.0, 4.0]])
    for sizes in ([3], [1, 2], [2, 1], [1, 1, 1]):
        for count, expected in ((2, [[5, 6], [6, 5]]), (7, [[5, 6, 4], [6, 5, 4]])):
            found = Farthest(count)
            parts = zip(projections.split(sizes), torch.arange(4, 7).split(sizes), strict=True)
            for part in parts:
                found.add(*part)
            assert found.rows.tolist() == expected


def test_part_by_part_are_found_those_that_a_sort_of_all_finds_of_equals_the_first() -> None:
    projections = torch.from_numpy(np.random.default_rng(0).integers(-9, 10, (60, 3))).float()
    expected = projections.sort(dim=0, descending=True, stable=True).indices[:4].T
    for size in (60, 25, 5, 1):
        found = Farthest(4)
        for rows in torch.arange(60).split(size):
            found.add(projections[rows], rows)
        assert torch.equal(found.rows, expected)


def test_bases_look_at_train_images_along_neurons_and_principal_axes() -> None:
    generator = torch.Generator().manual_seed(0)
    planted = torch.tensor([0.6, 0.8, 0.0])
    along = torch.randn(50, generator=generator)
    x = 10 * along[:, None] * planted + 0.1 * torch.randn(50, 3, generator=generator) + 7
    train = torch.arange(50) >= 5
    found = bases(x, train, count=4)
    assert found["pca"].shape == found["neuron"].shape == (3, 4)
    assert int(found["pca"].min()) >= 5 and int(found["neuron"].min()) >= 5
    ordered = (5 + along[5:].argsort()).tolist()
    assert found["pca"][0].tolist() in (ordered[:4], ordered[::-1][:4])
    assert found["neuron"][2].tolist() == (5 + x[5:, 2].argsort(descending=True)[:4]).tolist()


def test_unique_labels_counts_terms_once() -> None:
    vocabulary = Vocabulary(
        pd.DataFrame({"term": ["a", "b", "c"], "kind": None}), torch.eye(4)[:3], torch.eye(4)[3]
    )
    rows = torch.tensor([[0, 0], [1, 1], [0, 0], [0, 2], [1, 1]])
    u = torch.eye(4)[[0, 1, 0]]
    assert unique_labels(rows, u, vocabulary) == 2


def test_summary() -> None:
    labels = labels_table()
    top = np.array([5.0, 7.0, 6.0, 100.0, 3.0, 2.0])
    hidden = hidden_concepts(labels, HALVES)
    assert summarise(labels, hidden, top, {"pca": 2, "neuron": 1}, Gaps()) == {
        "components": 5,
        "hidden": 2,
        "unique_labels": {"sae": 4, "pca": 2, "neuron": 1},
        # On the five named, activation is 10 clarity.
        "clarity_activation_correlation": pytest.approx(1),
    }


def test_one_named_component_has_no_correlation() -> None:
    labels = labels_table().assign(label=["cat"] + [None] * 5)
    gaps = Gaps()
    found = summarise(labels, hidden_concepts(labels, HALVES), np.ones(6), {"neuron": 1}, gaps)
    assert found["clarity_activation_correlation"] is None
    assert found["components"] == found["hidden"] == 1
    assert list(gaps.reasons) == ["concepts.clarity_activation_correlation"]


def test_no_named_component_is_said_once() -> None:
    labels = labels_table().assign(label=None, activations=[3, 0, 7, 1, 2, 2])
    gaps = Gaps()
    gaps.measured("concepts", lambda: check_named(labels, 20, 16))
    found = summarise(labels, hidden_concepts(labels, HALVES), np.ones(6), {}, gaps)
    assert found["components"] == found["hidden"] == 0
    assert gaps.reasons == {
        "concepts": "no component has a name: it has to fire on 20 train images "
        "(label.top_images), and of 16 none fires on more than 7"
    }


def test_one_train_image_has_no_axes() -> None:
    with pytest.raises(DoesNotApply, match="one train image"):
        bases(torch.ones(3, 2), torch.tensor([False, True, False]), 4)
