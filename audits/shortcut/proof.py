"""Proof of a shortcut by intervention, and remedies side by side.

What is chosen, the shift, a remedy's setting and the remedy, is chosen on check halves of the train
groups; the same figures on held-out images are what is reported.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from tqdm import tqdm

from audits.shortcut.images import PLAIN, Images
from audits.shortcut.remedies import STANDARD, Fitted, Lesson, Setting, learn, settings, standard
from audits.shortcut.trials import (
    SIDES,
    Half,
    Judged,
    Outcome,
    auroc,
    outcome,
    taught,
    thresholds,
)
from audits.shortcut.uncertainty import Interval
from pipeline.artifacts.gaps import Gaps
from pipeline.config import ShortcutConfig

HELPS = 0.5
"""A remedy helps if it leaves no more than this part of the drop."""
Outcomes = Mapping[str, Outcome]


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


def price(plain: Outcomes, found: Outcomes) -> Interval:
    """Balanced accuracy on plain images that a remedy costs, paired; below 0 it gains."""
    return plain[PLAIN].balanced.minus(found[PLAIN].balanced).interval()


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


def choose_target(check: Outcomes, shifts: pd.DataFrame, config: ShortcutConfig) -> Target | None:
    """The shift in range and the side with the largest drop, None where none falls enough.

    Args:
        check: of the standard classifier, on check halves.
        shifts: of `read_shifts`.
        config: `min_drop`.
    """
    tried = shifts[shifts["in_range"]]
    found = [
        (drop(check, row["shift"], side).value, row["shift"], row["kind"], side)
        for row in tried.to_dict("records")
        for side in SIDES
        if falls(check, row["shift"], side, config.min_drop)
    ]
    if not found:
        return None
    _, shift, kind, side = max(found, key=lambda one: one[0])
    return Target(shift, kind, side)


def standard_trial(train: Images, split: Sequence[Half], check: Judged) -> Trial:
    """The classifier as it is, judged on check halves under every shift."""
    parts = [(train.only(half.teaches), half.c) for half in split]
    fitted = [standard(part.view, part.positive, c) for part, c in parts]
    return _trial(STANDARD, None, fitted, train, split, check, list(check.shifted.views))


def remedy_trials(
    train: Images,
    split: Sequence[Half],
    check: Judged,
    lessons: Sequence[Lesson],
    target: Target,
    config: ShortcutConfig,
    seed: int,
    gaps: Gaps,
) -> list[Trial]:
    """Every remedy with every setting, judged on check halves as it is and under the target."""
    found = []
    for remedy, setting in tqdm(settings(config), desc="remedies", unit="remedy"):
        fitted = gaps.measured(
            f"shortcut.remedies.{remedy}",
            partial(_learnt, remedy, setting, lessons, config, seed),
        )
        if fitted is not None:
            shifts = [PLAIN, target.shift]
            found.append(_trial(remedy, setting, fitted, train, split, check, shifts))
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
) -> Trial:
    cuts = thresholds(fitted, train, split)
    places = np.searchsorted(train.rows, check.shifted.images.rows)
    known = taught(split, places)
    found = {shift: outcome(fitted, cuts, check, shift, known) for shift in shifts}
    return Trial(remedy, setting, fitted, cuts, found)


def best_settings(
    plain: Trial, trials: Sequence[Trial], target: Target, config: ShortcutConfig
) -> list[Trial]:
    """Of each remedy the setting with the least drop among those within `max_price`; where none is,
    the cheapest. On check halves."""

    def order(trial: Trial) -> tuple[float, float]:
        cost = price(plain.check, trial.check).value
        lost = worst_drop(trial.check, target.shift)
        return (0.0, lost) if cost <= config.max_price else (1.0, cost)

    best: dict[str, Trial] = {}
    for trial in trials:
        if trial.remedy not in best or order(trial) < order(best[trial.remedy]):
            best[trial.remedy] = trial
    return list(best.values())


def recommended(
    plain: Trial, best: Sequence[Trial], target: Target, config: ShortcutConfig
) -> Trial | None:
    """The remedy with the least drop of those that help, None where none does.

    A remedy helps where it costs at most `max_price`, leaves at most HELPS of the drop, whichever
    side falls, and the relief of the target's side is above 0 beyond doubt. On check halves.
    """
    lost = worst_drop(plain.check, target.shift)
    helping = [
        trial
        for trial in best
        if price(plain.check, trial.check).value <= config.max_price
        and worst_drop(trial.check, target.shift) <= HELPS * lost
        and relief(plain.check, trial.check, target).low > 0
    ]
    return min(helping, key=lambda trial: worst_drop(trial.check, target.shift), default=None)


def held_out(trial: Trial, judged: Judged) -> Outcomes:
    """How right a trial's classifiers are on held-out images, under every shift."""
    shifts = judged.shifted.views
    return {shift: outcome(trial.fitted, trial.cuts, judged, shift) for shift in shifts}


