"""The derivative of the output held to autograd, for images of all sorts."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from pipeline.attribution.head import Head, cosine_outputs, project, unit
from pipeline.attribution.relevance import gradient, linear_gradient, logit_lens
from tests.pipeline.attribution.invented import (
    TOLERANCE,
    Case,
    autograd,
    cosine,
    model,
    relative_error,
    shapes,
)


def test_project_and_cosines_by_hand() -> None:
    # x = (−1, 1, 0): mean 0, variance 2/3; eps 1/3 makes σ = 1. Normed 2x + (0, 0, 3).
    head = Head(
        torch.full((3,), 2.0),
        torch.tensor([0.0, 0.0, 3.0]),
        1 / 3,
        torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]),
    )
    x = torch.tensor([[-1.0, 1.0, 0.0]])
    torch.testing.assert_close(project(x, head), torch.tensor([[4.0, 3.0]]))
    t = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, -0.8]])
    torch.testing.assert_close(cosine_outputs(x, t, head), torch.tensor([[0.8, 0.6, 0.0]]))
    torch.testing.assert_close(logit_lens(x, t, head), torch.tensor([[0.8, 0.6, 0.0]]))


@settings(max_examples=25, deadline=None)
@given(**shapes)
def test_gradient_is_autograds(**sizes: Any) -> None:
    case = Case(**sizes)
    true = autograd(lambda x: cosine(x, case.t, case.head), case.x)
    assert relative_error(gradient(case.x, case.t, case.head), true) <= TOLERANCE


@settings(max_examples=25, deadline=None)
@given(**shapes)
def test_linear_gradient_is_autograds_for_any_length_of_w(**sizes: Any) -> None:
    case = Case(**sizes)
    w = 37 * case.t[0]

    def output(x: Tensor) -> Tensor:
        z = model(x, case.head)
        return (z / z.norm(dim=-1, keepdim=True)) @ w + 5.0

    true = autograd(output, case.x)
    assert relative_error(linear_gradient(case.x, w, case.head), true) <= TOLERANCE


def test_gradient_ignores_what_layer_norm_removes() -> None:
    """A shift of all coordinates changes nothing, so the gradient sums to 0."""
    case = Case()
    g = gradient(case.x, case.t, case.head)
    assert float(g.sum(dim=1).abs().max()) < 1e-12
    assert relative_error(gradient(case.x + 7.5, case.t, case.head), g) < 1e-12


def test_gradient_vanishes_at_the_best_possible_output() -> None:
    """With the prompt at z_hat itself, y is 1 and cannot rise."""
    case = Case()
    t = unit(project(case.x, case.head))
    assert float(gradient(case.x, t, case.head).abs().max()) < 1e-14


def test_a_constant_image_keeps_the_bias_and_has_autograds_gradient() -> None:
    case = Case()
    x = torch.full((2, 11), 4.0, dtype=torch.float64)
    true = autograd(lambda x: cosine(x, case.t[:2], case.head), x)
    found = gradient(x, case.t[:2], case.head)
    assert torch.isfinite(found).all()
    assert relative_error(found, true) <= TOLERANCE


def test_huge_and_tiny_images() -> None:
    case = Case()
    for scale in (1e-4, 1e4):
        x = scale * case.x
        true = autograd(lambda x: cosine(x, case.t, case.head), x)
        assert relative_error(gradient(x, case.t, case.head), true) <= TOLERANCE


def test_one_image_of_many_does_not_touch_the_others() -> None:
    case = Case()
    changed = case.x.clone()
    changed[0] = 1e6 * torch.arange(11)
    before, after = (gradient(x, case.t, case.head) for x in (case.x, changed))
    assert torch.equal(before[1:], after[1:])


def test_an_embedding_of_length_0_is_refused() -> None:
    case = Case()
    head = case.head._replace(beta=torch.zeros(11, dtype=torch.float64))
    x = case.x.clone()
    x[1] = 2.0
    with pytest.raises(ValueError, match="1 embeddings have length 0"):
        gradient(x, case.t, head)
