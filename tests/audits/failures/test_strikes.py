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
    close = Close("train", nothing, nothing, nothing, nothing, np.zeros((classes, classes)))
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


def standing_in() -> dict[str, Outcome]:
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
    assert (strike.part.component, strike.label, strike.whole) == (1, 1, True)
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


def test_a_component_that_carries_the_class_stands_in_for_it():
    found = standing_in()
    (strike,), (other,) = found[STAND_IN].strikes, found[EXCESS].strikes
    assert (strike.part.component, strike.label, strike.position) == (0, 2, 0)
    assert strike.seen.rows.tolist() == list(range(20, 35))
    assert strike.seen.counts == (20, 20, 15, 18, 1, 22)
    # All of its relevance is too much, since the class is not there.
    assert strike.seen.score == pytest.approx(0.5, abs=0.06)
    # Of 40 units 16 count and 18 are close, 15 are both; twice as much for the better of two tests.
    one = sum(comb(18, both) * comb(22, 16 - both) for both in (15, 16)) / comb(40, 16)
    assert strike.p_value == pytest.approx(2 * one)
    assert not strike.whole
    assert (other.part.component, other.seen.rows.tolist()) == (1, list(range(22, 34)))
    assert other.p_value == pytest.approx(comb(18, 12) / comb(38, 12))  # own images
    assert (other.seen.score, other.seen.tail) == (0.5, 1 / 21)  # no own image has it


def carried(relevance: np.ndarray, close: np.ndarray) -> dict[str, Outcome]:
    """Of class 1, 30 images, and class 2, 60; component 0 carries class 0."""
    seen = look(relevance, range(110), [0] * 20 + [1] * 30 + [2] * 60, close)
    # Relevance of 1 and 2 varies so much on own images that it is no excess.
    expected = Expectation(0, 20, 0.1, np.array([0.5, 0.02, 0]), np.array([0.06, 0.9, 0.9]))
    found = compare(seen, expected, firing_of(seen, 3, 3), CONFIG, np.random.default_rng(0))
    return {outcome.test: outcome for outcome in found}


def test_a_class_as_a_whole_is_flagged_by_what_carries_it_there():
    """Component 1 is there on class 1 alone, no more than once on own images, where 0 carries."""
    relevance = np.zeros((110, 3))
    relevance[:20, 0] = np.linspace(0.4, 0.6, 20)
    relevance[0, 1] = relevance[20:50, 1] = 0.3
    relevance[20:50, 2] = 0.1  # less than half of what component 1 brings
    found = carried(relevance, np.arange(110) < 50)
    assert found[EXCESS].strikes == found[STAND_IN].strikes == []
    (strike,) = found[CARRIER].strikes
    assert (strike.part.component, strike.label, strike.whole, strike.hits) == (1, 1, True, 30)
    assert strike.seen.score == pytest.approx(0.28)  # what own images lead to expect is taken off
    by_class = as_a_whole(np.array([30]), np.array([30]), CONFIG.class_share)[0]
    chance = 2 * 3 * max(by_class, 1 / comb(90, 30))  # the better of two, of 3 components
    assert strike.p_value == pytest.approx(chance, rel=1e-6, abs=0)
    # A class of which few come close is not flagged.
    assert carried(relevance, np.arange(110) < 27)[CARRIER].strikes == []


def test_part_of_a_class_is_flagged_by_what_carries_it_there():
    """Twelve images of class 1 come close, and component 1 is on no others."""
    relevance = np.zeros((110, 3))
    relevance[:20, 0] = np.linspace(0.4, 0.6, 20)
    relevance[20:32, 1] = 0.3
    relevance[20:32, 2] = 0.1  # less than half of what component 1 brings
    found = carried(relevance, np.arange(110) < 32)
    assert found[EXCESS].strikes == found[STAND_IN].strikes == []
    (strike,) = found[CARRIER].strikes
    assert (strike.part.component, strike.label, strike.whole, strike.hits) == (1, 1, False, 12)
    assert strike.p_value == pytest.approx(2 * 3 / comb(30, 12), rel=1e-6)
    relevance[20:32, 2] = 0.2
    found = carried(relevance, np.arange(110) < 32)
    assert {strike.part.component for strike in found[CARRIER].strikes} == {1, 2}
    # Of two other classes one comes close, and chance has one choice there.
    assert found[CARRIER].reach.tolist() == [1]


def test_a_carrier_counts_where_it_carries():
    """Component 1 carries class 1, and 2 class 2; on some images of these the other is, too."""
    relevance = np.zeros((110, 3))
    relevance[:20, 0] = np.linspace(0.4, 0.6, 20)
    relevance[20:50, 1], relevance[50:58, 1] = 0.3, 0.05
    relevance[50:100, 2], relevance[20:32, 2] = 0.9, 0.1
    relevance[0, 1] = relevance[1:3, 2] = 0.1  # on own images either counts
    found = carried(relevance, np.arange(110) < 100)[CARRIER]
    struck = {(s.part.component, s.label): s.seen.rows.tolist() for s in found.strikes}
    assert struck == {(1, 1): [*range(20, 50)], (2, 2): [*range(50, 100)]}
    assert [s.seen.counts.own_hits for s in found.strikes] == [1, 2]


def test_what_chance_may_reach_by_hand():
    """Of 200 images twelve come close, it counts on as many, and five of both make a strike."""
    relevance = np.zeros((220, 2))
    relevance[:20, 0] = 0.5
    relevance[20:30, 1] = relevance[40:42, 1] = 0.5
    expected = Expectation(0, 20, 0.1, np.array([0.5, 0.0]), np.array([0.1, 0.1]))
    labels = [0] * 20 + [1] * 200
    found = both_tests(relevance, range(220), labels, np.arange(220) < 32, expected)[EXCESS]
    five = sum(comb(12, n) * comb(188, 12 - n) for n in range(5, 13)) / comb(200, 12)
    assert found.reach.tolist() == pytest.approx([2 * five])


def test_permutations_choose_carriers_anew():
    """Component 1 carries what comes close, a third of the class, and component 2 the others; 3 is
    on every other one and carries nothing, 4 carries no more than three."""
    relevance = np.zeros((110, 5))
    relevance[:20, 0] = 0.5
    relevance[0, 1] = relevance[20:50, 1] = 0.6
    relevance[50:, 2], relevance[20::2, 3] = 0.4, 0.05
    relevance[[30, 60, 70], 4] = 9.0
    expected = Expectation(0, 20, 0.1, np.array([0.5, 0, 0, 0, 0]), np.full(5, 9.0))
    low = CONFIG.model_copy(update={"q": 1 - 1e-9, "permutations": 300})
    seen = look(relevance, range(110), [0] * 20 + [1] * 90, np.arange(110) < 50)
    tests = firing_of(seen, 5, 2)
    tests.compounds[0, 1] = True
    *_, found = compare(seen, expected, tests, low, np.random.default_rng(0))
    drawn = [struck for draw in found.permuted for struck in draw]
    # Of 30 that come close in a draw 10 have the first, 20 the second: by chance as often as not.
    assert {part for part, _, _ in drawn} == {(1, True), (2, True)}
    for part, p, both in drawn:
        hits = {1: 30, 2: 60}[part.component]
        one = within(np.array([both]), 90, np.array([30]), np.array([hits]))[0]
        assert p == pytest.approx(2 * 5 * one)
        assert p <= 1