def ends(name: str, interval: Interval) -> dict[str, float]:
    """An interval as columns: name, name_low, name_high."""
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def curve(
    remedy: str, found: Outcomes, check: Outcomes, shifts: pd.DataFrame, least: float
) -> pd.DataFrame:
    """Accuracy and drop on held-out images, a row for each shift and side.

    `proven`: the shift is in range, and the side falls on check halves and on held-out images.

    Args:
        remedy: of the classifier.
        found: on held-out images.
        check: on check halves, empty where nothing is to be proven.
        shifts: of `read_shifts`.
        least: drop that counts.
    """
    rows = []
    for row in shifts.to_dict("records"):
        for side in (*SIDES, "balanced"):
            shift = row["shift"]
            proven = side in SIDES and bool(row["in_range"])
            proven = proven and all(
                falls(each, shift, side, least) for each in (check, found) if each
            )
            rows.append(
                {
                    "remedy": remedy,
                    **{
                        key: row[key] for key in ("shift", "kind", "strength", "beyond", "in_range")
                    },
                    "side": side,
                    **ends("accuracy", found[shift].side(side).interval()),
                    **ends("drop", drop(found, shift, side)),
                    "proven": proven and bool(check),
                }
            )
    return pd.DataFrame(rows)


def comparison(
    plain: Outcomes,
    trials: Sequence[tuple[Trial, Outcomes]],
    judged: Judged,
    target: Target,
    others: Sequence[str],
) -> pd.DataFrame:
    """A row for each remedy, the standard classifier first, on held-out images.

    Columns: remedy, setting, accuracy of the target's side as it is and under the target, drop,
    relief, other_side_drop, price, auroc; other_shift and other_drop: the largest drop of any side
    under one of the other shifts.

    Args:
        plain: outcomes of the standard classifier.
        trials: remedies with their outcomes.
        judged: the held-out images.
        target: what is to be cured.
        others: shifts in range of other kinds.
    """
    other = next(side for side in SIDES if side != target.side)
    rows = []
    for trial, found in trials:
        elsewhere = [(drop(found, shift, side).value, shift) for shift in others for side in SIDES]
        worst = max(elsewhere, default=(np.nan, ""))
        rows.append(
            {
                "remedy": trial.remedy,
                "setting": trial.setting,
                **ends("plain", found[PLAIN].side(target.side).interval()),
                **ends("shifted", found[target.shift].side(target.side).interval()),
                **ends("drop", drop(found, target.shift, target.side)),
                **ends("relief", relief(plain, found, target)),
                **ends("other_side_drop", drop(found, target.shift, other)),
                **ends("balanced", found[PLAIN].balanced.interval()),
                **ends("price", price(plain, found)),
                **ends("auroc", auroc(trial.fitted, judged).interval()),
                "other_drop": worst[0],
                "other_shift": worst[1],
            }
        )
    return pd.DataFrame(rows)


def sweep(plain: Trial, trials: Sequence[Trial], target: Target) -> pd.DataFrame:
    """Drop and price of every setting on check halves (paper, Fig. 15)."""
    rows = [
        {
            "remedy": trial.remedy,
            "setting": trial.setting,
            **ends("drop", drop(trial.check, target.shift, target.side)),
            "worst_drop": worst_drop(trial.check, target.shift),
            **ends("price", price(plain.check, trial.check)),
        }
        for trial in (plain, *trials)
    ]
    return pd.DataFrame(rows)
