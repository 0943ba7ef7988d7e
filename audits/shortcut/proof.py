"""Proof of a shortcut by intervention, and remedies on trial.

What is chosen, the shift and what `advice` chooses, is chosen on check halves of the train groups;
the same figures on held-out images are what is reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm import tqdm

from audits.shortcut.images import PLAIN, Images
from audits.shortcut.remedies import STANDARD, Fitted, Lesson, Setting, learn, settings, standard
from audits.shortcut.teaching import learnable
from audits.shortcut.trials import (
    EVERY,
    SIDES,
    Half,
    Judged,
    Outcome,
    outcome,
    taught,
    thresholds,
)
from audits.shortcut.uncertainty import Interval
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.config import STATISTICS, ShortcutConfig

BINS = 5
"""Of a statistic, in which sides are matched."""

MATCHED = "matched"
"""Images as they are, one side weighted so that the shifted statistic is as frequent in both."""
Outcomes = Mapping[str, Outcome]
"""By shift, PLAIN and EVERY; MATCHED where there is a statistic."""


@dataclass(frozen=True)
class Target:
    """What the classifier is to be cured of: the shift in range that takes most from a side."""

    shift: str
    kind: str
    side: str


@dataclass(frozen=True)
class Trial:
    """The classifiers of one remedy and setting."""

    remedy: str
    setting: Setting
    fitted: Sequence[Fitted]
    cuts: np.ndarray
    check: Outcomes
    """On check halves, for the choice."""


def drop(found: Outcomes, shift: str, side: str) -> Interval:
    """Accuracy of a side as it is less that under a shift, paired."""
    return found[PLAIN].side(side).minus(found[shift].side(side)).interval()


def worst_drop(found: Outcomes, shift: str) -> float:
    """Drop of the side that falls more."""
    return max(drop(found, shift, side).value for side in SIDES)


def price(plain: Outcomes, found: Outcomes, paid: str = EVERY) -> Interval:
    """Balanced accuracy that a remedy costs, paired; below 0 it gains.

    Args:
        plain: of the standard classifier.
        found: of the remedy.
        paid: EVERY, on all images as they are, or MATCHED, where the shortcut earns nothing.
    """
    return plain[paid].balanced.minus(found[paid].balanced).interval()


def relief(plain: Outcomes, found: Outcomes, target: Target) -> Interval:
    """How much smaller than the standard classifier's the drop is, of the target's side, paired."""
    drops = [
        each[PLAIN].side(target.side).minus(each[target.shift].side(target.side))
        for each in (plain, found)
    ]
    return drops[0].minus(drops[1]).interval()


def falls(found: Outcomes, shift: str, side: str, least: float) -> bool:
    """Whether a side loses `least` under a shift, and more than nothing beyond doubt."""
    lost = drop(found, shift, side)
    return lost.value >= least and lost.low > 0


def fallen(check: Outcomes, shifts: Sequence[str], least: float) -> list[str]:
    """The shifts under which some side falls, on check halves."""
    return [shift for shift in shifts if any(falls(check, shift, side, least) for side in SIDES)]


def by_surroundings(found: Outcomes, alone: str | None, side: str, least: float) -> bool:
    """Whether a side falls where the surroundings alone are shifted, the object being as it was;
    true where there is no such shift, since nothing speaks against it then."""
    return alone is None or alone not in found or falls(found, alone, side, least)


def causes(
    check: Outcomes, shifts: pd.DataFrame, goes: Mapping[str, int], config: ShortcutConfig
) -> list[Target]:
    """Of each kind of shift the one in range, and the side, with the largest drop, the worst kind
    first; kinds under which no side falls that could have been taught, or none by the surroundings,
    are left out.

    Args:
        check: of the standard classifier, on check halves.
        shifts: of `read_shifts`.
        goes: of `associations`.
        config: `min_drop`.
    """
    found: dict[str, tuple[float, Target]] = {}
    for row in shifts[shifts["in_range"]].to_dict("records"):
        for side in SIDES:
            target = Target(row["shift"], row["kind"], side)
            lost = drop(check, target.shift, side).value
            taught = learnable(goes, target.kind, row["strength"], side)
            shown = (
                taught
                and falls(check, target.shift, side, config.min_drop)
                and by_surroundings(check, row["alone"], side, config.min_drop)
            )
            if shown and (target.kind not in found or lost > found[target.kind][0]):
                found[target.kind] = (lost, target)
    return [target for _, target in sorted(found.values(), key=lambda one: -one[0])]


def matching(judged: Judged, target: Target) -> Float[np.ndarray, " n"]:
    """Weight of each image of the sample, with which the other side's have the target's statistic
    as often in each of BINS bins as the target's side, so that it tells the sides apart no more.

    Bins are at quantiles of the target's side. Its own images weigh 1.

    Raises:
        DoesNotApply: the shift has no statistic, or the other side no image in a bin.
    """
    if target.kind not in STATISTICS:
        raise DoesNotApply(
            f"nothing says how much of {target.kind} an image has, so that sides cannot be matched"
        )
    statistic = judged.shifted.statistics[target.kind].to_numpy()
    own = judged.shifted.images.positive == (target.side == "positive")
    edges = np.quantile(statistic[own], np.linspace(0, 1, BINS + 1)[1:-1])
    bins = np.digitize(statistic, edges)
    share = [np.bincount(bins[side], minlength=BINS) / side.sum() for side in (own, ~own)]
    if not share[1].all():
        raise DoesNotApply(
            f"in a fifth of the {target.side} images {target.kind} is beyond all of the other "
            "side's, so that sides cannot be matched"
        )
    return np.where(own, 1.0, (share[0] / share[1])[bins])


def standard_trial(train: Images, split: Sequence[Half], check: Judged) -> Trial:
    """The classifier as it is, judged on check halves under every shift."""
    parts = [(train.only(half.teaches), half.c) for half in split]
    fitted = [standard(part.view, part.positive, c) for part, c in parts]
    return _trial(STANDARD, None, fitted, train, split, check, list(check.shifted.views), None)


def with_matched(
    trial: Trial, train: Images, split: Sequence[Half], check: Judged, weight: np.ndarray
) -> Trial:
    """A trial that is judged on matched images, too, with the weights of `matching`."""
    known = taught(split, np.searchsorted(train.rows, check.shifted.images.rows))
    found = outcome(trial.fitted, trial.cuts, check, PLAIN, known, weight)
    return replace(trial, check={**trial.check, MATCHED: found})


def remedy_trials(
    train: Images,
    split: Sequence[Half],
    check: Judged,
    lessons: Sequence[Lesson],
    target: Target,
    weight: Float[np.ndarray, " n"] | None,
    config: ShortcutConfig,
    seed: int,
    gaps: Gaps,
) -> list[Trial]:
    """Every remedy with every setting, judged on check halves as it is and under the target.

    Args:
        train: all labelled train images.
        split: the repeats.
        check: the train images to be judged on.
        lessons: what each repeat may learn from.
        target: what is to be cured.
        weight: of `matching`, None where sides cannot be matched.
        config: settings to try.
        seed: of the augmentation.
        gaps: takes up what does not apply.
    """
    found = []
    for remedy, setting in tqdm(settings(config), desc="remedies", unit="remedy"):
        fitted = gaps.measured(
            f"shortcut.remedies.{remedy}",
            partial(_learnt, remedy, setting, lessons, config, seed),
        )
        if fitted is not None:
            shifts = [PLAIN, target.shift]
            found.append(_trial(remedy, setting, fitted, train, split, check, shifts, weight))
    return found


def _learnt(
    remedy: str, setting: Setting, lessons: Sequence[Lesson], config: ShortcutConfig, seed: int
) -> list[Fitted]:
    return [
        learn(remedy, setting, lesson, config.quantiles, seed + number)
        for number, lesson in enumerate(lessons)
    ]


def _trial(
    remedy: str,
    setting: Setting,
    fitted: Sequence[Fitted],
    train: Images,
    split: Sequence[Half],
    check: Judged,
    shifts: Sequence[str],
    weight: np.ndarray | None,
) -> Trial:
    cuts = thresholds(fitted, train, split)
    places = np.searchsorted(train.rows, check.shifted.images.rows)
    known = taught(split, places)
    found = {shift: outcome(fitted, cuts, check, shift, known) for shift in shifts}
    everyone = taught(split, np.arange(len(train.rows)))
    found[EVERY] = outcome(fitted, cuts, check, EVERY, everyone)
    trial = Trial(remedy, setting, fitted, cuts, found)
    return trial if weight is None else with_matched(trial, train, split, check, weight)


def held_out(trial: Trial, judged: Judged, weight: np.ndarray | None = None) -> Outcomes:
    """How right a trial's classifiers are on held-out images, under every shift; with the weights
    of `matching` on matched images, too."""
    shifts = [*judged.shifted.views, EVERY]
    found = {shift: outcome(trial.fitted, trial.cuts, judged, shift) for shift in shifts}
    if weight is not None:
        found[MATCHED] = outcome(trial.fitted, trial.cuts, judged, PLAIN, weight=weight)
    return found


def ends(name: str, interval: Interval) -> dict[str, float]:
    """An interval as columns: name, name_low, name_high."""
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def curve(
    remedy: str,
    found: Outcomes,
    check: Outcomes,
    shifts: pd.DataFrame,
    goes: Mapping[str, int],
    least: float,
) -> pd.DataFrame:
    """Accuracy and drop on held-out images, a row for each shift and side.

    A side falls where the shift is in range, and it does on check halves and on held-out images.
    That is `proven` a shortcut where train images could teach it and, with masks, the side falls by
    the surroundings alone, too; else the side is `fragile`. `alone` is the drop by those, NaN
    without masks and out of range.

    Args:
        remedy: of the classifier.
        found: on held-out images.
        check: on check halves, empty where nothing is to be proven.
        shifts: of `read_shifts`.
        goes: of `associations`.
        least: drop that counts.
    """
    rows = []
    for row in shifts.to_dict("records"):
        for side in (*SIDES, "balanced"):
            shift, alone = row["shift"], row["alone"]
            fell = bool(check) and side in SIDES and bool(row["in_range"])
            fell = fell and all(falls(each, shift, side, least) for each in (check, found))
            taught = learnable(goes, row["kind"], row["strength"], side) and all(
                by_surroundings(each, row["alone"], side, least) for each in (check, found)
            )
            nothing = Interval(np.nan, np.nan, np.nan)
            rows.append(
                {
                    "remedy": remedy,
                    **{
                        key: row[key] for key in ("shift", "kind", "strength", "beyond", "in_range")
                    },
                    "side": side,
                    **ends("accuracy", found[shift].side(side).interval()),
                    **ends("drop", drop(found, shift, side)),
                    **ends("alone", drop(found, alone, side) if alone in found else nothing),
                    "proven": fell and taught,
                    "fragile": fell and not taught,
                }
            )
    return pd.DataFrame(rows)
