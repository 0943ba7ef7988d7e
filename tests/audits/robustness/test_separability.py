"""AUROC and average precision by hand, and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from audits.robustness.separability import separability


def test_by_hand():
    found = separability(np.array([0.9, 0.5]), np.array([0.7, 0.4, 0.5]))
    # 0.9 beats all three; 0.5 loses to 0.7, beats 0.4 and ties with 0.5.
    assert found.auroc == pytest.approx(4.5 / 6)
    # At 0.9 one of one is own; at 0.5 two of four, for 0.7 and the other 0.5 are there too.
    assert found.average_precision == pytest.approx((1 + 2 / 4) / 2)


def test_perfect_and_reversed():
    own, others = np.array([3.0, 2.0]), np.array([0.0, 1.0, 1.0])
    assert separability(own, others) == (1.0, 1.0)
    assert separability(-own, -others).auroc == 0.0


@pytest.mark.parametrize("decimals", [1, 6])
def test_the_same_as_scikit_learn_with_and_without_ties(decimals):
    rng = np.random.default_rng(4)
    own = rng.normal(0.7, 1, 31).round(decimals).astype(np.float32)
    others = rng.normal(0, 1, 407).round(decimals).astype(np.float32)
    truth = np.repeat([1, 0], [31, 407])
    scores = np.concatenate([own, others])
    found = separability(own, others)
    assert found.auroc == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert found.average_precision == pytest.approx(average_precision_score(truth, scores))


def test_neither_order_nor_scale_matters():
    rng = np.random.default_rng(5)
    own, others = rng.normal(1, 1, 13), rng.normal(size=29)
    found = separability(own, others)
    assert separability(own[::-1], rng.permutation(others)) == found
    assert separability(np.exp(own), np.exp(others)) == found


def test_constant_scores_are_chance():
    found = separability(np.ones(3), np.ones(9))
    assert found == (0.5, pytest.approx(0.25))


@pytest.mark.parametrize(("own", "others"), [([], [1.0]), ([1.0], []), ([np.nan], [1.0])])
def test_what_has_no_rank_is_refused(own, others):
    with pytest.raises(ValueError, match=r"0 own|0 other|NaN"):
        separability(np.array(own), np.array(others))
