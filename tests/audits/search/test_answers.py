"""Answers by hand, and that a look through many components takes no time."""

import time

import numpy as np
import pandas as pd
import pytest
import torch

from audits.search.answers import Shown, before_top_k, ends, fit, shown_by
from pipeline.attribution.head import unit
from pipeline.sae.model import Sae

IDS = np.array(["a", "b", "c", "d"], dtype=object)
Z = np.array([[2, 0, 0], [0, 3, 0], [0, 0, 1], [1, 0, 0]], dtype=np.float16)


def test_a_text_is_compared_with_the_mean_of_the_top_images():
    tops = pd.Series([["a", "b", "c"], ["d"], ["c", "d"]])
    shown = shown_by(tops, 2, IDS, Z)
    assert shown.named.tolist() == [True, False, True]
    half = 0.5**0.5
    assert torch.allclose(shown.means, torch.tensor([[half, half, 0], [half, 0, half]]))
    t, empty = torch.tensor([0.0, 1, 0]), torch.tensor([0.0, 0, 1])
    found = fit(shown, t, empty)
    assert found[[0, 2]].tolist() == pytest.approx([half, -half])
    assert found[1].isnan()


def test_labels_of_other_images_are_refused():
    with pytest.raises(ValueError, match="of other images: run `dvc repro`"):
        shown_by(pd.Series([["a", "gone"]]), 2, IDS, Z)
    assert shown_by(pd.Series([["a"]]), 2, IDS, Z).means.shape == (0, 3)


def test_an_image_is_answered_before_the_top_k():
    sae = Sae(3, 2, 1)
    sae.encoder_weight.data = torch.tensor([[1.0, 0], [0, 2], [-3, 0]])
    sae.encoder_bias.data = torch.tensor([0.5, 0, 0])
    assert before_top_k(sae, torch.tensor([1.0, 2])).tolist() == [1.5, 4, -3]


def test_most_and_least_share_nothing():
    score = torch.tensor([0.1, float("nan"), 0.9, -0.5, 0.1])
    assert ends(score, 2) == ([2, 0], [3, 4])
    assert ends(score, 3) == ([2, 0, 4], [3])
    assert ends(score[:2], 5) == ([0], [])


def test_30000_components_are_looked_through_in_under_a_second():
    means = unit(torch.randn(30_000, 512, generator=torch.Generator().manual_seed(0)))
    shown = Shown(torch.ones(30_000, dtype=torch.bool), means)
    begun = time.process_time()
    most, least = ends(fit(shown, means[7], means[9]), 5)
    assert time.process_time() - begun < 1
    assert (most[0], least[0]) == (7, 9)
