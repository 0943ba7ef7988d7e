"""Flags: components on which a class's prompt depends more than it should, tested against chance.

Two tests of candidates that do not look like the class, beside the class's own images, of which
those that score as high are compared. *Excess*: the component's relevance
is higher than on the class's own images (paper, Sec. 4.2b). *Stand-in*: the component carries the
prompt on the class's own images, and just as much here, where the class is not: a background
without its object, or a word that two things share.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom

from audits.failures.expectation import (
    Expectation,
    View,
    close_images,
    expectations,
    own_expectation,
    surprise,
    view,
)
from audits.inputs import Inputs
from audits.reference.expected import own_images
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import FailuresConfig

EXCESS, STAND_IN = "excess", "stand-in"


class Counts(NamedTuple):
    """Units (groups of images) of a class, those that come close to it, and of candidates, and how
    many of each have a hit."""

    own_hits: int
    own: int
    other_hits: int
    others: int


class Flag(NamedTuple):
    """A component on which a class's prompt depends more than it should."""

    position: int
    """Class, as a row of Inputs.classes."""
    component: int
    test: str
    """EXCESS or STAND_IN."""
    rows: np.ndarray
    """Candidates that the test counts, as rows of Inputs.images."""
    score: float
    """Mean over them of the relevance that is too much, in units of y: what exceeds the expected
    mean for EXCESS, all of it for STAND_IN, since the class is not there."""
    max_z: float
    tail: float
    """Empirical tail probability of their median relevance: (r + 1)/(n + 1), r of n own images
    that come close to the class having at least that."""
    counts: Counts
    p_value: float
    q_value: float


class Comparison(NamedTuple):
    """Candidates against a class's own images: p-values, and those of permuted images."""

    flags: list[Flag]
    """Those that may be kept, q_value still 1."""
    p: np.ndarray
    """p-value of every tested pair."""
    reach: np.ndarray
    """Probability that chance alone gives each the images that a flag needs."""
    permuted: np.ndarray
    """p-values of what would be flags among permuted images, all permutations together."""


class ByChance(NamedTuple):
    """Flags to be expected if candidates were like the class's own images, count; None where
    nothing was tested."""

    permuted: float | None
    analytic: float | None


def hits(
    seen: View, z: np.ndarray, mean: np.ndarray, config: FailuresConfig
) -> dict[str, np.ndarray]:
    """Slots that each test counts.

    EXCESS: z above `z`, on own images whatever they look like, so that the test is of relevance
    alone, and on others that do not look like the class. STAND_IN: relevance that is positive and
    above mean − candidate_deviations · deviation, the measure by which y makes a candidate, of a
    component that carries the class: its mean is at least `mainstay` of the largest of all; on
    images, own or not, that do not look like the class, so that the test is of that alone.
    """
    carries = (mean >= config.mainstay * mean.max()) & (mean > 0)
    as_usual = (z > -config.candidate_deviations) & (seen.relevance > 0)
    return {
        EXCESS: np.flatnonzero((z > config.z) & (seen.of_class | seen.unlike)),
        STAND_IN: np.flatnonzero(as_usual & seen.unlike & carries[seen.component]),
    }


