"""Strikes: what chance does not explain, within a class or of a whole one."""

from math import comb

import numpy as np
import pytest

from audits.failures import strikes as module
from audits.failures.chance import as_a_whole, within
from audits.failures.closeness import Close
from audits.failures.counting import CARRIER, EXCESS, STAND_IN, tally
from audits.failures.expectation import Expectation, View
from audits.failures.flags import _flag
from audits.failures.strikes import Basis, Outcome, compare, whole_classes
from tests.audits.failures.test_expectation import CONFIG, look, usual


def firing_of(seen: View, components: int, classes: int) -> Basis:
    """What tests of a view need, if its images of other classes are all there are."""
    firing = np.zeros((classes, components), dtype=np.int32)
    np.add.at(firing, (seen.label[seen.pair_unit], seen.pair_component), 1)
    units = np.bincount(seen.label, minlength=classes)
    nothing = [np.zeros(0, dtype=np.int64)] * classes
    close = Close("train", nothing, nothing, nothing, np.zeros((classes, classes)))
    alike = np.zeros((classes, classes), dtype=bool)
    unknown = np.zeros(classes, dtype=bool)
    compounds = np.zeros((classes, classes), dtype=bool)
    return Basis(close, alike, unknown, compounds, firing, units, firing.sum(axis=0), nothing)


def both_tests(relevance, units, labels, close, expected, config=CONFIG) -> dict[str, Outcome]:
    """Both tests of a view of dense relevances."""
    seen = look(relevance, units, labels, close)
    tests = firing_of(seen, seen.component.max() + 1, seen.label.max() + 1)
    found = compare(seen, expected, tests, config, np.random.default_rng(0))
    return {each.test: each for each in found}


def standing_in(config=CONFIG) -> dict[str, Outcome]:
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
    return both_tests(relevance, range(60), [0] * 20 + [2] * 40, close, expected, config)


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
    assert [s.part.component for s in alone.strikes] == [1]
    assert found.p.min() > 0.5 > CONFIG.q > alone.p.min()


def a_whole_class(close: int) -> tuple[View, Basis]:
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
    excess, *_ = compare(seen, expected, tests, CONFIG, np.random.default_rng(0))
    (strike,) = excess.strikes  # component 2 is on images of all others, too
    assert (strike.part.component, strike.labels, strike.whole) == (1, (1,), True)
    assert _flag([strike]).whole == (1,)
    # Within the class it is there everywhere, and says nothing.
    assert within(np.array([30]), 30, np.array([30]), np.array([30]))[0] == 1
    # Few of the class are not enough.
    seen, tests = a_whole_class(close=7)
    excess, *_ = compare(seen, expected, tests, CONFIG, np.random.default_rng(0))
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


def test_a_class_is_asked_about_though_it_looks_alike_in_another_split():
    seen, tests = a_whole_class(close=30)
    found = tally(seen, np.arange(len(seen.image)), 3)
    alike = tests.alike.copy()
    alike[0, 1] = True  # as a flag's class may on validation images
    low = CONFIG.model_copy(update={"class_share": 1e-3})  # so that the component decides
    for each in (tests, tests._replace(alike=alike)):
        found_p = whole_classes(seen, found, each, low)[0, 1]
        assert found_p == pytest.approx(1 / comb(90, 30), rel=1e-6, abs=0)


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


def test_permutations_exchange_closeness_within_a_class(monkeypatch):
    drawn = []

    def spy(both, mean, variance):
        drawn.append((both, mean, variance))
        return np.full(len(both), 0.04)

    monkeypatch.setattr(module, "matched", spy)
    low = CONFIG.model_copy(update={"min_images": 2, "permutations": 400})
    found = standing_in(low)
    # For each test what could strike, then what permutations have: both where it is min_images.
    (_, mean, variance), (both, *_) = drawn[2:4]
    assert mean.tolist() == pytest.approx([18 * 16 / 40])
    assert variance.tolist() == pytest.approx([18 * 16 * 24 * 22 / 40**2 / 39])
    assert len(both) == 400
    assert both.mean() == pytest.approx(18 * 16 / 40, abs=0.3)
    assert both.var() == pytest.approx(variance[0], rel=0.2)
    assert found[STAND_IN].permuted.tolist() == [0.04] * 400
    assert found[CARRIER].permuted.tolist() == []  # three times as much is above q


def test_permutations_choose_carriers_anew():
    """Component 1 carries what comes close, a third of the class, and component 2 the others."""
    relevance = np.zeros((110, 3))
    relevance[:20, 0] = 0.5
    relevance[20:50, 1], relevance[50:, 2] = 0.6, 0.4
    near = np.arange(110) < 50
    expected = Expectation(0, 20, 0.1, np.array([0.5, 0, 0]), np.array([0.1, 9.0, 9.0]))
    low = CONFIG.model_copy(update={"q": 1 - 1e-9, "permutations": 40, "min_images": 5})
    labels = [0] * 20 + [1] * 90
    found = both_tests(relevance, range(110), labels, near, expected, low)[CARRIER]
    assert {strike.part.component for strike in found.strikes} == {1}
    # In a draw either is there on many that come close; about half of p-values are below 1/3.
    assert 20 < len(found.permuted) < 60


