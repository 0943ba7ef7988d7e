"""Which remedy is recommended: each of the three conditions by itself."""

import numpy as np
import pytest

from audits.shortcut import advice
from audits.shortcut.advice import recommended, recommended_matched
from audits.shortcut.proof import MATCHED, Target, Trial
from audits.shortcut.uncertainty import Interval
from pipeline.config import ShortcutConfig

SETTINGS = ShortcutConfig.model_construct(max_price=0.02)
TARGET = Target("red_2", "red", "positive")
FIGURES: dict[int, tuple[float, float, float]] = {}
"""Drop, price and relief by the identity of what a trial holds."""
MATCHED_PRICES: dict[int, float] = {}


def trial(name: str, drop: float, price: float, relief: float, matched: float = 1.0) -> Trial:
    """A remedy with these figures on check halves, and a relief that may be less by 0.1."""
    made = Trial(name, None, [], np.zeros(0), {})
    FIGURES[id(made.check)] = (drop, price, relief)
    MATCHED_PRICES[id(made.check)] = matched
    return made


STANDARD = trial("standard", 0.6, 0.0, 0.0)


@pytest.fixture(autouse=True)
def figures(monkeypatch):
    monkeypatch.setattr(advice, "worst_drop", lambda found, _: FIGURES[id(found)][0])

    def price(_, found, paid=""):
        value = MATCHED_PRICES[id(found)] if paid == MATCHED else FIGURES[id(found)][1]
        return Interval(value, 0, 1)

    monkeypatch.setattr(advice, "price", price)

    def relief(_, found, __):
        value = FIGURES[id(found)][2]
        return Interval(value, value - 0.1, 1)

    monkeypatch.setattr(advice, "relief", relief)


def test_the_least_drop_of_those_that_help():
    found = [trial("a", 0.2, 0.02, 0.4), trial("b", 0.1, 0.0, 0.5), trial("c", 0.0, 0.03, 0.6)]
    chosen = recommended(STANDARD, found, TARGET, SETTINGS)
    assert chosen is not None
    assert chosen.remedy == "b"  # c costs too much


@pytest.mark.parametrize(
    ("drop", "price", "relief"), [(0.21, 0.0, 0.4), (0.1, 0.021, 0.5), (0.1, 0.0, 0.1)]
)
def test_none_where_one_condition_fails(drop, price, relief):
    assert recommended(STANDARD, [trial("a", drop, price, relief)], TARGET, SETTINGS) is None


def test_where_the_shortcut_earns_nothing_the_cheapest_of_those_that_help():
    found = [
        trial("a", 0.01, 0.08, 0.5, matched=0.01),
        trial("b", 0.1, 0.05, 0.5, matched=0.02),
        trial("c", 0.1, 0.03, 0.5, matched=0.03),  # costs too much there
        trial("d", 0.3, 0.01, 0.3, matched=0.0),  # leaves too much
    ]
    chosen = recommended_matched(STANDARD, found, TARGET, SETTINGS)
    assert chosen is not None
    assert chosen.remedy == "b"
    assert recommended(STANDARD, found, TARGET, SETTINGS) is None
