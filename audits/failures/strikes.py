"""Strikes: a component that counts on another class's images as chance does not explain.

For each component and each other class, chance is ruled out in one of two ways
(`audits.failures.chance`): among the images of that class, those on which the component counts come
close to the prompt more often; or the images of that class come close as a whole, and the component
fires on them more than on others. *Excess* has to be no matter of the class's own images, either. A
*carrier* is asked for where a class comes close as a whole and no component strikes otherwise.

A class whose name is a compound of the word, as "hot dog" is of "dog", answers to the word for
another reason than classes that look like it: a component is held against either kind by itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import csr_array

from audits.failures.chance import as_a_whole, either, on_others, within
from audits.failures.closeness import Close, close_images, look_alikes, unknown
from audits.failures.compounds import Compounds
from audits.failures.counting import (
    CARRIER,
    EXCESS,
    STAND_IN,
    Counts,
    Tally,
    counts_of,
    firing_units,
    hits,
    tally,
)
from audits.failures.expectation import Expectation, View, surprise, view
from audits.inputs import Inputs
from audits.reference.expected import own_images
from pipeline.config import FailuresConfig, Relevance


class Part(NamedTuple):
    """A component on the images of other classes of one kind."""

    component: int
    compound: bool
    """Whether the names of these classes are compounds of the class's word."""


class Seen(NamedTuple):
    """What a component does on the images of all other classes of a kind that it is tested on."""

    rows: np.ndarray
    """Images that come close and on which it counts, as rows of Inputs.images."""
    score: float
    """Mean over them of the relevance that is too much, see `Flag.score`."""
    max_z: float
    tail: float
    """How seldom own images are as relevant, see `Flag.tail`."""
    counts: Counts


class Strike(NamedTuple):
    """A component that one class's prompt depends on more than it should on images of another."""

    position: int
    part: Part
    test: str
    label: int
    whole: bool
    """Whether its p-value is that of the class as a whole."""
    p_value: float
    hits: int
    """Units of the other class that come close and on which it counts."""
    seen: Seen


class Outcome(NamedTuple):
    """One test of one class's components."""

    test: str
    p: np.ndarray
    """p-value of every tested (component, other class)."""
    reach: np.ndarray
    """Probability that chance alone gives each the images that a strike needs."""
    strikes: list[Strike]
    """Those with a p-value of at most q."""
    permuted: list[list[tuple[Part, float, int]]]
    """For each permutation the part, p-value and hits of what would be strikes."""


class Basis(NamedTuple):
    """What the tests of every class need of a split."""

    close: Close
    alike: Bool[np.ndarray, "c c"]
    """Classes (columns) that look like a class (row)."""
    unknown: Bool[np.ndarray, " c"]
    """Classes whose name the model does not know."""
    compounds: Compounds
    firing: Int[np.ndarray, "c m"]
    """Units of each class on which each component fires."""
    units: Int[np.ndarray, " c"]
    """Units of each class."""
    every: Int[np.ndarray, " m"]
    """Units of all classes on which each component fires."""
    members: list[np.ndarray]
    """Images of each class, as rows of Inputs.images."""


def prepare(inputs: Inputs, split: str, compounds: Compounds, config: FailuresConfig) -> Basis:
    """What the tests of every class need of a split."""
    close = close_images(inputs, split, config)
    firing, units = firing_units(inputs, split)
    members = [rows.numpy() for _, rows in own_images(inputs, split)]
    alike = look_alikes(close.rates, config.look_alike)
    strange = unknown(close.rates, config.class_share)
    return Basis(close, alike, strange, compounds, firing, units, firing.sum(axis=0), members)


def see(
    inputs: Inputs,
    expected: Expectation,
    tests: Basis,
    labels: Sequence[int] | np.ndarray,
    kind: Relevance,
) -> View:
    """A class's own images that come close to it, and all images of other classes in a split."""
    at = expected.position
    others = np.concatenate([tests.members[label] for label in labels])
    return view(inputs, expected, tests.close.own[at], others, tests.close.candidates[at], kind)


