"""Failure modes: a plant is flagged, chance is not, and the statistics are what they say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from audits import failures
from audits.failures import Expectation, Flag, candidate_rows, chance, confirmation, gather
from audits.inputs import Inputs
from audits.reference import reference
from pipeline.attribution import Codes, cosine_outputs
from pipeline.config import FailuresConfig
from tests.conftest import PLANTED

CONFIG = FailuresConfig(
    candidate_deviations=1.5, z=3.0, min_images=10, q=0.05, confirm_p=0.05, overlap=0.5
)


WIDE = {"candidate_deviations": 30.0}
"""Every image of another class is a candidate."""


def expected_of(inputs: Inputs) -> list[Expectation]:
    return failures.expectations(inputs, *reference(inputs))


def flags_of(inputs: Inputs, config: FailuresConfig = CONFIG) -> tuple[list[Flag], float]:
    return failures.find_flags(inputs, expected_of(inputs), config)


def flag(position: int, component: int, rows: list[int], excess: float = 1.0) -> Flag:
    return Flag(position, component, np.array(rows), excess, 4.0, 0.01, 0.01)


def shuffled(invent, seed: int) -> Inputs:
    """Labels at random: images of a class and of others are alike, so every flag is false."""
    made = invent(planted=False, seed=seed)
    labels = made.images["label"].to_numpy()
    rng = np.random.default_rng(seed)
    texts = torch.from_numpy(rng.normal(size=(3, 18))).float()
    return replace(
        made,
        images=made.images.assign(label=rng.permutation(labels)),
        texts={"short": texts / texts.norm(dim=1, keepdim=True)},
    )


def test_a_planted_component_is_flagged_and_nothing_else(inputs):
    flags, by_chance = flags_of(inputs)
    assert [(f.position, f.component) for f in flags] == [(0, PLANTED)]
    assert by_chance < 0.01
    found = flags[0]
    carriers = np.arange(90, 150, 2)  # train images of n02 that carry the plant
    assert set(found.rows) <= set(carriers)
    assert len(found.rows) > 20
    assert found.max_z > 3
    assert found.q_value < 1e-6


def test_without_a_plant_nothing_is_flagged(invent):
    assert flags_of(invent(planted=False)) == ([], 0.0)


def test_the_order_of_images_does_not_matter(inputs, permuted):
    (before,), (after,) = flags_of(inputs)[0], flags_of(permuted)[0]
    ids = [
        set(made.images["image_id"].iloc[found.rows])
        for made, found in ((inputs, before), (permuted, after))
    ]
    assert ids[0] == ids[1]
    assert after.excess == pytest.approx(before.excess, rel=1e-3)
    assert after[1:2] == before[1:2]


def test_flags_of_alike_images_are_as_many_as_expected(invent):
    # z and min_images are low and q is out of force, so that chance alone flags a number that can
    # be counted.
    config = FailuresConfig.model_construct(
        candidate_deviations=1e9, z=1.5, min_images=10, q=1.0, confirm_p=0.05, overlap=0.5
    )
    runs = [flags_of(shuffled(invent, seed), config) for seed in range(4)]
    found, expected = sum(len(flags) for flags, _ in runs), sum(number for _, number in runs)
    assert expected > 30
    assert abs(found - expected) < 3 * np.sqrt(expected)


def test_alike_images_are_not_flagged_at_the_rate_asked_for(invent):
    config = CONFIG.model_copy(update={"candidate_deviations": 1e9, "z": 1.5})
    runs = [flags_of(shuffled(invent, seed), config) for seed in range(8)]
    assert sum(len(flags) > 0 for flags, _ in runs) <= 2


def test_true_flags_are_not_expected_by_chance(invent):
    # With every image of another class a candidate many components differ for good reasons. Given
    # their many exceedances, min_images of them fall on candidates by chance too; but not with so
    # small a p-value.
    flags, by_chance = flags_of(invent(seed=1), CONFIG.model_copy(update=WIDE))
    assert len(flags) >= 4
    assert 0 < by_chance < CONFIG.q * len(flags)


def test_q_values_rise_with_p_values(invent):
    config = CONFIG.model_copy(update=WIDE | {"min_images": 2, "q": 0.9})
    flags = sorted(flags_of(invent(seed=1), config)[0], key=lambda f: f.p_value)
    q = [f.q_value for f in flags]
    assert len(set(q)) > 4
    assert q == sorted(q)
    assert all(f.q_value >= f.p_value for f in flags)


def test_candidates_by_hand(inputs):
    images = inputs.images.copy()
    images.loc[6, "label"] = None
    made = replace(inputs, images=images)
    y = torch.full((270,), 0.1)
    y[[3, 100, 105, 200, 160, 6]] = torch.tensor([0.9, 0.41, 0.39, 0.8, 0.9, 0.9])
    mean = np.zeros(24)
    expected = Expectation(0, "n01", y_mean=0.7, y_std=0.2, floor=1.0, mean=mean, std=mean)
    # Above 0.7 − 1.5 · 0.2 = 0.4; 3 is of the class, 105 below, 160 in val, 6 without a label.
    assert candidate_rows(made, y, expected, "train", 1.5).tolist() == [100, 200]
    assert candidate_rows(made, y, expected, "val", 1.5).tolist() == [160]


def test_z_is_measured_in_deviations_but_at_least_the_floor(inputs):
    mean, std = np.zeros(24), np.zeros(24)
    mean[2], std[2] = 0.1, 0.5
    expected = Expectation(0, "n01", 0.0, 1.0, floor=0.2, mean=mean, std=std)
    rows = torch.tensor([90, 92])
    found = failures.surprise(inputs, expected, rows)
    relevance = failures.class_relevance(inputs, rows, inputs.texts["short"][0]).numpy()
    for row in range(2):
        slots = dict(zip(found.component[row].tolist(), range(4), strict=True))
        assert found.z[row, slots[2]] == pytest.approx((relevance[row, slots[2]] - 0.1) / 0.5)
        assert found.z[row, slots[PLANTED]] == pytest.approx(relevance[row, slots[PLANTED]] / 0.2)


def test_empty_slots_never_exceed(inputs):
    expected = expected_of(inputs)[0]._replace(mean=np.full(24, -100.0))
    rows = torch.arange(90, 150)
    found = failures.surprise(inputs, expected, rows)
    empty = inputs.codes.activation[rows].numpy() == 0
    assert empty.any()
    assert np.isneginf(found.z[empty]).all()
    assert (found.z[~empty] > 3).all()
    assert failures.exceedances(found, 3.0, 24).sum() == (~empty).sum()


def test_chance_by_hand():
    # 1 + 2 exceedances over 2 + 2 images: all other pairs are as likely. P(2 of 3 on the others)
    # = C(2,2)·C(2,1)/C(4,3) = 1/2, P(at least 1) = 1.
    own, others = np.array([1, 1]), np.array([2, 2])
    found = chance(own, others, 2, 2, at_least=np.array([2, 1]))
    assert found.tolist() == pytest.approx([0.5, 1.0])


def test_flags_of_one_class_that_share_images_are_one_finding():
    weak, strong = flag(0, 5, [1, 2, 3, 4]), flag(0, 3, [3, 4, 5, 6, 7, 8], excess=2.0)
    elsewhere = flag(1, 3, [1, 2, 3, 4])
    chained = flag(0, 9, [7, 8, 20, 21], excess=0.1)
    groups = gather([weak, elsewhere, chained, strong], overlap=0.5)
    assert [[f.component for f in group] for group in groups] == [[3, 5, 9], [3]]
    assert [group[0].position for group in groups] == [0, 1]
    apart = gather([weak, strong], overlap=0.51)
    assert [[f.component for f in group] for group in apart] == [[3], [5]]


def test_nothing_gathers_to_nothing():
    assert gather([], overlap=0.5) == []


def test_a_plant_is_confirmed_on_validation_images_only(inputs):
    expected = expected_of(inputs)[0]
    assert confirmation(inputs, expected, PLANTED, CONFIG) < 1e-4
    assert confirmation(inputs, expected, 7, CONFIG) > 0.05
    # The same with the plant taken out of the validation images: train images do not count.
    component, activation = (part.clone() for part in inputs.codes)
    hit = (component == PLANTED) & inputs.split("val")[:, None]
    component[hit], activation[hit] = 0, 0.0
    without = replace(inputs, codes=Codes(component, activation))
    assert confirmation(without, expected, PLANTED, CONFIG) == 1.0


def test_confirmation_by_hand(inputs):
    expected = expected_of(inputs)[0]
    y = cosine_outputs(inputs.x, inputs.texts["short"], inputs.head)[:, 0]
    rows = candidate_rows(inputs, y, expected, "val", 1.5)
    z = failures.surprise(inputs, expected, rows)
    others = int(((z.component == PLANTED) & (z.z > 3)).sum())
    p = chance(np.array([0]), np.array([others]), 30, len(rows), at_least=np.array([others]))
    assert 5 < others <= len(rows)
    assert confirmation(inputs, expected, PLANTED, CONFIG) == pytest.approx(float(p[0]))


def test_no_candidate_confirms_nothing(inputs):
    expected = expected_of(inputs)[0]._replace(y_mean=5.0)
    assert confirmation(inputs, expected, PLANTED, CONFIG) == 1.0


def test_expectations_spread_the_table_over_components(inputs):
    table = pd.DataFrame(
        {"class": ["n03", "n03"], "component": [4, 7], "mean": [0.5, 0.25], "std": [0.1, 0.2]}
    )
    classes = pd.DataFrame({"class": ["n03"], "y_mean": [0.8], "y_std": [0.1], "floor": [0.15]})
    (found,) = failures.expectations(inputs, table, classes)
    assert (found.position, found.label, found.floor) == (2, "n03", 0.15)
    assert found.mean[[4, 7, 8]].tolist() == [0.5, 0.25, 0]
    assert found.std[[4, 7, 8]].tolist() == [0.1, 0.2, 0]
