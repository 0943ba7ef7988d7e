"""What switching components off changes, held to a literal re-run."""

import pytest
import torch

from audits.explain.effects import outputs
from pipeline.attribution.head import cosine_outputs
from pipeline.attribution.relevance import decode
from pipeline.sae.model import Sae


def test_effects_are_those_of_a_literal_re_run(inputs, head):
    sae = Sae(*inputs.atoms.shape, 6)
    with torch.no_grad():
        sae.atoms.copy_(inputs.atoms)
        sae.encoder_weight.copy_(inputs.atoms)
        sae.bias.copy_(inputs.bias)
    sae.requires_grad_(False)
    for row, prompt in ((0, 1), (95, 0), (200, 2)):
        x, t = inputs.x[row], inputs.texts["short"][prompt]
        found = outputs(x, t, head, sae)
        codes = sae.encode(x[None])

        def y_of(vector, t=t):
            return float(cosine_outputs(vector[None], t[None], head)[0, 0])

        assert found.y == pytest.approx(y_of(x), abs=1e-6)
        assert found.unexplained == pytest.approx(
            y_of(x) - y_of(sae.reconstruct(codes)[0]), abs=1e-6
        )
        assert found.y_components_off == pytest.approx(
            y_of(x - decode(codes, sae.atoms)[0]), abs=1e-6
        )
        assert {e.component for e in found.effects} == set(codes.component[0].tolist())
        for effect in found.effects:
            left = y_of(x - effect.activation * sae.atoms[effect.component])
            assert effect.effect == pytest.approx(y_of(x) - left, abs=1e-6)
            assert effect.share == pytest.approx(effect.effect / abs(found.y))


def test_sides_are_ordered_by_the_exact_effect(inputs, head):
    sae = Sae(*inputs.atoms.shape, 8)
    with torch.no_grad():
        sae.atoms.copy_(inputs.atoms)
        sae.encoder_weight.copy_(inputs.atoms)
    found = outputs(inputs.x[3], inputs.texts["short"][1], head, sae.requires_grad_(False))
    effects = [effect.effect for effect in found.effects]
    assert len(effects) == 8
    assert effects == sorted(effects, reverse=True)
    supporting, opposing = found.supporting(9), found.opposing(9)
    assert supporting and opposing
    assert [*supporting, *reversed(opposing)] == list(found.effects)
    assert found.supporting(1) == [max(found.effects, key=lambda e: e.effect)]
    assert found.opposing(1) == [min(found.effects, key=lambda e: e.effect)]


def test_relevance_is_the_effect_where_a_component_hardly_acts(inputs, head):
    sae = Sae(*inputs.atoms.shape, 2)
    with torch.no_grad():
        sae.atoms.copy_(inputs.atoms)
        sae.encoder_bias[[4, 7]] = torch.tensor([1e-3, 2e-3])
    found = outputs(inputs.x[0], inputs.texts["short"][0], head, sae.requires_grad_(False))
    assert sorted(e.component for e in found.effects) == [4, 7]
    for effect in found.effects:
        assert effect.relevance == pytest.approx(effect.effect, rel=0.01)


def test_an_image_without_an_active_component_has_no_effects(inputs, head):
    sae = Sae(*inputs.atoms.shape, 3)
    with torch.no_grad():
        sae.encoder_bias.fill_(-1.0)
        sae.bias.copy_(inputs.bias)
    found = outputs(inputs.x[0], inputs.texts["short"][0], head, sae.requires_grad_(False))
    assert found.effects == ()
    assert found.y == found.y_components_off != found.y_reconstruction
    assert found.supporting(2) == found.opposing(2) == []


def test_an_output_of_zero_has_no_shares(inputs, head):
    sae = Sae(*inputs.atoms.shape, 3)
    with torch.no_grad():
        sae.atoms.copy_(inputs.atoms)
        sae.encoder_weight.copy_(inputs.atoms)
    found = outputs(inputs.x[0], torch.zeros(18), head, sae.requires_grad_(False))
    assert found.y == 0
    assert [effect.share for effect in found.effects] == [None] * 3
