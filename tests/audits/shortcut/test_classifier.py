"""The classifier's balance, regularisation, threshold and calibration."""

import numpy as np
import pytest

from audits.shortcut.classifier import calibration, fit, regularisation, threshold
from pipeline.artifacts.gaps import DoesNotApply
from tests.audits.shortcut.invented import config


def test_both_sides_weigh_the_same() -> None:
    """At 1 to 9 and without a signal, half of either side is right, not all or none."""
    rng = np.random.default_rng(0)
    x, positive = rng.normal(size=(2000, 5)), np.arange(2000) % 10 == 0
    said = fit(x, positive, 1.0).decision_function(x) > 0
    assert 0.4 < said[positive].mean() < 0.7 and 0.4 < (~said[~positive]).mean() < 0.7


def test_the_threshold_is_where_both_sides_are_right_equally_often() -> None:
    positive = np.array([True, True, True, True, False, False])
    scores = np.array([1.0, 4.0, 5.0, 6.0, 2.0, 4.5])
    cut = threshold(scores, positive)
    assert cut == pytest.approx(4.25)  # 2 of 4 and 1 of 2
    with pytest.raises(DoesNotApply, match="2 of 2 images are positive"):
        threshold(scores[:2], positive[:2])


def test_noise_is_regularised_and_a_signal_is_not() -> None:
    rng = np.random.default_rng(1)
    groups = np.arange(400) // 2
    positive = np.repeat(rng.random(200) < 0.5, 2)
    noise = rng.normal(size=(400, 60))
    settings = config(regularisation=[1e-4, 1e4])
    weak = noise + 0.15 * positive[:, None]
    assert regularisation(weak, positive, groups, settings, 0) == 1e-4
    strong = np.column_stack([0.02 * positive + 1e-3 * noise[:, 0], noise[:, 1:]])
    assert regularisation(strong, positive, groups, settings, 0) == 1e4
    with pytest.raises(DoesNotApply, match=r"positive side has 2 groups.*shortcut\.folds"):
        regularisation(noise[:6], np.array([1, 1, 1, 1, 0, 0]) == 1, groups[:6], settings, 0)


def test_probabilities_are_of_the_data_and_not_of_the_balance() -> None:
    rng = np.random.default_rng(2)
    positive = rng.random(20000) < 0.1
    scores = np.where(positive, 1, -1) + rng.normal(size=20000)  # log-odds of balanced sides: 2 s
    table = calibration(2 * scores[None], positive, 0.1)
    np.testing.assert_allclose(table["predicted"], table["observed"], atol=0.03)
    wrong = calibration(2 * scores[None], positive, 0.5)
    assert (wrong["predicted"] - wrong["observed"]).max() > 0.2
