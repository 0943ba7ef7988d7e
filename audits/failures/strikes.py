"""Strikes: a component that counts on another class's images as chance does not explain.

For each component and each other class, chance is ruled out in one of two ways
(`audits.failures.chance`): among the images of that class, those on which the component counts come
close to the prompt more often; or the images of that class come close as a whole, and the component
fires on them more than on others. *Excess* has to be no matter of the class's own images, either.

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
    carriers,
    carries,
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


Draws = list[list[tuple[Part, float, int]]]
"""For each permutation the part, p-value and hits of what would be strikes."""


class Outcome(NamedTuple):
    """One test of one class's components."""

    test: str
    p: np.ndarray
    """p-value of every tested (component, other class)."""
    reach: np.ndarray
    """Probability that chance alone gives each the images that a strike needs; of carriers, which
    are chosen of all components, 1 for each other class."""
    strikes: list[Strike]
    """Those with a p-value of at most q."""
    permuted: Draws


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
    return [
        _tested(test, seen, expected, z, slots, tests, config, rng)
        for test, slots in hits(seen, z, expected.mean, config).items()
    ]


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
    m, counted, chosen_of = len(expected.mean), slots, 1
    if test == CARRIER:
        # Chosen of all m by what it does on the very images that it is tested on.
        counted, chosen_of = slots[_carrying(seen, slots, carriers(seen, m, config.mainstay))], m
    found = tally(seen, counted, m)
    least = config.min_class_images
    row, component = np.nonzero((found.hits >= least) & (found.close >= least)[:, None])
    both, numbers = found.both[row, component], _numbers(found, row, component)
    within_class = within(both, *numbers)
    whole = whole_classes(seen, found, tests, config)[row, component]
    p = np.minimum(1, chosen_of * either(within_class, whole))
    if test == EXCESS:
        others = int(found.close.sum())
        beyond_own = on_others(found.own_hits, found.own, found.both.sum(axis=0), others)
        p = np.maximum(p, beyond_own[component])
    struck = np.flatnonzero((both >= least) & (p <= config.q))
    compound = tests.compounds[seen.position]
    parts = _parts(compound[found.labels[row]], component)
    what = _what(test, {parts[n] for n in struck}, seen, expected, z, counted, found, tests)
    strikes = [
        _strike(test, seen, found, row[n], parts[n], p[n], what, whole[n] < within_class[n])
        for n in struck
    ]
    if test == CARRIER:
        reach = np.ones(int((found.close >= least).sum()))  # of m that may be chosen, one in all
        permuted = _permuted_carriers(seen, slots, found, compound, config, rng)
    else:
        reach = np.minimum(1, 2 * within(np.full(len(row), least), *numbers))
        permuted = _permuted(seen, slots, found, (row, parts), config, rng)
    return Outcome(test, p, reach, strikes, permuted)


def _carrying(seen: View, slots: np.ndarray, carrying: Bool[np.ndarray, "l m"]) -> np.ndarray:
    """Which slots are of own images, or of a class that their component carries."""
    label = seen.label[seen.unit[seen.image[slots]]]
    own = label == seen.position
    row = np.searchsorted(np.unique(seen.label[~seen.own]), label)
    kept: np.ndarray = own | carrying[np.where(own, 0, row), seen.component[slots]]
    return kept


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
) -> Draws:
    """What would strike, were closeness exchanged among the units of each other class."""
    counts = _counting(seen, slots, found.hits.shape[1])
    row, parts = asked
    tested = np.array([part.component for part in parts], dtype=np.int64)
    draws: Draws = [[] for _ in range(config.permutations)]
    for n, label in enumerate(found.labels):
        here = np.flatnonzero(row == n)
        if not len(here):
            continue
        mine = counts[np.flatnonzero(seen.label == label)][:, tested[here]]
        both = _drawn(found, n, config, rng) @ mine
        units, close, hit = _numbers(found, row[here], tested[here])
        p = np.minimum(1, 2 * within(both, units, close, hit))
        for draw, i in zip(
            *np.nonzero((p <= config.q) & (both >= config.min_class_images)), strict=True
        ):
            draws[draw].append((parts[here[i]], float(p[draw, i]), int(both[draw, i])))
    return draws


def _permuted_carriers(
    seen: View,
    slots: np.ndarray,
    found: Tally,
    compound: Bool[np.ndarray, " c"],
    config: FailuresConfig,
    rng: np.random.Generator,
) -> Draws:
    """As `_permuted`, of carriers, which every draw chooses by what comes close in it."""
    m, least = found.hits.shape[1], config.min_class_images
    counts = _counting(seen, slots, m)
    relevance = csr_array((seen.pair_sum, (seen.pair_unit, seen.pair_component)), counts.shape)
    draws: Draws = [[] for _ in range(config.permutations)]
    for n in np.flatnonzero(found.close >= least):
        units = np.flatnonzero(seen.label == found.labels[n])
        drawn, mine = _drawn(found, n, config, rng), counts[units]
        both, hit = drawn @ mine, mine.sum(axis=0)
        chosen = carries(drawn @ relevance[units], config.mainstay)
        draw, component = np.nonzero(chosen & (both >= least))
        close = np.full(len(draw), found.close[n])
        p = 2 * m * within(both[draw, component], int(found.units[n]), close, hit[component])
        parts = _parts(np.full(len(draw), compound[found.labels[n]]), component)
        for i in np.flatnonzero(p <= config.q):
            draws[draw[i]].append((parts[i], float(p[i]), int(both[draw[i], component[i]])))
    return draws


def _counting(seen: View, slots: np.ndarray, components: int) -> csr_array:
    """1 for each unit [u] and component [m] where it counts."""
    counted = np.zeros(len(seen.pair_unit), dtype=bool)
    counted[seen.pair[slots]] = True
    pairs = np.flatnonzero(counted)
    at = seen.pair_unit[pairs], seen.pair_component[pairs]
    return csr_array((np.ones(len(pairs), dtype=np.int32), at), (len(seen.size), components))


def _drawn(
    found: Tally, row: int | np.integer, config: FailuresConfig, rng: np.random.Generator
) -> Int[np.ndarray, "draws u"]:
    """As many units of a class as come close, drawn for each permutation."""
    drawn = np.zeros((config.permutations, found.units[row]), dtype=np.int32)
    drawn[:, : found.close[row]] = 1
    return rng.permuted(drawn, axis=1)


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
