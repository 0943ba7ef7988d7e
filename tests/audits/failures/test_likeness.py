"""Likeness to a class: nearest own images, but not itself, and what is unlike it."""

import numpy as np
import pytest
import torch

from audits.failures import likeness as module
from audits.failures.likeness import likeness, unlike
from pipeline.attribution.head import unit


def test_likeness_by_hand():
    own = unit(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
    z, groups = torch.tensor([[1.0, 0.0], [0.0, -1.0]]), torch.tensor([7, 8])
    found = likeness(z, groups, own, torch.tensor([1, 2, 3]), neighbours=2)
    assert found.tolist() == pytest.approx([(1 + 0.6) / 2, (0 - 0.8) / 2])


def test_images_of_its_group_say_nothing():
    own = unit(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
    groups = torch.tensor([1, 1, 2])
    found = likeness(own, groups, own, groups, neighbours=2)
    # Of the first two only the third counts, of the third both.
    assert found.tolist() == pytest.approx([0, 0.8, (0.8 + 0) / 2])
    alone = likeness(own, torch.ones(3).long(), own, torch.ones(3).long(), neighbours=2)
    assert np.isneginf(alone).all()


def test_few_own_images_all_count():
    own = unit(torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
    found = likeness(own[:1], torch.tensor([5]), own, torch.tensor([1, 2]), neighbours=9)
    assert found.tolist() == pytest.approx([0.8])


def test_blocks_do_not_matter(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    z, own = (unit(torch.randn(n, 5, generator=generator)) for n in (23, 17))
    groups = torch.arange(23), torch.arange(17)
    whole = likeness(z, groups[0], own, groups[1], 3)
    monkeypatch.setattr(module, "BLOCK_ROWS", 4)
    assert likeness(z, groups[0], own, groups[1], 3).tolist() == pytest.approx(whole.tolist())


def test_unlike_is_far_below_the_median():
    # Median 0.8, median absolute deviation 0.1: three deviations are 0.44478.
    usual = np.array([0.6, 0.7, 0.8, 0.9, 1.0])
    assert unlike(np.array([0.356, 0.355]), usual, 3.0).tolist() == [False, True]


def test_a_few_odd_own_images_do_not_widen_it():
    usual = np.array([0.79, 0.8, 0.81] * 10 + [0.1, 0.2])
    assert unlike(np.array([0.7]), usual, 3.0).all()


def test_own_images_that_are_equal():
    assert unlike(np.array([0.9, 0.8]), np.full(4, 0.9), 3.0).tolist() == [False, True]


def test_own_images_without_neighbours_say_nothing_of_the_class():
    usual = np.array([0.6, 0.7, 0.8, 0.9, 1.0, -np.inf, -np.inf, -np.inf])
    assert unlike(np.array([0.356, 0.355]), usual, 3.0).tolist() == [False, True]
