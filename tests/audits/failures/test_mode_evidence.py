"""Evidence of modes, on small tables."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from audits.failures.mode_evidence import (
    Probe,
    Rates,
    TrainImages,
    firing_rates,
    images_auroc,
    kinds_of,
    mode_evidence,
    shown_classes,
    what_is_shown,
)
from audits.failures.modes import Shown
from pipeline.artifacts.store import write_json, write_table

NAMES = {"n1": "dog, pet", "n2": "hot dog, sausage", "n3": "ship"}
REFERENCE = pd.DataFrame(
    {"class": ["n1", "n2", "n2", "n3"], "component": [4, 4, 5, 4], "count": [6, 3, 9, 1]}
)
CLASSES = pd.DataFrame({"class": ["n1", "n2", "n3"], "images": [10, 12, 8]})


def test_shown_classes_are_shares_of_the_labelled_images():
    labels = pd.Series(["n3", "n2", None, "n2", "n2", "n3", "n1"])
    rates = Rates(0.5, 0.1, {"n2": 0.75, "n3": 0.125})
    assert shown_classes(labels, {"n1": 10, "n2": 12, "n3": 8}, NAMES, rates) == (
        Shown("n2", "hot dog, sausage", 0.5, 3 / 12, 0.75),
        Shown("n3", "ship", pytest.approx(1 / 3), 2 / 8, 0.125),
        Shown("n1", "dog, pet", pytest.approx(1 / 6), 1 / 10, 0.0),
    )
    assert shown_classes(pd.Series([None, None]), {}, NAMES, rates) == ()


@pytest.mark.parametrize(
    ("component", "label", "rates"),
    [
        (4, "n1", (0.6, 4 / 20, {"n1": 0.6, "n2": 0.25, "n3": 0.125})),
        (5, "n1", (0.0, 9 / 20, {"n2": 0.75})),
        (5, "n2", (0.75, 0.0, {"n2": 0.75})),
        (7, "n3", (0, 0, {})),
    ],
)
def test_firing_rates(component, label, rates):
    assert firing_rates(component, label, REFERENCE, CLASSES) == rates


def test_kinds_are_of_terms_in_whatever_case_and_up_to_a_comma():
    vocabulary = pd.DataFrame(
        {
            "term": ["Desert, sand", "text", "DESERT", "dog", "Open_Water"],
            "kind": ["background", "writing", "context", None, "context"],
        }
    )
    found = kinds_of(vocabulary)
    assert found == {"desert": "background", "text": "writing", "open water": "context"}


@pytest.mark.parametrize(
    ("labels", "component_label", "shown"),
    [
        (["a2", "a2", "a1"], "beak", "crane (a2)"),
        (["a1", "a1", "a2"], "beak", None),
        (["a1", "a2"], "beak", "beak"),
        ([None, None, "a2"], "Crane", None),
        ([None, None, "a2"], np.nan, None),
    ],
)
def test_what_is_shown_is_told_by_label(labels, component_label, shown):
    names = {"a1": "crane (a1)", "a2": "crane (a2)"}
    assert (
        what_is_shown(np.array(labels, dtype=object), "a1", "crane", component_label, names)
        == shown
    )


def test_images_auroc_is_the_smaller_of_two():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 9, 70).astype(float)  # with ties
    found, own = np.arange(5, 17), np.arange(30, 49)
    scores[found] += 3
    scores[own] += 6
    rest = np.setdiff1d(np.arange(70), found)

    def auroc(negatives):
        truth = np.r_[np.ones(len(found)), np.zeros(len(negatives))]
        return roc_auc_score(truth, np.r_[scores[found], scores[negatives]])

    def smaller(own):
        return images_auroc(scores[found], np.sort(scores), np.sort(scores[own]))

    assert auroc(own) < auroc(rest)
    assert smaller(own) == pytest.approx(auroc(own))
    scores[own] -= 15
    assert smaller(own) == pytest.approx(auroc(rest))
    assert smaller(own[:0]) == pytest.approx(auroc(rest))


@pytest.fixture
def probe(tmp_path):
    components = pd.DataFrame(
        {"component": np.arange(6, dtype=np.int32), "writing": np.float32(0.5)}
    )
    components.loc[4, "writing"] = np.float32(0.75)
    words = pd.DataFrame({"component": [4], "class": ["n1"], "answer": [0.97]})
    write_table(tmp_path / "components.parquet", components)
    write_table(tmp_path / "words.parquet", words)
    write_table(tmp_path / "direction.parquet", pd.DataFrame({"writing": [0.0, 1.0, 0.0]}))
    write_json(tmp_path / "metrics.json", {"probe": {"reliability": 0.9}})
    return Probe.read(tmp_path)


def test_a_probe_is_read_back(probe):
    assert probe.writing.tolist() == [0.5, 0.5, 0.5, 0.5, 0.75, 0.5]
    assert probe.own_word == {(4, "n1"): 0.97}
    assert probe.direction.tolist() == [0.0, 1.0, 0.0]
    assert probe.reliability == 0.9


def test_all_evidence_of_a_finding(probe):
    labels = pd.Series(["n1", "n1", "n2", "n2", None, "n3", "n3"])
    scores = np.array([0.0, 0.2, 0.9, 0.8, 0.1, 0.3, 0.85])
    images = TrainImages(labels, scores)
    args = (
        np.array([2, 3]),
        images,
        NAMES,
        {"sea": "background"},
        Rates(0.6, 0.2, {"n2": 0.4}),
        probe,
    )
    found = mode_evidence("n1", 4, "sausage", *args)
    assert (found.label, found.word, found.component_label) == ("n1", "dog", "sausage")
    assert found.shown == (Shown("n2", "hot dog, sausage", 1.0, 1.0, 0.4),)
    assert (found.rate_own, found.rate_others, found.reliability) == (0.6, 0.2, 0.9)
    assert (found.writing, found.own_word) == (0.75, 0.97)
    assert found.writing_images == pytest.approx(9 / 10)
    other = mode_evidence("n2", 4, np.nan, *args)
    assert (other.component_label, other.own_word) == (None, None)
    # Of its own images 0.8 is below one and 0.9 above none.
    assert other.writing_images == pytest.approx(1 / 2)
    assert images.own_scores("n9").tolist() == []
    assert images.ranked.tolist() == sorted(scores.tolist())
