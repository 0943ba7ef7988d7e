"""Closed forms held to autograd and to literal re-runs, in double precision."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.attribution import (
    Codes,
    Head,
    act_grad,
    cosine_outputs,
    decode,
    gradient,
    integrated_gradients,
    linear_gradient,
    logit_lens,
    project,
    unit,
)

TOLERANCE = 1e-9


class Case:
    """A random head, dictionary and images, everything in float64."""

    def __init__(
        self, seed: int = 0, n: int = 3, d: int = 11, p: int = 7, m: int = 13, k: int = 4
    ) -> None:
        g = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=g, dtype=torch.float64)

        # Weights from 0.3 to 3 with both signs and biases around 2: far from 1 and 0.
        sign = torch.where(normal(d) > 0, 1.0, -1.0).double()
        gamma = sign * (0.3 + 2.7 * torch.rand(d, generator=g, dtype=torch.float64))
        self.head = Head(gamma, 2 + 2 * normal(d), 1e-3, normal(d, p))
        self.x = 5 * normal(n, d) + 3
        self.t = unit(normal(n, p))
        self.atoms = unit(normal(m, d))
        slots = [torch.randperm(m, generator=g)[:k] for _ in range(n)]
        self.codes = Codes(torch.stack(slots), 0.1 + 4 * normal(n, k).abs())


def model(x: Tensor, head: Head) -> Tensor:
    """The head, written out."""
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    return ((x - mean) / (variance + head.eps).sqrt() * head.gamma + head.beta) @ head.w_proj


def cosine(x: Tensor, t: Tensor, head: Head) -> Tensor:
    return torch.nn.functional.cosine_similarity(model(x, head), t, dim=-1)


def autograd(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    at = at.clone().requires_grad_(True)
    (found,) = torch.autograd.grad(function(at).sum(), at)
    return found


def relative_error(found: Tensor, true: Tensor) -> float:
    return float((found - true).norm() / true.norm())


def dense(codes: Codes, m: int) -> Tensor:
    a = torch.zeros(len(codes.component), m, dtype=codes.activation.dtype)
    return a.scatter_add(1, codes.component, codes.activation)


def per_slot(case: Case, values: Tensor) -> Tensor:
    return values.gather(1, case.codes.component)


shapes = {
    "seed": st.integers(0, 2**31),
    "n": st.integers(1, 5),
    "d": st.integers(3, 24),
    "p": st.integers(2, 19),
    "m": st.integers(6, 30),
    "k": st.integers(1, 6),
}


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
    for points in (30, 300):
        found = integrated_gradients(case.x, case.t, case.codes, case.atoms, case.head, points)
        errors.append(float((found.sum(dim=1) - difference).abs().max()))
    assert difference.abs().min() > 1e-2
    assert errors[1] < 1e-5
    assert errors[1] < errors[0] / 50


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


def test_the_published_approximation_is_the_exact_form_without_bias_and_eps() -> None:
    """Eq. 6 drops beta and eps: the two agree there, and differ with the trained ones."""
    case = Case()

    def approximate(head: Head) -> Tensor:
        # Relevance of Eq. 6 with LayerNorm's statistics of x: W V centred, against t − y z_hat.
        x = case.x - case.x.mean(dim=1, keepdim=True)
        z = (head.gamma * x) @ head.w_proj
        z_hat = unit(z)
        y = (z_hat * case.t).sum(dim=1, keepdim=True)
        atoms = case.atoms[case.codes.component]
        centred = head.gamma * (atoms - atoms.mean(dim=2, keepdim=True))
        direction = (case.t - y * z_hat) / z.norm(dim=1, keepdim=True)
        return case.codes.activation * torch.einsum(
            "nkd,dp,np->nk", centred, head.w_proj, direction
        )

    def exact(head: Head) -> Tensor:
        return act_grad(gradient(case.x, case.t, head), case.codes, case.atoms)

    bare = case.head._replace(beta=torch.zeros(11, dtype=torch.float64), eps=0.0)
    assert relative_error(exact(bare), approximate(bare)) <= TOLERANCE
    assert relative_error(exact(case.head), approximate(case.head)) > 0.05


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


def test_decode_is_the_dense_product() -> None:
    case = Case()
    true = dense(case.codes, len(case.atoms)) @ case.atoms
    torch.testing.assert_close(decode(case.codes, case.atoms), true)


def test_float32_codes_and_float64_gradient_keep_the_gradients_precision() -> None:
    case = Case()
    codes = Codes(case.codes.component, case.codes.activation.float())
    found = act_grad(gradient(case.x, case.t, case.head), codes, case.atoms)
    assert found.dtype == torch.float64
    same = Codes(codes.component, codes.activation.double())
    true = act_grad(gradient(case.x, case.t, case.head), same, case.atoms)
    torch.testing.assert_close(found, true)


def test_blocks_of_act_grad_join() -> None:
    """So many images that the gathered atoms need several blocks."""
    g = torch.Generator().manual_seed(0)
    n, d, k, m = 5, 2**12, 2**11, 6  # 2 images a block
    codes = Codes(torch.randint(m, (n, k), generator=g), torch.rand(n, k, generator=g))
    atoms, gradients = torch.randn(m, d, generator=g), torch.randn(n, d, generator=g)
    true = codes.activation * (gradients @ atoms.T).gather(1, codes.component)
    torch.testing.assert_close(act_grad(gradients, codes, atoms), true, rtol=1e-3, atol=1e-3)


class TestDegenerate:
    def test_empty_slots_have_no_relevance_and_add_nothing(self) -> None:
        case = Case()
        activation = case.codes.activation.clone()
        activation[1] = 0
        activation[2, 1:] = 0
        codes = Codes(case.codes.component.masked_fill(activation == 0, 0), activation)
        found = act_grad(gradient(case.x, case.t, case.head), codes, case.atoms)
        assert found[activation == 0].eq(0).all()
        assert found[activation > 0].ne(0).all()
        assert decode(codes, case.atoms)[1].eq(0).all()
        spread = integrated_gradients(case.x, case.t, codes, case.atoms, case.head, 3)
        assert spread[activation == 0].eq(0).all()

    def test_a_constant_image_keeps_the_bias_and_has_autograds_gradient(self) -> None:
        case = Case()
        x = torch.full((2, 11), 4.0, dtype=torch.float64)
        true = autograd(lambda x: cosine(x, case.t[:2], case.head), x)
        found = gradient(x, case.t[:2], case.head)
        assert torch.isfinite(found).all()
        assert relative_error(found, true) <= TOLERANCE

    def test_huge_and_tiny_images(self) -> None:
        case = Case()
        for scale in (1e-4, 1e4):
            x = scale * case.x
            true = autograd(lambda x: cosine(x, case.t, case.head), x)
            assert relative_error(gradient(x, case.t, case.head), true) <= TOLERANCE

    def test_one_image_of_many_does_not_touch_the_others(self) -> None:
        case = Case()
        changed = case.x.clone()
        changed[0] = 1e6 * torch.arange(11)
        before, after = (gradient(x, case.t, case.head) for x in (case.x, changed))
        assert torch.equal(before[1:], after[1:])

    def test_an_embedding_of_length_0_is_refused(self) -> None:
        case = Case()
        head = case.head._replace(beta=torch.zeros(11, dtype=torch.float64))
        x = case.x.clone()
        x[1] = 2.0
        with pytest.raises(ValueError, match="1 embeddings have length 0"):
            gradient(x, case.t, head)

    def test_no_points_are_refused(self) -> None:
        case = Case()
        with pytest.raises(ValueError, match="points is 0"):
            integrated_gradients(case.x, case.t, case.codes, case.atoms, case.head, 0)
