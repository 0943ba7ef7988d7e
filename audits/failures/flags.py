"""Flags: components on which a class's prompt depends more than it should, tested against chance.

A component counts on an image in one of two ways. *Excess*: its relevance is higher than on the
class's own images (paper, Sec. 4.2b). *Stand-in*: it carries the prompt on the class's own images,
and is as relevant here, where the class is not: a background without its object, or a word that two
things share. For each component and each other class, chance is ruled out in one of two ways
(`audits.failures.chance`): among the images of that class, those on which the component counts come
close to the prompt more often; or the images of that class come close as a whole, and the component
fires on them more than on others.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from scipy.sparse import csr_array
from scipy.stats import false_discovery_control

from audits.failures.chance import as_a_whole, either, on_others, within
from audits.failures.closeness import Close, close_images, look_alikes
from audits.failures.expectation import Expectation, View, expectations, surprise, view
from audits.inputs import Inputs
from audits.reference.expected import own_images
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import FailuresConfig, Relevance

EXCESS, STAND_IN = "excess", "stand-in"


class Counts(NamedTuple):
    """Units (groups of images) of a class that come close to it, of the other classes of a flag
    that do, and of those that do not; and on how many of each the component counts."""

    own_hits: int
    own: int
    other_hits: int
    others: int
    far_hits: int
    far: int


class Flag(NamedTuple):
    """A component on which a class's prompt depends more than it should."""

    position: int
    """Class, as a row of Inputs.classes."""
    component: int
    test: str
    """EXCESS or STAND_IN."""
    labels: tuple[int, ...]
    """The other classes on whose images it is no chance, as rows of Inputs.classes."""
    whole: tuple[int, ...]
    """Those among them whose images come close as a whole."""
    rows: np.ndarray
    """Their images that come close and on which the component counts, as rows of Inputs.images."""
    score: float
    """Mean over them of the relevance that is too much, in units of y: what exceeds the expected
    mean for EXCESS, all of it for STAND_IN, since the class is not there."""
    max_z: float
    tail: float
    """Empirical tail probability of their median relevance: (r + 1)/(n + 1), r of n own images
    that come close to the class having at least that."""
    counts: Counts
    p_value: float
    """The least of its classes'."""
    q_value: float


class Tally(NamedTuple):
    """How often a test's component counts on the images of other classes: l classes, m components,
    numbers of units."""

    labels: Int[np.ndarray, " l"]
    """The classes, as rows of Inputs.classes."""
    units: Int[np.ndarray, " l"]
    close: Int[np.ndarray, " l"]
    """Units that come close."""
    hits: Int[np.ndarray, "l m"]
    """Units on which the component counts."""
    both: Int[np.ndarray, "l m"]
    """Units on which it counts and that come close."""
    own_hits: Int[np.ndarray, " m"]
    own: int


class Pair(NamedTuple):
    """What is tested of one class."""

    test: str
    """EXCESS or STAND_IN."""
    component: int
    label: int
    """Another class, as a row of Inputs.classes."""


class Strike(NamedTuple):
    """A component that one class's prompt depends on more than it should on images of another."""

    position: int
    component: int
    test: str
    label: int
    whole: bool
    """Whether its p-value is that of the class as a whole."""
    p_value: float
    rows: np.ndarray
    """Images that come close and on which it counts, as rows of Inputs.images."""
    relevance: np.ndarray
    """Its relevance on them."""
    max_z: float
    counts: Counts
    own: np.ndarray
    """Its relevance on the class's own images that come close."""
    usual: float
    """Its expected relevance."""


class Tested(NamedTuple):
    """One test of one class's components."""

    test: str
    p: np.ndarray
    """p-value of every tested (component, other class)."""
    reach: np.ndarray
    """Probability that chance alone gives each the images that a strike needs."""
    strikes: list[Strike]
    """Those with a p-value of at most q."""
    permuted: list[list[tuple[int, float, int]]]
    """For each permutation the component, p-value and hits of what would be strikes."""


class ByChance(NamedTuple):
    """Flags to be expected if coming close had nothing to do with the component; None where nothing
    was tested."""

    permuted: float | None
    analytic: float | None


class Tests(NamedTuple):
    """What flags are found in."""

    close: Close
    alike: Bool[np.ndarray, "c c"]
    """Classes (columns) that look like a class (row)."""
    firing: Int[np.ndarray, "c m"]
    """Units of each class on which each component fires."""
    units: Int[np.ndarray, " c"]
    """Units of each class."""
    every: Int[np.ndarray, " m"]
    """Units of all classes on which each component fires."""
    members: list[np.ndarray]
    """Images of each class, as rows of Inputs.images."""


