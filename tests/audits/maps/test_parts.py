"""Parts of an activation: they add up, and the linear tower is the tower."""

import pytest
import torch
from open_clip.transformer import VisionTransformer
from torch import nn

from audits.maps import parts
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import ConfigError
from pipeline.models.catalog import class_tokens
from pipeline.models.memory import Fitting
from pipeline.sae.model import Sae

COMPONENTS = [3, 0, 4, 3, 1]


def tower(**changes) -> VisionTransformer:
    """A tower of 3 × 2 patches in float64, all of whose numbers are random, LayerScale's too."""
    made = VisionTransformer(
        image_size=(24, 16), patch_size=8, width=12, layers=3, heads=3, mlp_ratio=2.0,
        output_dim=6, **({"ls_init_value": 0.5} | changes),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        parameter.data = 0.4 * torch.randn(parameter.shape, generator=generator) + 0.1
    return made.double().eval()


class Model(nn.Module):
    def __init__(self, visual: VisionTransformer) -> None:
        super().__init__()
        self.visual = visual

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.visual(pixels)


@pytest.fixture
def sae() -> Sae:
    generator = torch.Generator().manual_seed(2)
    made = Sae(6, 12, 2).double()
    for tensor in (made.encoder_weight, made.encoder_bias):
        tensor.data = torch.randn(tensor.shape, generator=generator).double()
    return made.requires_grad_(False)


@pytest.fixture
def pixels() -> torch.Tensor:
    return torch.randn(5, 3, 24, 16, generator=torch.Generator().manual_seed(3)).double()


def additive(made: VisionTransformer) -> list[nn.Parameter]:
    """All that is added to tokens whatever the image."""
    found = [made.class_embedding, made.positional_embedding, made.ln_pre.bias]
    for block in made.transformer.resblocks:
        attention, mlp = block.attn, block.mlp
        found += [block.ln_1.bias, block.ln_2.bias, attention.in_proj_bias]
        found += [attention.out_proj.bias, mlp.c_fc.bias, mlp.c_proj.bias]
    return found


def before_top_k(model: Model, pixels: torch.Tensor, sae: Sae) -> torch.Tensor:
    x = class_tokens(model, pixels).double()
    return (x * sae.encoder_weight[COMPONENTS]).sum(dim=-1) + sae.encoder_bias[COMPONENTS]


def test_parts_and_the_rest_are_the_activation_before_the_top_k(pixels, sae):
    model = Model(tower().requires_grad_(False))
    found = parts.component_parts(model, pixels, sae, COMPONENTS)
    assert found.patches.shape == (5, 3, 2)
    whole = found.patches.sum(dim=(1, 2)) + found.rest
    # class_tokens rounds to float32.
    assert torch.allclose(whole, before_top_k(model, pixels, sae), atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"act_layer": nn.ReLU}, {"ls_init_value": None}])
def test_the_rest_is_mean_colour_positions_biases_and_class_token(pixels, sae, changes):
    """What no patch adds, summed term by term: the decomposition is of nothing else."""
    made = tower(**changes)
    found = parts.component_parts(Model(made.requires_grad_(False)), pixels, sae, COMPONENTS)
    shared = additive(made)
    for row, component in enumerate(COMPONENTS):
        tokens, embedded, image = [], [], pixels[row : row + 1]
        plain = made.conv1(image.mean(dim=(2, 3), keepdim=True).expand_as(image)).detach()
        with parts._linear(made):
            hooks = [
                made.ln_post.register_forward_pre_hook(lambda _, x, t=tokens: t.append(x[0])),
                made.conv1.register_forward_hook(lambda _, x, y, e=embedded: e.append(y)),
            ]
            for parameter in (*shared, made.conv1.weight):
                parameter.requires_grad_()
            made(image)
            for hook in hooks:
                hook.remove()
        total = tokens[0][0, 0] @ sae.encoder_weight[component]
        gradients = torch.autograd.grad(total, [*shared, embedded[0]])
        added = [*shared, plain]
        terms = sum(float((p.detach() * g).sum()) for p, g in zip(added, gradients, strict=True))
        expected = terms + float(sae.encoder_bias[component])
        assert float(found.rest[row]) == pytest.approx(expected, abs=1e-9)


def test_the_tower_is_left_as_it_was(pixels, sae):
    made = tower().requires_grad_(False)
    before = made(pixels)
    with parts._linear(made):
        assert torch.allclose(made(pixels), before, atol=1e-12)
    parts.component_parts(Model(made), pixels, sae, COMPONENTS)
    assert torch.equal(made(pixels), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in made.modules())


def test_parts_of_an_image_depend_on_no_other_and_lie_where_its_patch_is(pixels, sae, monkeypatch):
    model = Model(tower().requires_grad_(False))
    whole = parts.component_parts(model, pixels, sae, COMPONENTS)
    monkeypatch.setattr(parts, "ROWS", 2)
    again = parts.component_parts(model, pixels, sae, COMPONENTS)
    assert torch.allclose(whole.patches, again.patches, atol=1e-12)
    # A patch of the mean colour of all others, and so of all, adds nothing.
    pixels[:, :, 8:16, :8] = 0
    pixels[:, :, 8:16, :8] = pixels.sum(dim=(2, 3), keepdim=True) / (5 * 64)
    found = parts.component_parts(model, pixels, sae, COMPONENTS).patches
    assert found[:, 1, 0].abs().max() < 1e-12
    assert (found.abs() > 1e-6).sum(dim=(1, 2)).tolist() == [5] * 5


def test_other_towers_are_refused(sae):
    with pytest.raises(DoesNotApply, match="of class CustomResidualAttentionBlock"):
        parts.mapped_tower(Model(tower(qk_norm=True)))
    pooled = Model(tower(pool_type="avg"))
    with pytest.raises(ConfigError, match="pool_type"):
        parts.mapped_tower(pooled)


def test_images_that_do_not_fit_the_memory_go_fewer_at_a_time(pixels, sae, monkeypatch):
    model = Model(tower().requires_grad_(False))
    whole = parts.component_parts(model, pixels, sae, COMPONENTS)
    run, sizes = parts._parts, []

    def hungry(made, part, w):
        sizes.append(len(part))
        if len(part) > 2:
            raise torch.OutOfMemoryError("too much")
        return run(made, part, w)

    monkeypatch.setattr(parts, "_parts", hungry)
    fitting = Fitting(parts.ROWS)
    found = parts.component_parts(model, pixels, sae, COMPONENTS, fitting)
    assert sizes == [5, 2, 2, 1]
    assert fitting.rows == 2
    assert torch.allclose(found.patches, whole.patches, atol=1e-12)
    assert torch.allclose(found.rest, whole.rest, atol=1e-12)
