"""Spurious and valid AUC of findings and of ready-made sets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from audits.robustness import linear
from audits.robustness.distractors import READY_MADE, Distractors
from audits.robustness.forms import (
    CLASSIFIER,
    COLUMNS,
    SETS,
    accuracy,
    component_activation,
    fit_linear,
    form_scores,
    found_on,
    measured_rows,
    metrics,
    own_sets,
    robustness,
)
from pipeline import layout
from pipeline.artifacts.store import read_json, read_table
from pipeline.attribution.head import cosine_outputs
from pipeline.attribution.relevance import Codes
from tests.audits.robustness.invented import CONFIG, evidence, findings, run
from tests.conftest import PLANTED

FORMS = ["short", "both", "linear"]


def pairwise_auc(own: np.ndarray, others: np.ndarray) -> float:
    """Share of pairs in which the own image scores higher; a tie counts half."""
    difference = own[:, None] - others[None, :]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def measure(inputs, sets, min_images: int = 5):
    rows, classes = measured_rows(inputs, sets)
    scores = form_scores(inputs, torch.from_numpy(rows), fit_linear(inputs, CONFIG, seed=0))
    return robustness(sets, scores, rows, classes, min_images)


@pytest.fixture(scope="module")
def found(inputs):
    return measure(inputs, own_sets(inputs, findings(), evidence(inputs)))


def test_component_activation_reads_any_slot(inputs):
    codes = Codes(
        torch.tensor([[3, 7], [7, 0], [0, 0]]), torch.tensor([[1.0, 2], [4, 0.5], [0, 0]])
    )
    made = replace(inputs, codes=codes)
    assert component_activation(made, 7).tolist() == [2, 4, 0]
    assert component_activation(made, 0).tolist() == [0, 0.5, 0]


def test_every_form_scores_the_validation_images(inputs):
    rows, classes = measured_rows(inputs, [])
    assert rows.tolist() == [*range(60, 90), *range(150, 180), *range(240, 270)]
    assert classes.tolist() == [0] * 30 + [1] * 30 + [2] * 30
    scores = dict(form_scores(inputs, torch.from_numpy(rows), fit_linear(inputs, CONFIG, seed=0)))
    assert list(scores) == FORMS
    assert all(values.shape == (90, 3) for values in scores.values())
    y = cosine_outputs(inputs.x[60:90], inputs.texts["short"], inputs.head)
    assert np.allclose(scores["short"][:30], y.numpy(), atol=1e-6)
    assert (scores["linear"][:30].argmax(axis=1) == 0).mean() > 0.9


def test_the_linear_classifier_learns_from_train_images_within_its_cap(inputs):
    assert fit_linear(inputs, CONFIG, seed=0).images == 120
    unlabelled = inputs.images.copy()
    unlabelled.loc[unlabelled.index[:30], "label"] = None  # train images of n01
    assert fit_linear(replace(inputs, images=unlabelled), CONFIG, seed=0).images == 110


def test_distractors_are_the_validation_images_that_fire(inputs, found):
    table, left_out = found
    assert left_out.empty
    assert table.columns.tolist() == COLUMNS
    assert table["form"].tolist() == FORMS
    # Every other of the 30 validation images of n02 fires at the strength of the train images.
    assert table["distractors"].tolist() == [15, 15, 15]
    y = cosine_outputs(inputs.x, inputs.texts["short"], inputs.head)[:, 0].numpy()
    carriers, own = np.arange(150, 180, 2), np.arange(60, 90)
    rest = np.concatenate([np.arange(151, 180, 2), np.arange(240, 270)])
    row = table.iloc[0]
    assert row["spurious_auc"] == pytest.approx(pairwise_auc(y[own], y[carriers]))
    assert row["valid_auc"] == pytest.approx(pairwise_auc(y[own], y[rest]))
    assert row["spurious_auc"] < row["valid_auc"]
    assert row["spurious_ap"] < row["valid_ap"] <= 1
    y = cosine_outputs(inputs.x, inputs.texts["short"], inputs.head).numpy()
    taken = y.argmax(axis=1) == 0
    assert row["distractors_taken"] == pytest.approx(taken[carriers].mean()) == 1
    assert row["others_taken"] == pytest.approx(taken[rest].mean())
    assert row["others_taken"] < 0.1


def test_an_image_that_two_classes_share_is_taken_for_each_by_half(inputs):
    texts = {"short": inputs.texts["short"][[0, 1, 0]]}  # two classes of one name
    table, _ = measure(replace(inputs, texts=texts), own_sets(inputs, findings(), evidence(inputs)))
    assert table["distractors_taken"][0] == 0.5


def test_the_order_of_images_does_not_matter(permuted, found):
    table, _ = measure(permuted, own_sets(permuted, findings(), evidence(permuted)))
    pd.testing.assert_frame_equal(table, found[0], rtol=1e-4)


@pytest.mark.parametrize(("verdict", "sets"), [(None, 1), ("accept", 1), ("reject", 0)])
def test_a_rejected_finding_takes_no_part(inputs, verdict, sets):
    assert len(own_sets(inputs, findings(verdict), evidence(inputs))) == sets


def test_evidence_of_images_that_are_not_there_is_named(inputs):
    there = inputs.images["image_id"].iloc[4]
    with pytest.raises(ValueError, match=r"finding f is on gone\.png, which has no embedding"):
        found_on({"f": {"images": [there, "gone.png"]}}, inputs.images["image_id"])


def test_few_distractors_leave_a_finding_out_with_the_reason(inputs):
    table, left_out = measure(inputs, own_sets(inputs, findings(), evidence(inputs)), 16)
    assert table.empty
    assert left_out.values.tolist() == [[f"n01-{PLANTED}", "15 distractors of 16"]]


@pytest.mark.parametrize(
    ("position", "rows", "reason"),
    [
        (-1, range(150, 180), "no validation image of its class"),
        (0, [*range(150, 180), *range(240, 270)], "every other image is a distractor"),
    ],
)
def test_what_cannot_be_ranked_is_left_out_with_the_reason(inputs, position, rows, reason):
    table, left_out = measure(inputs, [Distractors("f", "compound", position, np.array(rows))])
    assert table.empty
    assert left_out.values.tolist() == [["f", reason]]


def test_a_class_without_train_images_has_no_linear_score(inputs):
    images = inputs.images.copy()
    images.loc[(images["label"] == "n02") & (images["split"] == "train"), "label"] = None
    sets = [Distractors("f", "compound", 1, np.arange(240, 250))]
    table, _ = measure(replace(inputs, images=images), sets)
    assert table["form"].tolist() == ["short", "both"]


def test_the_dataset_s_own_distractors_are_beside_the_validation_images(inputs):
    """Two sets of unlabelled test images; the valid AUC is against validation images only."""
    images = inputs.images.copy()
    rows = np.arange(180, 191)  # train images of n03, taken out of their class
    images.loc[rows, ["split", "label"]] = ["test", None]
    sets = [Distractors("w", READY_MADE, 0, rows[:6]), Distractors("v", READY_MADE, 1, rows[6:])]
    table, _ = measure(replace(inputs, images=images), sets)
    assert table["mode"].unique().tolist() == [READY_MADE]
    assert table["distractors"].tolist() == [6, 6, 6, 5, 5, 5]
    y = cosine_outputs(inputs.x, inputs.texts["short"], inputs.head).numpy()
    own, others = {0: range(60, 90), 1: range(150, 180)}, {0: range(150, 180), 1: range(60, 90)}
    for index, found in enumerate(sets):
        position, row = found.position, table.iloc[3 * index]
        column = y[:, position]
        val = [*others[position], *range(240, 270)]
        assert row["spurious_auc"] == pytest.approx(
            pairwise_auc(column[list(own[position])], column[found.rows])
        )
        assert row["valid_auc"] == pytest.approx(
            pairwise_auc(column[list(own[position])], column[val])
        )


def test_accuracy_by_hand():
    scores = np.array([[0.9, 0.1, 0.3], [0.2, 0.4, 0.3], [0.5, 0.1, 0.4], [0.0, 0.2, 0.1]])
    assert accuracy(scores, np.array([0, 1, 2, 1])) == 0.75


def test_classes_of_one_name_share_their_images():
    # Classes 0 and 2 have one prompt; its scores differ in the last bit.
    scores = np.array([[0.9, 0.1, 0.9 + 6e-8], [0.9, 0.1, 0.9], [0.2, 0.7, 0.2]], np.float32)
    assert accuracy(scores, np.array([0, 2, 1])) == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert accuracy(scores, np.array([2, 1, 0])) == pytest.approx(0.5 / 3)


def test_ready_made_sets_are_a_mode_of_their_own(found):
    theirs = found[0].assign(finding_id="wings", mode=READY_MADE, spurious_auc=0.25)
    measured = metrics(pd.concat([found[0], theirs]))
    assert set(measured["by_mode"]) == {"polysemy", READY_MADE}
    assert measured["short"]["spurious_auc"] == found[0]["spurious_auc"][0]
    assert measured["by_mode"][READY_MADE]["short"]["spurious_auc"] == 0.25
    assert set(measured["differences"]) == {"both", "linear"}
    assert measured["differences"]["both"]["all"]["findings"] == 1
    assert measured["differences"]["both"][READY_MADE]["mean"] == 0
    assert measured["findings"] == 1


def test_no_finding_at_all(inputs):
    none = findings().iloc[:0]
    table, left_out = measure(inputs, own_sets(inputs, none, {}))
    assert table.empty
    assert table.columns.tolist() == COLUMNS
    assert left_out.empty
    assert metrics(table) == {"by_mode": {}, "differences": {}, "findings": 0}


def test_the_stage_reads_the_review_and_writes_the_same_bytes_twice(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = layout.audit("scenes-tiny", "robustness")
    files = ("findings.csv", "left_out.csv", "metrics.json", SETS, CLASSIFIER)
    runs = []
    for _ in range(2):
        run(monkeypatch, "scenes-tiny", inputs)
        runs.append([(folder / name).read_bytes() for name in files])
    assert runs[0] == runs[1]
    assert read_table(folder / "findings.csv")["finding_id"].unique().tolist() == ["n01-23"]
    written = read_json(folder / "metrics.json")
    assert written["robustness"]["findings"] == 1
    assert written["robustness"]["left_out"] == 0
    assert written["robustness"]["classifier"]["images"] == 120
    assert written["robustness"]["classifier"]["converged"] is True
    assert set(written["accuracy"]) == set(FORMS)
    rows, classes = measured_rows(inputs, [])
    best = cosine_outputs(inputs.x[rows], inputs.texts["short"], inputs.head).argmax(dim=1).numpy()
    assert written["accuracy"]["short"] == pytest.approx((best == classes).mean())
    (row,) = read_table(folder / SETS).to_dict("records")
    assert (row["finding_id"], row["mode"], row["class"]) == ("n01-23", "polysemy", "n01")
    assert list(row["image_ids"]) == inputs.images["image_id"][150:180:2].tolist()
    fitted = fit_linear(inputs, CONFIG, seed=0)
    assert np.array_equal(linear.read(folder / CLASSIFIER).weight, fitted.weight)


def test_without_a_linear_classifier_the_prompts_are_measured(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = layout.audit("scenes-tiny", "robustness")
    run(monkeypatch, "scenes-tiny", inputs)
    assert (folder / CLASSIFIER).exists()
    labels = inputs.images["label"].where(inputs.images["split"] == "val", "n01")
    one = replace(inputs, images=inputs.images.assign(label=labels))
    run(monkeypatch, "scenes-tiny", one, found_on=inputs)
    assert not (folder / CLASSIFIER).exists()
    written = read_json(folder / "metrics.json")
    assert "linear" not in written["accuracy"] and "short" in written["accuracy"]
    assert "classifier" not in written["robustness"]
    assert written["does_not_apply"] == {
        "robustness.linear": "there are train images of 1 class, and a linear classifier needs two"
    }


def test_without_labelled_validation_images_there_is_no_accuracy(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = replace(inputs, images=inputs.images.assign(split="train"))
    run(monkeypatch, "scenes-tiny", train)
    written = read_json(layout.audit("scenes-tiny", "robustness") / "metrics.json")
    assert "accuracy" not in written
    assert written["robustness"]["findings"] == 0
    assert written["does_not_apply"] == {"accuracy": "there is no validation image with a label"}