def firing_units(inputs: Inputs, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Units of each class on which each component fires [c, m], and all of its units [c]."""
    m = len(inputs.atoms)
    firing = np.zeros((len(inputs.classes), m), dtype=np.int32)
    units = np.zeros(len(inputs.classes), dtype=np.int64)
    groups = inputs.images["group_id"]
    for position, rows in own_images(inputs, split):
        unit = pd.factorize(groups.iloc[rows.numpy()])[0]
        units[position] = unit.max(initial=-1) + 1
        image, slot = np.nonzero(inputs.codes.activation[rows].numpy() > 0)
        component = inputs.codes.component[rows].numpy()[image, slot]
        pairs = np.unique(unit[image].astype(np.int64) * m + component)
        firing[position] = np.bincount(pairs % m, minlength=m)
    return firing, units


def hits(
    seen: View, z: np.ndarray, mean: np.ndarray, config: FailuresConfig
) -> dict[str, np.ndarray]:
    """Slots on which a component counts, for each test.

    EXCESS: z above `z`. STAND_IN: relevance that is positive and above
    mean − candidate_deviations · deviation, the measure by which y makes a candidate, of a
    component that carries the class: its mean is at least `mainstay` of the largest of all.
    """
    carries = (mean >= config.mainstay * mean.max()) & (mean > 0)
    as_usual = (z > -config.candidate_deviations) & (seen.relevance > 0)
    return {
        EXCESS: np.flatnonzero(z > config.z),
        STAND_IN: np.flatnonzero(as_usual & carries[seen.component]),
    }


def tally(seen: View, slots: np.ndarray, components: int) -> Tally:
    """Units of other classes, and own ones that come close, on which each component counts."""
    close = np.zeros(len(seen.size), dtype=bool)
    close[seen.unit[seen.close]] = True
    labels = np.unique(seen.label[~seen.own])
    row = np.searchsorted(labels, seen.label)

    def count(chosen: np.ndarray, own: bool) -> np.ndarray:
        chose = np.zeros(len(seen.pair_unit), dtype=bool)
        chose[seen.pair[chosen]] = True
        pairs = np.flatnonzero(chose)
        unit = seen.pair_unit[pairs]
        kept = seen.own[unit] == own
        at, component = unit[kept], seen.pair_component[pairs][kept]
        if own:
            return np.bincount(component, minlength=components)
        cells = np.bincount(row[at] * components + component, minlength=len(labels) * components)
        return cells.reshape(len(labels), components)

    near = slots[seen.close[seen.image[slots]]]
    return Tally(
        labels=labels,
        units=np.bincount(row[~seen.own], minlength=len(labels)),
        close=np.bincount(row[~seen.own & close], minlength=len(labels)),
        hits=count(slots, own=False),
        both=count(near, own=False),
        own_hits=count(near, own=True),
        own=int((seen.own & close).sum()),
    )


def find_flags(
    inputs: Inputs, table: pd.DataFrame, classes: pd.DataFrame, config: FailuresConfig, seed: int
) -> tuple[list[Flag], ByChance]:
    """Flagged (class, component) pairs on train images, and the number expected by chance.

    A component is tested on the images of another class, unless the two look alike, where
    min_class_images of its units come close and it counts on as many: the tests are conditional on
    these numbers, and fewer could make no strike. It strikes where both hold for min_class_images
    units, and Benjamini-Hochberg keeps its p-value at q, for each test by itself. It is flagged
    where its strikes count min_images units together. By chance are expected

    - permuted: flags of p-values as small as those kept, where the units of each other class
      exchange their closeness at random. The mean over `permutations` draws. A class that comes
      close as a whole does so in every draw, so that only what lies within classes is permuted.
    - analytic: the sum over tested pairs of the probability that min_class_images hits fall on
      close units by chance, at most the largest p-value kept. More than will be flagged, since a
      flag may take several.

    Args:
        inputs: the audit's artifacts.
        table: the reference's components. Classes with train images of a single group are left out,
            since nothing says how alike its images are.
        classes: the reference's classes.
        config: the section of params.yaml.
        seed: of the permutations.

    Raises:
        DoesNotApply: no class has what a test takes.
    """
    tests = prepare_tests(inputs, "train", config)
    tested: list[Tested] = []
    for expected, seen in _views(inputs, table, classes, tests, config):
        rng = np.random.default_rng([seed, expected.position])
        tested += compare(seen, expected, tests, config, rng)
    if not any(len(found.p) for found in tested):
        raise DoesNotApply(_untested(inputs, classes, tests, config))
    flags: list[Flag] = []
    permuted, analytic = 0, 0.0
    for test in (EXCESS, STAND_IN):
        mine = [found for found in tested if found.test == test]
        p = np.sort(np.concatenate([found.p for found in mine]))
        if not len(p):
            continue
        q = false_discovery_control(p)
        kept = p[q <= config.q].max(initial=0.0)
        strikes: dict[tuple[int, int], list[Strike]] = {}
        for strike in (s for found in mine for s in found.strikes if s.p_value <= kept):
            strikes.setdefault((strike.position, strike.component), []).append(strike)
        for group in strikes.values():
            flag = _flag(group)
            if flag.counts.other_hits >= config.min_images:
                q_value = float(q[np.searchsorted(p, flag.p_value)])
                flags.append(flag._replace(q_value=q_value))
        permuted += sum(
            _would_flag(draw, kept, config) for found in mine for draw in found.permuted
        )
        reach = np.concatenate([found.reach for found in mine])
        analytic += float(np.minimum(reach, kept).sum())
    flags.sort(key=lambda flag: flag.position)
    return flags, ByChance(permuted / config.permutations, analytic)


def prepare_tests(inputs: Inputs, split: str, config: FailuresConfig) -> Tests:
    """What the tests of every class need of a split."""
    close = close_images(inputs, split, config)
    firing, units = firing_units(inputs, split)
    members = [rows.numpy() for _, rows in own_images(inputs, split)]
    alike = look_alikes(close.rates, config.look_alike)
    return Tests(close, alike, firing, units, firing.sum(axis=0), members)


def see(
    inputs: Inputs,
    expected: Expectation,
    tests: Tests,
    labels: Sequence[int] | np.ndarray,
    kind: Relevance,
) -> View:
    """A class's own images that come close to it, and all images of other classes in a split."""
    at = expected.position
    others = np.concatenate([tests.members[label] for label in labels])
    return view(inputs, expected, tests.close.own[at], others, tests.close.candidates[at], kind)


def _views(
    inputs: Inputs,
    table: pd.DataFrame,
    classes: pd.DataFrame,
    tests: Tests,
    config: FailuresConfig,
) -> Iterator[tuple[Expectation, View]]:
    """Of every class that can be tested what is expected of it, and its images."""
    groups = pd.factorize(inputs.images["group_id"])[0]
    label = inputs.class_index.numpy()
    known = dict(own_images(inputs, "train"))
    for expected in expectations(inputs, table, classes):
        at = expected.position
        if len(np.unique(groups[known[at].numpy()])) < 2:
            continue
        labels = _close_classes(tests, at, groups, label, config)
        if len(labels):
            yield expected, see(inputs, expected, tests, labels, config.relevance)


def _close_classes(
    tests: Tests, position: int, groups: np.ndarray, label: np.ndarray, config: FailuresConfig
) -> np.ndarray:
    """Other classes with min_class_images units that come close, and that do not look alike."""
    rows = tests.close.candidates[position]
    units = np.unique(np.stack([label[rows], groups[rows]]), axis=1)
    count = np.bincount(units[0], minlength=len(tests.units))
    return np.flatnonzero((count >= config.min_class_images) & ~tests.alike[position])


def _untested(inputs: Inputs, classes: pd.DataFrame, tests: Tests, config: FailuresConfig) -> str:
    """Why no class is tested."""
    if not len(classes):
        return (
            f"none of {len(inputs.classes)} classes has 2 train images on which a component is "
            "relevant"
        )
    most = max(len(rows) for rows in tests.close.candidates)
    return (
        f"a test takes {config.min_class_images} train images of another class that come close to "
        "a class (failures.min_class_images) and do not look like it (failures.look_alike), and "
        f"images of the class itself that are of 2 groups; of {len(inputs.classes)} classes, the "
        f"most images of others that come close to one are {most}"
    )


def compare(
    seen: View,
    expected: Expectation,
    tests: Tests,
    config: FailuresConfig,
    rng: np.random.Generator,
) -> list[Tested]:
    """Both tests of one class's components."""
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
    tests: Tests,
    config: FailuresConfig,
    rng: np.random.Generator,
) -> Tested:
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
    near = slots[seen.close[seen.image[slots]]]
    own = np.flatnonzero(seen.of_class)
    strikes = [
        _strike(
            Pair(test, int(component[n]), int(found.labels[row[n]])),
            (bool(whole[n] < within_class[n]), float(p[n])),
            seen,
            expected,
            z,
            near,
            own,
            found,
        )
        for n in np.flatnonzero((both >= least) & (p <= config.q))
    ]
    reach = np.minimum(1, 2 * within(np.full(len(row), least), *numbers))
    permuted = _permuted(seen, slots, found, (row, component), config, rng)
    return Tested(test, p, reach, strikes, permuted)


