"""On how many images of each class a component counts, and on how many of those that come close.

A component counts on an image in one of three ways. *Excess*: its relevance is higher than on the
class's own images (paper, Sec. 4.2b). *Stand-in*: it carries the prompt on the class's own images,
and is as relevant here, where the class is not: a background without its object, or a word that two
things share. *Carrier*: it carries the prompt on the images of another class that come close, while
on the class's own others may: dictionaries split what a model takes for one thing.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from audits.failures.expectation import View
from audits.inputs import Inputs
from audits.reference.expected import own_images
from pipeline.config import FailuresConfig

EXCESS, STAND_IN, CARRIER = "excess", "stand-in", "carrier"


class Counts(NamedTuple):
    """Units (groups of images) of a class that come close to it, of the other classes that it is
    tested against that do, and of those that do not; and on how many of each the component counts.
    """

    own_hits: int
    own: int
    other_hits: int
    others: int
    far_hits: int
    far: int


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


def firing_units(inputs: Inputs, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Units of each class on which each component fires [c, m], and all of its units [c]."""
    m = len(inputs.atoms)
    firing = np.zeros((len(inputs.classes), m), dtype=np.int32)
    units = np.zeros(len(inputs.classes), dtype=np.int64)
    groups = inputs.images["group_id"]
    for position, rows in own_images(inputs, split):
        unit = pd.factorize(groups.iloc[rows.numpy()])[0]
        units[position] = unit.max(initial=-1) + 1
        codes = inputs.coded(rows)
        image, slot = np.nonzero(codes.activation.numpy() > 0)
        component = codes.component.numpy()[image, slot]
        pairs = np.unique(unit[image].astype(np.int64) * m + component)
        firing[position] = np.bincount(pairs % m, minlength=m)
    return firing, units


def hits(
    seen: View, z: np.ndarray, mean: np.ndarray, config: FailuresConfig
) -> dict[str, np.ndarray]:
    """Slots on which a component counts, for each test.

    EXCESS: z above `z`. STAND_IN: relevance that is positive and above
    mean − candidate_deviations · deviation, the measure by which y makes a candidate, of a
    component that carries the class (`carries`). CARRIER: relevance that is positive; of which
    classes the component carries is asked apart (`carriers`).
    """
    positive = seen.relevance > 0
    as_usual = (z > -config.candidate_deviations) & positive
    return {
        EXCESS: np.flatnonzero(z > config.z),
        STAND_IN: np.flatnonzero(as_usual & carries(mean, config.mainstay)[seen.component]),
        CARRIER: np.flatnonzero(positive),
    }


def carries(relevance: Float[np.ndarray, "*l m"], mainstay: float) -> Bool[np.ndarray, "*l m"]:
    """Components whose relevance to some images is at least `mainstay` of the largest of all."""
    largest = relevance.max(axis=-1, keepdims=True, initial=0.0)
    return (relevance >= mainstay * largest) & (relevance > 0)


def carriers(seen: View, components: int, mainstay: float) -> Bool[np.ndarray, "l m"]:
    """Components that carry the prompt on the images of each other class that come close, classes
    as of `Tally`; their relevance is summed over them, which orders components as their mean does.

    Args:
        seen: the images.
        components: m.
        mainstay: `failures.mainstay`.
    """
    labels, row = np.unique(seen.label[~seen.own], return_inverse=True)
    of_unit = np.zeros(len(seen.size), dtype=np.int64)
    of_unit[~seen.own] = row
    near = np.flatnonzero(seen.close[seen.image] & ~seen.of_class)
    cells = of_unit[seen.unit[seen.image[near]]] * components + seen.component[near]
    total = np.bincount(cells, seen.relevance[near], minlength=len(labels) * components)
    # Of no slot at all bincount makes integers.
    return carries(total.reshape(len(labels), components).astype(np.float64), mainstay)


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


def counts_of(found: Tally, component: int, of: Bool[np.ndarray, " l"]) -> Counts:
    """The numbers of a component, on some of the other classes."""
    close, units = int(found.close[of].sum()), int(found.units[of].sum())
    both = int(found.both[of, component].sum())
    every = int(found.hits[of, component].sum())
    own = int(found.own_hits[component])
    return Counts(own, found.own, both, close, every - both, units - close)
