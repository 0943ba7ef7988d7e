"""Flags: components on which a class's prompt depends more than it should, tested against chance.

A flag is what the strikes of one component have in common, those that hold out against the number
of all that was tested. Its images are all on which the component does the same: those of the other
classes in which it is too rare for a test, too.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from audits.failures.counting import CARRIER, EXCESS, STAND_IN, Counts
from audits.failures.expectation import Expectation, View, expectations
from audits.failures.strikes import Basis, Outcome, Part, Strike, compare, see
from audits.inputs import Inputs
from audits.reference.expected import own_images
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import FailuresConfig


class Flag(NamedTuple):
    """A component on which a class's prompt depends more than it should."""

    position: int
    """Class, as a row of Inputs.classes."""
    component: int
    test: str
    """EXCESS, STAND_IN or CARRIER."""
    compound: bool
    """Whether the names of the other classes are compounds of the class's word."""
    labels: tuple[int, ...]
    """The other classes on whose images it is no chance, as rows of Inputs.classes."""
    whole: tuple[int, ...]
    """Those among them whose images come close as a whole."""
    rows: np.ndarray
    """Images of any other class of the kind that come close and on which the component counts, as
    rows of Inputs.images."""
    score: float
    """Mean over them of the relevance that is too much, in units of y: what exceeds the expected
    mean for EXCESS and CARRIER, all of it for STAND_IN, since the class is not there."""
    max_z: float
    tail: float
    """Empirical tail probability of their median relevance: (r + 1)/(n + 1), r of n own images
    that come close to the class having at least that."""
    counts: Counts
    p_value: float
    """The least of its classes'."""
    q_value: float


class ByChance(NamedTuple):
    """Flags to be expected if coming close had nothing to do with the component; None where nothing
    was tested."""

    permuted: float | None
    analytic: float | None


class Search(NamedTuple):
    """What was found on train images."""

    flags: list[Flag]
    """By class."""
    by_chance: ByChance
    unknown: list[str]
    """Labels of the classes that were not searched since the model does not know their names."""


def find_flags(
    inputs: Inputs,
    table: pd.DataFrame,
    classes: pd.DataFrame,
    tests: Basis,
    config: FailuresConfig,
    seed: int,
) -> Search:
    """Flagged (class, component) pairs on train images, and the number expected by chance.

    Classes whose names the model does not know are left out (`closeness.unknown`). A component is
    tested on the images of another class, unless the two look alike, where
    min_class_images of its units come close and it counts on as many: the tests are conditional on
    these numbers, and fewer could make no strike. It strikes where both hold for min_class_images
    units, and Benjamini-Hochberg keeps its p-value at q, for each test by itself. It is flagged
    where its strikes count min_images units together; those on classes whose names are compounds of
    the class's word are counted by themselves, and a carrier is not flagged where another test
    flags the component. By chance are expected

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
        tests: of the train images, see `prepare`.
        config: the section of params.yaml.
        seed: of the permutations.

    Raises:
        DoesNotApply: no class has what a test takes.
    """
    tested: list[Outcome] = []
    for expected, seen in _views(inputs, table, classes, tests, config):
        rng = np.random.default_rng([seed, expected.position])
        tested += compare(seen, expected, tests, config, rng)
    if not any(len(found.p) for found in tested):
        raise DoesNotApply(_untested(inputs, classes, tests, config))
    flags: list[Flag] = []
    flagged: set[tuple[int, Part]] = set()
    permuted, analytic = 0, 0.0
    for test in (EXCESS, STAND_IN, CARRIER):
        mine = [found for found in tested if found.test == test]
        p = np.sort(np.concatenate([np.zeros(0), *(found.p for found in mine)]))
        if not len(p):
            continue
        q = false_discovery_control(p)
        kept = p[q <= config.q].max(initial=0.0)
        strikes: dict[tuple[int, Part], list[Strike]] = {}
        for strike in (s for found in mine for s in found.strikes if s.p_value <= kept):
            strikes.setdefault((strike.position, strike.part), []).append(strike)
        for about, group in strikes.items():
            if sum(strike.hits for strike in group) < config.min_images:
                continue
            if test == CARRIER and about in flagged:
                continue  # what it does there is said already
            flag = _flag(group)
            q_value = float(q[np.searchsorted(p, flag.p_value)])
            flags.append(flag._replace(q_value=q_value))
            flagged.add(about)
        permuted += sum(
            _would_flag(draw, kept, config) for found in mine for draw in found.permuted
        )
        reach = np.concatenate([found.reach for found in mine])
        analytic += float(np.minimum(reach, kept).sum())
    flags.sort(key=lambda flag: flag.position)
    strange = inputs.classes["label"][tests.unknown].tolist()
    return Search(flags, ByChance(permuted / config.permutations, analytic), strange)


