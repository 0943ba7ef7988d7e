"""Findings: flags that share images, tested on others, with their evidence."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from audits.failures import findings as module
from audits.failures.closeness import Close, close_images
from audits.failures.counting import CARRIER, EXCESS, STAND_IN, Counts
from audits.failures.findings import (
    FINDING_COLUMNS,
    about,
    confirmations,
    gather,
    report_findings,
    taken_by,
)
from audits.failures.flags import Flag, find_flags
from audits.failures.modes import Mode, Reading
from audits.failures.strikes import prepare
from audits.reference.expected import class_relevance, reference
from pipeline.attribution.relevance import Codes
from tests.audits.failures.test_expectation import CONFIG
from tests.conftest import PLANTED

NONE = np.zeros((3, 3), dtype=bool)
MODE = Mode("compound", 0.75, "they say", (Reading("polysemy", 0.25, "others say"),))


def flag(
    position: int,
    component: int,
    rows: list[int],
    score: float = 1.0,
    test: str = EXCESS,
    *,
    compound: bool = False,
    labels: tuple[int, ...] = (1,),
    whole: tuple[int, ...] = (),
    p: tuple[float, float] = (0.01, 0.02),
) -> Flag:
    return Flag(
        position=position,
        component=component,
        test=test,
        compound=compound,
        labels=labels,
        whole=whole,
        rows=np.array(rows),
        score=score,
        max_z=4.0,
        tail=0.25,
        counts=Counts(2, 30, 12, 40, 3, 50),
        p_value=p[0],
        q_value=p[1],
    )


def without_plant(inputs, split: str):
    """The audit with its plant taken out of the images of a split."""
    component, activation = (part.clone() for part in inputs.codes)
    hit = (component == PLANTED) & inputs.split(split)[:, None]
    component[hit], activation[hit] = 0, 0.0
    return replace(inputs, codes=Codes(component, activation))


def test_flags_of_one_class_that_share_images_are_one_finding():
    weak, strong = flag(0, 5, [1, 2, 3, 4]), flag(0, 3, [3, 4, 5, 6, 7, 8], score=2.0)
    elsewhere = flag(1, 3, [1, 2, 3, 4])
    chained = flag(0, 9, [7, 8, 20, 21], score=0.1)
    groups = gather([weak, elsewhere, chained, strong], overlap=0.5)
    assert [[f.component for f in group] for group in groups] == [[3, 5, 9], [3]]
    assert [group[0].position for group in groups] == [0, 1]
    apart = gather([weak, strong], overlap=0.51)
    assert [[f.component for f in group] for group in apart] == [[3], [5]]


def test_both_tests_of_a_component_are_one_finding():
    excess, stand_in = flag(0, 5, [3, 4]), flag(0, 5, [1, 2, 3, 4, 5], test=STAND_IN)
    ((first, second),) = gather([excess, stand_in], overlap=1.0)
    assert (first.test, second.test) == (STAND_IN, EXCESS)


def test_what_tells_the_images_from_the_class_comes_first():
    stand_in = flag(0, 5, [1, 2, 3, 4, 5], score=9.0, test=STAND_IN)
    few, most = flag(0, 6, [1, 2], score=3.0), flag(0, 7, [2, 3, 4])
    ((*ranked,),) = gather([few, most, stand_in], overlap=0.5)
    assert [f.component for f in ranked] == [7, 5, 6]


def test_flags_by_which_the_same_class_comes_close_are_one_finding():
    first, second = flag(0, 5, [1, 2], whole=(2,)), flag(0, 6, [3, 4], score=2.0, whole=(2, 1))
    apart, elsewhere = flag(0, 7, [5, 6], whole=(1,)), flag(0, 8, [7, 8], labels=(2,))
    groups = gather([first, second, apart, elsewhere], overlap=0.5)
    assert [[f.component for f in group] for group in groups] == [[6, 5, 7], [8]]


def test_compounds_of_the_word_are_a_finding_by_themselves():
    """Hot dogs answer to "dog" by their name, wolves by their looks, and components see both."""
    dogs = [
        flag(0, 5, [1, 2, 3], score=3.0, compound=True),
        flag(0, 5, [11, 12, 13], score=2.0, labels=(2,)),
        flag(0, 6, [2, 3], compound=True),
        flag(0, 7, [11, 12], labels=(2,)),
    ]
    wolves, hot_dogs = gather(dogs, overlap=0.5)
    assert [f.component for f in wolves] == [5, 7]
    assert [f.component for f in hot_dogs] == [6, 5]  # a finding is known by its first component
    ((*alone,),) = gather(dogs[:2], overlap=0.5)
    assert [f.compound for f in alone] == [True, False]
    hot_dogs, wolves = gather([*dogs[:2], dogs[3]], overlap=0.5)
    assert [f.component for f in hot_dogs] == [5]
    assert [f.component for f in wolves] == [7, 5]


def test_nothing_gathers_to_nothing():
    assert gather([], overlap=0.5) == []


def test_a_plant_holds_on_validation_images_only(inputs):
    tables = reference(inputs)
    tests = prepare(inputs, "train", NONE, CONFIG)
    flags = find_flags(inputs, *tables, tests, CONFIG, seed=0).flags
    other = flag(0, 7, [1, 2])
    found = confirmations(inputs, [*flags, other], *tables, NONE, CONFIG)
    assert found[about(flags[0])] < 1e-4
    assert found[about(other)] > 0.05
    gone = confirmations(without_plant(inputs, "val"), flags, *tables, NONE, CONFIG)
    assert gone == {(0, PLANTED, EXCESS, False): 1.0}
    kept = confirmations(without_plant(inputs, "train"), flags, *tables, NONE, CONFIG)
    assert kept[about(flags[0])] == found[about(flags[0])]


def test_the_classes_own_validation_images_may_do_so_as_well(inputs, monkeypatch):
    tables = reference(inputs)
    monkeypatch.setattr(module, "on_others", lambda *counts: np.array([0.4]))
    asked = [flag(0, PLANTED, [1]), flag(0, PLANTED, [1], test=STAND_IN)]
    found = confirmations(inputs, asked[:1], *tables, NONE, CONFIG)
    assert found == {(0, PLANTED, EXCESS, False): 0.4}
    # A stand-in is there on own images.
    assert confirmations(inputs, asked[1:], *tables, NONE, CONFIG)[about(asked[1])] != 0.4


@pytest.mark.parametrize("test", [EXCESS, CARRIER])
def test_a_flag_holds_within_its_classes_or_by_one_as_a_whole(inputs, monkeypatch, test):
    within, whole = flag(0, PLANTED, [1], test=test), flag(0, PLANTED, [1], test=test, whole=(1,))
    monkeypatch.setattr(
        module, "whole_classes", lambda seen, found, *rest: np.full(found.hits.shape, 0.03)
    )
    monkeypatch.setattr(module, "stratified", lambda *counts: 0.04)
    monkeypatch.setattr(module, "on_others", lambda *counts: np.zeros(1))
    tables = reference(inputs)
    assert confirmations(inputs, [within], *tables, NONE, CONFIG) == {about(within): 0.04}
    # The better of two.
    assert confirmations(inputs, [whole], *tables, NONE, CONFIG) == {about(whole): 0.06}


def test_a_carrier_is_held_against_all_images_on_which_it_is_relevant(inputs, monkeypatch):
    """Also where on validation images others carry: what is tested is chosen by train images."""
    asked = []

    def spy(both, strata):
        asked.append((both, *map(list, zip(*strata, strict=True))))
        return 0.04

    monkeypatch.setattr(module, "stratified", spy)
    rows = np.flatnonzero(inputs.split("val").numpy() & (inputs.class_index.numpy() == 1))
    relevance = class_relevance(inputs, torch.from_numpy(rows), inputs.texts["short"][0])
    on = torch.zeros(len(rows), 24)
    on.scatter_(1, inputs.codes.component[rows], (relevance > 0).float())
    component = int(on.sum(dim=0)[:PLANTED].argmax())  # the plant carries it
    carrier = flag(0, component, [1], test=CARRIER)
    confirmations(inputs, [carrier], *reference(inputs), NONE, CONFIG)
    ((both, units, close, hits),) = asked
    mine = on[:, component].numpy() > 0
    near = np.isin(rows, close_images(inputs, "val", CONFIG).candidates[0])
    assert (units, close, hits) == ([len(rows)], [near.sum()], [mine.sum()])
    assert both == (mine & near).sum()
    assert 0 < mine.sum() < len(rows)


def test_no_candidate_or_no_own_image_confirms_nothing(inputs):
    tables = reference(inputs)
    images = inputs.images.copy()
    for rows in ((60, 89), (150, 179)):
        unlabelled = images.copy()
        unlabelled.loc[rows[0] : rows[1], "label"] = None
        none = replace(inputs, images=unlabelled)
        found = confirmations(none, [flag(0, PLANTED, [1])], *tables, NONE, CONFIG)
        assert found == {(0, PLANTED, EXCESS, False): 1.0}


def test_mistaken_images_are_those_that_a_finding_on_their_class_holds():
    none = np.zeros(0, dtype=int)
    taken = [np.array([4, 7, 9]), none, np.array([4, 11])]
    close = Close("train", [], [], [], taken, np.zeros((3, 3)))
    groups = [[flag(0, 3, [4, 5]), flag(0, 5, [4, 9])], [flag(0, 2, [9, 20])], [flag(1, 3, [11])]]
    assert taken_by(close, groups) == 2  # 4 and 9 once each; 11 is no mistake for class 1
    assert taken_by(close, []) == 0


def all_as_high(inputs, but=()):
    """What comes close, of which all images but some score as high as each class's own."""
    rows = np.setdiff1d(np.arange(len(inputs.images)), but)
    return Close("train", [], [], [rows] * len(inputs.classes), [], np.zeros((0, 0)))


