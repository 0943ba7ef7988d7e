"""Strikes: a component that counts on another class's images as chance does not explain.

Chance is ruled out in one of two ways (`audits.failures.chance`): within the other classes, all of
them together, images on which the component counts come close to the prompt more often; or the
images of one other class come close as a whole, and the component fires on them more than on
others. *Excess* has to be no matter of the class's own images, either.

A class whose name is a compound of the word, as "hot dog" is of "dog", answers to the word for
another reason than classes that look like it: a component is held against either kind by itself.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from audits.failures.chance import as_a_whole, matched, moments, on_others, together, within
from audits.failures.closeness import Close, close_images, look_alikes, unknown
from audits.failures.compounds import Compounds
from audits.failures.counting import (
    CARRIER,
    EXCESS,
    STAND_IN,
    Carriers,
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
    """A component that one class's prompt depends on more than it should on images of others."""

    position: int
    part: Part
    test: str
    labels: tuple[int, ...]
    """The other classes: one that comes close as a whole, or all together."""
    whole: bool
    p_value: float
    seen: Seen


Found = tuple[Part, tuple[int, ...], float]
"""What strikes, on which classes, and its p-value."""


class Outcome(NamedTuple):
    """One test of one class's components."""

    test: str
    p: np.ndarray
    """p-value of every component that is tested, on all other classes of a kind together and on
    each as a whole."""
    reach: np.ndarray
    """Of all together, the probability that chance alone gives each the images that a strike
    takes."""
    strikes: list[Strike]
    """Those with a p-value of at most q."""
    permuted: np.ndarray
    """p-values of what would be strikes, of all permutations."""


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
    m = len(expected.mean)
    labels = np.unique(seen.label[~seen.own])
    compound = tests.compounds[seen.position][labels]
    asked = carriers(seen, compound, m, config.mainstay)
    counted, chosen_of = slots, 1
    if test == CARRIER:
        anywhere = asked.by_class | asked.by_kind[compound.astype(np.int64)]
        # Chosen of all m by what it does on the very images that it is tested on.
        counted, chosen_of = slots[_carrying(seen, slots, anywhere)], m
    else:
        asked = Carriers(*(np.ones_like(part) for part in asked))
    found = tally(seen, counted, m)
    least_p = np.zeros(m)
    if test == EXCESS:
        others = int(found.close.sum())
        least_p = on_others(found.own_hits, found.own, found.both.sum(axis=0), others)
    p, reach, struck = _together(found, compound, asked.by_kind, chosen_of, least_p, config)
    whole = np.maximum(chosen_of * whole_classes(seen, found, tests, config), least_p)
    p_whole, struck_whole = _whole(found, compound, whole, asked.by_class, config)
    every = [(*what, False) for what in struck] + [(*what, True) for what in struck_whole]
    what = _what(test, {part for part, *_ in every}, seen, expected, z, counted, found, tests)
    return Outcome(
        test,
        np.concatenate([p, p_whole]),
        reach,
        [
            Strike(seen.position, part, test, there, whole, chance, what[part])
            for part, there, chance, whole in every
        ],
        _permuted(seen, slots, found, compound, chosen_of, config, rng),
    )


def _together(
    found: Tally,
    compound: Bool[np.ndarray, " l"],
    asked: Bool[np.ndarray, "2 m"],
    chosen_of: int,
    least_p: Float[np.ndarray, " m"],
    config: FailuresConfig,
) -> tuple[np.ndarray, np.ndarray, list[Found]]:
    """p-values on all classes of a kind together, how likely chance alone reaches what a strike
    takes, and what strikes. A p-value is at least that of the component in `least_p`."""
    p, reach, struck = [], [], []
    for kind in np.unique(compound):
        of = compound == kind
        units, close, hit = found.units[of], found.close[of], found.hits[of]
        component = np.flatnonzero(_reached(close, hit, config) & asked[int(kind)])
        both, hit = found.both[of][:, component].sum(axis=0), hit[:, component]
        chance = chosen_of * together(both, units, close, hit, config.q / chosen_of)
        p.append(np.minimum(1, np.maximum(chance, least_p[component])))
        least = np.full(len(both), config.min_images)
        reach.append(np.minimum(1, chosen_of * matched(least, *moments(units, close, hit))))
        for n in np.flatnonzero((both >= config.min_images) & (p[-1] <= config.q)):
            there = found.labels[of & (found.both[:, component[n]] > 0)]
            part = Part(int(component[n]), bool(kind))
            struck.append((part, tuple(there.tolist()), float(p[-1][n])))
    return np.concatenate(p), np.concatenate(reach), struck


