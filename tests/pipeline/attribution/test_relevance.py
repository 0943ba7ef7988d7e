"""Each method's relevance held to its definition: autograd, literal re-runs, values by hand."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from pipeline.attribution.head import unit
from pipeline.attribution.relevance import (
    Codes,
    ablation,
    act_grad,
    decode,
    energy,
    gradient,
    integrated_gradients,
    logit_lens,
    random_relevance,
)
from tests.pipeline.attribution.invented import (
    TOLERANCE,
    Case,
    autograd,
    cosine,
    dense,
    per_slot,
    relative_error,
    shapes,
)


def test_decode_is_the_dense_product() -> None:
    case = Case()
    true = dense(case.codes, len(case.atoms)) @ case.atoms
    torch.testing.assert_close(decode(case.codes, case.atoms), true)


@settings(max_examples=25, deadline=None)
@given(**shapes)
def test_act_grad_is_activation_times_autograds_derivative(**sizes: Any) -> None:
    case = Case(**sizes)
    a = dense(case.codes, len(case.atoms))
    residual = case.x - a @ case.atoms
    by_activation = autograd(lambda a: cosine(a @ case.atoms + residual, case.t, case.head), a)
    found = act_grad(gradient(case.x, case.t, case.head), case.codes, case.atoms)
    true = per_slot(case, a * by_activation)
    assert relative_error(found, true) <= TOLERANCE


@settings(max_examples=15, deadline=None)
@given(**shapes)
def test_ablation_is_the_literal_re_run(**sizes: Any) -> None:
    case = Case(**sizes)
    found = ablation(case.x, case.t, case.codes, case.atoms, case.head)
    a = dense(case.codes, len(case.atoms))
    bias = case.x - a @ case.atoms
    full = cosine(case.x, case.t, case.head)
    for slot in range(found.shape[1]):
        without = a.scatter(1, case.codes.component[:, [slot]], 0.0)
        effect = full - cosine(without @ case.atoms + bias, case.t, case.head)
        torch.testing.assert_close(found[:, slot], effect, rtol=1e-9, atol=1e-13)


def test_energy_and_random_relevance() -> None:
    codes = Codes(torch.tensor([[1, 0, 2]]), torch.tensor([[2.0, 0.0, 0.5]]))
    atoms = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, -2.0]])
    assert energy(codes, atoms).tolist() == [[10.0, 0.0, 1.0]]

    def drawn(seed: int) -> Tensor:
        return random_relevance(codes, torch.Generator().manual_seed(seed))

    assert (drawn(0) > 0).tolist() == [[True, False, True]] and bool((drawn(0) < 1).all())
    assert drawn(0).equal(drawn(0)) and not drawn(0).equal(drawn(1))


@settings(max_examples=10, deadline=None)
@given(**shapes)
def test_integrated_gradients_is_the_mean_of_autograds_at_midpoints(**sizes: Any) -> None:
    case = Case(**sizes)
    a = dense(case.codes, len(case.atoms))
    residual = case.x - a @ case.atoms
    points = 4
    mean = sum(
        autograd(
            lambda a: cosine(a @ case.atoms + residual, case.t, case.head),
            (index + 0.5) / points * a,
        )
        for index in range(points)
    )
    true = per_slot(case, a * mean / points)
    found = integrated_gradients(case.x, case.t, case.codes, case.atoms, case.head, points)
    assert relative_error(found, true) <= TOLERANCE


def test_integrated_gradients_is_complete() -> None:
    """Relevances sum to y(x) − y(everything off), and converge as midpoints do: error ~ 1/N²."""
    case = Case(n=4)
    off = case.x - decode(case.codes, case.atoms)
    difference = cosine(case.x, case.t, case.head) - cosine(off, case.t, case.head)
    errors = []
    for points in (10, 30, 90, 270):
        found = integrated_gradients(case.x, case.t, case.codes, case.atoms, case.head, points)
        errors.append(float((found.sum(dim=1) - difference).abs().max()))
    assert difference.abs().min() > 1e-2
    assert errors[-1] < 1e-5
    for before, after in pairwise(errors):
        assert after < before / 7  # three times the points: a ninth of the error


def test_act_grad_predicts_the_literal_ablation_of_small_activations() -> None:
    """Re-running with one activation at 0: the error of first order falls with its square."""
    case = Case()
    for scale, bound in ((1e-3, 1e-2), (1e-6, 1e-5)):
        codes = Codes(case.codes.component, scale * case.codes.activation)
        found = act_grad(gradient(case.x, case.t, case.head), codes, case.atoms)
        a = dense(codes, len(case.atoms))
        bias = case.x - a @ case.atoms
        full = cosine(case.x, case.t, case.head)
        for slot in range(codes.component.shape[1]):
            ablated = a.scatter(1, codes.component[:, [slot]], 0.0)
            effect = full - cosine(ablated @ case.atoms + bias, case.t, case.head)
            assert relative_error(found[:, slot], effect) < bound


@pytest.mark.parametrize("n, k, m, c", [(0, 3, 5, 2), (4, 0, 5, 2), (4, 3, 5, 0), (0, 0, 0, 0)])
def test_of_nothing_there_is_nothing(n, k, m, c, head):
    """No images, no slots, no prompts, or nothing at all: no error, and the sizes that follow."""
    generator = torch.Generator().manual_seed(0)
    x, atoms = (torch.randn(rows, 24, generator=generator) for rows in (n, m))
    t, prompts = (unit(torch.randn(rows, 18, generator=generator)) for rows in (n, c))
    codes = Codes(torch.zeros(n, k, dtype=torch.long), torch.zeros(n, k))
    assert act_grad(gradient(x, t, head), codes, atoms).shape == (n, k)
    assert logit_lens(atoms, prompts, head).shape == (m, c)
    assert energy(codes, atoms).shape == random_relevance(codes, generator).shape == (n, k)
    assert integrated_gradients(x, t, codes, atoms, head, 3).shape == (n, k)
    assert ablation(x, t, codes, atoms, head).shape == (n, k)
    assert torch.equal(decode(codes, atoms), torch.zeros(n, 24))
