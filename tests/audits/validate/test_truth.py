"""Findings against the planted truth."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from audits.validate import __main__ as stage
from audits.validate.truth import (
    TRUTH_COLUMNS,
    check_findings,
    encoding,
    metrics,
    modes_right,
    plant_of,
    plants,
    precision_recall,
    read_truth,
    spurious_auc,
)
from pipeline import layout
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.store import read_json, write_json, write_table
from pipeline.attribution.head import cosine_outputs
from pipeline.config import AuditConfig, DatasetConfig, Params
from tests.conftest import PLANTED

TRUTH = pd.DataFrame(
    [
        ("a", "polysemy-bat", "n01", "polysemy"),
        ("b", "polysemy-bat", "n01", "polysemy"),
        ("c", "polysemy-bat", "n01", "polysemy"),
        ("c", "typography-bat", "n01", "typography"),
        ("a", "spurious-ship", "n03", "spurious"),
        ("b", "spurious-ship", "n03", "spurious"),
        ("b", "spurious-ship", "n03", "spurious"),
    ],
    columns=TRUTH_COLUMNS,
)


@pytest.mark.parametrize(
    ("images", "attacked", "plant"),
    [
        (["a", "b", "x"], "n01", "polysemy-bat"),
        (["a", "b", "x", "y"], "n01", None),  # exactly half is not most
        (["a", "b", "x"], "n02", None),  # planted, but on other classes
        (["a", "b", "x"], "n03", "spurious-ship"),
        (["c"], "n01", "polysemy-bat"),
        (["b", "x", "y"], "n03", None),  # a row told twice counts once
        (["x"], "n01", None),
    ],
)
def test_a_plant_is_what_most_images_carry(images, attacked, plant):
    assert plant_of(images, attacked, TRUTH) == plant


def test_findings_are_held_against_their_own_class():
    findings = pd.DataFrame({"finding_id": ["n01-5", "n03-5", "n01-6"]})
    findings["class"] = ["n01", "n03", "n01"]
    images = {"n01-5": ["a", "c"], "n03-5": ["a", "b"], "n01-6": ["x", "y", "a"]}
    assert check_findings(findings, images, TRUTH) == {
        "n01-5": "polysemy-bat",
        "n03-5": "spurious-ship",
        "n01-6": None,
    }


def test_precision_and_recall_by_hand():
    right = {"f1": "p", "f2": "p", "f3": None, "f4": "q"}
    # q was found, but the model does not fall for it: right, and outside the recall.
    assert precision_recall(right, {"p", "r", "s"}) == {
        "precision": pytest.approx(3 / 4),
        "recall": pytest.approx(1 / 3),
    }


def test_shares_of_nothing_are_left_out():
    assert precision_recall({}, set()) == {}
    assert precision_recall({}, {"p"}) == {"recall": 0}
    assert precision_recall({"f": None}, set()) == {"precision": 0}


def test_spurious_auc_by_hand():
    y = np.array([0.9, 0.4, 0.5, 0.4, 0.99])
    own = np.array([1, 1, 0, 0, 0], dtype=bool)
    carrying = np.array([0, 1, 1, 1, 0], dtype=bool)  # an own image is no distractor
    # 0.9 beats 0.5 and 0.4; 0.4 loses to 0.5 and ties with 0.4.
    assert spurious_auc(y, own, carrying) == pytest.approx(2.5 / 4)
    with pytest.raises(ValueError, match="0 distractors"):
        spurious_auc(y, own, own)


def test_the_component_that_encodes_a_plant_is_picked(inputs):
    carrying = (inputs.codes.component == PLANTED).any(dim=1).numpy()
    components = pd.DataFrame({"component": [2, PLANTED, 8], "rank": [1, 4, 2]})
    assert encoding(inputs, components, carrying) == (PLANTED, 1.0, 4)
    # The class's own component fires on all images of n02, half of which carry: it comes second.
    component, auc, rank = encoding(inputs, components.iloc[[0, 2]], carrying)
    assert (component, rank) == (2, 1)
    assert 0.5 < auc < 1
    # Neither of these ever fires.
    silent = pd.DataFrame({"component": [4, 0], "rank": [3, 1]})
    assert encoding(inputs, silent, carrying) == (0, 0.5, 1)


def test_encoding_looks_at_held_out_images_only(inputs):
    carrying = (inputs.codes.component == PLANTED).any(dim=1).numpy()
    train = inputs.split("train").numpy()
    components = pd.DataFrame({"component": [PLANTED], "rank": [1]})
    assert encoding(inputs, components, carrying ^ train)[1] == 1.0
    with pytest.raises(ValueError, match="0 of 90 held-out images"):
        encoding(inputs, components, carrying & train)


def truth_of(inputs, mode: str) -> pd.DataFrame:
    ids = inputs.images["image_id"].iloc[range(90, 180, 2)]
    return pd.DataFrame({"image_id": ids, "plant": "p", "class": "n01", "mode": mode})


def test_a_plant_the_model_falls_for_and_the_audit_found(inputs):
    shortcuts = pd.DataFrame(columns=["component", "rank", "called"])
    right = {"n01-23": "p", "n02-4": None}
    table = plants(inputs, truth_of(inputs, "polysemy"), right, shortcuts, Gaps())
    row = table.iloc[0]
    assert row[["plant", "images", "found"]].tolist() == ["p", 45, True]
    assert row["finding_ids"] == "n01-23"
    y = cosine_outputs(inputs.x, inputs.texts["short"], inputs.head)[:, 0].numpy()
    above = y[60:90][:, None] > y[np.arange(150, 180, 2)][None]
    assert row["spurious_auc"] == pytest.approx(above.mean())
    assert row["fallen"]
    assert metrics(table, right, {"n01-23": "compound", "n02-4": "polysemy"}) == {
        "failures": {
            "planted": {
                "precision": 0.5,
                "recall": 1.0,
                "modes_right": 0.0,
                "plants": 1,
                "fallen": 1,
                "recall_by_mode": {"polysemy": 1.0},
                "fallen_by_mode": {"polysemy": 1},
            }
        }
    }


def test_the_share_of_right_modes_is_over_right_findings():
    table = pd.DataFrame({"plant": ["p", "q"], "mode": ["polysemy", "compound"]})
    right = {"a": "p", "b": "q", "c": "q", "d": None}
    modes = {"a": "polysemy", "b": "unclear", "c": "compound", "d": "polysemy"}
    assert modes_right(table, right, modes) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="no finding is right"):
        modes_right(table, {"d": None}, modes)


def test_without_a_right_finding_there_is_no_share_of_right_modes(inputs):
    shortcuts = pd.DataFrame(columns=["component", "rank", "called"])
    right = {"n01-23": None}
    table = plants(inputs, truth_of(inputs, "polysemy"), right, shortcuts, Gaps())
    planted = metrics(table, right, {"n01-23": "polysemy"})["failures"]["planted"]
    assert planted["precision"] == planted["recall"] == 0
    assert "modes_right" not in planted


def test_the_stage_takes_modes_from_the_review(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    truth_of(inputs, "polysemy").to_csv("truth.csv", index=False)
    params = Params.model_construct(
        audits={"a": AuditConfig.model_construct(dataset="zoo")},
        datasets={"zoo": DatasetConfig.model_construct(root=tmp_path)},
    )
    monkeypatch.setattr(stage, "begin", lambda _: ("a", params))
    monkeypatch.setattr(stage, "load_inputs", lambda *_: inputs)
    carrying = truth_of(inputs, "polysemy")["image_id"].tolist()
    findings = pd.DataFrame({"finding_id": ["n01-23", "n01-7", "n01-8", "n01-4"], "class": "n01"})
    findings["mode"] = ["polysemy", "compound", "polysemy", "polysemy"]
    images = [carrying[:9], carrying[9:12], carrying[12:], ["train/n03/0130"]]
    review = layout.audit("a", "review")
    write_table(review / "findings.csv", findings)
    evidence = zip(findings["finding_id"], images, strict=True)
    write_json(review / "evidence.json", {name: {"images": shown} for name, shown in evidence})
    shortcuts = pd.DataFrame(columns=["component", "rank", "called"])
    write_table(layout.audit("a", "shortcut") / "components.csv", shortcuts)
    stage.main()
    planted = read_json(layout.audit("a", "validate") / "metrics.json")["failures"]["planted"]
    assert planted["precision"] == pytest.approx(3 / 4)
    assert planted["modes_right"] == pytest.approx(2 / 3)


def test_a_shortcut_has_its_component_and_rank(inputs):
    shortcuts = pd.DataFrame({"component": [7, PLANTED], "rank": [1, 2], "called": None})
    best = {"component": PLANTED, "encoding_auc": 1.0, "rank": 2}

    def found(called: list[str | None]) -> dict[str, object]:
        reported = shortcuts.assign(called=called)
        table = plants(inputs, truth_of(inputs, "shortcut"), {}, reported, Gaps())
        return metrics(table, {}, {})["shortcut"]["planted"]["p"]

    assert found([None, None]) == best
    assert found(["red_1", "red_2"]) == best | {f"called_{key}": best[key] for key in best}
    other = found(["red_1", None])
    assert {key: other[key] for key in best} == best
    assert (other["called_component"], other["called_rank"]) == (7, 1)
    assert other["called_encoding_auc"] < 1
    without = plants(inputs, truth_of(inputs, "shortcut"), {}, shortcuts.iloc[:0], Gaps())
    assert metrics(without, {}, {}) == {}


def test_truth_is_empty_where_there_is_none_and_whole_where_there_is(tmp_path):
    assert read_truth(tmp_path).columns.tolist() == TRUTH_COLUMNS
    TRUTH.to_csv(tmp_path / "truth.csv", index=False)
    pd.testing.assert_frame_equal(read_truth(tmp_path), TRUTH)
    TRUTH.drop(columns="mode").to_csv(tmp_path / "truth.csv", index=False)
    with pytest.raises(ValueError, match=r"lacks the columns \['mode'\]"):
        read_truth(tmp_path)


def test_plants_that_the_images_do_not_show_stay_without_figures(inputs):
    truth = truth_of(inputs, "polysemy")
    train = inputs.images.assign(split="train")
    nobody = replace(inputs, images=train)
    other = truth.assign(plant="q", mode="shortcut")
    gone = truth.assign(plant="r", **{"class": "n09"})
    shortcuts, gaps = pd.DataFrame({"component": [PLANTED], "rank": [1], "called": None}), Gaps()
    table = plants(nobody, pd.concat([truth, other, gone]), {"f": "p"}, shortcuts, gaps)
    assert table["plant"].tolist() == ["p", "q", "r"]
    assert table[["spurious_auc", "fallen", "component"]].isna().all(axis=None)
    assert table["found"].tolist()[0]
    assert list(gaps.reasons) == ["planted.p", "planted.q", "planted.r"]
    found = metrics(table, {"f": "p"}, {"f": "polysemy"})
    assert found["failures"]["planted"]["fallen"] == 0
    assert "shortcut" not in found