def compare(
    seen: View,
    expected: Expectation,
    tests: Basis,
    config: FailuresConfig,
    rng: np.random.Generator,
) -> list[Outcome]:
    """All tests of one class's components."""
    z = surprise(seen, expected, new=False)
    slots = hits(seen, z, expected.mean, config)
    carrying = slots.pop(CARRIER)
    found = [
        _tested(test, seen, expected, z, counted, tests, config, rng)
        for test, counted in slots.items()
    ]
    struck = {label for outcome in found for label in _lasting(outcome.strikes, config.min_images)}
    return [*found, _carried(seen, expected, z, carrying, tests, struck, config)]


def _lasting(strikes: list[Strike], least: int) -> set[int]:
    """Classes of strikes whose part has the images that a flag takes."""
    total: dict[Part, int] = {}
    for strike in strikes:
        total[strike.part] = total.get(strike.part, 0) + strike.hits
    return {strike.label for strike in strikes if total[strike.part] >= least}


def _tested(
    test: str,
    seen: View,
    expected: Expectation,
    z: np.ndarray,
    slots: np.ndarray,
    tests: Basis,
    config: FailuresConfig,
    rng: np.random.Generator,
) -> Outcome:
    found = tally(seen, slots, len(expected.mean))
    least = config.min_class_images
    row, component = np.nonzero((found.hits >= least) & (found.close >= least)[:, None])
    both, numbers = found.both[row, component], _numbers(found, row, component)
    within_class = within(both, *numbers)
    whole = whole_classes(seen, found, tests, config)[row, component]
    p = either(within_class, whole)
    if test == EXCESS:
        others = int(found.close.sum())
        beyond_own = on_others(found.own_hits, found.own, found.both.sum(axis=0), others)
        p = np.maximum(p, beyond_own[component])
    struck = np.flatnonzero((both >= least) & (p <= config.q))
    parts = _parts(tests.compounds[seen.position][found.labels[row]], component)
    what = _what(test, {parts[n] for n in struck}, seen, expected, z, slots, found, tests)
    strikes = [
        _strike(test, seen, found, row[n], parts[n], p[n], what, whole[n] < within_class[n])
        for n in struck
    ]
    reach = np.minimum(1, 2 * within(np.full(len(row), least), *numbers))
    permuted = _permuted(seen, slots, found, (row, parts), config, rng)
    return Outcome(test, p, reach, strikes, permuted)


def _carried(
    seen: View,
    expected: Expectation,
    z: np.ndarray,
    slots: np.ndarray,
    tests: Basis,
    struck: set[int],
    config: FailuresConfig,
) -> Outcome:
    """Components that carry a prompt on classes that come close as a whole, but for those classes
    that are `struck` otherwise.

    A carrier is chosen of all m components by what it does on the images it is tested on, so that
    its p-value is m times that of the class as a whole. Within a class nothing is asked, so that
    permutations find none.
    """
    m = len(expected.mean)
    found = tally(seen, slots, m)
    asked = (found.both >= config.min_class_images) & ~np.isin(found.labels, list(struck))[:, None]
    row, component = np.nonzero(asked)
    p = np.minimum(1.0, m * whole_classes(seen, found, tests, config)[row, component])
    kept = np.flatnonzero(p <= config.q)
    parts = _parts(tests.compounds[seen.position][found.labels[row]], component)
    what = _what(CARRIER, {parts[n] for n in kept}, seen, expected, z, slots, found, tests)
    strikes = [_strike(CARRIER, seen, found, row[n], parts[n], p[n], what, True) for n in kept]
    return Outcome(CARRIER, p, np.ones(len(p)), strikes, [[] for _ in range(config.permutations)])


def _strike(
    test: str,
    seen: View,
    found: Tally,
    row: np.intp,
    part: Part,
    p: np.float64,
    what: dict[Part, Seen],
    whole: bool | np.bool,
) -> Strike:
    return Strike(
        seen.position,
        part,
        test,
        int(found.labels[row]),
        bool(whole),
        float(p),
        int(found.both[row, part.component]),
        what[part],
    )


def _parts(compound: np.ndarray, component: np.ndarray) -> list[Part]:
    return [Part(*pair) for pair in zip(component.tolist(), compound.tolist(), strict=True)]