def reported(inputs, groups, p, but=()):
    labels = pd.DataFrame({"component": range(24), "label": [None, "ship", *["wing"] * 22]})
    asked = []

    def suggest(*question):
        asked.append(question)
        return MODE

    fresh = {about(f): p for group in groups for f in group}
    close = all_as_high(inputs, but)
    found = report_findings(inputs, groups, fresh, labels, {3: 0.5}, suggest, close, CONFIG)
    return *found, asked


def test_a_finding_has_its_evidence(inputs):
    groups = [
        [flag(0, 3, [90, 92, 94], score=0.5, test=STAND_IN), flag(0, 5, [92, 180], score=0.25)],
        [flag(2, 0, [4, 100], score=0.1)],
    ]
    findings, evidence, asked = reported(inputs, groups, p=0.05)
    assert findings.columns.tolist() == FINDING_COLUMNS
    assert findings["finding_id"].tolist() == ["n01-3", "n03-0"] == list(evidence)
    first = findings.iloc[0]
    assert (first["images"], first["score"], first["held"]) == (4, 0.5, True)
    assert (first["mode"], first["confidence"], first["stability"]) == ("compound", 0.75, 0.5)
    assert first["component_label"] == "wing"
    assert findings["stability"].isna().tolist() == [False, True]
    assert first["example_ids"].split() == inputs.images["image_id"][[90, 92, 94]].tolist()
    about_first = evidence["n01-3"]
    assert about_first["components"] == [3, 5]
    assert about_first["images"] == inputs.images["image_id"][[90, 92, 94, 180]].tolist()
    assert (about_first["groups"], about_first["shows"]) == (4, "hot dog")
    numbers = [about_first[key] for key in ("test", "p_value", "tail")]
    assert numbers == [STAND_IN, 0.01, 0.25]
    assert (about_first["own_hits"], about_first["others"]) == (2, 40)
    assert (about_first["far_hits"], about_first["far"]) == (3, 50)
    for said in ("on 12 of 40 images of other classes", "on 3 of 50 of their", "on 2 of 30 own"):
        assert said in about_first["reason"]
    assert [f["test"] for f in about_first["flags"]] == [STAND_IN, EXCESS]
    assert about_first["confirmation_p"] == 0.05
    assert about_first["mode_alternatives"][0]["mode"] == "polysemy"
    json.dumps(evidence, allow_nan=False)
    assert [question[:2] for question in asked] == [("n01", 3), ("n03", 0)]
    assert (asked[0][2], isinstance(asked[1][2], str)) == ("wing", False)
    assert asked[0][3].tolist() == [90, 92, 94, 180]


