"""Which class a component tells, by hand and against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from audits.concepts import classes
from audits.concepts.classes import BINS, Coded, aurocs, most_fired, tell_classes
from pipeline.attribution.relevance import Codes, activations

IMAGES, COMPONENTS, CLASSES = 300, 12, 6


def drawn(seed: int) -> Coded:
    """Images of six classes; component j < 6 fires on class j mostly, and most on it."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, IMAGES)
    component = np.stack([label, rng.integers(6, COMPONENTS - 1, IMAGES)], axis=1)
    component[:60, 0] = rng.integers(0, CLASSES, 60)
    # Whole sixteenths of the largest, so that bins lose nothing.
    activation = rng.integers(1, BINS, (IMAGES, 2)) / BINS
    activation[:60, 0] = 1 / BINS
    codes = Codes(torch.from_numpy(component), torch.from_numpy(activation).float())
    counted = torch.from_numpy(rng.random(IMAGES) < 0.8)
    for one in range(COMPONENTS - 1):  # each reaches 1 on an image that counts
        at = (codes.component == one) & counted[:, None]
        codes.activation[tuple(at.nonzero()[-1])] = 1
    return Coded(codes, counted, torch.from_numpy(label))


@pytest.mark.parametrize("block", [7, 1024])
def test_the_auroc_is_scikit_learn_s(monkeypatch, block):
    monkeypatch.setattr(classes, "BLOCK", block)
    images = drawn(0)
    asked = np.tile(np.arange(CLASSES), (COMPONENTS, 1))
    found = aurocs(images, asked, COMPONENTS, CLASSES)
    a = activations(images.codes, COMPONENTS)[images.counted].numpy()
    label = images.label[images.counted].numpy()
    for j in range(COMPONENTS - 1):
        expected = [roc_auc_score(label == c, a[:, j]) for c in range(CLASSES)]
        assert found[j] == pytest.approx(expected)
    assert np.isnan(found[-1]).all()  # it never fires


def test_a_component_has_the_class_that_it_tells_and_is_measured_on_other_images():
    images, others = drawn(0), drawn(1)
    labels = pd.Series([f"class {c}" for c in range(CLASSES)])
    table = tell_classes(images, others, COMPONENTS, labels)
    assert table["class"][:CLASSES].tolist() == labels.tolist()
    asked = np.arange(CLASSES)[:, None]
    expected = aurocs(
        others, np.pad(asked, ((0, COMPONENTS - CLASSES), (0, 0))), COMPONENTS, CLASSES
    )
    assert table["class_auroc"][:CLASSES].tolist() == expected[:CLASSES, 0].tolist()
    assert table["class_auroc"][:CLASSES].min() > 0.85
    assert table["class_auroc"][CLASSES:-1].max() < 0.7
    assert table.iloc[-1].isna().all()


def test_images_without_a_label_and_those_that_do_not_count_make_no_odds():
    images = drawn(0)
    label = images.label.clone()
    label[~images.counted] = 3
    assert np.array_equal(
        most_fired(images, COMPONENTS, CLASSES), most_fired(images._replace(label=label), 12, 6)
    )
    label[:] = -1
    table = tell_classes(images._replace(label=label), images, 12, pd.Series(list("abcdef")))
    assert table.isna().all(axis=None)


def test_few_classes_are_all_looked_at():
    images = drawn(0)
    two = images._replace(label=images.label % 2)
    assert most_fired(two, COMPONENTS, 2).shape == (COMPONENTS, 2)
    only = images._replace(label=images.label * 0)
    assert tell_classes(only, only, COMPONENTS, pd.Series(["a"])).isna().all(axis=None)
