"""Halves that share no group."""

import numpy as np
import pandas as pd
import pytest

from pipeline.artifacts.gaps import DoesNotApply
from pipeline.sae.halves import apart, half


@pytest.fixture
def images():
    group = np.arange(60) // 3
    split = np.where(group < 16, "train", "val")
    return pd.DataFrame({"split": split, "group_id": [f"g{n}" for n in group]})


@pytest.mark.parametrize("first", [1, 3])
def test_a_pair_shares_the_train_groups_and_no_group(images, first):
    a, b = half(images, 5, first), half(images, 5, first + 1)
    assert ((a | b) == (images["split"] == "train")).all()
    groups = [set(images["group_id"][mask]) for mask in (a, b)]
    assert not groups[0] & groups[1]
    assert [len(found) for found in groups] == [8, 8]


def test_pairs_and_seeds_differ(images):
    masks = [half(images, seed, number) for seed, number in ((5, 1), (5, 3), (6, 1))]
    assert len({mask.tobytes() for mask in masks}) == 3


def test_the_order_of_the_images_does_not_matter(images):
    order = np.random.default_rng(0).permutation(len(images))
    assert (half(images.iloc[order], 5, 2) == half(images, 5, 2)[order]).all()


def test_one_group_has_no_halves(images):
    with pytest.raises(DoesNotApply, match="of 1 groups"):
        half(images.assign(group_id="g"), 0, 1)


def test_which_seeds_share_no_image():
    assert [(a, b) for a in range(6) for b in range(a + 1, 6) if apart(a, b)] == [(1, 2), (3, 4)]
