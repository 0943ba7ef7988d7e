"""Flags: a plant is flagged, chance is not, and the statistics are what they say."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest
import torch

from audits.failures import flags as module
from audits.failures.expectation import Expectation, own_expectation
from audits.failures.flags import EXCESS, STAND_IN, Flag, chance, compare, count, find_flags, hits
from audits.inputs import Inputs
from audits.reference.expected import reference
from pipeline.artifacts.gaps import DoesNotApply
from tests.audits.failures.test_expectation import CONFIG, look
from tests.conftest import PLANTED

ALIKE = CONFIG.model_copy(update={"candidate_deviations": 1e9, "z": 1.5, "unlike": -np.inf})
"""Every image of another class is a candidate, and half of all images can count."""


def flags_of(inputs: Inputs, config=CONFIG, seed: int = 0):
    return find_flags(inputs, *reference(inputs), config, seed)


def shuffled(invent, seed: int) -> Inputs:
    """Labels at random: images of a class and of others are alike, so every flag is false."""
    made = invent(planted=False, seed=seed)
    rng = np.random.default_rng(seed)
    texts = torch.from_numpy(rng.normal(size=(3, 18))).float()
    return replace(
        made,
        images=made.images.assign(label=rng.permutation(made.images["label"].to_numpy())),
        texts={"short": texts / texts.norm(dim=1, keepdim=True)},
    )


def test_a_planted_component_is_flagged_and_nothing_else(inputs):
    flags, by_chance = flags_of(inputs)
    assert [(f.position, f.component, f.test) for f in flags] == [(0, PLANTED, EXCESS)]
    assert by_chance.permuted == 0 <= by_chance.analytic < 0.01
    found = flags[0]
    assert set(found.rows) <= set(range(90, 150, 2))  # train images of n02 that carry the plant
    assert len(found.rows) > 10
    assert found.max_z > 3
    assert found.p_value <= found.q_value < 1e-6
    assert found.counts[:2] == (0, 54)  # six of 60 own images do not come close themselves
    assert found.tail == 1 / 55  # none of the others has it
    assert found.counts.other_hits == len(found.rows) < found.counts.others


def test_without_a_plant_nothing_comes_close_enough_to_be_tested(invent):
    with pytest.raises(DoesNotApply, match="the most that come close to one are"):
        flags_of(invent(planted=False))


def test_the_order_of_images_does_not_matter(inputs, permuted):
    (before,), (after,) = flags_of(inputs)[0], flags_of(permuted)[0]
    ids = [
        set(made.images["image_id"].iloc[found.rows])
        for made, found in ((inputs, before), (permuted, after))
    ]
    assert ids[0] == ids[1]
    assert after.score == pytest.approx(before.score, rel=1e-3)
    assert after[1:3] == before[1:3]


def test_the_seed_decides_the_permutations(invent):
    config = ALIKE.model_copy(update={"permutations": 3, "q": 0.9})
    made = shuffled(invent, 0)
    first, again, other = (flags_of(made, config, seed)[1] for seed in (4, 4, 5))
    assert first == again
    assert first.analytic == other.analytic
    assert first.permuted != other.permuted


def test_flags_of_alike_images_are_as_many_as_expected(invent):
    # z and min_images are low and q is nearly out of force, so that chance alone flags a number
    # that can be counted.
    config = ALIKE.model_copy(update={"z": 1.0, "min_images": 8, "q": 0.999})
    runs = [flags_of(shuffled(invent, seed), config) for seed in range(6)]
    found = sum(len(flags) for flags, _ in runs)
    for kind in ("permuted", "analytic"):
        expected = sum(getattr(by_chance, kind) for _, by_chance in runs)
        assert expected > 30
        assert abs(found - expected) < 3 * np.sqrt(expected)


def test_alike_images_are_not_flagged_at_the_rate_asked_for(invent):
    runs = [flags_of(shuffled(invent, seed), ALIKE) for seed in range(8)]
    assert sum(len(flags) > 0 for flags, _ in runs) <= 2


def test_true_flags_are_not_expected_by_chance(invent):
    wide = CONFIG.model_copy(update={"candidate_deviations": 30.0})
    flags, by_chance = flags_of(invent(seed=1), wide)
    assert len(flags) >= 4
    assert by_chance.permuted < wide.q * len(flags)
    assert 0 < by_chance.analytic < wide.q * len(flags)


def test_q_values_rise_with_p_values(invent):
    wide = CONFIG.model_copy(update={"candidate_deviations": 30.0, "min_images": 2, "q": 0.9})
    flags = sorted(flags_of(invent(seed=1), wide)[0], key=lambda f: f.p_value)
    q = [f.q_value for f in flags]
    assert len(set(q)) > 4
    assert q == sorted(q)
    assert all(f.p_value <= f.q_value <= 0.9 for f in flags)


def test_images_of_one_group_count_once(inputs):
    images = inputs.images.copy()
    carriers = np.arange(90, 150, 2)
    images.loc[carriers, "group_id"] = [f"g{i % 7}" for i in range(len(carriers))]
    made = replace(inputs, images=images)
    assert flags_of(made)[0] == []
    (found,) = flags_of(made, CONFIG.model_copy(update={"min_images": 5}))[0]
    assert found.component == PLANTED
    assert found.counts.other_hits <= 7 < len(found.rows)


def test_a_class_of_one_group_is_left_out(inputs):
    images = inputs.images.copy()
    images.loc[:59, "group_id"] = "one"
    with pytest.raises(DoesNotApply, match="images of the class that are of 2 groups"):
        flags_of(replace(inputs, images=images))


def test_nothing_to_test_is_said_with_the_numbers(inputs):
    few = CONFIG.model_copy(update={"min_images": 10_000})
    with pytest.raises(
        DoesNotApply, match=r"takes 10000 train images .* come close to one are \d+"
    ):
        flags_of(inputs, few)
    nobody = replace(inputs, images=inputs.images.assign(label=None))
    with pytest.raises(DoesNotApply, match="none of 3 classes has 2 train images on which"):
        flags_of(nobody)


def test_hits_by_hand():
    # Component 0 carries the class, 1 and 2 do not; the deviation is the floor, 0.1.
    relevance = [[0.36, 0, 0], [0.34, 0.31, 0], [0.6, 0.29, 0], [0, 0, -0.1], [0.71, 0, 0.02]]
    seen = look(relevance, [False] * 5, list(range(5)))
    mean = np.array([0.5, 0.0, 0.24])
    expected = Expectation(0, 9, 0.1, mean, np.zeros(3))
    z = (seen.relevance - mean[seen.component]) / 0.1
    found = hits(seen, z, expected.mean, CONFIG)

    def at(slots):
        return list(zip(seen.image[slots].tolist(), seen.component[slots].tolist(), strict=True))

    assert at(found[EXCESS]) == [(1, 1)]
    assert at(found[STAND_IN]) == [(0, 0), (2, 0), (4, 0)]
    more = hits(seen, z, mean, CONFIG.model_copy(update={"mainstay": 0.4}))
    # −0.1 is above 0.24 less a wide margin, but speaks against the prompt.
    assert at(more[STAND_IN]) == [(0, 0), (2, 0), (4, 0)]
    wide = CONFIG.model_copy(update={"mainstay": 0.4, "candidate_deviations": 4.0})
    assert at(hits(seen, z, mean, wide)[STAND_IN]) == [(0, 0), (1, 0), (2, 0), (4, 0), (4, 2)]


def test_looks_limit_others_and_stand_ins():
    # Relevance far above what is usual, of own images and others that look like the class or not.
    seen = look([[0.9], [0.9], [0.9], [0.9]], [True, True, False, False], [0, 1, 2, 3])
    seen = seen._replace(unlike=np.array([False, True, False, True]))
    found = hits(seen, np.full(4, 4.0), np.array([0.5]), CONFIG)
    assert seen.image[found[EXCESS]].tolist() == [0, 1, 3]
    assert seen.image[found[STAND_IN]].tolist() == [1, 3]


def test_permutations_of_excess_have_no_looks():
    rng = np.random.default_rng(2)
    relevance = rng.exponential(size=(80, 6)) * (rng.random((80, 6)) < 0.4)
    seen = look(relevance, [True] * 40 + [False] * 40, list(range(80)))
    seen = seen._replace(unlike=np.zeros(len(seen.image), dtype=bool))
    config = CONFIG.model_copy(update={"z": 1.0, "min_images": 3, "q": 1.0, "permutations": 4})
    found = compare(seen, own_expectation(seen, 6), config, rng)
    assert found.flags == []
    assert len(found.permuted) > 4


def test_a_class_that_nothing_carries_has_no_stand_in():
    seen = look([[0.3, 0.2], [0.1, 0.4]], [False, False], [0, 1])
    for mean in (np.zeros(2), np.array([-0.3, -0.1])):
        assert len(hits(seen, seen.relevance, mean, CONFIG)[STAND_IN]) == 0


def test_units_are_counted_once():
    relevance = [[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 1], [0, 1, 1]]
    seen = look(relevance, [True, True, False, False], [0, 0, 1, 2, 2, 3])
    own, others = count(seen, np.arange(len(seen.image)), 4)
    assert own.tolist() == [2, 2, 1, 0]
    assert others.tolist() == [1, 2, 2, 0]
    own, others = count(seen, np.flatnonzero(seen.image == 4), 4)
    assert (own.tolist(), others.tolist()) == ([0] * 4, [1, 0, 1, 0])


def test_chance_by_hand():
    # 1 + 2 hits over 2 + 2 units: all other pairs are as likely. P(2 of 3 on the others)
    # = C(2,2)·C(2,1)/C(4,3) = 1/2, P(at least 1) = 1.
    own, others = np.array([1, 1]), np.array([2, 2])
    found = chance(own, others, 2, 2, at_least=np.array([2, 1]))
    assert found.tolist() == pytest.approx([0.5, 1.0])


def standing_in() -> tuple[Flag, ...]:
    """Flags of a class that component 0 carries on 20 own images and 15 others, 1 only there."""
    rng = np.random.default_rng(0)
    relevance = np.zeros((38, 3))
    relevance[:35, 0] = rng.uniform(0.4, 0.6, 35)
    relevance[35:, 2] = 0.1
    relevance[22:34, 1] = 0.5
    seen = look(relevance, [True] * 20 + [False] * 18, list(range(38)))
    # Own images look like the class.
    seen = seen._replace(unlike=seen.image >= 20)
    mean = np.array([relevance[:20, 0].mean(), 0, 0])
    std = np.array([relevance[:20, 0].std(ddof=1), 0, 0])
    expected = Expectation(1, 20, 0.1, mean, std)
    return tuple(compare(seen, expected, CONFIG, np.random.default_rng(0)).flags)


def test_a_component_that_carries_the_class_stands_in_for_it():
    excess, stand_in = standing_in()
    assert (stand_in.component, stand_in.test, stand_in.position) == (0, STAND_IN, 1)
    assert stand_in.rows.tolist() == list(range(20, 35))
    assert stand_in.counts == (0, 20, 15, 18)
    assert stand_in.score == pytest.approx(0.5, abs=0.05)  # all of it is too much
    assert 0.3 < stand_in.tail < 0.7  # as on own images
    # All 15 hits on the 18 others among 38.
    assert stand_in.p_value == pytest.approx(comb(18, 15) / comb(38, 15))
    assert (excess.component, excess.test) == (1, EXCESS)
    assert excess.rows.tolist() == list(range(22, 34))
    assert excess.score == 0.5
    assert excess.tail == 1 / 21


def test_the_tail_is_that_of_the_own_images():
    relevance = np.zeros((30, 2))
    relevance[:12, 0] = [0.9, 0.9, 0.9, *[0.01] * 9]
    relevance[12:, 0] = 0.8
    seen = look(relevance, [True] * 12 + [False] * 18, list(range(30)))
    expected = Expectation(0, 12, 0.1, np.array([0.2, 0]), np.array([0.15, 0]))
    config = CONFIG.model_copy(update={"mainstay": 1.0, "permutations": 1})
    flag = compare(seen, expected, config, np.random.default_rng(0)).flags[0]
    assert (flag.test, flag.tail) == (EXCESS, 4 / 13)


def test_permuted_units_keep_their_number(monkeypatch):
    drawn = []

    def spy(seen, components):
        drawn.append(seen.own)
        return original(seen, components)

    original = module.own_expectation
    monkeypatch.setattr(module, "own_expectation", spy)
    standing_in()
    assert len(drawn) == CONFIG.permutations
    assert {int(own.sum()) for own in drawn} == {20}
    assert len({own.tobytes() for own in drawn}) == CONFIG.permutations
