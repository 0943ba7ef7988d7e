"""What each patch of an image adds to a component's activation before the top k.

For one image, with its attention weights, the scales of its LayerNorms and the gates of its
activation functions held as they are, the tower is linear: w_j · x is then a sum over the patches'
embeddings, and over the class token, positions and biases. Gradient × input of this linear tower
gives each summand, and they add up to w_j · x exactly (Ali et al. 2022, "XAI for Transformers:
Better Explanations through Conservative Propagation"). A patch is measured against the image's mean
colour, with which the deletion test covers it; what a patch of that colour adds is in the rest.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.artifacts.gaps import DoesNotApply
from pipeline.models.catalog import image_tower
from pipeline.models.memory import Fitting
from pipeline.sae.model import Sae

ROWS = 16
"""Images in a pass, fewer where the device's memory is short: of each, all layers are kept until
the gradient is taken."""


class Parts(NamedTuple):
    """Summands of activations before the top k and before the rectifier."""

    patches: Float[Tensor, "n h w"]
    """What each patch of the model's grid adds that one of the image's mean colour would not, by
    rows from the top left; below 0 it takes off."""
    rest: Float[Tensor, " n"]
    """What the mean colour, positions, biases and the class token add, the encoder's bias among
    them."""


def mapped_tower(model: Any) -> VisionTransformer:
    """The image tower of a model of which there can be maps.

    Raises:
        ConfigError: the model cannot be audited, see `image_tower`.
        DoesNotApply: its blocks have further norms or another attention.
    """
    tower = image_tower(model)
    for block in tower.transformer.resblocks:
        if type(block) is not ResidualAttentionBlock:
            raise DoesNotApply(
                f"blocks of the image tower are of class {type(block).__name__}, and maps are "
                "taken through open_clip's ResidualAttentionBlock only"
            )
    return tower


def component_parts(
    model: Any,
    pixels: Float[Tensor, "n 3 h w"],
    sae: Sae,
    components: list[int],
    fitting: Fitting | None = None,
) -> Parts:
    """Parts of one component's activation in each image; float32 on the CPU.

    Args:
        model: what can be audited, on any device, in float32.
        pixels: as the model sees the images.
        sae: of that model.
        components: one an image.
        fitting: images in a pass, as one call of many may have found them; ROWS to begin with.

    Raises:
        ConfigError, DoesNotApply: as `mapped_tower`.
    """
    tower = mapped_tower(model)
    device = next(tower.parameters()).device
    w = sae.encoder_weight.detach()[components]

    def of(rows: slice) -> tuple[Tensor, Tensor]:
        return _parts(tower, pixels[rows].to(device), w[rows].to(device))

    found = (fitting or Fitting(ROWS)).parts(of, len(pixels))
    patches, total = (torch.cat(column).cpu() for column in zip(*found, strict=True))
    whole = total + sae.encoder_bias.detach()[components]
    return Parts(patches, whole - patches.sum(dim=(1, 2)))


def _parts(
    tower: VisionTransformer, pixels: Float[Tensor, "n 3 h w"], w: Float[Tensor, "n d"]
) -> tuple[Float[Tensor, "n h2 w2"], Float[Tensor, " n"]]:
    """Parts of the patches, and w · x."""
    embedded: list[Tensor] = []
    tokens: list[Tensor] = []

    def leaf(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[0]

    with _linear(tower), ExitStack() as hooks, torch.enable_grad():
        hooks.callback(tower.conv1.register_forward_hook(leaf).remove)
        seen = tower.ln_post.register_forward_pre_hook(lambda _, inputs: tokens.append(inputs[0]))
        hooks.callback(seen.remove)
        tower(pixels)
        total = (tokens[0][:, 0] * w).sum(dim=-1)
        (gradient,) = torch.autograd.grad(total.sum(), embedded)
    plain = tower.conv1(pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels))
    return (gradient * (embedded[0] - plain)).sum(dim=1).detach(), total.detach()


@contextmanager
def _linear(tower: VisionTransformer) -> Iterator[None]:
    """The tower with the same outputs, and gradients as if it were linear at the image."""
    blocks = tower.transformer.resblocks
    norms = [tower.ln_pre, *(norm for block in blocks for norm in (block.ln_1, block.ln_2))]
    with ExitStack() as hooks:
        for module, hook in (
            *((norm, _norm) for norm in norms if isinstance(norm, nn.LayerNorm)),
            *((block.attn, _attention) for block in blocks),
            *((block.mlp.gelu, _gate) for block in blocks),
        ):
            hooks.callback(module.register_forward_hook(hook).remove)
        yield


def _norm(norm: nn.LayerNorm, inputs: tuple[Tensor], _output: Tensor) -> Tensor:
    """LayerNorm whose scale is a constant."""
    (x,) = inputs
    scale = (x.var(dim=-1, keepdim=True, unbiased=False) + norm.eps).sqrt().detach()
    return (x - x.mean(dim=-1, keepdim=True)) / scale * norm.weight + norm.bias


def _attention(
    attention: nn.MultiheadAttention, inputs: tuple[Tensor, ...], _output: Any
) -> tuple[Tensor, None]:
    """Self-attention whose weights are constants: a weighted sum of values over tokens."""
    mixed = F.linear(inputs[0], attention.in_proj_weight, attention.in_proj_bias)
    # Each [n, heads, tokens, width of a head].
    q, k, v = mixed.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(dim=-1).detach()
    return attention.out_proj((weights @ v).transpose(1, 2).flatten(2)), None


def _gate(_activation: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """An activation function f as a factor f(x)/x that is a constant; f(0) = 0."""
    (x,) = inputs
    return x * torch.where(x == 0, 0.0, output / x).detach()
