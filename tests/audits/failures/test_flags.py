"""Flags: a plant is flagged, chance is not, and the statistics are what they say."""

from dataclasses import replace

import numpy as np
import pytest

from audits.failures import flags as module
from audits.failures import strikes
from audits.failures.closeness import close_images, look_alikes
from audits.failures.counting import CARRIER, EXCESS, STAND_IN
from audits.failures.expectation import Expectation
from audits.failures.flags import Flag, _flag, find_flags
from audits.failures.strikes import Outcome, prepare
from audits.inputs import Inputs
from audits.reference.expected import reference
from pipeline.artifacts.gaps import DoesNotApply
from tests.audits.failures.test_expectation import CONFIG, usual
from tests.audits.failures.test_strikes import both_tests, standing_in
from tests.conftest import PLANTED

CARRIERS = range(90, 150, 2)
"""Train images of n02 that carry the plant."""
NONE = np.zeros((3, 3), dtype=bool)
"""No class has the word of another in its name."""


def flags_of(inputs: Inputs, config=CONFIG, seed: int = 0, compounds=NONE):
    tests = prepare(inputs, "train", compounds, config)
    return find_flags(inputs, *reference(inputs), tests, config, seed)


def test_a_planted_component_is_flagged_and_nothing_else(inputs):
    flags, by_chance, unknown = flags_of(inputs)
    assert [(f.position, f.component, f.test, f.labels) for f in flags] == [
        (0, PLANTED, EXCESS, (1,))
    ]
    assert by_chance.permuted == 0 <= by_chance.analytic < 0.01
    assert unknown == []
    found = flags[0]
    assert set(found.rows) <= set(CARRIERS)
    assert len(found.rows) > 20
    assert found.max_z > 3
    assert found.p_value <= found.q_value < 1e-6
    # Six of 60 own images do not come close themselves.
    assert found.counts == (0, 54, len(found.rows), 30, 0, 30)
    assert found.tail == 1 / 55  # none of the others has it


def test_a_class_whose_name_the_model_does_not_know_is_not_searched(inputs, monkeypatch):
    monkeypatch.setattr("audits.failures.strikes.unknown", lambda rates, share: np.arange(3) == 2)
    found = flags_of(inputs)
    assert found.unknown == ["n03"]
    assert [flag.position for flag in found.flags] == [0]
    monkeypatch.setattr("audits.failures.strikes.unknown", lambda rates, share: np.arange(3) == 0)
    with pytest.raises(DoesNotApply, match="does not know 1 of 3 names"):
        flags_of(inputs)
    monkeypatch.setattr("audits.failures.strikes.unknown", lambda rates, share: np.arange(3) < 3)
    with pytest.raises(DoesNotApply, match="knows the name of none of 3 classes"):
        flags_of(inputs)


def test_without_a_plant_nothing_comes_close_enough_to_be_tested(invent):
    with pytest.raises(
        DoesNotApply,
        match=r"2 groups; of \d+ classes, the most images of others that come close to one are 1",
    ):
        flags_of(invent(planted=False))


def test_the_order_of_images_does_not_matter(inputs, permuted):
    (before,), (after,) = flags_of(inputs)[0], flags_of(permuted)[0]
    ids = [
        set(made.images["image_id"].iloc[found.rows])
        for made, found in ((inputs, before), (permuted, after))
    ]
    assert ids[0] == ids[1]
    assert after.score == pytest.approx(before.score, rel=1e-3)
    assert after[1:5] == before[1:5]
    assert after.counts == before.counts


def test_images_of_one_group_count_once(inputs):
    images = inputs.images.copy()
    images.loc[list(CARRIERS), "group_id"] = [f"g{i % 7}" for i in range(len(CARRIERS))]
    made = replace(inputs, images=images)
    assert flags_of(made)[0] == []
    (found,) = flags_of(made, CONFIG.model_copy(update={"min_images": 5}))[0]
    assert found.component == PLANTED
    assert found.counts.other_hits == found.counts.others == 7 < len(found.rows)
    few = CONFIG.model_copy(update={"min_images": 5, "min_class_images": 8})
    with pytest.raises(DoesNotApply, match="takes 8 train images"):
        flags_of(made, few)


def test_classes_that_look_alike_are_not_compared(inputs, monkeypatch):
    def alike(rates, ratio):
        found = original(rates, ratio)
        found[pairs] = True
        return found

    original = look_alikes
    monkeypatch.setattr(strikes, "look_alikes", alike)
    pairs = ([0], [1])
    with pytest.raises(DoesNotApply, match="do not look like it"):
        flags_of(inputs)
    # Likeness of n02 to n01 does not keep n01 from being compared with n02.
    pairs = ([1], [0])
    assert [f.position for f in flags_of(inputs)[0]] == [0]


