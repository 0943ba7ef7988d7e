"""Remedies side by side, and which of them is recommended.

What is chosen, a remedy's setting and the remedy, is chosen on check halves of the train groups;
the same figures on held-out images are what is reported.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from audits.shortcut.images import PLAIN
from audits.shortcut.proof import (
    MATCHED,
    Outcomes,
    Target,
    Trial,
    drop,
    ends,
    price,
    relief,
    worst_drop,
)
from audits.shortcut.trials import EVERY, SIDES, Judged, auroc
from audits.shortcut.uncertainty import Interval
from pipeline.config import ShortcutConfig

HELPS = 1 / 3
"""A remedy helps if it leaves no more than this part of the drop."""


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


def helping(
    plain: Trial, trials: Sequence[Trial], target: Target, config: ShortcutConfig, paid: str
) -> list[Trial]:
    """The trials that cost at most `max_price`, leave at most HELPS of the drop, whichever side
    falls, and relieve the target's side beyond doubt. On check halves, the price by `paid` of
    `price`."""
    lost = worst_drop(plain.check, target.shift)
    return [
        trial
        for trial in trials
        if price(plain.check, trial.check, paid).value <= config.max_price
        and worst_drop(trial.check, target.shift) <= HELPS * lost
        and relief(plain.check, trial.check, target).low > 0
    ]


def recommended(
    plain: Trial, trials: Sequence[Trial], target: Target, config: ShortcutConfig
) -> Trial | None:
    """Of those that help on images as they are the one of the least drop, None where none does."""
    found = helping(plain, trials, target, config, EVERY)
    return min(found, key=lambda trial: worst_drop(trial.check, target.shift), default=None)


def recommended_matched(
    plain: Trial, trials: Sequence[Trial], target: Target, config: ShortcutConfig
) -> Trial | None:
    """Of those that help among matched images the one that costs least on images as they are, None
    where none does."""
    found = helping(plain, trials, target, config, MATCHED)
    return min(found, key=lambda trial: price(plain.check, trial.check).value, default=None)


def comparison(
    plain: Outcomes,
    trials: Sequence[tuple[Trial, Outcomes]],
    judged: Judged,
    target: Target,
    others: Sequence[str],
) -> pd.DataFrame:
    """A row for each remedy, the standard classifier first, on held-out images.

    Columns: remedy, setting, accuracy of the target's side as it is and under the target, drop,
    relief, other_side_drop, price, price_matched (NaN where sides cannot be matched), auroc;
    other_shift and other_drop: the largest drop of any side under one of the other shifts.

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
                **ends("balanced", found[EVERY].balanced.interval()),
                **ends("price", price(plain, found)),
                **ends("price_matched", _matched(plain, found)),
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
            **ends("price_matched", _matched(plain.check, trial.check)),
        }
        for trial in (plain, *trials)
    ]
    return pd.DataFrame(rows)


def _matched(plain: Outcomes, found: Outcomes) -> Interval:
    return price(plain, found, MATCHED) if MATCHED in found else Interval(np.nan, np.nan, np.nan)
