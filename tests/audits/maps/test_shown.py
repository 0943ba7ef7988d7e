"""Which maps are made: those of the report, then those of the page of components."""

import pandas as pd

from audits.maps import shown
from audits.maps.pictures import Sheet
from audits.report import cards

FINDINGS = pd.DataFrame(
    {"component": [4, 7], "held": [False, True], "example_ids": ["a b c", "b d e"]}
)
CANDIDATES = pd.DataFrame({"component": [7], "top_images": ["b f g"]})
HIDDEN = pd.DataFrame(
    {
        "component": range(10, 18),
        "group": ["high"] * 8,
        "top_images": [f"h{at} i j" for at in range(8)],
    }
)
PAGE = [Sheet([7, 1], [["b", "g"], ["x", "y", "z"]]), Sheet([2], [["x"]])]


def test_candidates_then_hidden_concepts_then_confirmed_findings():
    found = shown.pairs(FINDINGS, CANDIDATES, HIDDEN, [], 2, 99)
    assert found[:3] == [("b", 7), ("f", 7), ("h0", 10)]
    assert ("h6", 16) not in found  # the strongest come first
    assert found[-3:] == [("d", 7), ("a", 4), ("b", 4)]
    assert len(found) == len(set(found)) == 2 + 6 * 2 + 3


def test_no_more_than_are_asked_for():
    whole = shown.pairs(FINDINGS, CANDIDATES, HIDDEN, PAGE, 2, 99)
    for most in (0, 3, len(whole)):
        assert shown.pairs(FINDINGS, CANDIDATES, HIDDEN, PAGE, 2, most) == whole[:most]
    none = [table[:0] for table in (FINDINGS, CANDIDATES, HIDDEN)]
    assert shown.pairs(*none, [], 2, 99) == []


def test_what_is_left_goes_to_the_first_pictures_of_the_page_then_the_second():
    none = [table[:0] for table in (FINDINGS, CANDIDATES, HIDDEN)]
    first = [("b", 7), ("x", 1), ("x", 2)]
    assert shown.pairs(*none, PAGE, 2, 99) == [*first, ("g", 7), ("y", 1), ("z", 1)]
    found = shown.pairs(FINDINGS[:0], CANDIDATES, HIDDEN[:0], PAGE, 2, 99)
    assert found[:2] == [("b", 7), ("f", 7)]  # the report's, and no map twice
    assert found[2:4] == [("x", 1), ("x", 2)]


def test_the_report_shows_as_many_hidden_concepts():
    assert shown.A_GROUP == cards.CONCEPTS_A_GROUP