def test_a_finding_has_the_figures_of_its_first_flag(inputs):
    first = flag(0, 3, [90, 92, 94], p=(0.02, 0.03))
    group = [first, flag(0, 5, [92], p=(1e-9, 1e-8))]
    labels = pd.DataFrame({"component": range(24), "label": "wing"})
    for said, held in (((0.04, 0.9), True), ((0.06, 1e-9), False)):
        p = {about(f): value for f, value in zip(group, said, strict=True)}
        findings, evidence = report_findings(
            inputs, [group], p, labels, {}, lambda *question: MODE, all_as_high(inputs), CONFIG
        )
        assert findings["q_value"].tolist() == [0.03]
        assert findings["held"].tolist() == [held]
        told = evidence["n01-3"]
        assert (told["p_value"], told["confirmation_p"]) == (0.02, said[0])
        assert [f["q_value"] for f in told["flags"]] == [0.03, 1e-8]
        assert [f["confirmation_p"] for f in told["flags"]] == list(said)


def test_a_reason_does_not_speak_of_images_that_there_are_not(inputs):
    whole = flag(0, 3, [90, 92])._replace(counts=Counts(2, 30, 12, 12, 0, 0))
    _, evidence, _ = reported(inputs, [[whole]], p=0.05)
    reason = evidence["n01-3"]["reason"]
    assert reason.endswith("on 2 of 30 own images, and no image of the other classes stays away")
    assert "of 0" not in reason


