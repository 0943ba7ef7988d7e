"""Chance in closed form: values worked out by hand, and held to enumeration."""

import doctest
from itertools import combinations, product

import numpy as np
import pytest

from audits.failures import chance
from audits.failures.chance import as_a_whole, at_least, either, on_others, stratified, within


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


def test_either_is_the_best_of_as_many_tests():
    found = either(
        np.array([0.01, 0.6, 0.2]), np.array([0.5, 0.7, 0.03]), np.array([1.0, 1.0, 1.0])
    )
    assert found.tolist() == pytest.approx([0.03, 1.0, 0.09])


STRATA = [(5, 2, 3), (6, 3, 2), (4, 1, 4)]


def test_stratified_is_the_share_of_all_choices_within_every_class():
    total = np.array([sum(each) for each in product(*(chosen(*stratum) for stratum in STRATA))])
    assert len(total) == 10 * 20 * 4
    for both in range(8):
        assert stratified(both, STRATA) == pytest.approx((total >= both).mean())


def test_stratified_is_what_permutations_give():
    rng, draws = np.random.default_rng(0), 20_000
    found = np.zeros(draws)
    for units, close, hits in STRATA:
        order = rng.permuted(np.tile(np.arange(units), (draws, 1)), axis=1)
        found += (order[:, :close] < hits).sum(axis=1)
    for both in (3, 4, 5):
        assert stratified(both, STRATA) == pytest.approx((found >= both).mean(), abs=0.012)


def test_one_stratum_is_fishers_test_and_none_says_nothing():
    p = within(np.array([3]), 9, np.array([4]), np.array([5]))
    assert stratified(3, [(9, 4, 5)]) == pytest.approx(p[0])
    assert stratified(3, [(9, 4, 5), (6, 0, 3), (5, 2, 0)]) == pytest.approx(p[0])
    assert stratified(0, []) == 1.0
