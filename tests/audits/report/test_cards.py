"""Which findings a report opens with."""

import pytest

from audits.report.cards import Card, hero


def card(name: str, mode: str, label: str = "", holds: bool = True) -> Card:
    """A card of which only what the choice looks at is known."""
    made = object.__new__(Card)
    known = {"name": name, "mode": mode, "label": label or name, "verdict": ""}
    known |= {"confirmed": holds}
    vars(made).update(known | {"class_images": ("one",), "examples": ("one",)})
    return made


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        # One of each mode, in order; then the others.
        (["a spurious", "b spurious", "c compound"], "acb"),
        # An unclear one does not stand for a mode.
        (["a unclear", "b spurious", "c compound", "d polysemy", "e typography"], "bcde"),
        (["a unclear", "b unclear", "c compound"], "cab"),
    ],
)
def test_a_report_opens_with_different_clear_modes(found: list[str], chosen: str) -> None:
    assert "".join(one.name for one in hero([card(said[0], said[2:]) for said in found])) == chosen


def test_a_report_opens_with_different_classes_whose_findings_hold() -> None:
    found = [
        card("a", "spurious", label="one"),
        card("b", "compound", label="one"),
        card("c", "polysemy", holds=False),
        card("d", "spurious"),
    ]
    assert "".join(one.name for one in hero(found)) == "ad"
