"""Findings: flags that share images, confirmed on others, with their evidence."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from audits.failures.expectation import close_images, expectations, surprise, view
from audits.failures.findings import FINDING_COLUMNS, about, confirmations, gather, report_findings
from audits.failures.flags import EXCESS, STAND_IN, Counts, Flag, chance, find_flags, hits
from audits.failures.modes import Mode, Reading
from audits.reference.expected import own_images, reference
from pipeline.attribution.relevance import Codes
from tests.audits.failures.test_expectation import CONFIG
from tests.conftest import PLANTED

MODE = Mode("compound", 0.75, "they say", (Reading("polysemy", 0.25, "others say"),))


def flag(
    position: int, component: int, rows: list[int], score: float = 1.0, test: str = EXCESS
) -> Flag:
    numbers = Counts(2, 30, 12, 40)
    return Flag(position, component, test, np.array(rows), score, 4.0, 0.25, numbers, 0.01, 0.02)


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


def test_nothing_gathers_to_nothing():
    assert gather([], overlap=0.5) == []


def test_a_plant_is_confirmed_on_validation_images_only(inputs):
    tables = reference(inputs)
    flags, _ = find_flags(inputs, *tables, CONFIG, seed=0)
    other = flag(0, 7, [1, 2])
    found = confirmations(inputs, [*flags, other], *tables, CONFIG)
    assert found[about(flags[0])] < 0.005
    assert found[about(other)] > 0.05
    gone = confirmations(without_plant(inputs, "val"), flags, *tables, CONFIG)
    assert gone == {(0, PLANTED, EXCESS): 1.0}
    kept = confirmations(without_plant(inputs, "train"), flags, *tables, CONFIG)
    assert kept[about(flags[0])] == found[about(flags[0])]


def test_confirmation_by_hand(inputs):
    table, classes = reference(inputs)
    expected = next(expectations(inputs, table, classes))
    own, rows = close_images(inputs, classes, "val", CONFIG.candidate_deviations)[0]
    assert 10 < len(own) < 30
    seen = view(inputs, expected, own, rows, dict(own_images(inputs, "train"))[0], CONFIG)
    slots = hits(seen, surprise(seen, expected, new=True), expected.mean, CONFIG)[EXCESS]
    others = int((seen.component[slots] == PLANTED).sum())
    assert 4 < others < len(rows)
    p = chance(np.array([0]), np.array([others]), len(own), len(rows), at_least=np.array([others]))
    found = confirmations(inputs, [flag(0, PLANTED, [1])], table, classes, CONFIG)
    assert found == {(0, PLANTED, EXCESS): pytest.approx(float(p[0]))}


def test_no_candidate_or_no_own_image_confirms_nothing(inputs):
    table, classes = reference(inputs)
    far = classes.assign(y_mean=5.0)
    assert confirmations(inputs, [flag(0, PLANTED, [1])], table, far, CONFIG) == {
        (0, PLANTED, EXCESS): 1.0
    }
    images = inputs.images.copy()
    images.loc[60:89, "label"] = None
    none = replace(inputs, images=images)
    found = confirmations(none, [flag(0, PLANTED, [1])], table, classes, CONFIG)
    assert found == {(0, PLANTED, EXCESS): 1.0}


def reported(inputs, groups, p):
    labels = pd.DataFrame({"component": range(24), "label": [None, "ship", *["wing"] * 22]})
    asked = []

    def suggest(*question):
        asked.append(question)
        return MODE

    confirmed = {about(f): p for group in groups for f in group}
    found = report_findings(inputs, groups, confirmed, labels, {3: 0.5}, suggest, CONFIG)
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
    assert (first["images"], first["score"], first["confirmed"]) == (4, 0.5, True)
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
    assert "on 12 of 40 candidates" in about_first["reason"]
    assert [f["test"] for f in about_first["flags"]] == [STAND_IN, EXCESS]
    assert about_first["confirmation_p"] == 0.05
    assert about_first["mode_alternatives"][0]["mode"] == "polysemy"
    json.dumps(evidence, allow_nan=False)
    assert [question[:2] for question in asked] == [("n01", 3), ("n03", 0)]
    assert (asked[0][2], isinstance(asked[1][2], str)) == ("wing", False)
    assert asked[0][3].tolist() == [90, 92, 94, 180]


def test_what_images_of_no_one_class_show_is_the_component(inputs):
    groups = [[flag(2, 5, [4, 100])], [flag(2, 1, [5, 101])], [flag(2, 0, [6, 102])]]
    _, evidence, _ = reported(inputs, groups, p=0.06)
    # The component's name; nothing where it is the class's own, or there is none.
    assert [found["shows"] for found in evidence.values()] == ["wing", None, None]


def test_a_finding_above_the_level_is_not_confirmed(inputs):
    findings, _, _ = reported(inputs, [[flag(0, 3, [90, 92])]], p=0.06)
    assert findings["confirmed"].tolist() == [False]


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
