"""What the classifiers of `robustness` and `shortcut` take: how many there are, and a step of one.

Seconds are of processors, over all threads, as a stage's own are counted.
"""

import time
import warnings
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from audits.robustness import linear
from audits.shortcut import classifier, remedies
from pipeline.config import STATISTICS, RobustnessConfig, ShortcutConfig

LINEAR_STEPS = 75
"""Steps of the solver to a fit of `robustness`, the mean of both samples (78 and 91) and of 1,000
classes with 50 images each (55)."""
BINARY_STEPS = 27
"""Likewise of `shortcut`, where the one sample has it."""
MOST, CLASSES = 100_000_000, 100
"""Products in a step that is timed, and classes, at most; more take time by their number."""
FITTED = 5
"""Classifiers of two sides that are timed."""


class Fits(NamedTuple):
    """Classifiers that a stage fits."""

    number: int
    rows: int
    """Images that one learns from, their mean."""


def linear_fits(images: pd.DataFrame, config: RobustnessConfig) -> Fits:
    """Those of `robustness`: one a fold and regularisation, if there is a choice, and one of all.

    Args:
        images: split and label of the manifest.
        config: of the audit.
    """
    each = images.loc[images["split"] == "train", "label"].value_counts()
    searched, learnt = (
        int(each.clip(upper=most).sum()) for most in (config.search_images, config.train_images)
    )
    tried = len(config.regularisation) * config.folds if len(config.regularisation) > 1 else 0
    rows = tried * searched * (config.folds - 1) / config.folds + learnt
    return Fits(tried + 1, round(rows / (tried + 1)))


def taught(images: pd.DataFrame, config: ShortcutConfig) -> int:
    """Train images of either side."""
    labels = images.loc[images["split"] == "train", "label"]
    return sum(config.side(label) is not None for label in labels)


def binary_fits(train: int, shifted: int, config: ShortcutConfig) -> Fits:
    """Those of `shortcut`, where a shift takes enough for remedies to be tried.

    Each repeat chooses a regularisation on its half of the train groups and fits the classifier as
    it is and every remedy; components are judged by one of all train images; and of each kind of
    shift that no statistic of the pixels speaks of one tells shifted images from the others.

    Args:
        train: labelled train images of either side.
        shifted: those of them that are there under shifts.
        config: of the audit.
    """
    tried, held = config.folds * len(config.regularisation), (config.folds - 1) / config.folds
    kinds = sum(kind not in STATISTICS for kind in config.shifts)
    parts = (
        (config.repeats * tried, train / 2 * held),
        (config.repeats * (1 + len(remedies.settings(config))), train / 2),
        (tried, train * held),
        (1, train),
        (kinds * (tried + config.folds), 2 * shifted * held),
    )
    count = sum(fits for fits, _ in parts)
    return Fits(count, round(sum(fits * rows for fits, rows in parts) / count))


def judgements(train: int, shifted: tuple[int, int], config: ShortcutConfig) -> int:
    """How often `shortcut` asks a classifier of one image: the one as it is under every shift, and
    all settings of remedies under the worst, on train images; the best of each remedy under every
    shift on held-out ones.

    Args:
        train: labelled train images of either side.
        shifted: train and held-out images that are there under shifts.
        config: of the audit.
    """
    views = 1 + sum(map(len, config.shifts.values())) * (2 if config.mask else 1)
    settings = remedies.settings(config)
    compared = 1 + len({remedy for remedy, _ in settings})
    on_train = shifted[0] * views + len(settings) * (2 * shifted[0] + train)
    return config.repeats * (on_train + compared * shifted[1] * views)


def linear_step(rows: int, width: int, classes: int, config: RobustnessConfig) -> float:
    """Seconds in which the solver of `robustness` makes a step on so many images.

    Args:
        rows: images that it learns from.
        width: of a unit embedding.
        classes: how many, two or more.
        config: of the audit.
    """
    told = min(classes, CLASSES)
    timed = max(told, min(rows, MOST // (width * told)))
    table = pd.DataFrame({"label": (np.arange(timed) % told).astype(str)})
    table["group_id"] = table.index
    once = config.model_copy(update={"regularisation": [max(config.regularisation)]})
    began = time.process_time()
    with warnings.catch_warnings(action="ignore"):  # that it has not converged
        found = linear.fit(_units(timed, width).astype(np.float32), table, once, 0)
    return (time.process_time() - began) / found.steps * rows / timed * classes / told


def binary_step(rows: int, width: int, config: ShortcutConfig) -> float:
    """Likewise of `shortcut`, of two sides."""
    timed = max(2, min(rows, MOST // width))
    z, positive = _units(timed, width), np.arange(timed) % 2 == 0
    steps, began = 0, time.process_time()
    with threadpool_limits(1), warnings.catch_warnings(action="ignore"):
        for _ in range(FITTED):
            steps += int(classifier.fit(z, positive, max(config.regularisation)).n_iter_.max())
    return (time.process_time() - began) / steps * rows / timed


def _units(rows: int, width: int) -> np.ndarray:
    """Random, but with a few directions that have most of the variance, as embeddings have them: of
    equal ones the solver would be done before its steps are more than its beginning."""
    z = np.random.default_rng(0).normal(size=(rows, width)) / np.arange(1, width + 1)
    return z / np.linalg.norm(z, axis=1, keepdims=True)
