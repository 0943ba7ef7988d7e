"""Intervals over held-out groups and over what the classifier was trained on."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate with the ends of its interval of LEVEL."""

    value: float
    low: float
    high: float


class Estimate(NamedTuple):
    """A figure of each of r classifiers on the same images, and its b bootstrap draws."""

    value: Float[np.ndarray, " r"]
    draws: Float[np.ndarray, "r b"]
    """Column i is of the same resample of groups in every estimate, which makes differences
    paired; NaN where a resample has no image to judge."""

    def minus(self, other: "Estimate") -> "Estimate":
        """The paired difference."""
        return Estimate(self.value - other.value, self.draws - other.draws)

    def with_mean(self, other: "Estimate") -> "Estimate":
        """Mean of the two, such as balanced accuracy of both sides'."""
        return Estimate((self.value + other.value) / 2, (self.draws + other.draws) / 2)

    def interval(self) -> Interval:
        """Mean over classifiers, with percentiles of all their draws.

        A draw is of one classifier, trained on a random half of the train groups, and one resample
        of the groups it is judged on. Halves of one sample vary as much from each other as figures
        of whole samples of its size do, so that the spread has both sources in it.
        """
        ends = np.nanquantile(self.draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Interval(float(np.nanmean(self.value)), float(ends[0]), float(ends[1]))


class Resamples(NamedTuple):
    """Bootstrap resamples of groups: patients or lesions, whose images stay together."""

    group: Int[np.ndarray, " n"]
    """Number of each image's group."""
    times: Float[np.ndarray, "b g"]
    """How often each resample has each group."""


def resamples(groups: np.ndarray, count: int, seed: int) -> Resamples:
    """`count` draws of as many groups as there are, with replacement.

    Args:
        groups: [n] of each image.
        count: of draws.
        seed: of the draws.
    """
    numbers, names = pd.factorize(groups)
    even = np.full(len(names), 1 / len(names))
    times = np.random.default_rng(seed).multinomial(len(names), even, size=count)
    return Resamples(numbers, times.astype(float))


def mean_of(
    values: Float[np.ndarray, "r n"],
    over: Resamples,
    weight: Float[np.ndarray, " n"] | None = None,
) -> Estimate:
    """Mean over images of each classifier's values, such as 1 for right and 0 for wrong.

    Args:
        values: NaN where a classifier is not to be judged on an image.
        over: the images' groups.
        weight: of the images, None for all the same.
    """
    counted = np.isfinite(values) * (np.ones(values.shape[1]) if weight is None else weight)
    shape = (over.times.shape[1], len(values))
    sums, counts = np.zeros(shape), np.zeros(shape)
    np.add.at(sums, over.group, (np.where(np.isfinite(values), values, 0.0) * counted).T)
    np.add.at(counts, over.group, counted.T)
    with np.errstate(invalid="ignore"):
        draws = (over.times @ sums) / (over.times @ counts)
        return Estimate(sums.sum(axis=0) / counts.sum(axis=0), draws.T)


def auroc_of(
    scores: Float[np.ndarray, "r n"], positive: Bool[np.ndarray, " n"], over: Resamples
) -> Estimate:
    """AUROC of each classifier's scores, ties counted half."""
    weights = over.times[:, over.group]
    own, others = weights[:, positive], weights[:, ~positive]
    value, draws = [], []
    for row in scores:
        a, b = row[positive][:, None], row[~positive]
        above = (a > b) + 0.5 * (a == b)
        value.append(above.mean())
        with np.errstate(invalid="ignore"):
            pairs = own.sum(axis=1) * others.sum(axis=1)
            draws.append(((own @ above) * others).sum(axis=1) / pairs)
    return Estimate(np.array(value), np.array(draws))