def _views(
    inputs: Inputs,
    table: pd.DataFrame,
    classes: pd.DataFrame,
    tests: Basis,
    config: FailuresConfig,
) -> Iterator[tuple[Expectation, View]]:
    """Of every class that can be tested what is expected of it, and its images."""
    groups = pd.factorize(inputs.images["group_id"])[0]
    label = inputs.class_index.numpy()
    known = dict(own_images(inputs, "train"))
    for expected in expectations(inputs, table, classes):
        at = expected.position
        if tests.unknown[at] or len(np.unique(groups[known[at].numpy()])) < 2:
            continue
        labels = _close_classes(tests, at, groups, label, config)
        if len(labels):
            yield expected, see(inputs, expected, tests, labels, config.relevance)


def _close_classes(
    tests: Basis, position: int, groups: np.ndarray, label: np.ndarray, config: FailuresConfig
) -> np.ndarray:
    """Other classes with min_class_images units that come close, and that do not look alike."""
    rows = tests.close.candidates[position]
    units = np.unique(np.stack([label[rows], groups[rows]]), axis=1)
    count = np.bincount(units[0], minlength=len(tests.units))
    return np.flatnonzero((count >= config.min_class_images) & ~tests.alike[position])


def _untested(inputs: Inputs, classes: pd.DataFrame, tests: Basis, config: FailuresConfig) -> str:
    """Why no class is tested."""
    if not len(classes):
        return (
            f"none of {len(inputs.classes)} classes has 2 train images on which a component is "
            "relevant"
        )
    if tests.unknown.all():
        return (
            f"the model knows the name of none of {len(inputs.classes)} classes: more than half of "
            f"the other classes come close to each, with over {config.class_share:.0%} of their "
            "images (failures.class_share)"
        )
    most = max(len(rows) for rows in tests.close.candidates)
    count, strange = len(inputs.classes), int(tests.unknown.sum())
    names = f"; the model does not know {strange} of {count} names (failures.class_share)"
    return (
        f"a test takes {config.min_class_images} train images of another class that come close to "
        "a class (failures.min_class_images) and do not look like it (failures.look_alike), and "
        f"images of the class itself that are of 2 groups{names if strange else ''}; of "
        f"{count} classes, the most images of others that come close to one are {most}"
    )


def _would_flag(draw: list[tuple[Part, float, int]], kept: float, config: FailuresConfig) -> int:
    """Parts whose strikes count min_images units together."""
    total: dict[Part, int] = {}
    for part, p, units in draw:
        if p <= kept:
            total[part] = total.get(part, 0) + units
    return sum(units >= config.min_images for units in total.values())


def _flag(strikes: list[Strike]) -> Flag:
    """A flag from the strikes of its part; its q-value is still 1."""
    first = strikes[0]
    found = first.seen
    return Flag(
        position=first.position,
        component=first.part.component,
        test=first.test,
        compound=first.part.compound,
        labels=tuple(strike.label for strike in strikes),
        whole=tuple(strike.label for strike in strikes if strike.whole),
        rows=found.rows,
        score=found.score,
        max_z=found.max_z,
        tail=found.tail,
        counts=found.counts,
        p_value=min(strike.p_value for strike in strikes),
        q_value=1.0,
    )
