"""Flags: a plant is flagged, chance is not, and the statistics are what they say."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest

from audits.failures import flags as module
from audits.failures.chance import as_a_whole, within
from audits.failures.closeness import Close
from audits.failures.expectation import Expectation, View
from audits.failures.flags import (
    EXCESS,
    STAND_IN,
    Counts,
    Flag,
    compare,
    counts_of,
    find_flags,
    firing_units,
    hits,
    tally,
    whole_classes,
)
from audits.inputs import Inputs
from audits.reference.expected import reference
from pipeline.artifacts.gaps import DoesNotApply
from tests.audits.failures.test_expectation import CONFIG, look, usual
from tests.conftest import PLANTED

CARRIERS = range(90, 150, 2)
"""Train images of n02 that carry the plant."""


def flags_of(inputs: Inputs, config=CONFIG, seed: int = 0):
    return find_flags(inputs, *reference(inputs), config, seed)


def firing_of(seen: View, components: int, classes: int) -> module.Tests:
    """What tests of a view need, if its images of other classes are all there are."""
    firing = np.zeros((classes, components), dtype=np.int32)
    np.add.at(firing, (seen.label[seen.pair_unit], seen.pair_component), 1)
    units = np.bincount(seen.label, minlength=classes)
    nothing = [np.zeros(0, dtype=np.int64)] * classes
    close = Close("train", nothing, nothing, np.zeros((classes, classes)))
    alike = np.zeros((classes, classes), dtype=bool)
    return module.Tests(close, alike, firing, units, firing.sum(axis=0), nothing)


def both_tests(
    relevance, units, labels, close, expected, config=CONFIG
) -> dict[str, module.Tested]:
    """Both tests of a view of dense relevances."""
    seen = look(relevance, units, labels, close)
    tests = firing_of(seen, seen.component.max() + 1, seen.label.max() + 1)
    found = compare(seen, expected, tests, config, np.random.default_rng(0))
    return {each.test: each for each in found}


def test_a_planted_component_is_flagged_and_nothing_else(inputs):
    flags, by_chance = flags_of(inputs)
    assert [(f.position, f.component, f.test, f.labels) for f in flags] == [
        (0, PLANTED, EXCESS, (1,))
    ]
    assert by_chance.permuted == 0 <= by_chance.analytic < 0.01
    found = flags[0]
    assert set(found.rows) <= set(CARRIERS)
    assert len(found.rows) > 20
    assert found.max_z > 3
    assert found.p_value <= found.q_value < 1e-6
    # Six of 60 own images do not come close themselves.
    assert found.counts == (0, 54, len(found.rows), 30, 0, 30)
    assert found.tail == 1 / 55  # none of the others has it


def test_without_a_plant_nothing_comes_close_enough_to_be_tested(invent):
    with pytest.raises(DoesNotApply, match="most images of others that come close to one are 1"):
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

    original = module.look_alikes
    monkeypatch.setattr(module, "look_alikes", alike)
    pairs = ([0], [1])
    with pytest.raises(DoesNotApply, match="do not look like it"):
        flags_of(inputs)
    # Likeness of n02 to n01 does not keep n01 from being compared with n02.
    pairs = ([1], [0])
    assert [f.position for f in flags_of(inputs)[0]] == [0]


def test_a_class_that_comes_close_one_way_is_compared(invent):
    # Of n02 a third come close to n01, of n01 an eighth to n02.
    made = invent(seed=1)
    rates = module.close_images(made, "train", CONFIG).rates
    assert 0 < rates[0, 1] < 0.667 * rates[1, 0]
    assert [(f.position, f.labels) for f in flags_of(made)[0]] == [(0, (1,))]


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


def test_hits_by_hand():
    # Component 0 carries the class, 1 and 2 do not; the deviation is the floor, 0.1.
    relevance = [[0.36, 0, 0], [0.34, 0.31, 0], [0.6, 0.29, 0], [0, 0, -0.1], [0.71, 0, 0.02]]
    seen = look(relevance, range(5), [1] * 5)
    mean = np.array([0.5, 0.0, 0.24])
    z = (seen.relevance - mean[seen.component]) / 0.1
    found = hits(seen, z, mean, CONFIG)

    def at(slots):
        return list(zip(seen.image[slots].tolist(), seen.component[slots].tolist(), strict=True))

    assert at(found[EXCESS]) == [(1, 1)]
    assert at(found[STAND_IN]) == [(0, 0), (2, 0), (4, 0)]
    more = hits(seen, z, mean, CONFIG.model_copy(update={"mainstay": 0.4}))
    # −0.1 is above 0.24 less a wide margin, but speaks against the prompt.
    assert at(more[STAND_IN]) == [(0, 0), (2, 0), (4, 0)]
    wide = CONFIG.model_copy(update={"mainstay": 0.4, "candidate_deviations": 4.0})
    assert at(hits(seen, z, mean, wide)[STAND_IN]) == [(0, 0), (1, 0), (2, 0), (4, 0), (4, 2)]


def test_a_class_that_nothing_carries_has_no_stand_in():
    seen = look([[0.3, 0.2], [0.1, 0.4]], range(2), [1, 1])
    for mean in (np.zeros(2), np.array([-0.3, -0.1])):
        assert len(hits(seen, seen.relevance, mean, CONFIG)[STAND_IN]) == 0


def test_units_are_counted_once():
    #          unit 0, own            | 1, of 3  | 2, of 1              | 3, of 3  | 4, own
    relevance = [[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 1], [0, 1, 1], [0, 0, 1]]
    close = [True, True, True, False, True, False, True]
    seen = look(relevance, [0, 0, 1, 2, 2, 3, 4], [0, 3, 1, 3, 0], close)
    found = tally(seen, np.arange(len(seen.image)), 4)
    assert found.labels.tolist() == [1, 3]
    assert (found.units.tolist(), found.close.tolist()) == ([1, 2], [1, 1])
    assert found.hits.tolist() == [[1, 1, 1, 0], [1, 2, 2, 0]]
    # Of unit 2 one image is close, and on it only what fires on this image counts.
    assert found.both.tolist() == [[1, 0, 1, 0], [1, 1, 1, 0]]
    assert (found.own_hits.tolist(), found.own) == ([1, 1, 1, 0], 2)
    assert counts_of(found, [3], 1) == Counts(1, 2, 1, 1, 1, 1)
    assert counts_of(found, [1, 3], 2) == Counts(1, 2, 2, 2, 1, 1)
    some = tally(seen, np.flatnonzero(seen.image == 4), 4)
    assert some.hits.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0]]


def test_firing_units_are_groups_of_a_class(inputs):
    images = inputs.images.copy()
    images.loc[[90, 92, 94, 0], "group_id"] = "one"
    firing, units = firing_units(replace(inputs, images=images), "train")
    assert units.tolist() == [60, 58, 60]
    assert firing[:, PLANTED].tolist() == [0, 28, 0]
    assert [firing[c, c + 1] for c in range(3)] == [60, 58, 60]
    codes = inputs.codes
    fires = ((codes.component == 7) & (codes.activation > 0)).any(dim=1).numpy()
    assert firing[2, 7] == fires[180:240].sum()


def standing_in() -> dict[str, module.Tested]:
    """Of a class that component 0 carries on 20 own images and on 15 of 18 that come close.

    Component 1 is there on 12 of these, and on no own image. On 22 more that do not come close the
    component 0 is there once, 1 never.
    """
    rng = np.random.default_rng(0)
    relevance = np.zeros((60, 3))
    relevance[:36, 0] = rng.uniform(0.4, 0.6, 36)
    relevance[[35, 36, 37], 2] = 0.1
    relevance[35, 0], relevance[59, 0] = 0, 0.5
    relevance[22:34, 1] = 0.5
    close = np.arange(60) < 38
    expected = usual(relevance[:20], floor=0.1)
    return both_tests(relevance, range(60), [0] * 20 + [2] * 40, close, expected)


def test_a_component_that_carries_the_class_stands_in_for_it():
    found = standing_in()
    (strike,), (other,) = found[STAND_IN].strikes, found[EXCESS].strikes
    assert (strike.component, strike.label, strike.position) == (0, 2, 0)
    assert strike.rows.tolist() == list(range(20, 35))
    assert strike.counts == (20, 20, 15, 18, 1, 22)
    assert strike.usual == 0
    # Of 40 units 16 count and 18 are close, 15 are both; twice as much for the better of two tests.
    one = sum(comb(18, both) * comb(22, 16 - both) for both in (15, 16)) / comb(40, 16)
    assert strike.p_value == pytest.approx(2 * one)
    assert not strike.whole
    assert (other.component, other.rows.tolist()) == (1, list(range(22, 34)))
    assert other.p_value == pytest.approx(comb(18, 12) / comb(38, 12))  # own images
    assert other.own.tolist() == [0] * 20


def test_a_flag_is_made_of_its_strikes():
    found = standing_in()
    stand_in, excess = (module._flag(found[test].strikes) for test in (STAND_IN, EXCESS))
    assert stand_in.score == pytest.approx(0.5, abs=0.05)  # all of it is too much
    assert 0.3 < stand_in.tail < 0.7  # as on own images
    assert (excess.score, excess.tail) == (0.5, 1 / 21)
    first = found[EXCESS].strikes[0]
    second = first._replace(
        label=4,
        whole=True,
        p_value=first.p_value / 2,
        rows=np.array([70, 71]),
        relevance=np.array([0.9, 0.9]),
        max_z=99.0,
        counts=Counts(0, 20, 2, 3, 4, 5),
        usual=0.0,
    )
    flag = module._flag([first, second])
    assert (flag.labels, flag.whole, flag.max_z) == ((2, 4), (4,), 99.0)
    assert flag.rows.tolist() == [*range(22, 34), 70, 71]
    assert flag.score == pytest.approx((12 * 0.5 + 2 * 0.9) / 14)
    assert flag.counts == (0, 20, 14, 21, 4, 27)
    assert flag.p_value == first.p_value / 2


def test_strikes_of_several_classes_are_one_flag():
    """Neither class has min_images units, both together have."""
    rng = np.random.default_rng(0)
    relevance = np.zeros((80, 2))
    relevance[:20, 0] = rng.uniform(0.4, 0.6, 20)
    for first in (20, 50):
        relevance[first : first + 6, 1] = 0.5
    close = relevance.any(axis=1)
    labels = [0] * 20 + [1] * 30 + [2] * 30
    expected = usual(relevance[:20], floor=0.1)
    found = both_tests(relevance, range(80), labels, close, expected)[EXCESS].strikes
    assert [(s.label, s.component, len(s.rows)) for s in found] == [(1, 1, 6), (2, 1, 6)]
    assert module._flag(found).counts == (0, 20, 12, 12, 0, 48)


def test_the_tail_is_that_of_the_own_images_that_come_close():
    relevance = np.zeros((50, 2))
    relevance[:12, 0] = [0.9, 0.9, 0.9, *[0.01] * 9]
    relevance[12:30, 0] = 0.8
    relevance[30:, 1] = 0.1
    expected = Expectation(0, 12, 0.1, np.array([0.2, 0]), np.array([0.15, 0]))
    close = np.arange(50) < 30
    found = both_tests(relevance, range(50), [0] * 12 + [1] * 38, close, expected)
    assert module._flag(found[EXCESS].strikes).tail == 4 / 13


def test_what_own_images_do_as_often_is_no_excess():
    """Within the other class it is no chance, but own images do so by themselves."""
    relevance = np.zeros((120, 2))
    relevance[:40, 0] = 0.5
    relevance[80:, 1] = 0.1
    relevance[:20, 1] = relevance[40:60, 1] = 0.5  # on half of the own, half of the close
    close = np.arange(120) < 80
    labels = [0] * 40 + [1] * 80
    expected = Expectation(0, 40, 0.1, np.array([0.5, 0.1]), np.array([0.0, 0.1]))
    found = both_tests(relevance, range(120), labels, close, expected)[EXCESS]
    assert found.strikes == []
    relevance[:20, 1] = 0
    alone = both_tests(relevance, range(120), labels, close, expected)[EXCESS]
    assert [s.component for s in alone.strikes] == [1]
    assert found.p.min() > 0.5 > CONFIG.q > alone.p.min()


def a_whole_class(close: int) -> tuple[View, module.Tests]:
    """Of class 1 so many of 30 images come close; component 1 is on all of it, and nowhere else.

    Component 2 is on every image of classes 1 and 2, component 0 on the class's own.
    """
    relevance = np.zeros((110, 3))
    relevance[:20, 0] = np.linspace(0.4, 0.6, 20)
    relevance[20:50, 1] = 0.5
    relevance[20:, 2] = 0.5
    near = np.arange(110) < 20 + close
    seen = look(relevance, range(110), [0] * 20 + [1] * 30 + [2] * 60, near)
    return seen, firing_of(seen, 3, 3)


def test_a_class_that_comes_close_as_a_whole_is_flagged_by_its_component():
    seen, tests = a_whole_class(close=30)
    expected = Expectation(0, 20, 0.1, np.array([0.5, 0, 0]), np.array([0.06, 0, 0]))
    excess, _ = compare(seen, expected, tests, CONFIG, np.random.default_rng(0))
    (strike,) = excess.strikes  # component 2 is on images of all others, too
    assert (strike.component, strike.label, strike.whole) == (1, 1, True)
    assert module._flag([strike]).whole == (1,)
    # Within the class it is there everywhere, and says nothing.
    assert within(np.array([30]), 30, np.array([30]), np.array([30]))[0] == 1
    # Few of the class are not enough.
    seen, tests = a_whole_class(close=7)
    excess, _ = compare(seen, expected, tests, CONFIG, np.random.default_rng(0))
    assert excess.strikes == []


def test_whole_classes_by_hand():
    seen, tests = a_whole_class(close=9)
    found = tally(seen, np.arange(len(seen.image)), 3)
    p = whole_classes(seen, found, tests, CONFIG)
    assert p.shape == (2, 3)
    # 9 of 30 come close, 0.2 expected; all 9 have it, as 30 of the 90 other units do.
    by_class = as_a_whole(np.array([9]), np.array([30]), 0.2)[0]
    assert p[0].tolist() == pytest.approx([1, by_class, 1])
    assert comb(30, 9) / comb(90, 9) < by_class
    assert p[1].tolist() == [1, 1, 1]
    low = whole_classes(seen, found, tests, CONFIG.model_copy(update={"class_share": 1e-3}))
    assert low[0, 1] == pytest.approx(comb(30, 9) / comb(90, 9))


def test_classes_that_look_alike_are_not_what_a_whole_class_is_told_from():
    seen, tests = a_whole_class(close=30)
    found = tally(seen, np.arange(len(seen.image)), 3)
    only = {name: getattr(found, name)[:1] for name in ("labels", "units", "close", "hits", "both")}
    with_others = whole_classes(seen, found, tests, CONFIG)
    # Every image that lacks component 1 is of class 2: without it nothing is told from anything.
    tests.alike[0, 2] = True
    narrow = look(*_first(seen, 50))
    assert whole_classes(narrow, found._replace(**only), tests, CONFIG)[0, 1] == 1
    # A class that is tested stays in, though in this split it looks alike.
    tests.alike[0] = [False, True, False]
    assert whole_classes(seen, found, tests, CONFIG).tolist() == with_others.tolist()


def _first(seen: View, images: int) -> tuple[np.ndarray, range, list[int], np.ndarray]:
    """What `look` makes a view of the first images of, each a unit of its own."""
    relevance = np.zeros((len(seen.rows), 3))
    relevance[seen.image, seen.component] = seen.relevance
    return relevance[:images], range(images), seen.label[:images].tolist(), seen.close[:images]


def test_true_flags_are_not_expected_by_chance(invent):
    made = [flags_of(invent(seed=seed)) for seed in range(4)]
    flags = sum(len(flags) for flags, _ in made)
    assert flags >= 4
    assert sum(by_chance.permuted for _, by_chance in made) < CONFIG.q * flags
    assert 0 < sum(by_chance.analytic for _, by_chance in made) < CONFIG.q * flags


def test_a_flag_has_the_q_value_of_its_p_value(invent):
    loose = CONFIG.model_copy(
        update={"z": 1.0, "min_images": 5, "q": 0.9, "candidate_deviations": 3.0}
    )
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


def as_flags(monkeypatch, inputs: Inputs, tests: list[module.Tested], config) -> list[Flag]:
    """Flags from what every class's tests are said to have found."""
    expected = Expectation(0, 60, 0.1, np.zeros(24), np.zeros(24))
    monkeypatch.setattr(module, "compare", lambda *about: tests)
    monkeypatch.setattr(module, "_views", lambda *about: [(expected, None)])
    return flags_of(inputs, config)[0]


