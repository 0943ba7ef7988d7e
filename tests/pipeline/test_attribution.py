"""Closed forms held to autograd and to literal re-runs, in double precision."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline import attribution
from pipeline.attribution import (
    Codes,
    Head,
    ablation,
    act_grad,
    act_grad_prompts,
    bridge,
    cosine_outputs,
    decode,
    energy,
    gradient,
    integrated_gradients,
    linear_gradient,
    logit_lens,
    project,
    random_relevance,
    slot_dots,
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


def every_method(case: Case, bare: bool = True) -> dict[str, Tensor]:
    """Relevance by every method; the bridge, whose head is bare, only where asked for."""
    x, t, codes, atoms, head = case.x, case.t, case.codes, case.atoms, case.head
    bridged = {"bridge": bridge(x, t, codes, atoms, head).relevance()} if bare else {}
    return bridged | {
        "act_grad": act_grad(gradient(x, t, head), codes, atoms),
        "integrated_gradients": integrated_gradients(x, t, codes, atoms, head, 3),
        "ablation": ablation(x, t, codes, atoms, head),
        "energy": energy(codes, atoms),
        "random": random_relevance(codes, torch.Generator().manual_seed(0)),
    }


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


@settings(max_examples=25, deadline=None)
@given(prompts=st.integers(1, 9), unit_length=st.booleans(), **shapes)
def test_many_prompts_are_autograds_one_by_one(
    prompts: int, unit_length: bool, **sizes: Any
) -> None:
    """Unit prompts and classifiers' weights of any length alike."""
    case = Case(**sizes)
    g = torch.Generator().manual_seed(prompts)
    t = torch.randn(prompts, case.t.shape[1], generator=g, dtype=torch.float64)
    t = unit(t) if unit_length else 23 * t
    found = act_grad_prompts(case.x, t, case.codes, case.atoms, case.head)
    a = dense(case.codes, len(case.atoms))
    residual = case.x - a @ case.atoms

    def output(a: Tensor, prompt: Tensor) -> Tensor:
        z = model(a @ case.atoms + residual, case.head)
        return (z / z.norm(dim=-1, keepdim=True)) @ prompt

    for index, prompt in enumerate(t):
        by_activation = autograd(lambda a, prompt=prompt: output(a, prompt), a)
        true = per_slot(case, a * by_activation)
        assert relative_error(found[..., index], true) <= TOLERANCE


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


def test_the_bridge_is_the_exact_form_without_bias_and_eps() -> None:
    """Eq. 6 drops beta and eps: the two agree there, and differ with the trained ones."""
    case = Case()

    def exact(head: Head) -> Tensor:
        return act_grad(gradient(case.x, case.t, head), case.codes, case.atoms)

    bare = case.head._replace(beta=torch.zeros(11, dtype=torch.float64), eps=0.0)
    parts = bridge(case.x, case.t, case.codes, case.atoms, case.head)
    assert relative_error(exact(bare), parts.relevance()) <= TOLERANCE
    assert relative_error(exact(case.head), parts.relevance()) > 0.05
    lens = logit_lens(case.atoms, case.t, bare)[case.codes.component]  # [n, k, c], own prompts
    own = lens[torch.arange(3), :, torch.arange(3)]
    torch.testing.assert_close(parts.lens, own, rtol=1e-9, atol=1e-12)


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


def test_dots_in_single_precision_are_the_products_and_do_not_depend_on_threads() -> None:
    g = torch.Generator().manual_seed(0)
    n, d, k, m = 70, 48, 6, 90
    component = torch.randint(m, (n, k), generator=g)
    component[3] = 0  # as empty slots have it
    atoms, vectors = torch.randn(m, d, generator=g), torch.randn(n, d, generator=g)
    found = slot_dots(vectors, component, atoms)
    true = (vectors.double() @ atoms.double().T).gather(1, component)
    assert found.dtype == torch.float32
    assert relative_error(found.double(), true) < 1e-6
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert slot_dots(vectors, component, atoms).equal(found)
    finally:
        torch.set_num_threads(threads)
    few = component % 4  # fewer atoms than slots
    expected = (vectors @ atoms[:4].T).gather(1, few)
    torch.testing.assert_close(slot_dots(vectors, few, atoms[:4]), expected)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_blocks_join(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many images are worked on at once, results are those of all at once."""
    case = Case(n=5)

    def everything() -> dict[str, Tensor]:
        found = every_method(case)
        prompts = unit(torch.cat([case.t, -case.t + 0.1]))
        many = act_grad_prompts(case.x, prompts, case.codes, case.atoms, case.head)
        return found | {"many": many}

    whole = everything()
    monkeypatch.setattr(attribution, "CACHED_ROWS", rows)
    monkeypatch.setattr(attribution, "ORDERED_ROWS", rows)
    for name, found in everything().items():
        torch.testing.assert_close(found, whole[name], rtol=1e-11, atol=1e-14, msg=name)


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

    @settings(max_examples=25, deadline=None)
    @given(
        what=st.sampled_from(["constant x", "nothing active", "zero text", "one component"]),
        row=st.integers(0, 4),
        **shapes,
    )
    def test_every_method_is_finite_and_leaves_the_other_rows_alone(
        self, what: str, row: int, **sizes: Any
    ) -> None:
        case = Case(**sizes)
        row %= len(case.x)
        before = every_method(case)
        t, x, activation = case.t.clone(), case.x.clone(), case.codes.activation.clone()
        if what == "constant x":
            x[row] = 4.0
        elif what == "zero text":
            t[row] = 0.0
        else:
            activation[row, what == "one component" :] = 0.0
        case.t, case.x = t, x
        component = case.codes.component.masked_fill(activation == 0, 0)
        case.codes = Codes(component, activation)
        methods = every_method(case, bare=what != "constant x")
        others = torch.arange(len(x)) != row
        for name, found in methods.items():
            assert torch.isfinite(found).all(), name
            assert found[activation == 0].eq(0).all(), name
            if name != "random":
                expected = before[name][others]
                torch.testing.assert_close(found[others], expected, rtol=1e-8, atol=1e-13)
        if what == "zero text":
            for name in ("act_grad", "integrated_gradients", "bridge", "ablation"):
                assert methods[name][row].eq(0).all(), name

    def test_a_constant_image_has_no_bridge(self) -> None:
        """Without beta and eps its embedding is 0: refused, and not made up."""
        case = Case()
        case.x[1] = 4.0
        with pytest.raises(ValueError, match="1 embeddings have length 0"):
            bridge(case.x, case.t, case.codes, case.atoms, case.head)

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