def _numbers(
    found: Tally, row: np.ndarray, component: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return found.units[row], found.close[row], found.hits[row, component]


def whole_classes(seen: View, found: Tally, tests: Tests, config: FailuresConfig) -> np.ndarray:
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
    asked: tuple[np.ndarray, np.ndarray],
    config: FailuresConfig,
    rng: np.random.Generator,
) -> list[list[tuple[int, float, int]]]:
    """What would strike, were closeness exchanged among the units of each other class."""
    counted = np.zeros(len(seen.pair_unit), dtype=bool)
    counted[seen.pair[slots]] = True
    pairs = np.flatnonzero(counted)
    unit, component = seen.pair_unit[pairs], seen.pair_component[pairs]
    shape = (len(seen.size), found.hits.shape[1])
    counts = csr_array((np.ones(len(pairs), dtype=np.int32), (unit, component)), shape=shape)
    row, tested = asked
    draws: list[list[tuple[int, float, int]]] = [[] for _ in range(config.permutations)]
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
            draws[draw].append((int(tested[here[i]]), float(p[draw, i]), int(both[draw, i])))
    return draws


def _would_flag(draw: list[tuple[int, float, int]], kept: float, config: FailuresConfig) -> int:
    """Components whose strikes count min_images units together."""
    total: dict[int, int] = {}
    for component, p, units in draw:
        if p <= kept:
            total[component] = total.get(component, 0) + units
    return sum(units >= config.min_images for units in total.values())


