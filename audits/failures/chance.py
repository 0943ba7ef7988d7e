"""Chance that a component counts where images come close to a class, in closed form.

All tests are one-sided, exact, and conditional on the numbers that they are given.
"""

from collections.abc import Iterable

import numpy as np
from scipy.stats import binom, hypergeom


def at_least(
    hits: np.ndarray, marked: np.ndarray, drawn: np.ndarray, units: np.ndarray
) -> np.ndarray:
    """P(at least `hits` of `drawn` units are marked), `marked` of all `units` being so."""
    return hypergeom.sf(hits - 1, units, marked, drawn)


def within(
    both: np.ndarray, units: np.ndarray | int, close: np.ndarray, hits: np.ndarray
) -> np.ndarray:
    """P(so many units are close and count), were the two independent: Fisher's exact test.

    >>> within(np.array([3]), 6, np.array([3]), np.array([3])).round(3).tolist()  # 1 / C(6, 3)
    [0.05]
    """
    return at_least(both, close, hits, np.asarray(units))


def on_others(own_hits: np.ndarray, own: int, hits: np.ndarray, others: int) -> np.ndarray:
    """P(so many of all hits fall on the other units), own ones and others being alike."""
    return at_least(hits, np.asarray(others), own_hits + hits, np.asarray(own + others))


def as_a_whole(close: np.ndarray, units: np.ndarray, share: float) -> np.ndarray:
    """P(at least so many of some units come close), each with probability `share`.

    >>> as_a_whole(np.array([2]), np.array([2]), 0.2).round(3).tolist()
    [0.04]
    """
    return binom.sf(close - 1, units, share)


def either(*p: np.ndarray) -> np.ndarray:
    """p-value of the best of several tests (Bonferroni), each [n]."""
    return np.minimum(1.0, len(p) * np.minimum.reduce(p))


def stratified(both: int, strata: Iterable[tuple[int, int, int]]) -> float:
    """P(at least so many units are close and count, over classes together), were they independent
    within each: Fisher's test of several tables, exact by convolution.

    Args:
        both: in all classes.
        strata: units, close units and hits of each class.

    >>> round(stratified(2, [(2, 1, 1), (2, 1, 1)]), 3)
    0.25
    """
    chances = np.ones(1)
    for units, close, hits in strata:
        counts = np.arange(min(close, hits) + 1)
        chances = np.convolve(chances, hypergeom.pmf(counts, units, close, hits))
    return float(min(1.0, chances[both:].sum()))
