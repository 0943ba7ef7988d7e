"""Images against what is expected: candidates, units, and own images measured as new ones."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from audits.failures import expectation as module
from audits.failures.expectation import (
    Expectation,
    View,
    close_images,
    expectations,
    own_expectation,
    surprise,
    view,
)
from audits.reference.expected import class_relevance, own_images, reference
from pipeline.attribution.head import cosine_outputs
from pipeline.config import FailuresConfig

CONFIG = FailuresConfig(
    candidate_deviations=1.5,
    z=3.0,
    min_images=10,
    q=0.05,
    confirm_p=0.05,
    overlap=0.5,
    neighbours=5,
    unlike=3.0,
    mainstay=0.5,
    permutations=20,
)


def look(relevance: np.ndarray, own: list[bool], units: list[int]) -> View:
    """A view of dense relevances [r, m], 0 where off, all of images that do not look alike."""
    relevance, unit = np.asarray(relevance, dtype=float), np.array(units)
    image, component = relevance.nonzero()
    pairs, pair = np.unique(unit[image] * relevance.shape[1] + component, return_inverse=True)
    values = relevance[image, component]
    return View(
        rows=np.arange(len(relevance)),
        unit=unit,
        own=np.array(own),
        size=np.bincount(unit),
        image=image,
        component=component,
        relevance=values,
        pair=pair,
        unlike=np.ones(len(image), dtype=bool),
        pair_unit=pairs // relevance.shape[1],
        pair_component=pairs % relevance.shape[1],
        pair_sum=np.bincount(pair, values),
        pair_squares=np.bincount(pair, values**2),
    )


def first_class(inputs, split: str = "train", config: FailuresConfig = CONFIG) -> View:
    """The first class's images and the second's, as its prompt sees them."""
    expected = next(expectations(inputs, *reference(inputs)))
    own, known = (dict(own_images(inputs, s)) for s in (split, "train"))
    return view(inputs, expected, own[0], own[1], known[0], config)


def test_close_images_by_hand(inputs):
    images = inputs.images.copy()
    images.loc[6, "label"] = None
    made = replace(inputs, images=images)
    y = cosine_outputs(inputs.x, inputs.texts["short"], inputs.head).numpy()
    classes = pd.DataFrame({"class": ["n03", "n01"], "y_mean": [0.7, 1.0], "y_std": [0.2, 0.1]})
    for split in ("train", "val"):
        found = close_images(made, classes, split, deviations=1.5)
        labels, there = images["label"].to_numpy(), (images["split"] == split).to_numpy()
        for position, label, least in ((0, "n01", 0.85), (2, "n03", 0.4)):
            close = there & ~images["label"].isna().to_numpy() & (y[:, position] > least)
            for rows, side in zip(found[position], (labels == label, labels != label), strict=True):
                assert (close & side).sum() > 0
                assert rows.tolist() == np.flatnonzero(close & side).tolist()
        # Not every own image is close, and to a class that has no expectation none is.
        assert len(found[0].own) < (there & (labels == "n01")).sum() - 1
        assert [rows.tolist() for rows in found[1]] == [[], []]


def test_blocks_of_close_images_do_not_matter(inputs, monkeypatch):
    classes = reference(inputs)[1]
    whole = close_images(inputs, classes, "train", 20.0)
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    parts = close_images(inputs, classes, "train", 20.0)
    for side in ("own", "candidates"):
        found = [getattr(close, side).tolist() for close in whole]
        assert [getattr(close, side).tolist() for close in parts] == found
        assert min(map(len, found)) > 7


def test_expectations_spread_the_table_over_components(inputs):
    table = pd.DataFrame(
        {
            "class": ["n01", "n03", "n03"],
            "component": [9, 4, 7],
            "mean": [0.7, 0.5, 0.25],
            "std": [0.3, 0.1, 0.2],
        }
    )
    classes = pd.DataFrame({"class": ["n03"], "images": [12], "floor": [0.15]})
    (found,) = expectations(inputs, table, classes)
    assert (found.position, found.images, found.floor) == (2, 12, 0.15)
    assert found.mean[[4, 7, 8, 9]].tolist() == [0.5, 0.25, 0, 0]
    assert found.std[[4, 7, 8, 9]].tolist() == [0.1, 0.2, 0, 0]


def test_a_view_holds_the_active_slots(inputs):
    seen = first_class(inputs)
    rows = torch.from_numpy(seen.rows)
    relevance = class_relevance(inputs, rows, inputs.texts["short"][0]).numpy()
    active = inputs.codes.activation[rows].numpy() > 0
    assert not active.all()
    assert len(seen.image) == active.sum()
    assert seen.relevance.tolist() == pytest.approx(relevance[active].tolist())
    assert seen.component.tolist() == inputs.codes.component[rows].numpy()[active].tolist()
    assert seen.own[seen.unit].tolist() == [True] * 60 + [False] * 60


def test_images_of_a_group_are_one_unit_on_each_side(inputs):
    images = inputs.images.copy()
    images.loc[[3, 5, 92, 94, 98], "group_id"] = "one"
    seen = first_class(replace(inputs, images=images))
    assert len(seen.own) == 60 - 1 + 60 - 2
    at = {row: seen.unit[i] for i, row in enumerate(seen.rows.tolist())}
    assert at[3] == at[5] != at[92]
    assert at[92] == at[94] == at[98]
    assert seen.size[[at[3], at[92], at[4]]].tolist() == [2, 3, 1]
    one = seen.unit[seen.image] == at[92]
    totals = np.bincount(seen.component[one], seen.relevance[one], 24)
    pairs = seen.pair_unit == at[92]
    assert seen.pair_sum[pairs].tolist() == pytest.approx(
        totals[seen.pair_component[pairs]].tolist()
    )


def test_only_images_unlike_the_class_can_count(inputs):
    seen = first_class(inputs)
    images = set(seen.image[seen.unlike].tolist())
    # Own images hardly ever are, those of another class mostly.
    assert sum(image < 60 for image in images) < 12
    assert sum(image >= 60 for image in images) > 40
    every = first_class(inputs, config=CONFIG.model_copy(update={"unlike": 100.0}))
    assert not every.unlike.any()


def test_own_expectation_is_the_reference(inputs):
    seen, expected = first_class(inputs), next(expectations(inputs, *reference(inputs)))
    found = own_expectation(seen, 24)
    assert found.images == expected.images == 60
    assert found.floor == pytest.approx(expected.floor)
    assert found.mean.tolist() == pytest.approx(expected.mean.tolist())
    assert found.std.tolist() == pytest.approx(expected.std.tolist())


def test_nothing_is_expected_of_one_image():
    assert own_expectation(look([[0.5, 0], [0.2, 0.1]], [True, False], [0, 1]), 2).images == 0
    assert own_expectation(look([[0, 0], [0, 0], [1, 1]], [True, False], [0, 0, 1]), 2).images == 0


def test_z_is_measured_in_deviations_but_at_least_the_floor():
    seen = look([[0.5, 0, 0.3]], [False], [0])
    expected = Expectation(0, 9, 0.2, np.array([0.1, 7, 0]), np.array([0.8, 1, 0.1]))
    assert surprise(seen, expected, new=True).tolist() == pytest.approx([0.4 / 0.8, 0.3 / 0.2])


def test_own_images_are_measured_by_the_others_of_their_class():
    rng = np.random.default_rng(0)
    units = [0, 1, 1, 2, 3, 3, 3, 4, 5, 6]
    relevance = rng.normal(size=(10, 4)) * (rng.random((10, 4)) < 0.6)
    seen = look(relevance, [True] * 5 + [False] * 2, units)
    expected = own_expectation(seen, 4)._replace(floor=1e-9)
    found = surprise(seen, expected, new=False)
    own = np.array(units) < 5
    for image, component, z in zip(seen.image, seen.component, found, strict=True):
        rest = relevance[own & (np.array(units) != units[image]), component]
        wanted = (relevance[image, component] - rest.mean()) / max(rest.std(ddof=1), 1e-9)
        assert z == pytest.approx(wanted)


def test_few_own_images_exceed_as_often_as_new_ones():
    # Among 5 images none can be 2 deviations above a mean that it is part of: (r − 1)/√r is 1.79.
    rng, hits = np.random.default_rng(1), np.zeros(2)
    for _ in range(200):
        relevance = 1 + rng.normal(size=(10, 30))
        seen = look(relevance, [True] * 5 + [False] * 5, list(range(10)))
        z = surprise(seen, own_expectation(seen, 30)._replace(floor=0.0), new=False)
        hits += np.bincount(seen.image[z > 2] // 5, minlength=2)
    # With one image fewer to be measured by, own ones exceed a little more often, never less.
    assert 1.0 < hits[0] / hits[1] < 1.6
