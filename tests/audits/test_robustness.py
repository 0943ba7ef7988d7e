"""Spurious and valid AUC, the linear classifier, and what counts as a distractor."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from audits.robustness import (
    COLUMNS,
    READY_MADE,
    accuracy,
    aucs,
    component_activation,
    form_scores,
    labelled,
    linear_scores,
    read_distractors,
    ready_made,
    robustness,
    strong_activation,
    summary,
)
from pipeline.attribution import Codes, cosine_outputs, unit
from pipeline.config import RobustnessConfig
from pipeline.store import write_table
from tests.conftest import PLANTED

CONFIG = RobustnessConfig(min_images=5, folds=3)


def pairwise_auc(own: np.ndarray, others: np.ndarray) -> float:
    """Share of pairs in which the own image scores higher; a tie counts half."""
    difference = own[:, None] - others[None, :]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def finding(component: int = PLANTED, label: str = "n01") -> pd.DataFrame:
    row = {"finding_id": f"{label}-{component}", "class": label, "component": component}
    return pd.DataFrame([row | {"mode": "polysemy"}])


def val_scores(inputs) -> dict[str, np.ndarray]:
    rows = torch.nonzero(labelled(inputs, "val")).flatten()
    return form_scores(inputs, rows, CONFIG, seed=0)


@pytest.fixture(scope="module")
def found(inputs):
    carriers = inputs.images["image_id"].iloc[range(90, 150, 2)].tolist()
    scores = val_scores(inputs)
    return robustness(inputs, scores, finding(), {f"n01-{PLANTED}": carriers}, CONFIG)


def test_aucs_by_hand():
    scores = np.array([0.9, 0.5, 0.7, 0.4, 0.5, 0.1, 0.2])
    own = np.array([1, 1, 0, 0, 0, 0, 0], dtype=bool)
    distractors = np.array([0, 0, 1, 1, 1, 0, 0], dtype=bool)
    # 0.9 beats all three; 0.5 loses to 0.7, beats 0.4 and ties with 0.5.
    assert aucs(scores, own, distractors) == (pytest.approx(4.5 / 6), 1.0)
    assert aucs(-scores, own, distractors)[1] == 0.0


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_aucs_of_nothing_are_refused(empty):
    sets = np.array([0, 0, 1, 1, 2, 2])
    sets = np.where(sets == empty, (empty + 1) % 3, sets)
    with pytest.raises(ValueError, match=r"\b0 (own|distr|others)"):
        aucs(np.arange(6.0), sets == 0, sets == 1)


def test_strong_is_the_lower_quartile_of_the_active():
    assert strong_activation(np.array([0, 4.0, 0, 2.0, 1.0, 3.0, 5.0, 0])) == 2.0


def test_component_activation_reads_any_slot(inputs):
    codes = Codes(
        torch.tensor([[3, 7], [7, 0], [0, 0]]), torch.tensor([[1.0, 2], [4, 0.5], [0, 0]])
    )
    made = replace(inputs, codes=codes)
    assert component_activation(made, 7).tolist() == [2, 4, 0]
    assert component_activation(made, 0).tolist() == [0, 0.5, 0]


def blobs(seed: int = 0) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(["c", "a", "b"], 20).astype(object)
    centres = {"a": [1, 0, 0, 0], "b": [0, 1, 0, 0], "c": [0, 0, 1, 0]}
    z = np.array([centres[label] for label in labels]) + 0.3 * rng.normal(size=(60, 4))
    return unit(torch.from_numpy(z).float()), labels


def test_the_linear_classifier_is_repeatable_and_names_its_columns():
    z, labels = blobs()
    scores, columns = linear_scores(z, labels, z[:50], folds=3, seed=1)
    again, _ = linear_scores(z, labels, z[:50], folds=3, seed=1)
    assert np.array_equal(scores, again)
    assert scores.shape == (50, 3)
    assert columns == ["a", "b", "c"]
    assert (np.array(columns)[scores.argmax(axis=1)] == labels[:50]).mean() > 0.9


def test_two_classes_have_two_columns_of_opposite_sign():
    z, labels = blobs()
    scores, columns = linear_scores(z[:40], labels[:40], z[:7], folds=3, seed=0)
    assert columns == ["a", "c"]
    assert np.array_equal(scores[:, 0], -scores[:, 1])
    assert (scores[:, 1] > 0).mean() > 0.8


def test_every_form_scores_the_validation_images(inputs):
    scores = val_scores(inputs)
    assert list(scores) == ["short", "both", "linear"]
    assert all(values.shape == (90, 3) for values in scores.values())
    y = cosine_outputs(inputs.x[60:90], inputs.texts["short"], inputs.head)
    assert np.allclose(scores["short"][:30], y.numpy(), atol=1e-6)
    assert (scores["linear"][:30].argmax(axis=1) == 0).mean() > 0.9


def test_a_class_without_train_images_has_no_linear_score(inputs):
    images = inputs.images.copy()
    images.loc[(images["label"] == "n02") & (images["split"] == "train"), "label"] = None
    scores = val_scores(replace(inputs, images=images))["linear"]
    assert np.isneginf(scores[:, 1]).all()
    assert np.isfinite(scores[:, [0, 2]]).all()


def test_distractors_are_the_validation_images_that_fire(inputs, found):
    assert found.columns.tolist() == COLUMNS
    assert found["form"].tolist() == ["short", "both", "linear"]
    # Every other of the 30 validation images of n02 fires at the strength of the train images.
    assert found["distractors"].tolist() == [15, 15, 15]
    y = cosine_outputs(inputs.x, inputs.texts["short"], inputs.head)[:, 0].numpy()
    carriers, own = np.arange(150, 180, 2), np.arange(60, 90)
    rest = np.concatenate([np.arange(151, 180, 2), np.arange(240, 270)])
    row = found.iloc[0]
    assert row["spurious_auc"] == pytest.approx(pairwise_auc(y[own], y[carriers]))
    assert row["valid_auc"] == pytest.approx(pairwise_auc(y[own], y[rest]))
    assert row["spurious_auc"] < row["valid_auc"]


def test_a_finding_with_few_distractors_is_left_out(inputs):
    carriers = inputs.images["image_id"].iloc[range(90, 150, 2)].tolist()
    config = RobustnessConfig(min_images=16, folds=3)
    scores = val_scores(inputs)
    table = robustness(inputs, scores, finding(), {f"n01-{PLANTED}": carriers}, config)
    assert table.empty
    assert summary(table) == {}


def test_no_finding_makes_an_empty_table(inputs):
    table = robustness(inputs, {}, pd.DataFrame(columns=["finding_id"]), {}, CONFIG)
    assert table.columns.tolist() == COLUMNS
    assert table.empty


def test_the_dataset_s_own_distractors_are_ranked_against_the_class(inputs):
    """Eight unlabelled test images, six of a set for n01 and two of a set that is too small."""
    images = inputs.images.copy()
    rows = np.arange(180, 188)  # train images of n03, taken out of their class
    images.loc[rows, ["split", "label"]] = ["test", None]
    own = replace(inputs, images=images)
    listed = pd.DataFrame({"label": ["n01"] * 8, "set": ["wings"] * 6 + ["few"] * 2, "row": rows})
    scores = val_scores(own)
    theirs = form_scores(own, torch.from_numpy(rows), CONFIG, seed=0)
    table = ready_made(own, scores, listed, theirs, CONFIG)
    assert table["finding_id"].unique().tolist() == ["wings"]
    assert table["mode"].unique().tolist() == [READY_MADE]
    assert table["form"].tolist() == ["short", "both", "linear"]
    assert table["distractors"].tolist() == [6, 6, 6]
    y = cosine_outputs(inputs.x, inputs.texts["short"], inputs.head)[:, 0].numpy()
    val = np.concatenate([np.arange(150, 180), np.arange(240, 270)])
    assert table["spurious_auc"][0] == pytest.approx(pairwise_auc(y[60:90], y[rows[:6]]))
    assert table["valid_auc"][0] == pytest.approx(pairwise_auc(y[60:90], y[val]))


def test_distractors_are_found_by_their_image_id(tmp_path):
    ids = pd.Series(["a", "b", "c"])
    assert read_distractors(tmp_path, ids).empty
    table = pd.DataFrame({"image_id": ["c", "a"], "label": ["n01", "n02"], "set": ["s", "s"]})
    write_table(tmp_path / "distractors.csv", table)
    assert read_distractors(tmp_path, ids)["row"].tolist() == [2, 0]
    with pytest.raises(ValueError, match=r"distractors\.csv lists c, which has no embedding"):
        read_distractors(tmp_path, ids[:2])


def test_accuracy_by_hand():
    scores = np.array([[0.9, 0.1, 0.3], [0.2, 0.4, 0.3], [0.5, 0.1, 0.4], [0.0, 0.2, 0.1]])
    assert accuracy(scores, np.array([0, 1, 2, 1])) == 0.75


def test_summary_by_hand():
    table = pd.DataFrame(
        {
            "form": ["short", "short", "both"],
            "spurious_auc": [0.5, 0.9, 0.8],
            "valid_auc": [1.0, 0.8, 0.7],
        }
    )
    assert summary(table) == {
        "short": {
            "spurious_auc": pytest.approx(0.7),
            "spurious_sem": pytest.approx(0.2),
            "valid_auc": pytest.approx(0.9),
            "valid_sem": pytest.approx(0.1),
        },
        "both": {"spurious_auc": 0.8, "valid_auc": 0.7},
    }
