"""How far a dictionary can be trusted: what it recovers and how it uses its components."""

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.attribution import Codes, Head, cosine_outputs


def explained_variance(x: Float[Tensor, "n d"], x_hat: Float[Tensor, "n d"]) -> float:
    """Share of the variance of x that x_hat recovers, all dimensions together.

    1 − Σ‖x_i − x̂_i‖² / Σ‖x_i − x̄‖², x̄ the mean over images, per dimension.
    1 is perfect, 0 is as good as predicting x̄, and it can be negative.

    Raises:
        ValueError: fewer than 2 images, or x is constant.
    """
    if len(x) < 2:
        raise ValueError(f"explained variance of {len(x)} images: at least 2 are needed")
    spread = (x - x.mean(dim=0)).square().sum()
    if not float(spread) > 0:
        raise ValueError("explained variance of a constant x is undefined")
    return 1 - float((x - x_hat).square().sum() / spread)


def mean_cosine(x: Float[Tensor, "n d"], x_hat: Float[Tensor, "n d"]) -> float:
    """Mean over images of cos(x, x̂): 1 is perfect, 0 unrelated."""
    return float(torch.nn.functional.cosine_similarity(x, x_hat, dim=-1).mean())


def l0(codes: Codes) -> float:
    """Mean number of active components an image, from 0 to k."""
    return float((codes.activation > 0).sum(dim=-1).float().mean())


def alive_fraction(codes: Codes, components: int) -> float:
    """Fraction of components that are active on at least one of the images, in [0, 1]."""
    return len(codes.component[codes.activation > 0].unique()) / components


def zero_shot_agreement(
    x: Float[Tensor, "n d"], x_hat: Float[Tensor, "n d"], t: Float[Tensor, "c p"], head: Head
) -> float:
    """Fraction of images whose best class is the same from x and from its reconstruction."""
    true = cosine_outputs(x, t, head).argmax(dim=-1)
    spliced = cosine_outputs(x_hat, t, head).argmax(dim=-1)
    return float((true == spliced).float().mean())
