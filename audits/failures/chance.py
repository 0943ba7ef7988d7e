"""Chance that a component counts where images come close to a class, in closed form.

All tests are one-sided, exact, and conditional on the numbers that they are given.
"""

import numpy as np
from scipy.special import betainc
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


def together(
    both: np.ndarray, units: np.ndarray, close: np.ndarray, hits: np.ndarray, limit: float
) -> np.ndarray:
    """P(at least so many units of all classes are close and count, were the two independent within
    each class), for each of m components: Fisher's test of several tables.

    Exact up to about `limit`; above, where nothing is decided, by `matched`.

    Args:
        both: in all classes together [m].
        units: of each class [l].
        close: units that are close [l].
        hits: units on which each component counts [l, m].
        limit: largest p-value that has to be exact.

    >>> together(np.array([2]), np.array([2, 2]), np.array([1, 1]), np.array([[1], [1]]), 1.0)
    array([0.25])
    """
    p = matched(both, *moments(units, close, hits))
    for n in np.flatnonzero(p <= 2 * limit):  # `matched` is above the truth by a fifth at most
        p[n] = stratified(int(both[n]), units, close, hits[:, n])
    return p


def moments(
    units: np.ndarray, close: np.ndarray, hits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of what `together` counts, arguments as there."""
    of, drawn = (part[:, None].astype(np.float64) for part in (units, close))
    mean = drawn * hits / of
    variance = mean * (of - hits) * (of - drawn) / (of * np.maximum(of - 1, 1))
    return mean.sum(axis=0), variance.sum(axis=0)


def matched(both: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """About `together`: the tail of a binomial distribution of the same mean and variance.

    What is counted is a sum of independent trials of unequal chances, as each hypergeometric number
    is. In 8,000 tails of invented tables it was at most a fifth above the truth, and below it where
    hardly more could be counted.

    Args:
        both: see `together`.
        mean: of `moments`.
        variance: likewise.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = 1 - variance / mean
        left = mean / chance - both + 1
        p = np.where(left > 0, betainc(both, np.maximum(left, 1e-9), chance), 0.0)
    p = np.where(variance > 0, p, both <= mean + 1e-9)  # without variance the number is its mean
    return np.where((both > 0) & (mean > 0), p, 1.0)


def stratified(both: int, units: np.ndarray, close: np.ndarray, hits: np.ndarray) -> float:
    """As `together`, exact, of one component: hits [l].

    >>> round(stratified(2, np.array([2, 2]), np.array([1, 1]), np.array([1, 1])), 3)
    0.25
    """
    most = np.minimum(close, hits)
    of = np.repeat(np.arange(len(units)), most + 1)
    ends = np.cumsum(most + 1)
    counts = np.arange(len(of)) - (ends - most - 1)[of]
    every = hypergeom.pmf(counts, units[of], hits[of], close[of])
    chances = np.ones(1)
    for part in np.split(every, ends[:-1]) if len(ends) else []:
        chances = np.convolve(chances, part)
    return float(min(1.0, chances[both:].sum()))