def _whole(
    found: Tally,
    compound: Bool[np.ndarray, " l"],
    whole: Float[np.ndarray, "l m"],
    asked: Bool[np.ndarray, "l m"],
    config: FailuresConfig,
) -> tuple[np.ndarray, list[Found]]:
    """p-values of other classes as a whole, those of `whole`, and what strikes."""
    most = np.minimum(found.close[:, None], found.hits)
    row, component = np.nonzero((most >= config.min_images) & asked)
    p = np.minimum(1, whole[row, component])
    struck = (found.both[row, component] >= config.min_images) & (p <= config.q)
    return p, [
        (Part(int(component[n]), bool(compound[row[n]])), (int(found.labels[row[n]]),), float(p[n]))
        for n in np.flatnonzero(struck)
    ]


def _reached(
    close: Int[np.ndarray, " l"], hit: Int[np.ndarray, "l m"], config: FailuresConfig
) -> Bool[np.ndarray, " m"]:
    """Components that could strike on some classes, by how many of their units come close and on
    how many the component counts: what is tested must not depend on which these are."""
    reached: np.ndarray = np.minimum(close[:, None], hit).sum(axis=0) >= config.min_images
    return reached


def _carrying(seen: View, slots: np.ndarray, asked: Bool[np.ndarray, "l m"]) -> np.ndarray:
    """Which slots are of own images, or of a class on which their component is asked for."""
    label = seen.label[seen.unit[seen.image[slots]]]
    own = label == seen.position
    row = np.searchsorted(np.unique(seen.label[~seen.own]), label)
    kept: np.ndarray = own | asked[np.where(own, 0, row), seen.component[slots]]
    return kept


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
    compound: Bool[np.ndarray, " l"],
    chosen_of: int,
    config: FailuresConfig,
    rng: np.random.Generator,
) -> np.ndarray:
    """p-values of what would strike on all classes together, were closeness exchanged among the
    units of each; what is chosen as a carrier is chosen anew in each draw."""
    m, draws = found.hits.shape[1], config.permutations
    shape = len(seen.size), m
    counted = np.zeros(len(seen.pair_unit), dtype=bool)
    counted[seen.pair[slots]] = True
    at = np.flatnonzero(counted)
    pairs = seen.pair_unit[at], seen.pair_component[at]
    counts = csr_array((np.ones(len(at), dtype=np.int32), pairs), shape)
    relevance = csr_array((seen.pair_sum, (seen.pair_unit, seen.pair_component)), shape)
    p = [np.zeros(0)]
    for kind in np.unique(compound):
        rows = np.flatnonzero(compound == kind)
        of = [np.flatnonzero(seen.label == found.labels[row]) for row in rows]
        hit = np.stack([counts[units].sum(axis=0) for units in of])
        component = np.flatnonzero(_reached(found.close[rows], hit, config))
        both, total = np.zeros((draws, len(component)), dtype=np.int64), np.zeros((draws, m))
        for row, units in zip(rows, of, strict=True):
            drawn = np.zeros((draws, len(units)), dtype=np.int32)
            drawn[:, : found.close[row]] = 1
            drawn = rng.permuted(drawn, axis=1)
            both += drawn @ counts[units][:, component]
            if chosen_of > 1:
                total += drawn @ relevance[units]
        tested = both >= config.min_images
        if chosen_of > 1:
            tested &= carries(total, config.mainstay)[:, component]
        draw, n = np.nonzero(tested)
        mean, variance = moments(found.units[rows], found.close[rows], hit[:, component])
        p.append(chosen_of * matched(both[draw, n], mean[n], variance[n]))
    every = np.concatenate(p)
    return every[every <= config.q]


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
