"""Principal axes and neurons beside a dictionary, on invented images."""

import numpy as np
import pandas as pd
import pytest
import torch

from audits.concepts.bases import Farthest, bases, judged
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.labels.label import Vocabulary


def test_direction_tops_are_the_farthest_images() -> None:
    projections = torch.tensor([[1.0, -5.0], [3.0, 0.0], [2.0, 4.0]])
    for sizes in ([3], [1, 2], [2, 1], [1, 1, 1]):
        for count, expected in ((2, [[5, 6], [6, 5]]), (7, [[5, 6, 4], [6, 5, 4]])):
            found = Farthest(count)
            parts = zip(projections.split(sizes), torch.arange(4, 7).split(sizes), strict=True)
            for part in parts:
                found.add(*part)
            assert found.rows.tolist() == expected


def test_part_by_part_are_found_those_that_a_sort_of_all_finds_of_equals_the_first() -> None:
    projections = torch.from_numpy(np.random.default_rng(0).integers(-9, 10, (60, 3))).float()
    expected = projections.sort(dim=0, descending=True, stable=True).indices[:4].T
    for size in (60, 25, 5, 1):
        found = Farthest(4)
        for rows in torch.arange(60).split(size):
            found.add(projections[rows], rows)
        assert torch.equal(found.rows, expected)


def test_bases_look_at_train_images_along_neurons_and_principal_axes() -> None:
    generator = torch.Generator().manual_seed(0)
    planted = torch.tensor([0.6, 0.8, 0.0])
    along = torch.randn(50, generator=generator)
    x = 10 * along[:, None] * planted + 0.1 * torch.randn(50, 3, generator=generator) + 7
    train = torch.arange(50) >= 5
    found = bases(x, train, count=4)
    assert found["pca"].shape == found["neuron"].shape == (3, 4)
    assert int(found["pca"].min()) >= 5 and int(found["neuron"].min()) >= 5
    ordered = (5 + along[5:].argsort()).tolist()
    assert found["pca"][0].tolist() in (ordered[:4], ordered[::-1][:4])
    assert found["neuron"][2].tolist() == (5 + x[5:, 2].argsort(descending=True)[:4]).tolist()


def test_directions_are_judged_by_label_and_clarity_as_components_are() -> None:
    vocabulary = Vocabulary(
        pd.DataFrame({"term": ["a", "b", "c"], "kind": None}), torch.eye(4)[:3], torch.eye(4)[3]
    )
    rows = torch.tensor([[0, 0], [1, 1], [0, 2], [0, 1]])
    u = torch.eye(4)[[0, 1, 0]]
    found = judged(rows, u, vocabulary)
    # Images 0 and 2 are the same, 0 and 1 at right angles; of equally near terms the first.
    assert found["label"].tolist() == ["a", "b", "a", "a"]
    assert found["clarity"].tolist() == [1.0, 1.0, 1.0, 0.0]


def test_one_train_image_has_no_axes() -> None:
    with pytest.raises(DoesNotApply, match="one train image"):
        bases(torch.ones(3, 2), torch.tensor([False, True, False]), 4)
