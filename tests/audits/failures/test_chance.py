"""Chance in closed form: values worked out by hand, and held to enumeration."""

import doctest
from itertools import combinations, product

import numpy as np
import pytest

from audits.failures import chance
from audits.failures.chance import (
    as_a_whole,
    at_least,
    matched,
    moments,
    on_others,
    stratified,
    together,
    within,
)


def test_the_examples_are_true():
    found = doctest.testmod(chance)
    assert found.attempted >= 3
    assert found.failed == 0


def test_at_least_by_hand():
    # Of 4 units 2 are marked; 3 drawn: both marked ones in C(2,2)·C(2,1)/C(4,3) = 1/2.
    found = at_least(np.array([2, 1, 3]), np.array(2), np.array(3), np.array(4))
    assert found.tolist() == pytest.approx([0.5, 1.0, 0.0])


def chosen(units: int, close: int, hits: int) -> list[int]:
    """Units that are close and count, for every choice of the close ones."""
    return [sum(unit < hits for unit in some) for some in combinations(range(units), close)]


@pytest.mark.parametrize(("units", "close", "hits"), [(7, 3, 4), (8, 5, 2), (6, 2, 6), (5, 0, 3)])
def test_within_is_the_share_of_all_choices(units, close, hits):
    every = np.array(chosen(units, close, hits))
    for both in range(min(close, hits) + 1):
        p = within(np.array([both]), units, np.array([close]), np.array([hits]))
        assert p[0] == pytest.approx((every >= both).mean())


def test_on_others_is_the_share_of_all_choices():
    # 3 own and 4 other units, 3 hits anywhere: the share with at least 2 on the others.
    every = [sum(unit >= 3 for unit in some) for some in combinations(range(7), 3)]
    p = on_others(np.array([1]), 3, np.array([2]), 4)
    assert p[0] == pytest.approx((np.array(every) >= 2).mean())
    # By hand: (C(4,2)·C(3,1) + C(4,3)) / C(7,3).
    assert p[0] == pytest.approx((6 * 3 + 4) / 35)


def test_as_a_whole_by_hand():
    # 1 − 0.8³, and 3 · 0.2² · 0.8 + 0.2³.
    found = as_a_whole(np.array([1, 2, 0]), np.array([3, 3, 3]), 0.2)
    assert found.tolist() == pytest.approx([0.488, 0.104, 1.0])


UNITS, CLOSE, HITS = np.array([5, 6, 4]), np.array([2, 3, 1]), np.array([3, 2, 4])


def every_choice() -> np.ndarray:
    """Units of all three classes that are close and count, for every choice within each."""
    strata = zip(UNITS.tolist(), CLOSE.tolist(), HITS.tolist(), strict=True)
    total = np.array([sum(each) for each in product(*(chosen(*stratum) for stratum in strata))])
    assert len(total) == 10 * 20 * 4
    return total


def test_stratified_is_the_share_of_all_choices_within_every_class():
    total = every_choice()
    for both in range(8):
        assert stratified(both, UNITS, CLOSE, HITS) == pytest.approx((total >= both).mean())


def test_stratified_is_what_permutations_give():
    rng, draws = np.random.default_rng(0), 20_000
    found = np.zeros(draws)
    for units, close, hits in zip(UNITS, CLOSE, HITS, strict=True):
        order = rng.permuted(np.tile(np.arange(units), (draws, 1)), axis=1)
        found += (order[:, :close] < hits).sum(axis=1)
    for both in (3, 4, 5):
        p = stratified(both, UNITS, CLOSE, HITS)
        assert p == pytest.approx((found >= both).mean(), abs=0.012)


def test_one_stratum_is_fishers_test_and_none_says_nothing():
    p = within(np.array([3]), 9, np.array([4]), np.array([5]))
    one = np.array([9]), np.array([4]), np.array([5])
    assert stratified(3, *one) == pytest.approx(p[0])
    more = np.array([9, 6, 5]), np.array([4, 0, 2]), np.array([5, 3, 0])
    assert stratified(3, *more) == pytest.approx(p[0])
    nothing = np.zeros(0, dtype=np.int64)
    assert stratified(0, nothing, nothing, nothing) == 1.0


def test_moments_are_those_of_all_choices():
    total = every_choice()
    mean, variance = moments(UNITS, CLOSE, HITS[:, None])
    assert (mean[0], variance[0]) == pytest.approx((total.mean(), total.var()))


def tables(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Units, close ones and hits of a few classes of 50 to 250 images."""
    count = rng.integers(1, 12)
    units = rng.integers(50, 250, count)
    close = np.maximum(rng.binomial(units, rng.beta(0.5, 6, count)), 1)
    hits = rng.binomial(units, np.minimum(rng.beta(0.5, 3) * rng.uniform(0.2, 3, count), 1))
    return units, close, hits


def test_matched_is_never_far_above_the_truth_and_together_is_the_truth():
    rng, asked = np.random.default_rng(0), 0
    for _ in range(80):
        units, close, hits = tables(rng)
        mean, variance = moments(units, close, hits[:, None])
        both = np.arange(int(mean[0]), int(2 * mean[0]) + 12)
        true = np.array([stratified(n, units, close, hits) for n in both.tolist()])
        near = true > 1e-9
        about = matched(both, mean, variance)
        assert (about[near] <= 1.25 * true[near]).all()
        assert (about[true > 0.05] >= 0.7 * true[true > 0.05]).all()
        many = np.tile(hits[:, None], len(both))
        exact = together(both, units, close, many, limit=0.05)
        decided = (true <= 0.05) & near
        assert exact[decided] == pytest.approx(true[decided], rel=1e-9)
        assert (exact[~decided & near] > 0.05).all()
        asked += int(decided.sum())
    assert asked > 200


def test_what_says_nothing_has_a_p_value_of_1():
    # On all units of a class, or on none, the number is what it has to be.
    units, close = np.array([20, 30]), np.array([5, 7])
    hits = np.array([[20, 0, 20], [30, 0, 0]])
    mean, variance = moments(units, close, hits)
    assert variance.tolist() == [0, 0, 0]
    assert matched(np.array([12, 0, 5]), mean, variance).tolist() == [1, 1, 1]
    exact = together(np.array([12, 0, 5]), units, close, hits, limit=1.0)
    assert exact.tolist() == pytest.approx([1, 1, 1])
    assert moments(np.array([1]), np.array([1]), np.array([[1]]))[1].tolist() == [0]
