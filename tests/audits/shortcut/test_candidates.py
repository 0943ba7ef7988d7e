"""Evidence for a shortcut, the rule that ranks it, and where nothing can be judged by name."""

import numpy as np
import pandas as pd
import pytest

from audits.failures.modes import KIND_MODES
from audits.shortcut.candidates import (
    BESIDE_THE_POINT,
    check_kinds,
    goes_with,
    imbalance,
    leading,
    rank_candidates,
    remains,
    within,
)
from audits.shortcut.components import verdicts
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import COVERED, STATISTICS


def components(kinds: list[str | None], **columns: list) -> pd.DataFrame:
    rows = len(kinds)
    table = {
        "component": range(rows),
        "kind": pd.array(kinds, dtype="string"),
        "label": [f"term {i}" for i in range(rows)],
        "verdict": [None] * rows,
        "images": [50] * rows,
        **dict.fromkeys(("share", "acquisition", "colour", "answer", "imbalance"), [0.1] * rows),
    }
    return pd.DataFrame(table | dict.fromkeys(COVERED, [np.nan] * rows) | columns)


def test_the_kinds_are_those_that_findings_go_by() -> None:
    assert set(BESIDE_THE_POINT) == set(KIND_MODES)


def test_the_rank_is_by_the_mean_of_places_and_of_nothing_else() -> None:
    kinds = ["lesion", "background", None]
    table = components(kinds, share=[0.9, 0.2, 0.1], colour=[0.0, -0.3, 0.2])
    found = rank_candidates(table, 3)
    # Places: beside 2 1 and the middle, share 1 2 3, colour 3 1 2, four ties of 2.
    assert found["component"].tolist() == [1, 0, 2]
    assert found["place"].tolist() == pytest.approx([12 / 7, 14 / 7, 15 / 7])
    assert found["rank"].tolist() == [1, 2, 3]
    assert found["suspect"].tolist() == [True, False, False]
    more = rank_candidates(table.assign(share=[900, 0.2, 0.1]), 3)
    assert more["component"].tolist() == found["component"].tolist()


def test_unknown_evidence_is_the_middle_and_rare_components_are_none() -> None:
    table = components(["context"] * 3, acquisition=[np.nan] * 3, images=[50, 9, 50])
    assert rank_candidates(table, 3)["component"].tolist() == [0, 2]
    with pytest.raises(DoesNotApply, match="no component fires on 10"):
        rank_candidates(table.assign(images=9), 3)


def test_what_is_left_with_the_object_covered_comes_before_what_is_in_it() -> None:
    object_covered, surroundings_covered = COVERED
    both = {object_covered: [0.1, 0.9, 0.5], surroundings_covered: [0.9, 0.1, 0.5]}
    assert rank_candidates(components([None] * 3, **both), 3)["component"].tolist() == [1, 2, 0]


def test_what_remains_by_hand() -> None:
    before = np.array([[2.0, 0.0, 0.0], [2.0, 1.0, 0.0]])
    after = np.array([[1.0, 5.0, 3.0], [9.0, 0.5, 0.0]])
    # Of 4 are left 1 and, of an image where it rose, all 2; where it fires on nothing, nothing is.
    np.testing.assert_allclose(remains(before, after), [0.75, 0.5, np.nan])


def test_a_persons_verdict_overrides() -> None:
    table = components(["context", "lesion", "context"], verdict=["reject", "accept", None])
    found = rank_candidates(table, 3)
    assert found["component"].tolist() == [1, 2, 0]
    assert found["suspect"].tolist() == [True, True, False]


def test_association_is_within_a_class() -> None:
    rng = np.random.default_rng(0)
    classes = np.repeat(["a", "b"], 300)
    site = pd.Series(np.where(rng.random(600) < 0.5, "arm", "leg"))
    of_class = np.where(classes == "a", 5.0, 0.0) + rng.random(600)
    of_site = np.where(site == "arm", 0.5, 0.0) + rng.random(600)
    values = np.column_stack([of_class, of_site, np.ones(600)])
    ranks = within(values, classes)
    np.testing.assert_allclose((ranks**2).sum(axis=0), [1, 1, 0], atol=1e-9)
    found = goes_with(values, site, classes, 0.001)
    assert found[0] == 0 and 0.5 < found[1] < 1 and found[2] == 0
    nobody = goes_with(values, site.where(site == "arm"), classes, 0.001)
    assert nobody.tolist() == [0, 0, 0]


