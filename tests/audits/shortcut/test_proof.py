"""Whether train images could teach a shortcut, and what a remedy costs where it earns nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from audits.shortcut.images import PLAIN, Images, Shifted, View
from audits.shortcut.proof import BINS, Target, by_surroundings, matching
from audits.shortcut.teaching import associations, learnable, looks_shifted
from audits.shortcut.trials import Judged
from audits.shortcut.uncertainty import resamples
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import STATISTICS
from tests.audits.shortcut.invented import config

TARGET = Target("red_1", "red", "positive")
CONFIG = config()
NONE = pd.DataFrame({"shift": [], "kind": [], "strength": [], "in_range": [], "alone": []}).astype(
    {"in_range": bool}
)
"""No shift."""
PATCHES = pd.DataFrame(
    {
        "shift": ["patch_1", "patch_2", "blur_1"],
        "kind": ["patch", "patch", "blur"],
        "strength": [1.0, 2.0, 1.0],
        "in_range": [True, True, False],
        "alone": None,
    }
)


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
        assert associations(sample, NONE, CONFIG, 0) == dict.fromkeys(STATISTICS, 0) | {"red": sign}


def with_patches(share: tuple[float, float]) -> tuple[Shifted, np.ndarray]:
    """Images of which some have a patch, and which; the dataset's own say nothing of it."""
    rng = np.random.default_rng(0)
    positive = np.arange(600) < 200
    has = rng.random(600) < np.where(positive, *share)
    sample = judged(rng.normal(0, 1, 600), positive).shifted
    lesion = rng.normal(0, 1, 600) + positive

    def seen(patch: np.ndarray) -> View:
        z = np.stack([3 * patch + rng.normal(0, 0.5, 600), lesion], axis=1)
        return View(torch.zeros(600, 1), z)

    views = {PLAIN: seen(has), "patch_1": seen(has), "patch_2": seen(np.ones(600))}
    return replace(sample, views=views), has


@pytest.mark.parametrize(("share", "sign"), [((0.05, 0.4), -1), ((0.4, 0.05), 1), ((0.3, 0.3), 0)])
def test_who_has_a_patch_is_told_by_who_looks_as_with_one(share, sign) -> None:
    sample, has = with_patches(share)
    looks = looks_shifted(sample, "patch_2", CONFIG, 0)
    assert not looks[~has].any()
    assert 0.3 < looks[has].mean() < 0.7  # no less than half of those that have one
    found = associations(sample, PATCHES, CONFIG, 0)
    assert found == dict.fromkeys(STATISTICS, 0) | {"patch": sign}
    assert learnable(found, "patch", 1.0, "positive") == (sign < 0)
    assert learnable(found, "patch", 1.0, "negative") == (sign > 0)


def test_with_masks_a_patch_around_the_object_counts() -> None:
    sample, _ = with_patches((0.05, 0.4))
    around = {"patch_2_around": sample.views["patch_2"], "patch_2": sample.views[PLAIN]}
    masked = replace(sample, surroundings=sample.statistics, views=sample.views | around)
    for alone, sign in (("patch_2_around", -1), (None, 0)):
        shifts = PATCHES.assign(alone=[None, alone, None])
        assert associations(masked, shifts, CONFIG, 0)["patch"] == sign


def test_images_of_one_group_count_once() -> None:
    """Four groups cannot tell, however many images they have."""
    positive = np.arange(400) < 200
    sample = judged(np.where(positive, 0.0, 1.0) + np.linspace(0, 0.1, 400), positive).shifted
    few = Images(sample.images.rows, positive, np.arange(400) // 100, sample.images.view)
    assert associations(sample, NONE, CONFIG, 0)["red"] == -1
    assert associations(replace(sample, images=few), NONE, CONFIG, 0)["red"] == 0


def test_a_shift_makes_a_side_look_like_the_other() -> None:
    goes = {"red": -1, "blue": 0}  # positive images are less red
    assert learnable(goes, "red", 2.0, "positive") and learnable(goes, "red", -2.0, "negative")
    assert not learnable(goes, "red", 2.0, "negative") and not learnable(
        goes, "red", -2.0, "positive"
    )
    assert not learnable(goes, "blue", 2.0, "positive") and not learnable(
        goes, "blue", 2.0, "negative"
    )
    # Of which no shift is in range.
    assert not learnable(goes, "patch", 1.0, "negative")


def test_with_masks_what_goes_with_a_side_is_of_the_surroundings() -> None:
    positive = np.arange(400) < 200
    sample = judged(np.where(positive, -1.0, 0.0) + np.linspace(0, 0.1, 400), positive).shifted
    around = sample.statistics.assign(red=np.linspace(0, 1, 400)[::-1])
    around.loc[::3] = np.nan  # nothing is known of the surroundings of every third
    assert associations(replace(sample, surroundings=around), NONE, CONFIG, 0)["red"] == 1
    with pytest.raises(DoesNotApply, match="nothing around the object"):
        associations(replace(sample, surroundings=around.assign(red=np.nan)), NONE, CONFIG, 0)


def test_nothing_speaks_against_a_fall_where_surroundings_are_not_shifted_alone() -> None:
    assert by_surroundings({}, None, "positive", 0.05)
    assert by_surroundings({}, "red_1_surroundings", "positive", 0.05)