def test_a_component_that_carries_the_class_stands_in_for_it():
    found = standing_in()
    strike, *_ = found[STAND_IN].strikes
    assert (strike.part.component, strike.labels, strike.position) == (0, (2,), 0)
    assert strike.seen.rows.tolist() == list(range(20, 35))
    assert strike.seen.counts == (20, 20, 15, 18, 1, 22)
    # All of its relevance is too much, since the class is not there.
    assert strike.seen.score == pytest.approx(0.5, abs=0.06)
    # Of 40 units 16 count and 18 are close, 15 are both.
    one = sum(comb(18, both) * comb(22, 16 - both) for both in (15, 16)) / comb(40, 16)
    assert strike.p_value == pytest.approx(one)
    assert not strike.whole
    other, *_ = found[EXCESS].strikes
    assert (other.part.component, other.seen.rows.tolist()) == (1, list(range(22, 34)))
    assert other.p_value == pytest.approx(comb(18, 12) / comb(38, 12))  # own images
    assert (other.seen.score, other.seen.tail) == (0.5, 1 / 21)  # no own image has it


def test_what_is_tested_does_not_depend_on_what_comes_close():
    """Component 1 counts on enough images, and none of them is close: its p-value is 1."""
    relevance = np.zeros((80, 2))
    relevance[:20, 0] = 0.5
    relevance[20:40, 1] = 0.5
    near = (np.arange(80) < 20) | (np.arange(80) >= 60)
    expected = Expectation(0, 20, 0.1, np.array([0.5, 0.0]), np.array([0.1, 0.1]))
    found = both_tests(relevance, range(80), [0] * 20 + [1] * 60, near, expected)[EXCESS]
    assert found.p.tolist() == [1, 1]  # of all together, and of the class as a whole
    assert found.strikes == []
    fewer = relevance.copy()
    fewer[29:40, 1] = 0  # on nine it could never be
    found = both_tests(fewer, range(80), [0] * 20 + [1] * 60, near, expected)[EXCESS]
    assert found.p.tolist() == []


def test_compounds_and_others_are_tested_apart():
    """Component 1 is on five images of each of two classes, which are ten only together."""
    relevance = np.zeros((80, 2))
    relevance[:20, 0] = 0.5
    relevance[20:25, 1] = relevance[50:55, 1] = 0.5
    near = relevance.any(axis=1)
    expected = Expectation(0, 20, 0.1, np.array([0.5, 0.0]), np.array([0.1, 0.1]))
    seen = look(relevance, range(80), [0] * 20 + [1] * 30 + [2] * 30, near)
    tests = firing_of(seen, 2, 3)
    excess, *_ = compare(seen, expected, tests, CONFIG, np.random.default_rng(0))
    (strike,) = excess.strikes
    assert (strike.labels, strike.part) == ((1, 2), (1, False))
    tests.compounds[0, 2] = True
    excess, *_ = compare(seen, expected, tests, CONFIG, np.random.default_rng(0))
    assert excess.strikes == []
    low = CONFIG.model_copy(update={"min_images": 5})
    excess, *_ = compare(seen, expected, tests, low, np.random.default_rng(0))
    found = {(strike.labels, strike.part) for strike in excess.strikes if not strike.whole}
    assert found == {((1,), (1, False)), ((2,), (1, True))}


def carried(relevance: np.ndarray, close: int) -> dict[str, Outcome]:
    """Of class 1, 30 images, so many come close; component 0 carries class 0."""
    seen = look(relevance, range(110), [0] * 20 + [1] * 30 + [2] * 60, np.arange(110) < 20 + close)
    # Relevance of 1 varies so much on own images that 0.3 is no excess.
    expected = Expectation(0, 20, 0.1, np.array([0.5, 0.02, 0]), np.array([0.06, 0.2, 0.2]))
    found = compare(seen, expected, firing_of(seen, 3, 3), CONFIG, np.random.default_rng(0))
    return {outcome.test: outcome for outcome in found}


def test_a_class_as_a_whole_is_flagged_by_what_carries_it_there():
    """Component 1 is there on class 1 alone, no more than once on own images, where 0 carries."""
    relevance = np.zeros((110, 3))
    relevance[:20, 0] = np.linspace(0.4, 0.6, 20)
    relevance[0, 1] = relevance[20:50, 1] = 0.3
    relevance[20:50, 2] = 0.1  # less than half of what component 1 brings
    found = carried(relevance, close=30)
    assert found[EXCESS].strikes == found[STAND_IN].strikes == []
    (strike,) = found[CARRIER].strikes
    assert (strike.part.component, strike.labels, strike.whole) == (1, (1,), True)
    assert len(strike.seen.rows) == 30
    assert strike.seen.score == pytest.approx(0.28)  # what own images lead to expect is taken off
    by_class = as_a_whole(np.array([30]), np.array([30]), CONFIG.class_share)[0]
    chance = 3 * max(by_class, 1 / comb(90, 30))  # of 3 components
    assert strike.p_value == pytest.approx(chance, rel=1e-6, abs=0)
    # A class of which few come close is not flagged.
    assert carried(relevance, close=7)[CARRIER].strikes == []


def test_part_of_a_class_is_flagged_by_what_carries_it_there():
    """As the class as a whole, but component 1 is on twelve images, which alone come close."""
    relevance = np.zeros((110, 3))
    relevance[:20, 0] = np.linspace(0.4, 0.6, 20)
    relevance[20:32, 1] = 0.3
    relevance[20:50, 2] = 0.2  # carries it, too, and is everywhere
    found = carried(relevance, close=12)
    assert found[EXCESS].strikes == found[STAND_IN].strikes == []
    first = found[CARRIER].strikes[0]
    assert (first.part.component, first.labels, first.whole) == (1, (1,), False)
    assert first.p_value == pytest.approx(3 / comb(30, 12), rel=1e-6)
    # Within the class the other says nothing, but it is on no other one.
    assert {strike.whole for strike in found[CARRIER].strikes if strike.part.component == 2} == {
        True
    }
