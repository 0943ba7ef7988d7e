"""Flags: components on which a class's prompt depends more than it should, tested against chance.

A flag is what the strikes of one component have in common, those that hold out against the number
of all that was tested. Its images are all on which the component does the same.
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
    """The least of its strikes'."""
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

    Classes whose names the model does not know are left out (`closeness.unknown`). Other classes
    are those of which min_class_images units come close and that do not look alike. A component is
    tested on all of them together and on each as a whole, those whose names are compounds of the
    class's word by themselves, where as many units come close and it counts on as many that
    min_images could be both: the tests are conditional on these numbers, and fewer could make no
    strike. It strikes where both hold for min_images units, and Benjamini-Hochberg keeps its
    p-value at q, for each test by itself; it is flagged where it strikes, but for a carrier that is
    flagged by another test. By chance are expected

    - permuted: flags of p-values as small as those kept, where the units of each other class
      exchange their closeness at random. The mean over `permutations` draws. A class that comes
      close as a whole does so in every draw, so that only what lies within classes is permuted.
    - analytic: the sum over components tested on all classes together of the probability that
      chance alone brings min_images units, at most the largest p-value kept.

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
    flags: dict[tuple[str, int, Part], Flag] = {}
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
        for (position, part), group in strikes.items():
            if test == CARRIER and {(EXCESS, position, part), (STAND_IN, position, part)} & {
                *flags
            }:
                continue  # what it does there is said already
            flag = _flag(group)
            q_value = float(q[np.searchsorted(p, flag.p_value)])
            flags[test, position, part] = flag._replace(q_value=q_value)
        permuted += sum(int((found.permuted <= kept).sum()) for found in mine)
        reach = np.concatenate([found.reach for found in mine])
        analytic += float(np.minimum(reach, kept).sum())
    by_class = sorted(flags.values(), key=lambda flag: flag.position)
    strange = inputs.classes["label"][tests.unknown].tolist()
    return Search(by_class, ByChance(permuted / config.permutations, analytic), strange)


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
        f"a test takes {config.min_images} train images of other classes that come close to a "
        "class and on which a component counts (failures.min_images), of classes of which "
        f"{config.min_class_images} come close (failures.min_class_images) and that do not look "
        "like it (failures.look_alike), and images of the class itself that are of 2 groups"
        f"{names if strange else ''}; of "
        f"{count} classes, the most images of others that come close to one are {most}"
    )


def _flag(strikes: list[Strike]) -> Flag:
    """A flag from the strikes of its part; its q-value is still 1."""
    first = strikes[0]
    found = first.seen
    return Flag(
        position=first.position,
        component=first.part.component,
        test=first.test,
        compound=first.part.compound,
        labels=tuple(sorted({label for strike in strikes for label in strike.labels})),
        whole=tuple(label for strike in strikes if strike.whole for label in strike.labels),
        rows=found.rows,
        score=found.score,
        max_z=found.max_z,
        tail=found.tail,
        counts=found.counts,
        p_value=min(strike.p_value for strike in strikes),
        q_value=1.0,
    )
