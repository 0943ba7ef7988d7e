"""Relevances and orders on cases whose answers are known."""

import pytest
import torch

from audits.faithfulness.orders import (
    METHODS,
    component_ranks,
    component_scores,
    local_ranks,
    slot_scores,
)
from audits.faithfulness.parts import Images, ask, model_of, take_apart
from pipeline.attribution.head import Head
from pipeline.attribution.relevance import Codes, logit_lens
from tests.audits.invented import generator


def test_scores_of_one_slot_by_hand() -> None:
    # Without bias and eps, with unit weights: y is the cosine of the centred x with the prompt.
    zero = torch.zeros(3, dtype=torch.float64)
    head = Head(zero + 1, zero, 0.0, torch.eye(3, dtype=torch.float64))
    atoms = torch.tensor([[0.0, 0.0, 1.0], [0.5**0.5, -(0.5**0.5), 0.0]], dtype=torch.float64)
    t = torch.tensor([0.5**0.5, -(0.5**0.5), 0.0], dtype=torch.float64)
    images = Images(
        torch.tensor([[1.0, 1.0, -2.0]], dtype=torch.float64),
        Codes(torch.tensor([[1, 0]]), torch.tensor([[2.0, 0.0]], dtype=torch.float64)),
        torch.tensor([0]),
    )
    model = model_of(head, atoms, zero)
    parts, prompt = take_apart(images, model), ask(images, t, model)
    lens = logit_lens(atoms, t[None], head)[:, 0]
    scores = slot_scores(images, parts, prompt, lens, model, 3, generator())
    assert set(scores) == set(METHODS)
    # x is centred and y is 0, so that ∂y/∂x = t/‖x‖ with ‖x‖ = √6; V is t itself.
    assert float(scores["act_grad"][0, 0]) == pytest.approx(2 / 6**0.5)
    assert float(scores["logit_lens"][0, 0]) == pytest.approx(1)
    assert float(scores["act_logit_lens"][0, 0]) == pytest.approx(2)
    assert float(scores["energy"][0, 0]) == pytest.approx(2)
    assert all(float(score[0, 1]) == -float("inf") for score in scores.values())


class TestComponentScores:
    codes = Codes(
        torch.tensor([[2, 0], [2, 1], [0, 0]]), torch.tensor([[1.0, 2.0], [1.0, 1.0], [0.0, 0.0]])
    )
    scores = torch.tensor([[6.0, 3.0], [-3.0, -9.0], [-torch.inf, -torch.inf]])

    def test_mean_over_all_images(self) -> None:
        found = component_scores("act_grad", self.scores, self.codes, 4, generator())
        torch.testing.assert_close(found, torch.tensor([1.0, -3.0, 1.0, -torch.inf]))
        assert component_ranks(found).tolist() == [0, 2, 1, 3]

    def test_logit_lens_stays_as_it_is(self) -> None:
        lens = torch.tensor([[0.5, -0.2], [0.5, 0.9], [-torch.inf, -torch.inf]])
        found = component_scores("logit_lens", lens, self.codes, 4, generator())
        torch.testing.assert_close(found, torch.tensor([-0.2, 0.9, 0.5, -torch.inf]))

    def test_random_orders_the_active_ones_only(self) -> None:
        found = component_scores("random", self.scores, self.codes, 4, generator())
        assert found.isfinite().tolist() == [True, True, True, False]
        again = component_scores("random", self.scores, self.codes, 4, generator())
        other = component_scores("random", self.scores, self.codes, 4, generator(1))
        assert found.equal(again) and not found.equal(other)


def test_local_ranks_put_empty_slots_last() -> None:
    scores = torch.tensor([[0.1, -torch.inf, -5.0, 3.0], [2.0, 1.0, 4.0, 3.0]])
    assert local_ranks(scores).tolist() == [[1, 3, 2, 0], [2, 3, 0, 1]]


def test_component_ranks_keep_ties_in_order() -> None:
    assert component_ranks(torch.tensor([1.0, 3.0, 1.0, -torch.inf])).tolist() == [1, 0, 2, 3]