def test_what_images_of_no_one_class_show_is_the_component(inputs):
    groups = [[flag(2, 5, [4, 100])], [flag(2, 1, [5, 101])], [flag(2, 0, [6, 102])]]
    _, evidence, _ = reported(inputs, groups, p=0.06)
    # The component's name; nothing where it is the class's own, or there is none.
    assert [found["shows"] for found in evidence.values()] == ["wing", None, None]


def test_a_finding_above_the_level_does_not_hold(inputs):
    findings, _, _ = reported(inputs, [[flag(0, 3, [90, 92])]], p=0.06)
    assert findings["held"].tolist() == [False]


@pytest.mark.parametrize(("but", "held"), [([90, 92], True), ([90, 92, 94], False)])
def test_a_finding_holds_where_half_of_its_images_score_as_high(inputs, but, held):
    groups = [[flag(0, 3, [90, 92, 94]), flag(0, 5, [92, 180])]]
    findings, evidence, _ = reported(inputs, groups, 0.01, but)
    assert findings["held"].tolist() == [held]
    told = evidence["n01-3"]
    assert (told["as_high"], told["repeats"]) == (4 - len(but), True)


def test_examples_are_the_strongest(inputs):
    activation = np.where(inputs.codes.component == 1, inputs.codes.activation, 0).max(axis=1)
    rows = list(range(40))
    findings, _, _ = reported(inputs, [[flag(1, 1, rows)]], p=0.01)
    strongest = sorted(rows, key=lambda row: -activation[row])[:12]
    wanted = inputs.images["image_id"][strongest].tolist()
    assert findings["example_ids"][0].split() == wanted


def test_no_finding_is_an_empty_table(inputs):
    findings, evidence, _ = reported(inputs, [], p=1.0)
    assert findings.columns.tolist() == FINDING_COLUMNS
    assert (len(findings), evidence) == (0, {})