def test_what_goes_with_having_no_category_goes_with_none() -> None:
    rng = np.random.default_rng(1)
    classes = np.repeat(["a", "b"], 300)
    fires = np.maximum(rng.normal(size=(600, 1)), 0)
    site = pd.Series(rng.choice(["arm", "leg"], 600))
    # More often unknown where the component fires.
    known = rng.random(600) >= np.where(fires[:, 0] > 0, 0.6, 0.0)
    assert goes_with(fires, site.where(known), classes, 0.001).tolist() == [0]


def test_a_component_is_rejected_where_no_finding_with_it_was_accepted() -> None:
    rows = [
        *((0, "compound", "accept"), (0, "spurious", "reject")),
        *((1, "spurious", "reject"), (1, "spurious", None)),
        *((2, "spurious", "reject"), (2, "spurious", "accept")),
        (3, "typography", "accept"),
    ]
    findings = pd.DataFrame(rows, columns=["component", "mode", "verdict"])
    assert verdicts(findings, 5) == [None, "reject", "accept", None, None]


def test_imbalance_is_an_auroc() -> None:
    activation = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    positive = np.array([False, True, False, True])
    assert imbalance(activation, positive).tolist() == pytest.approx([0.5, 0.0])


class TestLeading:
    colours = np.zeros((4, len(STATISTICS)))

    def test_a_shift_acts_through_the_component_that_answers_to_no_other(self) -> None:
        # Under both, 0 moves most: it answers to neither alone.
        moved = {
            "patch": np.array([-0.5, -0.3, 0.0, 0.0]),
            "jpeg": np.array([-0.5, 0.0, 0.2, 0.1]),
        }
        table = components([None] * 4)
        assert leading(table, moved, self.colours) == {"patch": 1, "jpeg": 2}
        assert leading(table, {"patch": moved["patch"]}, self.colours) == {"patch": 0}

    def test_what_goes_with_the_shifts_colour_answers_to_it(self) -> None:
        moved = {"red": np.array([0.1, -0.9, 0.8, 0.0])}
        colours = self.colours.copy()
        colours[:, STATISTICS.index("red")] = [0.3, 0.0, -0.6, 0.1]
        assert leading(components([None] * 4), moved, colours) == {"red": 2}

    def test_rare_rejected_and_taken_components_lead_nothing(self) -> None:
        table = components([None] * 4, images=[9, 50, 50, 50], verdict=[None, "reject", None, None])
        one = np.array([-0.9, -0.8, 0.2, 0.1])
        found = leading(table, {"patch": one, "jpeg": one}, self.colours)
        assert found == {"patch": 2, "jpeg": 3}
        alone = table.assign(images=[9, 50, 50, 9])
        assert leading(alone, {"patch": one, "jpeg": one}, self.colours) == {"patch": 2}


def test_leads_come_first_and_a_persons_verdict_before_them() -> None:
    table = components(["context"] * 4, share=[0.4, 0.3, 0.2, 0.1])
    assert rank_candidates(table, 3, [3, 1])["component"].tolist() == [3, 1, 0]
    judged = table.assign(verdict=[None, None, "accept", "reject"])
    assert rank_candidates(judged, 4, [3, 1])["component"].tolist() == [2, 1, 0, 3]


def vocabulary(*kinds: str | None) -> pd.DataFrame:
    return pd.DataFrame({"term": [f"t{i}" for i in range(len(kinds))], "kind": list(kinds)})


def test_a_vocabulary_without_kinds_cannot_judge() -> None:
    table = components([None, None])
    with pytest.raises(DoesNotApply, match=r"^the vocabulary has no kinds: a CSV with the columns"):
        check_kinds(table, vocabulary(None, None))
    with pytest.raises(DoesNotApply, match="of the 2 components 2 have a label, and none a label"):
        check_kinds(table, vocabulary("lesion", None))
    check_kinds(components([None, "lesion"]), vocabulary("lesion", None))
    check_kinds(table.assign(verdict=["accept", None]), vocabulary(None))