def test_a_class_that_comes_close_one_way_is_compared(inputs, monkeypatch):
    close = close_images(inputs, "train", CONFIG)
    for there, flagged in ((0.6, True), (0.7, False)):
        rates = close.rates.copy()
        rates[0, 1] = there * rates[1, 0]  # of n01 to n02
        seen = close._replace(rates=rates)
        monkeypatch.setattr(strikes, "close_images", lambda *about, seen=seen: seen)
        if flagged:
            assert [(f.position, f.labels) for f in flags_of(inputs)[0]] == [(0, (1,))]
        else:
            with pytest.raises(DoesNotApply, match="do not look like it"):
                flags_of(inputs)


def test_a_class_of_one_group_is_left_out(inputs):
    images = inputs.images.copy()
    images.loc[:59, "group_id"] = "one"
    with pytest.raises(DoesNotApply, match="images of the class itself that are of 2 groups"):
        flags_of(replace(inputs, images=images))


def test_nothing_to_test_is_said_with_the_numbers(inputs):
    few = CONFIG.model_copy(update={"min_class_images": 10_000})
    with pytest.raises(DoesNotApply, match=r"takes 10000 train images .* come close to one are 30"):
        flags_of(inputs, few)
    nobody = replace(inputs, images=inputs.images.assign(label=None))
    with pytest.raises(DoesNotApply, match="none of 3 classes has 2 train images on which"):
        flags_of(nobody)


def test_a_flag_is_made_of_its_strikes():
    found = standing_in()
    stand_in, excess = (_flag(found[test].strikes) for test in (STAND_IN, EXCESS))
    assert stand_in.score == pytest.approx(0.5, abs=0.05)  # all of it is too much
    assert 0.3 < stand_in.tail < 0.7  # as on own images
    assert (excess.score, excess.tail) == (0.5, 1 / 21)
    first = found[EXCESS].strikes[0]
    second = first._replace(label=4, whole=True, p_value=first.p_value / 2)
    flag = _flag([first, second])
    assert (flag.labels, flag.whole, flag.p_value) == ((2, 4), (4,), second.p_value)
    # What the component does is the same for all of its strikes.
    assert flag.rows.tolist() == [*range(22, 34)]
    assert (flag.counts, flag.max_z) == (first.seen.counts, first.seen.max_z)


def test_a_flag_shows_classes_too_rare_for_a_test():
    """Two of three classes strike; the images of the third on which it does the same are shown."""
    rng = np.random.default_rng(0)
    relevance = np.zeros((110, 2))
    relevance[:20, 0] = rng.uniform(0.4, 0.6, 20)
    for first, images in ((20, 6), (50, 6), (80, 4)):
        relevance[first : first + images, 1] = 0.5
    close = relevance.any(axis=1)
    close[100:] = True  # on these it does not count
    labels = [0] * 20 + [1] * 30 + [2] * 30 + [3] * 30
    expected = usual(relevance[:20], floor=0.1)
    found = both_tests(relevance, range(110), labels, close, expected)[EXCESS].strikes
    assert [(s.label, s.part.component, s.hits) for s in found] == [(1, 1, 6), (2, 1, 6)]
    flag = _flag(found)
    assert flag.labels == (1, 2)
    assert flag.rows.tolist() == [*range(20, 26), *range(50, 56), *range(80, 84)]
    assert flag.counts == (0, 20, 16, 26, 0, 64)


def test_the_tail_is_that_of_the_own_images_that_come_close():
    relevance = np.zeros((50, 2))
    relevance[:12, 0] = [0.9, 0.9, 0.9, *[0.01] * 9]
    relevance[12:30, 0] = 0.8
    relevance[30:, 1] = 0.1
    expected = Expectation(0, 12, 0.1, np.array([0.2, 0]), np.array([0.15, 0]))
    close = np.arange(50) < 30
    found = both_tests(relevance, range(50), [0] * 12 + [1] * 38, close, expected)
    assert _flag(found[EXCESS].strikes).tail == 4 / 13


def test_true_flags_are_not_expected_by_chance(invent):
    made = [flags_of(invent(seed=seed)) for seed in range(4)]
    flags = sum(len(found.flags) for found in made)
    assert flags >= 4
    assert sum(found.by_chance.permuted for found in made) < CONFIG.q * flags
    assert 0 < sum(found.by_chance.analytic for found in made) < CONFIG.q * flags


