"""Which remedy is recommended: each of the three conditions by itself."""

import numpy as np
import pytest

from audits.shortcut import advice
from audits.shortcut.advice import recommended
from audits.shortcut.proof import Target, Trial
from audits.shortcut.trials import EVERY
from audits.shortcut.uncertainty import Interval
from pipeline.config import ShortcutConfig

SETTINGS = ShortcutConfig.model_construct(max_price=0.02)
TARGET = Target("red_2", "red", "positive")
FIGURES: dict[int, tuple[float, float, float]] = {}
"""Drop, price and relief by the identity of what a trial holds."""


def trial(name: str, drop: float, price: float, relief: float) -> Trial:
    """A remedy with these figures on check halves, and a relief that may be less by 0.1."""
    made = Trial(name, None, [], np.zeros(0), {})
    FIGURES[id(made.check)] = (drop, price, relief)
    return made


STANDARD = trial("standard", 0.6, 0.0, 0.0)


@pytest.fixture(autouse=True)
def figures(monkeypatch):
    monkeypatch.setattr(advice, "worst_drop", lambda found, _: FIGURES[id(found)][0])
    monkeypatch.setattr(advice, "price", lambda _, found, __: Interval(FIGURES[id(found)][1], 0, 1))

    def relief(_, found, __):
        value = FIGURES[id(found)][2]
        return Interval(value, value - 0.1, 1)

    monkeypatch.setattr(advice, "relief", relief)


def test_the_least_drop_of_those_that_help():
    found = [trial("a", 0.2, 0.02, 0.4), trial("b", 0.1, 0.0, 0.5), trial("c", 0.0, 0.03, 0.6)]
    chosen = recommended(STANDARD, found, TARGET, SETTINGS, EVERY)
    assert chosen is not None
    assert chosen.remedy == "b"  # c costs too much


@pytest.mark.parametrize(
    ("drop", "price", "relief"), [(0.21, 0.0, 0.4), (0.1, 0.021, 0.5), (0.1, 0.0, 0.1)]
)
def test_none_where_one_condition_fails(drop, price, relief):
    assert recommended(STANDARD, [trial("a", drop, price, relief)], TARGET, SETTINGS, EVERY) is None
