"""Whether train images could teach a shortcut, and what a remedy costs where it earns nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from audits.shortcut.images import PLAIN, Images, Shifted, View
from audits.shortcut.proof import BINS, Target, by_surroundings, matching
from audits.shortcut.teaching import associations, learnable
from audits.shortcut.trials import Judged
from audits.shortcut.uncertainty import resamples
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import STATISTICS

TARGET = Target("red_1", "red", "positive")


def judged(red: np.ndarray, positive: np.ndarray) -> Judged:
    n = len(red)
    view = View(torch.zeros(n, 1), np.zeros((n, 1)))
    images = Images(np.arange(n), positive, np.arange(n), view)
    statistics = pd.DataFrame(0.0, index=range(n), columns=list(STATISTICS)).assign(red=red)
    over = resamples(images.groups, 2, 0)
    return Judged(Shifted(images, statistics, None, {PLAIN: view}, {}), over, images, over)


def test_the_other_side_is_weighted_to_be_as_red() -> None:
    rng = np.random.default_rng(0)
    positive = np.arange(4000) < 1000
    red = rng.normal(0, 1, 4000) + ~positive
    found = matching(judged(red, positive), TARGET)
    assert (found[positive] == 1).all()
    assert found[~positive].sum() == pytest.approx(3000)
    mean = np.average(red[~positive], weights=found[~positive])
    # Within a bin sides may differ still.
    assert abs(mean - red[positive].mean()) < 0.2 < 0.9 < red[~positive].mean()


def test_sides_that_share_no_range_and_shifts_without_statistic_are_not_matched() -> None:
    positive = np.arange(100) < 50
    apart = judged(np.where(positive, 0.0, 5.0) + np.linspace(0, 1, 100), positive)
    with pytest.raises(DoesNotApply, match="positive images red is beyond all of the other side"):
        matching(apart, TARGET)
    with pytest.raises(DoesNotApply, match="nothing says how much of patch an image has"):
        matching(apart, Target("patch_1", "patch", "positive"))
    assert BINS == 5  # "a fifth" in the message


def test_what_goes_with_a_side_is_told_from_chance() -> None:
    rng = np.random.default_rng(0)
    positive = np.arange(400) < 200
    for offset, sign in ((-1.0, -1), (0.0, 0), (1.0, 1)):
        sample = judged(rng.normal(0, 1, 400) + offset * positive, positive).shifted
        assert associations(sample) == dict.fromkeys(STATISTICS, 0) | {"red": sign}


def test_images_of_one_group_count_once() -> None:
    """Four groups cannot tell, however many images they have."""
    positive = np.arange(400) < 200
    sample = judged(np.where(positive, 0.0, 1.0) + np.linspace(0, 0.1, 400), positive).shifted
    few = Images(sample.images.rows, positive, np.arange(400) // 100, sample.images.view)
    assert associations(sample)["red"] == -1
    assert associations(replace(sample, images=few))["red"] == 0


def test_a_shift_makes_a_side_look_like_the_other() -> None:
    goes = {"red": -1, "blue": 0}  # positive images are less red
    assert learnable(goes, "red", 2.0, "positive") and learnable(goes, "red", -2.0, "negative")
    assert not learnable(goes, "red", 2.0, "negative") and not learnable(
        goes, "red", -2.0, "positive"
    )
    assert not learnable(goes, "blue", 2.0, "positive") and not learnable(
        goes, "blue", 2.0, "negative"
    )
    assert learnable(goes, "patch", 1.0, "negative")


def test_with_masks_what_goes_with_a_side_is_of_the_surroundings() -> None:
    positive = np.arange(400) < 200
    sample = judged(np.where(positive, -1.0, 0.0) + np.linspace(0, 0.1, 400), positive).shifted
    around = sample.statistics.assign(red=np.linspace(0, 1, 400)[::-1])
    around.loc[::3] = np.nan  # nothing is known of the surroundings of every third
    assert associations(replace(sample, surroundings=around))["red"] == 1
    with pytest.raises(DoesNotApply, match="nothing around the object"):
        associations(replace(sample, surroundings=around.assign(red=np.nan)))


def test_nothing_speaks_against_a_fall_where_surroundings_are_not_shifted_alone() -> None:
    assert by_surroundings({}, None, "positive", 0.05)
    assert by_surroundings({}, "red_1_surroundings", "positive", 0.05)