def _numbers(
    found: Tally, row: np.ndarray, component: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return found.units[row], found.close[row], found.hits[row, component]


def whole_classes(seen: View, found: Tally, tests: Basis, config: FailuresConfig) -> np.ndarray:
    """p-values [l, m] of other classes that come close as a whole, by a component of theirs.

    Two things have to be ruled out: that no more than `class_share` of the class's images come
    close, and that the component fires on those that do no more than on images of all other classes
    that do not look alike. 1 where the component does not count.
    """
    left_out = tests.alike[seen.position].copy()
    left_out[seen.position] = True
    left_out[found.labels] = False  # those of another split's flags may look alike in this one
    units = int(tests.units.sum() - tests.units[left_out].sum())
    fires = np.flatnonzero(seen.close[seen.image])  # every slot is active
    firing = tally(seen, fires, found.hits.shape[1]).both
    p = np.ones(found.hits.shape)
    row, component = np.nonzero(found.both)
    total = tests.every[component] - tests.firing[left_out].sum(axis=0)[component]
    by_component = within(firing[row, component], units, found.close[row], total)
    by_class = as_a_whole(found.close, found.units, config.class_share)
    p[row, component] = np.maximum(by_class[row], by_component)
    return p


def _permuted(
    seen: View,
    slots: np.ndarray,
    found: Tally,
    asked: tuple[np.ndarray, list[Part]],
    config: FailuresConfig,
    rng: np.random.Generator,
) -> list[list[tuple[Part, float, int]]]:
    """What would strike, were closeness exchanged among the units of each other class."""
    counted = np.zeros(len(seen.pair_unit), dtype=bool)
    counted[seen.pair[slots]] = True
    pairs = np.flatnonzero(counted)
    unit, component = seen.pair_unit[pairs], seen.pair_component[pairs]
    shape = (len(seen.size), found.hits.shape[1])
    counts = csr_array((np.ones(len(pairs), dtype=np.int32), (unit, component)), shape=shape)
    row, parts = asked
    tested = np.array([part.component for part in parts], dtype=np.int64)
    draws: list[list[tuple[Part, float, int]]] = [[] for _ in range(config.permutations)]
    for n, label in enumerate(found.labels):
        here = np.flatnonzero(row == n)
        if not len(here):
            continue
        mine = counts[np.flatnonzero(seen.label == label)][:, tested[here]]
        drawn = np.zeros((config.permutations, found.units[n]), dtype=np.int32)
        drawn[:, : found.close[n]] = 1
        both = rng.permuted(drawn, axis=1) @ mine
        units, close, hit = _numbers(found, row[here], tested[here])
        p = np.minimum(1, 2 * within(both, units, close, hit))
        for draw, i in zip(
            *np.nonzero((p <= config.q) & (both >= config.min_class_images)), strict=True
        ):
            draws[draw].append((parts[here[i]], float(p[draw, i]), int(both[draw, i])))
    return draws


def _what(
    test: str,
    parts: set[Part],
    seen: View,
    expected: Expectation,
    z: np.ndarray,
    slots: np.ndarray,
    found: Tally,
    tests: Basis,
) -> dict[Part, Seen]:
    """What some components do on classes of a kind, from the slots on which each counts."""
    near = slots[seen.close[seen.image[slots]] & ~seen.of_class[slots]]
    of_class = np.flatnonzero(seen.of_class)
    compound = tests.compounds[seen.position]
    there = compound[seen.label[seen.unit[seen.image[near]]]]
    what = {}
    for part in parts:
        of_component = seen.component[near] == part.component
        mine = near[of_component & (there == part.compound)]
        relevance = seen.relevance[mine]
        own = np.zeros(int(seen.size[seen.own].sum()))
        at = of_class[seen.component[of_class] == part.component]
        own[: len(at)] = seen.relevance[at]
        usual = 0.0 if test == STAND_IN else float(expected.mean[part.component])
        # Numbers in place of arrays, for every strike of every class is kept to the end.
        what[part] = Seen(
            rows=seen.rows[seen.image[mine]],
            score=float(relevance.mean()) - usual,
            max_z=float(z[mine].max()),
            tail=(int((own >= np.median(relevance)).sum()) + 1) / (len(own) + 1),
            counts=counts_of(found, part.component, compound[found.labels] == part.compound),
        )
    return what
