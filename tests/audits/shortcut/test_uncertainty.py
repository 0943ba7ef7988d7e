"""Intervals: by hand, paired, and how often they hold the truth."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from audits.shortcut.uncertainty import Estimate, auroc_of, mean_of, resamples


def test_means_go_by_images_and_resamples_by_groups() -> None:
    groups = np.array(["a", "a", "b", "c"])
    over = resamples(groups, 7, 0)
    assert over.times.shape == (7, 3) and (over.times.sum(axis=1) == 3).all()
    values = np.array([[1.0, 0.0, 1.0, np.nan], [0.0, 0.0, 1.0, 1.0]])
    found = mean_of(values, over)
    assert found.value == pytest.approx([2 / 3, 0.5])
    a, b, c = over.times.T
    expected = (a + b) / np.where(2 * a + b, 2 * a + b, np.nan)
    np.testing.assert_allclose(found.draws[0], expected)
    np.testing.assert_allclose(found.draws[1], (b + c) / (2 * a + b + c))


def test_a_difference_from_itself_has_no_width() -> None:
    over = resamples(np.arange(30), 50, 1)
    found = mean_of(np.random.default_rng(0).random((3, 30)), over)
    assert found.minus(found).interval() == (0.0, 0.0, 0.0)
    assert found.interval().low < found.interval().value < found.interval().high


def test_auroc_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    scores, positive = rng.integers(0, 9, (2, 40)).astype(float), np.arange(40) % 3 == 0
    over = resamples(np.arange(40) // 2, 5, 0)
    found = auroc_of(scores, positive, over)
    for row, value, draws in zip(scores, found.value, found.draws, strict=True):
        assert value == pytest.approx(roc_auc_score(positive, row))
        weights = over.times[0][over.group]
        expected = roc_auc_score(positive, row, sample_weight=weights)
        assert draws[0] == pytest.approx(expected)


def test_95_percent_intervals_hold_the_truth_in_95_percent_of_worlds() -> None:
    """A threshold learnt on random halves of 40 train groups, judged on 60 held-out groups of two.

    Worlds are independent but for the resamples, which are drawn once for all.
    """
    rng = np.random.default_rng(0)
    worlds, groups, train, repeats = 1500, 60, 40, 9
    learnt = rng.normal(0.0, 1.0, (worlds, train))
    halves = np.stack([rng.permutation(train)[: train // 2] for _ in range(repeats)])
    cuts = learnt[:, halves].mean(axis=2)  # [worlds, repeats]
    shared = rng.normal(0, 0.7**0.5, (worlds, groups, 1))
    images = 1 + shared + rng.normal(0, 0.3**0.5, (worlds, groups, 2))
    right = images.reshape(worlds, 1, -1) > cuts[:, :, None]
    over = resamples(np.repeat(np.arange(groups), 2), 200, 5)
    found = mean_of(right.reshape(worlds * repeats, -1).astype(float), over)
    # A cut has the variance 1/20 of a half's mean, and an image the variance 1.
    truth = norm.cdf(1 / np.sqrt(1 + 1 / (train // 2)))
    held = 0
    for number in range(worlds):
        rows = slice(number * repeats, (number + 1) * repeats)
        one = Estimate(found.value[rows], found.draws[rows]).interval()
        held += one.low <= truth <= one.high
    assert 0.93 <= held / worlds <= 0.97


def test_weights_count_images_as_often() -> None:
    values, groups = np.array([[1.0, 0.0, 1.0, np.nan]]), np.array([0, 1, 1, 2])
    weight = np.array([1.0, 3.0, 0.0, 5.0])
    found = mean_of(values, resamples(groups, 50, 0), weight)
    assert found.value.tolist() == [0.25]
    often = np.array([[1.0, 0.0, 0.0, 0.0, np.nan]])
    same = mean_of(often, resamples(np.array([0, 1, 1, 1, 2]), 50, 0))
    np.testing.assert_allclose(found.draws, same.draws)
