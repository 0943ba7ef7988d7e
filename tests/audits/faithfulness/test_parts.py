"""Mixtures of parts held to literal re-runs and to automatic differentiation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.faithfulness.orders import local_ranks
from audits.faithfulness.parts import (
    FIRST_SLOT,
    ask,
    deletions,
    insertions,
    mix,
    model_of,
    one_off,
    slopes,
    switched,
    take_apart,
)
from pipeline.attribution import relevance as attribution
from pipeline.attribution.relevance import Codes, act_grad, gradient, integrated_gradients
from tests.audits.invented import generator, invented, literal_output


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 5), k=st.integers(1, 7), error=st.booleans())
def test_any_mixture_is_the_literal_re_run(seed: int, n: int, k: int, error: bool) -> None:
    images, texts, model = invented(n=n, k=k, seed=seed)
    images = images._replace(target=torch.full((n,), 1))
    on = torch.rand(n, 4, k, generator=generator(seed)) < 0.5
    parts, prompt = take_apart(images, model), ask(images, texts[1], model)
    found = mix(switched(on, error, torch.float64), parts, prompt, model.head)
    for row in range(n):
        for column in range(4):
            off = images.codes.component[row, ~on[row, column]].tolist()
            true = literal_output(images, texts, model, row, off, error)
            assert float(found[row, column]) == pytest.approx(true, rel=1e-9, abs=1e-12)


def test_deletion_and_insertion_are_literal_re_runs() -> None:
    images, texts, model = invented(n=4)
    images = images._replace(target=torch.full((4,), 2))
    parts, prompt = take_apart(images, model), ask(images, texts[2], model)
    ranks = local_ranks(torch.rand(4, 6, generator=generator(1)))
    deletion, insertion = (
        mix(switched(switch(ranks, 7), True, torch.float64), parts, prompt, model.head)
        for switch in (deletions, insertions)
    )
    assert deletion.shape == insertion.shape == (4, 8)
    for row in range(4):
        order = images.codes.component[row, ranks[row].argsort()].tolist()
        for step in range(8):
            kept, removed = order[step:], order[:step]
            for curve, off in ((deletion, removed), (insertion, kept)):
                true = literal_output(images, texts, model, row, off)
                assert float(curve[row, step]) == pytest.approx(true, rel=1e-9)


def test_slopes_are_the_relevances_of_the_closed_form() -> None:
    images, texts, model = invented(n=5)
    parts, prompt = take_apart(images, model), ask(images, texts[1], model)
    weights = torch.ones(5, 10, FIRST_SLOT + 6, dtype=torch.float64)
    t = texts[1].expand(5, -1)
    found = slopes(weights[:, :1], parts, prompt, model.head)[:, 0]
    true = act_grad(gradient(images.x, t, model.head), images.codes, model.atoms)
    torch.testing.assert_close(found, true, rtol=1e-9, atol=1e-14)
    weights[:, :, FIRST_SLOT:] *= ((torch.arange(10, dtype=torch.float64) + 0.5) / 10)[:, None]
    found = slopes(weights, parts, prompt, model.head).mean(dim=1)
    true = integrated_gradients(images.x, t, images.codes, model.atoms, model.head, 10)
    torch.testing.assert_close(found, true, rtol=1e-9, atol=1e-14)


def test_slopes_of_any_mixture_are_autograds() -> None:
    images, texts, model = invented(n=3)
    parts, prompt = take_apart(images, model), ask(images, texts[0], model)
    weights = torch.rand(3, 4, FIRST_SLOT + 6, generator=generator(), dtype=torch.float64)
    found = slopes(weights, parts, prompt, model.head)
    components = images.codes.activation[..., None] * model.atoms[images.codes.component]
    error = images.x - model.bias - components.sum(dim=1)
    moved = weights.clone().requires_grad_(True)
    pieces = torch.cat([torch.stack([model.bias.expand(3, -1), error], dim=1), components], dim=1)
    x = (moved @ pieces).flatten(0, 1)
    y = attribution.cosine_outputs(x, texts[:1], model.head)
    (true,) = torch.autograd.grad(y.sum(), moved)
    torch.testing.assert_close(found, true[..., FIRST_SLOT:], rtol=1e-9, atol=1e-13)


def test_one_off_is_the_exact_ablation() -> None:
    images, texts, model = invented(n=3)
    parts, prompt = take_apart(images, model), ask(images, texts[2], model)
    on = torch.ones(3, 1, 6, dtype=torch.bool)
    y = mix(switched(on, True, torch.float64), parts, prompt, model.head)
    without = mix(switched(one_off(images), True, torch.float64), parts, prompt, model.head)
    t = texts[2].expand(3, -1)
    true = attribution.ablation(images.x, t, images.codes, model.atoms, model.head)
    torch.testing.assert_close(y - without, true, rtol=1e-8, atol=1e-13)


def test_blocks_join(monkeypatch: pytest.MonkeyPatch) -> None:
    images, texts, model = invented(n=7)
    on = torch.rand(7, 5, 6, generator=generator()) < 0.5

    def everything() -> torch.Tensor:
        same = model_of(model.head, model.atoms, model.bias)
        parts, prompt = take_apart(images, same), ask(images, texts[1], same)
        return mix(switched(on, True, torch.float64), parts, prompt, model.head)

    whole = everything()
    monkeypatch.setattr("audits.faithfulness.parts.PARTS_AT_ONCE", 17)
    monkeypatch.setattr("audits.faithfulness.parts.WEIGHTS_AT_ONCE", 90)
    torch.testing.assert_close(everything(), whole, rtol=1e-11, atol=1e-14)


def test_an_image_without_active_components_is_its_bias_and_error() -> None:
    images, texts, model = invented(n=4)
    codes = Codes(torch.zeros_like(images.codes.component), torch.zeros(4, 6, dtype=torch.float64))
    images = images._replace(codes=codes, target=torch.full((4,), 1))
    parts, prompt = take_apart(images, model), ask(images, texts[1], model)
    ranks = local_ranks(torch.full((4, 6), -torch.inf))
    y = mix(switched(deletions(ranks, 3), True, torch.float64), parts, prompt, model.head)
    for row in range(4):
        true = literal_output(images, texts, model, row, [])
        assert y[row].tolist() == pytest.approx([true] * 4)
    weights = torch.ones(4, 1, FIRST_SLOT + 6, dtype=torch.float64)
    assert slopes(weights, parts, prompt, model.head).eq(0).all()


def test_parts_that_cancel_are_refused() -> None:
    """With nothing but an error that undoes its only component, no cosine is left."""
    images, texts, model = invented(n=2, k=1)
    bare = model.head._replace(beta=torch.zeros(24, dtype=torch.float64))
    model = model_of(bare, model.atoms, torch.zeros(24, dtype=torch.float64))
    images = images._replace(x=torch.full((2, 24), 3.0, dtype=torch.float64))
    parts, prompt = take_apart(images, model), ask(images, texts[0], model)
    on = torch.ones(2, 1, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match="2 mixtures of an image's components cancel out"):
        mix(switched(on, True, torch.float64), parts, prompt, model.head)
