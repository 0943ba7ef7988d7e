"""New beginnings for components that have died."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.sae.model import encode_blocks
from pipeline.sae.trainee import Trainee

ENCODER_SHARE = 0.5
"""Length of a revived component's encoder, of the mean length of the living ones'."""


@torch.no_grad()
def revive(
    trainee: Trainee,
    optimizer: Any,
    dead: Bool[Tensor, " m"],
    x: Float[Tensor, "n d"],
    seed: int,
) -> None:
    """Start dead components anew at what the SAE leaves of some tokens.

    Tokens are drawn without replacement with a probability proportional to their squared error;
    atom and encoder become the direction of the error, the encoder shorter than others so that the
    component fires on few images at first, and the optimizer forgets what it knew of them. Where
    there are fewer tokens with an error than dead components, the rest stays as it is.

    Args:
        trainee: changed in place.
        optimizer: of its parameters, changed in place.
        dead: components.
        x: tokens to draw from.
        seed: of the draw.
    """
    sae = trainee.served()
    x = x.to(trainee.atoms.device)
    error = x - sae.reconstruct(encode_blocks(sae, x))
    weight = error.square().sum(dim=1).cpu()
    index = torch.nonzero(dead).flatten()[: int((weight > 0).sum())]
    if not len(index):
        return
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(weight.double(), len(index), generator=generator)
    direction = torch.nn.functional.normalize(error[drawn.to(error.device)], dim=1)
    living = trainee.encoder_weight[~dead]
    length = float(living.norm(dim=1).mean()) if len(living) else 1.0
    trainee.atoms[index] = direction
    trainee.encoder_weight[index] = direction * (ENCODER_SHARE * length)
    trainee.encoder_bias[index] = 0.0
    trainee.idle[index] = 0
    for parameter in (trainee.atoms, trainee.encoder_weight, trainee.encoder_bias):
        for moment in ("exp_avg", "exp_avg_sq"):
            optimizer.state[parameter][moment][index] = 0.0