def test_a_flag_has_the_q_value_of_its_p_value(invent, monkeypatch):
    loose = CONFIG.model_copy(
        update={"z": 1.0, "min_images": 5, "q": 0.9, "candidate_deviations": 3.0}
    )
    # With so low a bar all images of all classes come close.
    monkeypatch.setattr("audits.failures.strikes.unknown", lambda rates, share: np.arange(3) > 2)
    for test in (EXCESS, STAND_IN):
        flags = [
            flag
            for seed in range(3)
            for flag in flags_of(invent(seed=seed), loose)[0]
            if flag.test == test and seed == 1
        ]
        q = [f.q_value for f in sorted(flags, key=lambda f: f.p_value)]
        assert q == sorted(q)
        assert all(f.p_value <= f.q_value <= 0.9 for f in flags)


def as_flags(monkeypatch, inputs: Inputs, tests: list[Outcome], config) -> list[Flag]:
    """Flags from what every class's tests are said to have found."""
    expected = Expectation(0, 60, 0.1, np.zeros(24), np.zeros(24))
    monkeypatch.setattr(module, "compare", lambda *about: tests)
    monkeypatch.setattr(module, "_views", lambda *about: [(expected, None)])
    return flags_of(inputs, config)[0]


def test_each_test_is_held_to_the_rate_by_itself(inputs, monkeypatch):
    (strike,) = standing_in()[EXCESS].strikes
    weak = strike._replace(p_value=0.02)
    reach = np.ones(1)
    alone = Outcome(EXCESS, np.array([0.02]), reach, [weak], [])
    many = Outcome(STAND_IN, np.full(30, 0.9), reach, [], [])
    (flag,) = as_flags(monkeypatch, inputs, [alone, many], CONFIG)
    assert (flag.p_value, flag.q_value) == (0.02, pytest.approx(0.02))
    more = alone._replace(p=np.array([0.02, 0.9, 0.9]))  # 0.02 · 3 / 1
    assert as_flags(monkeypatch, inputs, [more, many], CONFIG) == []
    (flag,) = as_flags(monkeypatch, inputs, [more, many], CONFIG.model_copy(update={"q": 0.07}))
    assert flag.q_value == pytest.approx(0.06)


def test_a_carrier_is_flagged_where_no_other_test_flags_it(inputs, monkeypatch):
    (strike,) = standing_in()[EXCESS].strikes
    found = Outcome(CARRIER, np.array([strike.p_value]), np.ones(1), [strike], [])
    (flag,) = as_flags(monkeypatch, inputs, [found], CONFIG)
    assert flag.component == strike.part.component
    for test in (EXCESS, STAND_IN):
        for component, flagged in ((strike.part.component, 1), (7, 2)):
            part = strike.part._replace(component=component)
            other = found._replace(test=test, strikes=[strike._replace(part=part, test=test)])
            flags = as_flags(monkeypatch, inputs, [found, other], CONFIG)
            assert len(flags) == flagged
            assert test in {flag.test for flag in flags}


def test_compounds_of_the_word_are_counted_by_themselves(inputs, monkeypatch):
    names = NONE.copy()
    names[0, 1] = True
    (flag,) = flags_of(inputs, compounds=names)[0]
    (before,) = flags_of(inputs)[0]
    assert (flag.compound, before.compound) == (True, False)
    assert flag.rows.tolist() == before.rows.tolist()
    assert flag.counts.others < before.counts.others + before.counts.far
    # Neither kind has the images of a flag, were they counted together they had.
    (strike,) = standing_in()[EXCESS].strikes
    other = strike._replace(part=strike.part._replace(compound=True), label=1)
    found = Outcome(EXCESS, np.array([strike.p_value] * 2), np.ones(2), [strike, other], [])
    none = Outcome(STAND_IN, np.ones(1), np.ones(1), [], [])
    for least, flagged in ((strike.hits, [False, True]), (strike.hits + 1, [])):
        config = CONFIG.model_copy(update={"min_images": least})
        flags = as_flags(monkeypatch, inputs, [found, none], config)
        assert [flag.compound for flag in flags] == flagged


def test_a_flag_takes_min_images_units(inputs, monkeypatch):
    (strike,) = standing_in()[EXCESS].strikes
    found = Outcome(EXCESS, np.array([strike.p_value]), np.ones(1), [strike], [])
    none = Outcome(STAND_IN, np.ones(1), np.ones(1), [], [])
    for least, flagged in ((12, 1), (13, 0)):
        config = CONFIG.model_copy(update={"min_images": least})
        assert len(as_flags(monkeypatch, inputs, [found, none], config)) == flagged