def _strike(
    pair: Pair,
    decided: tuple[bool, float],
    seen: View,
    expected: Expectation,
    z: np.ndarray,
    near: np.ndarray,
    of_class: np.ndarray,
    found: Tally,
) -> Strike:
    """A strike, from slots of every component: those that count on close images, and own ones."""
    mine = near[seen.component[near] == pair.component]
    mine = mine[seen.label[seen.unit[seen.image[mine]]] == pair.label]
    own = np.zeros(int(seen.size[seen.own].sum()))
    slots = of_class[seen.component[of_class] == pair.component]
    own[: len(slots)] = seen.relevance[slots]
    return Strike(
        seen.position,
        pair.component,
        pair.test,
        pair.label,
        *decided,
        rows=seen.rows[seen.image[mine]],
        relevance=seen.relevance[mine],
        max_z=float(z[mine].max()),
        counts=counts_of(found, [pair.label], pair.component),
        own=own,
        usual=float(expected.mean[pair.component]) if pair.test == EXCESS else 0.0,
    )


def _flag(strikes: list[Strike]) -> Flag:
    """A flag from the strikes of its component; its q-value is still 1."""
    first = strikes[0]
    relevance = np.concatenate([strike.relevance for strike in strikes])
    above = int((first.own >= np.median(relevance)).sum())
    others = np.sum([strike.counts[2:] for strike in strikes], axis=0).tolist()
    return Flag(
        position=first.position,
        component=first.component,
        test=first.test,
        labels=tuple(strike.label for strike in strikes),
        whole=tuple(strike.label for strike in strikes if strike.whole),
        rows=np.concatenate([strike.rows for strike in strikes]),
        score=float(relevance.mean()) - first.usual,
        max_z=max(strike.max_z for strike in strikes),
        tail=(above + 1) / (len(first.own) + 1),
        counts=Counts(*first.counts[:2], *others),
        p_value=min(strike.p_value for strike in strikes),
        q_value=1.0,
    )


def counts_of(found: Tally, labels: Sequence[int], component: int) -> Counts:
    """The numbers of a component and of some other classes."""
    rows = np.isin(found.labels, labels)
    close, units = int(found.close[rows].sum()), int(found.units[rows].sum())
    both = int(found.both[rows, component].sum())
    every = int(found.hits[rows, component].sum())
    own = int(found.own_hits[component])
    return Counts(own, found.own, both, close, every - both, units - close)
