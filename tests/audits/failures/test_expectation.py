"""Images against what is expected: units, and own images measured as new ones."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from audits.failures.expectation import Expectation, View, expectations, surprise, view
from audits.reference.expected import class_relevance, own_images, reference
from pipeline.config import FailuresConfig

CONFIG = FailuresConfig(
    relevance="act_grad",
    candidate_deviations=1.5,
    peer_deviations=3.0,
    z=3.0,
    min_images=10,
    min_class_images=5,
    class_share=0.2,
    look_alike=0.667,
    q=0.05,
    confirm_p=0.05,
    confirm_as_high=0.5,
    overlap=0.5,
    mainstay=0.5,
    permutations=20,
)


def look(relevance, units, labels, close=None) -> View:
    """A view by class 0 of dense relevances [r, m], 0 where off.

    Units are those of the images [r], labels those of the units [u]; close are images [r], all
    where None.
    """
    relevance, unit = np.asarray(relevance, dtype=float), np.array(units)
    image, component = relevance.nonzero()
    pairs, pair = np.unique(unit[image] * relevance.shape[1] + component, return_inverse=True)
    values = relevance[image, component]
    return View(
        position=0,
        rows=np.arange(len(relevance)),
        close=np.ones(len(unit), dtype=bool) if close is None else np.array(close, dtype=bool),
        unit=unit,
        label=np.array(labels),
        size=np.bincount(unit),
        image=image,
        component=component,
        relevance=values,
        pair=pair,
        pair_unit=pairs // relevance.shape[1],
        pair_component=pairs % relevance.shape[1],
        pair_sum=np.bincount(pair, values),
        pair_squares=np.bincount(pair, values**2),
    )


def usual(relevance: np.ndarray, floor: float = 1e-9) -> Expectation:
    """What is expected of class 0 by its own images' relevances [o, m]."""
    mean, std = relevance.mean(axis=0), relevance.std(axis=0, ddof=1)
    return Expectation(0, len(relevance), floor, mean, std)


def first_class(inputs) -> View:
    """The first class's images and the second's, the first ten of which are close."""
    expected = next(expectations(inputs, *reference(inputs)))
    own = dict(own_images(inputs, "train"))
    return view(inputs, expected, own[0].numpy(), own[1].numpy(), own[1].numpy()[:10])


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
    assert seen.label[seen.unit].tolist() == [0] * 60 + [1] * 60
    assert seen.close.tolist() == [True] * 70 + [False] * 50
    assert seen.own[seen.unit].tolist() == [True] * 60 + [False] * 60
    assert seen.of_class.sum() == active[:60].sum()


def test_images_of_a_group_are_one_unit_of_each_label(inputs):
    images = inputs.images.copy()
    images.loc[[3, 5, 92, 94, 98], "group_id"] = "one"
    seen = first_class(replace(inputs, images=images))
    assert len(seen.own) == 60 - 1 + 60 - 2
    at = {row: seen.unit[i] for i, row in enumerate(seen.rows.tolist())}
    assert at[3] == at[5] != at[92]
    assert at[92] == at[94] == at[98]
    assert seen.label[[at[3], at[92]]].tolist() == [0, 1]
    assert seen.size[[at[3], at[92], at[4]]].tolist() == [2, 3, 1]
    one = seen.unit[seen.image] == at[92]
    totals = np.bincount(seen.component[one], seen.relevance[one], 24)
    pairs = seen.pair_unit == at[92]
    assert seen.pair_sum[pairs].tolist() == pytest.approx(
        totals[seen.pair_component[pairs]].tolist()
    )


def test_z_is_measured_in_deviations_but_at_least_the_floor():
    seen = look([[0.5, 0, 0.3]], [0], [1])
    expected = Expectation(0, 9, 0.2, np.array([0.1, 7, 0]), np.array([0.8, 1, 0.1]))
    assert surprise(seen, expected, new=True).tolist() == pytest.approx([0.4 / 0.8, 0.3 / 0.2])


def test_own_images_are_measured_by_the_others_of_their_class():
    rng = np.random.default_rng(0)
    units = np.array([0, 1, 1, 2, 3, 3, 3, 4, 5, 6])
    relevance = rng.normal(size=(10, 4)) * (rng.random((10, 4)) < 0.6)
    own = units < 5
    seen = look(relevance, units, [0] * 5 + [1] * 2)
    found = surprise(seen, usual(relevance[own]), new=False)
    for image, component, z in zip(seen.image, seen.component, found, strict=True):
        rest = relevance[own & (units != units[image]), component]
        wanted = (relevance[image, component] - rest.mean()) / max(rest.std(ddof=1), 1e-9)
        assert z == pytest.approx(wanted)


def test_few_own_images_exceed_as_often_as_new_ones():
    # Among 5 images none can be 2 deviations above a mean that it is part of: (r − 1)/√r is 1.79.
    rng, hits = np.random.default_rng(1), np.zeros(2)
    for _ in range(200):
        relevance = 1 + rng.normal(size=(10, 30))
        seen = look(relevance, range(10), [0] * 5 + [1] * 5)
        z = surprise(seen, usual(relevance[:5], floor=0.0), new=False)
        hits += np.bincount(seen.image[z > 2] // 5, minlength=2)
    # With one image fewer to be measured by, own ones exceed a little more often, never less.
    assert 1.0 < hits[0] / hits[1] < 1.6
