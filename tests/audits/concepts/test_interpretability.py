"""Monosemanticity and correlations, by hand and against all pairs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from audits.concepts import interpretability
from audits.concepts.interpretability import Similarity, correlation, correlations, embedded
from pipeline.artifacts.gaps import Gaps
from pipeline.attribution.head import unit
from pipeline.attribution.relevance import Codes
from pipeline.embeddings.vectors import vector_table, write_vectors


def similarity(activation: np.ndarray, u: torch.Tensor, blocks: int = 1) -> Similarity:
    """Of dense activations [n, m]."""
    n, m = activation.shape
    codes = Codes(torch.arange(m).expand(n, m).int(), torch.from_numpy(activation).float())
    found = Similarity(m, u.shape[1])
    for rows in torch.arange(n).tensor_split(blocks):
        found.add(codes, rows, u[rows])
    return found


def by_pairs(activation: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The definition, over all pairs of images."""
    weight = activation - activation.min(axis=0)
    pairs = np.einsum("nm,lm->mnl", weight, weight)
    different = ~np.eye(len(u), dtype=bool)
    cosine = u @ u.T
    return (pairs * cosine)[:, different].sum(axis=1) / pairs[:, different].sum(axis=1)


def test_monosemanticity_by_hand() -> None:
    # Images 0 and 1 are alike, 2 is opposite, 3 is at right angles to all.
    u = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    activation = np.array(
        [[2.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 4.0], [0.0, 3.0, 1.0, 0.0], [0.0, 2.0, 0.0, 0.0]]
    )
    found = similarity(activation, u).monosemanticity
    # Component 1: pairs (0, 2) weigh 3, (0, 3) 2, (2, 3) 6; the first is opposite, the others not.
    assert found[:2] == pytest.approx([1.0, -3 / 11])
    # Of one image there is no pair.
    assert np.isnan(found[2:]).all()


def test_a_component_that_fires_everywhere_counts_by_what_is_above_its_least() -> None:
    u = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    activation = np.array([[5.0, 7.0], [4.0, 7.0], [5.0, 7.0]])
    found = similarity(activation, u).monosemanticity
    assert found[0] == pytest.approx(1.0)
    assert np.isnan(found[1])  # no image fires it more than another
    # Seven times 0.1 is not 0.7, and what rounding leaves is no pair of images.
    same = similarity(np.full((7, 1), 0.1), unit(torch.eye(7) + 0.5)).monosemanticity
    assert np.isnan(same[0])


@pytest.mark.parametrize("blocks", [1, 7, 40])
def test_linear_time_gives_what_all_pairs_give(blocks: int) -> None:
    rng = np.random.default_rng(0)
    u = unit(torch.from_numpy(rng.standard_normal((40, 6))).float())
    activation = rng.gamma(1.0, 2.0, (40, 9)) * (rng.random((40, 9)) < 0.4)
    activation[:, 8] = rng.uniform(1, 2, 40)
    found = similarity(activation, u, blocks)
    assert found.monosemanticity == pytest.approx(
        by_pairs(activation, u.double().numpy()), abs=1e-6
    )
    assert found.mean_activation == pytest.approx(activation.mean(axis=0), rel=1e-6)
    # Twice as strong is as monosemantic.
    doubled = similarity(2 * activation, u, blocks).monosemanticity
    assert doubled == pytest.approx(found.monosemanticity, abs=1e-6)


def test_images_are_found_in_shards_of_any_order_and_only_those_that_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    z = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
    for number, rows in enumerate(([4, 0, 5], [2, 1, 3])):
        table = vector_table([f"i{row}" for row in rows], {"z": z[rows]})
        write_vectors(tmp_path, number, [table])
    monkeypatch.setattr(interpretability, "BLOCK", 2)
    ids = np.array(["i0", "i2", "i3", "i4", "i5"])  # i1 is no image of this audit's
    counted = torch.tensor([True, True, False, True, True])
    parts = list(embedded(tmp_path, ids, counted))
    assert [rows.tolist() for rows, _ in parts] == [[3, 0], [4], [1]]
    expected = unit(torch.from_numpy(z[[4, 0, 5, 2]]))
    assert torch.equal(torch.cat([u for _, u in parts]), expected)


def test_correlation_by_hand_and_undefined() -> None:
    rising = np.array([1.0, 2.0, 4.0])
    assert correlation(rising, -3 * rising + 1) == pytest.approx(-1)
    assert correlation(np.array([0.0, 1.0, 0.0]), rising) == pytest.approx(-0.188982, abs=1e-6)
    with pytest.raises(ValueError, match="correlation of 3 values is undefined"):
        correlation(rising, np.ones(3))
    with pytest.raises(ValueError, match="correlation of 1 values is undefined"):
        correlation(rising[:1], rising[:1])


def test_clarity_goes_with_each_measure_and_with_logarithms() -> None:
    named = pd.DataFrame(
        {
            "clarity": [0.1, 0.2, 0.3],
            "mean_top20": [3.0, 2.0, 1.0],
            "mean_activation": [0.1, 1.0, 10.0],
            "firing_rate": [0.5, 0.5, 0.5],
            "monosemanticity": [0.2, np.nan, 0.4],
            "polysemanticity": [0.9, 0.8, 0.7],
            "redundancy": [0.0, 1.0, 0.0],
        }
    )
    gaps = Gaps()
    found = correlations(named, gaps)
    assert found.pop("mean_activation") == pytest.approx(0.904194, abs=1e-6)
    assert found == {
        "mean_top20": pytest.approx(-1),
        "log_mean_activation": pytest.approx(1),
        "firing_rate": None,
        "log_firing_rate": None,
        "monosemanticity": pytest.approx(1),
        "polysemanticity": pytest.approx(-1),
        "redundancy": pytest.approx(0),
    }
    assert list(gaps.reasons) == [
        "concepts.clarity_correlation.firing_rate",
        "concepts.clarity_correlation.log_firing_rate",
    ]
