"""Whether a map shows what a component fires on: cover its brightest tenth and look again."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.models.catalog import class_tokens
from pipeline.sae.model import Sae

SHARE = 0.1
"""Of an image's patches that are covered, at least one."""

TESTED = 1000
"""Maps whose brightest tenth is covered, the first ones, and what fills their last batch:
enough for a standard error of 0.01."""


class Drops(NamedTuple):
    """How much of an activation goes when patches are covered, as a fraction of it; 1 is all."""

    brightest: Float[Tensor, " n"]
    random: Float[Tensor, " n"]


def brightest(patches: Float[Tensor, "n h w"]) -> Bool[Tensor, "n h w"]:
    """Whether a patch is among the tenth of its image that adds most."""
    flat = patches.flatten(1)
    count = max(1, round(SHARE * flat.shape[1]))
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    return chosen.scatter(1, flat.topk(count).indices, True).view_as(patches)


def cover(
    pixels: Float[Tensor, "n 3 h w"], patches: Bool[Tensor, "n rows columns"]
) -> Float[Tensor, "n 3 h w"]:
    """Images with some patches in their own mean colour.

    The grid covers the image from the top left; pixels beyond its last whole patch stay.
    """
    high, wide = (
        size // count for size, count in zip(pixels.shape[2:], patches.shape[1:], strict=True)
    )
    mask = torch.zeros_like(pixels[:, 0], dtype=torch.bool)
    large = patches.repeat_interleave(high, dim=1).repeat_interleave(wide, dim=2)
    mask[:, : large.shape[1], : large.shape[2]] = large
    return torch.where(mask[:, None], pixels.mean(dim=(2, 3), keepdim=True), pixels)


@torch.inference_mode()
def activation(
    model: Any, pixels: Float[Tensor, "n 3 h w"], sae: Sae, components: list[int]
) -> Float[Tensor, " n"]:
    """One component's activation in each image, rectified, before the top k."""
    x = class_tokens(model, pixels)
    rows = torch.tensor(components)
    return ((x * sae.encoder_weight[rows]).sum(dim=-1) + sae.encoder_bias[rows]).relu()


def drops(
    model: Any,
    pixels: Float[Tensor, "n 3 h w"],
    patches: Float[Tensor, "n rows columns"],
    sae: Sae,
    components: list[int],
    generator: torch.Generator,
) -> Drops:
    """What covering each map's brightest tenth takes of the activation, and a random tenth.

    NaN where a component does not fire on the image.
    """
    before = activation(model, pixels, sae, components)
    chance = torch.rand(patches.shape, generator=generator)
    after = (
        activation(model, cover(pixels, brightest(score)), sae, components)
        for score in (patches, chance)
    )
    return Drops(*((before - left) / before for left in after))
