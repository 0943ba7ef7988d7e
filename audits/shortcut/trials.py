"""Classifiers on random halves of the train groups, and how right they are under each shift.

Half of the train groups teach a classifier. The other half, the *check* half, gives its threshold
and everything that is chosen; held-out images are measured on and decide nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from audits.shortcut import classifier
from audits.shortcut.images import PLAIN, Images, Shifted
from audits.shortcut.remedies import Fitted
from audits.shortcut.uncertainty import Estimate, Resamples, auroc_of, mean_of, resamples
from pipeline.config import ShortcutConfig

SIDES = ("positive", "negative")
EVERY = "every"
"""All images of a part as they are, those that are not there under shifts too."""


@dataclass(frozen=True)
class Half:
    """One repeat: which train images teach, and with which regularisation."""

    teaches: Bool[np.ndarray, " n"]
    c: float


@dataclass(frozen=True)
class Judged:
    """Images that classifiers are judged on: a sample of them under shifts, all as they are."""

    shifted: Shifted
    over: Resamples
    """Of the sample's groups."""
    every: Images
    over_every: Resamples

    @classmethod
    def of(cls, shifted: Shifted, every: Images, config: ShortcutConfig, seed: int) -> "Judged":
        """With the resamples of their groups."""
        over, over_every = (
            resamples(images.groups, config.bootstrap, seed) for images in (shifted.images, every)
        )
        return cls(shifted, over, every, over_every)


@dataclass(frozen=True)
class Outcome:
    """How right the r classifiers of one kind are on some images under one shift."""

    positive: Estimate
    negative: Estimate

    @property
    def balanced(self) -> Estimate:
        """Mean of both sides."""
        return self.positive.with_mean(self.negative)

    def side(self, name: str) -> Estimate:
        """`positive`, `negative` or `balanced`."""
        found: Estimate = getattr(self, name)
        return found


def half_of_groups(groups: np.ndarray, rng: np.random.Generator) -> Bool[np.ndarray, " n"]:
    """Mask of the images of a random half of the groups."""
    names = np.unique(groups)
    return np.isin(groups, rng.permutation(names)[: (len(names) + 1) // 2])


def halves(train: Images, config: ShortcutConfig, seed: int) -> list[Half]:
    """The repeats' halves, each with the regularisation that its own cross-validation chooses.

    Raises:
        DoesNotApply: a half has too few groups of a side.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(config.repeats):
        teaches = half_of_groups(train.groups, rng)
        part = train.only(teaches)
        c = classifier.regularisation(part.view.z, part.positive, part.groups, config, seed)
        found.append(Half(teaches, c))
    return found


def thresholds(
    fitted: Sequence[Fitted], train: Images, split: Sequence[Half]
) -> Float[np.ndarray, " r"]:
    """Each classifier's threshold, from its check half."""
    found = []
    for one, half in zip(fitted, split, strict=True):
        check = train.only(~half.teaches)
        found.append(classifier.threshold(one.scores(check.view), check.positive))
    return np.array(found)


def outcome(
    fitted: Sequence[Fitted],
    cuts: Float[np.ndarray, " r"],
    judged: Judged,
    shift: str,
    excluded: Bool[np.ndarray, "r n"] | None = None,
    weight: Float[np.ndarray, " n"] | None = None,
) -> Outcome:
    """Accuracy of each side under a shift.

    Args:
        fitted: r classifiers.
        cuts: their thresholds.
        judged: the images.
        shift: a key of their views, or EVERY for all images as they are.
        excluded: images that a classifier is not to be judged on, for it has learnt from them.
        weight: of each image within its side, None for all the same.
    """
    view, positive, over = (
        (judged.every.view, judged.every.positive, judged.over_every)
        if shift == EVERY
        else (judged.shifted.views[shift], judged.shifted.images.positive, judged.over)
    )
    above = np.stack([one.scores(view) > cut for one, cut in zip(fitted, cuts, strict=True)])
    right = (above == positive).astype(float)
    if excluded is not None:
        right[excluded] = np.nan
    own, others = np.where(positive, right, np.nan), np.where(positive, np.nan, right)
    return Outcome(mean_of(own, over, weight), mean_of(others, over, weight))


def auroc(fitted: Sequence[Fitted], judged: Judged) -> Estimate:
    """AUROC of each classifier on images as they are."""
    scores = np.stack([one.scores(judged.shifted.views[PLAIN]) for one in fitted])
    return auroc_of(scores, judged.shifted.images.positive, judged.over)


def taught(split: Sequence[Half], rows: np.ndarray) -> Bool[np.ndarray, "r q"]:
    """Which of some train images, by their positions, each classifier has learnt from."""
    return np.stack([half.teaches[rows] for half in split])