def count(seen: View, slots: np.ndarray, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Own units, and others, with a hit for each component [m]."""
    pairs = np.unique(seen.pair[slots])
    own = seen.own[seen.pair_unit[pairs]]
    at = seen.pair_component[pairs]
    return (
        np.bincount(at[own], minlength=components),
        np.bincount(at[~own], minlength=components),
    )


def chance(
    own: np.ndarray, others: np.ndarray, own_units: int, other_units: int, at_least: np.ndarray
) -> np.ndarray:
    """P(as many as at_least of the hits fall on the others), all being alike.

    One-sided Fisher's exact test: own + others hits spread at random over own_units + other_units.
    """
    return hypergeom.sf(at_least - 1, own_units + other_units, own + others, other_units)


def find_flags(
    inputs: Inputs, table: pd.DataFrame, classes: pd.DataFrame, config: FailuresConfig, seed: int
) -> tuple[list[Flag], ByChance]:
    """Flagged (class, component) pairs on train images, and the number expected by chance.

    A pair is tested where it has a hit on min_images units, own or other: the test is conditional
    on that number, and fewer could make no flag. It is flagged where min_images other units have
    one and Benjamini-Hochberg keeps it at q, over both tests. That holds the false discovery rate
    for independent or positively dependent pairs; p-values of counts are too large rather than too
    small. By chance are expected

    - permuted: flags of p-values as small as those kept, where images of the class and candidates
      change places at random, unit by unit, and mean, deviation and floor are taken anew. For
      EXCESS every image may count; for STAND_IN what looks like the class stays as it is. The mean
      over `permutations` draws.
    - analytic: the sum over tested pairs of the probability that min_images hits fall on other
      units by chance, at most the largest p-value kept.

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
    tests = list(_tests(inputs, table, classes, config, seed))
    if not tests:
        raise DoesNotApply(_untested(inputs, classes, config))
    p = np.sort(np.concatenate([t.p for t in tests]))
    q = false_discovery_control(p)
    kept = p[q <= config.q].max(initial=0.0)
    flags = [
        flag._replace(q_value=float(q[np.searchsorted(p, flag.p_value)]))
        for t in tests
        for flag in t.flags
        if flag.p_value <= kept
    ]
    reach = np.concatenate([t.reach for t in tests])
    permuted = sum(int((t.permuted <= kept).sum()) for t in tests)
    return flags, ByChance(permuted / config.permutations, float(np.minimum(reach, kept).sum()))


def _tests(
    inputs: Inputs, table: pd.DataFrame, classes: pd.DataFrame, config: FailuresConfig, seed: int
) -> Iterator[Comparison]:
    close = close_images(inputs, classes, "train", config.candidate_deviations)
    known = dict(own_images(inputs, "train"))
    groups = inputs.images["group_id"]
    for expected in expectations(inputs, table, classes):
        mine, others = close[expected.position]
        every = known[expected.position]
        if len(others) < config.min_images or groups.iloc[every.numpy()].nunique() < 2:
            continue
        seen = view(inputs, expected, mine, others, every, config)
        rng = np.random.default_rng([seed, expected.position])
        yield compare(seen, expected, config, rng)


def _untested(inputs: Inputs, classes: pd.DataFrame, config: FailuresConfig) -> str:
    """Why no class is tested."""
    if not len(classes):
        return (
            f"none of {len(inputs.classes)} classes has 2 train images on which a component is "
            "relevant"
        )
    close = close_images(inputs, classes, "train", config.candidate_deviations)
    most = max(len(found.candidates) for found in close)
    return (
        f"a test takes {config.min_images} train images of other classes that come close to the "
        f"class (failures.min_images), and train images of the class that are of 2 groups; of "
        f"{len(inputs.classes)} classes, the most that come close to one are {most}"
    )


def compare(
    seen: View, expected: Expectation, config: FailuresConfig, rng: np.random.Generator
) -> Comparison:
    """Both tests of one class's components."""
    z = surprise(seen, expected, new=False)
    sizes = int(seen.own.sum()), int((~seen.own).sum())
    order = seen.component.argsort(kind="stable")
    flags, p_values, reach = [], [], []
    for test, slots in hits(seen, z, expected.mean, config).items():
        own_hits, other_hits = count(seen, slots, len(expected.mean))
        pairs = np.flatnonzero(own_hits + other_hits >= config.min_images)
        a, b = own_hits[pairs], other_hits[pairs]
        p = chance(a, b, *sizes, at_least=b)
        p_values.append(p)
        reach.append(chance(a, b, *sizes, at_least=np.array(config.min_images)))
        counted = np.zeros(len(z), dtype=bool)
        counted[slots] = ~seen.of_class[slots]
        # A q-value is never below its p-value.
        for n in np.flatnonzero((b >= config.min_images) & (p <= config.q)):
            first, last = np.searchsorted(seen.component, [pairs[n], pairs[n] + 1], sorter=order)
            active = order[first:last]
            numbers = Counts(int(a[n]), sizes[0], int(b[n]), sizes[1])
            flag = (test, active, counted[active], numbers, float(p[n]))
            flags.append(_flag(seen, expected, z, *flag))
    draws = range(config.permutations)
    permuted = np.concatenate([_permuted(seen, config, len(expected.mean), rng) for _ in draws])
    return Comparison(flags, np.concatenate(p_values), np.concatenate(reach), permuted)


def _flag(
    seen: View,
    expected: Expectation,
    z: np.ndarray,
    test: str,
    active: np.ndarray,
    counted: np.ndarray,
    counts: Counts,
    p: float,
) -> Flag:
    """A flag from its component's slots, and whether each is of a candidate that counts."""
    slots = active[counted]
    component, relevance = int(seen.component[slots[0]]), seen.relevance[slots]
    own = active[seen.of_class[active]]
    images, middle = int(seen.size[seen.own].sum()), float(np.median(relevance))
    off = images - len(own)
    above = int((seen.relevance[own] >= middle).sum()) + off * (middle <= 0)
    usual = float(expected.mean[component]) if test == EXCESS else 0.0
    return Flag(
        position=expected.position,
        component=component,
        test=test,
        rows=seen.rows[seen.image[slots]],
        score=float(relevance.mean()) - usual,
        max_z=float(z[slots].max()),
        tail=(above + 1) / (images + 1),
        counts=counts,
        p_value=p,
        q_value=1.0,
    )


def _permuted(
    seen: View, config: FailuresConfig, components: int, rng: np.random.Generator
) -> np.ndarray:
    """p-values of what would be flags, were units of the class and others to change places."""
    drawn = seen._replace(own=rng.permutation(seen.own))
    expected = own_expectation(drawn, components)
    if not expected.images:
        return np.zeros(0)
    z = surprise(drawn, expected, new=False)
    sizes = int(seen.own.sum()), int((~seen.own).sum())
    # Both sides are counted alike: where looks limit one of them only, they limit none.
    every = drawn._replace(unlike=np.ones(len(z), dtype=bool))
    found = []
    for test, of in ((EXCESS, every), (STAND_IN, drawn)):
        a, b = count(drawn, hits(of, z, expected.mean, config)[test], components)
        enough = b >= config.min_images
        found.append(chance(a[enough], b[enough], *sizes, at_least=b[enough]))
    p = np.concatenate(found)
    return p[p <= config.q]