def test_each_test_is_held_to_the_rate_by_itself(inputs, monkeypatch):
    (strike,) = standing_in()[EXCESS].strikes
    weak = strike._replace(p_value=0.02)
    reach = np.ones(1)
    alone = module.Tested(EXCESS, np.array([0.02]), reach, [weak], [])
    many = module.Tested(STAND_IN, np.full(30, 0.9), reach, [], [])
    (flag,) = as_flags(monkeypatch, inputs, [alone, many], CONFIG)
    assert (flag.p_value, flag.q_value) == (0.02, pytest.approx(0.02))
    more = alone._replace(p=np.array([0.02, 0.9, 0.9]))  # 0.02 · 3 / 1
    assert as_flags(monkeypatch, inputs, [more, many], CONFIG) == []
    (flag,) = as_flags(monkeypatch, inputs, [more, many], CONFIG.model_copy(update={"q": 0.07}))
    assert flag.q_value == pytest.approx(0.06)


def test_a_flag_takes_min_images_units(inputs, monkeypatch):
    (strike,) = standing_in()[EXCESS].strikes
    found = module.Tested(EXCESS, np.array([strike.p_value]), np.ones(1), [strike], [])
    none = module.Tested(STAND_IN, np.ones(1), np.ones(1), [], [])
    for least, flagged in ((12, 1), (13, 0)):
        config = CONFIG.model_copy(update={"min_images": least})
        assert len(as_flags(monkeypatch, inputs, [found, none], config)) == flagged


def test_permutations_exchange_closeness_within_a_class(monkeypatch):
    drawn = []

    def spy(both, units, close, hits):
        if np.ndim(both) == 2:  # of every permutation
            drawn.append((both, units, close, hits))
        return within(both, units, close, hits)

    monkeypatch.setattr(module, "within", spy)
    standing_in()
    for both, units, close, counted in drawn:
        assert len(both) == CONFIG.permutations
        assert (both <= np.minimum(close, counted)).all()
        assert (both >= close + counted - units).all()
    both, units, close, _ = next(of for of in drawn if of[3].tolist() == [16])
    assert (units.tolist(), close.tolist()) == ([40], [18])
    assert len(np.unique(both)) > 2
    assert both.mean() == pytest.approx(18 * 16 / 40, abs=1.5)
