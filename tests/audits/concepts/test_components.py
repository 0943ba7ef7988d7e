"""Distribution of activations and neighbours of components, by hand and on the invented audit."""

import numpy as np
import torch

from audits.concepts import components
from audits.concepts.components import BINS, about_components, neighbours, spread
from pipeline.attribution.relevance import Codes

CODES = Codes(
    torch.tensor([[0, 2], [2, 0], [0, 0], [2, 1]]),
    torch.tensor([[8.0, 1.0], [2.0, 0.0], [0.25, 0.0], [50.0, 3.0]]),
)
ALL = torch.tensor([True] * 4)


def test_a_bin_holds_its_upper_end_and_the_last_the_largest(monkeypatch) -> None:
    for block in (1, 3, 1024):
        monkeypatch.setattr(components, "BLOCK", block)
        largest, counts = spread(CODES, ALL, 4)
        assert largest.tolist() == [8.0, 3.0, 50.0, 0.0]
        # 0.25 of 8 is a 32nd: in the first of sixteen.
        assert np.flatnonzero(counts[0]).tolist() == [0, BINS - 1]
        assert counts.sum(axis=1).tolist() == [2, 1, 3, 0]
        assert counts[2].tolist() == [2, *[0] * (BINS - 2), 1]


def test_only_the_images_that_count_are_counted() -> None:
    largest, counts = spread(CODES, torch.tensor([True, True, True, False]), 4)
    assert largest.tolist() == [8.0, 0.0, 2.0, 0.0]
    # 1 of 2 is at the upper end of the eighth bin.
    assert np.flatnonzero(counts[2]).tolist() == [7, BINS - 1]


def test_neighbours_are_the_nearest_directions_whatever_their_length(monkeypatch) -> None:
    atoms = torch.tensor([[1.0, 0.0], [5.0, 0.1], [0.0, 2.0], [-3.0, -0.3]])
    monkeypatch.setattr(components, "BLOCK", 3)
    monkeypatch.setattr(components, "NEAREST", 2)
    near, cosines = neighbours(atoms)
    assert near.tolist() == [[1, 2], [0, 2], [1, 0], [2, 0]]
    assert np.allclose(cosines[0], [5 / 25.01**0.5, 0.0])
    monkeypatch.setattr(components, "NEAREST", 9)
    assert neighbours(atoms)[0].shape == (4, 3)


def test_counts_are_those_of_the_labels(inputs) -> None:
    train = inputs.split("train")
    table = about_components(inputs.codes, train, inputs.atoms)
    fired = inputs.codes.component[train][inputs.codes.activation[train] > 0]
    counted = torch.bincount(fired.long(), minlength=len(inputs.atoms))
    assert [row.sum() for row in table["activations"]] == counted.tolist()
    pairs = zip(table["component"], table["neighbours"], strict=True)
    assert all(own not in near for own, near in pairs)
