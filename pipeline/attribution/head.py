"""The head of a CLIP image tower: LayerNorm and projection of the class token, and its output."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class Head(NamedTuple):
    """What stands between the class token x and the projected embedding z."""

    gamma: Float[Tensor, " d"]
    """LayerNorm weight."""
    beta: Float[Tensor, " d"]
    """LayerNorm bias."""
    eps: float
    """LayerNorm epsilon."""
    w_proj: Float[Tensor, "d p"]
    """Projection."""


def project(x: Float[Tensor, "n d"], head: Head) -> Float[Tensor, "n p"]:
    """Projected embedding z = LayerNorm(x) W_proj, not normalised."""
    normed = torch.nn.functional.layer_norm(x, x.shape[-1:], head.gamma, head.beta, head.eps)
    return normed @ head.w_proj


def unit(z: Float[Tensor, "*n p"]) -> Float[Tensor, "*n p"]:
    """z made unit length.

    >>> unit(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])

    Raises:
        ValueError: a row has length 0 or is not finite, so that a cosine with it is undefined.
    """
    norm = z.norm(dim=-1, keepdim=True)
    undefined = int((~((norm > 0) & norm.isfinite())).sum())
    if undefined:
        raise ValueError(
            f"{undefined} embeddings have length 0 or are not finite: no cosine is defined"
        )
    return z / norm


def cosine_outputs(
    x: Float[Tensor, "n d"], t: Float[Tensor, "c p"], head: Head
) -> Float[Tensor, "n c"]:
    """Model outputs y = z_hat · t for unit text embeddings t, cosines in [-1, 1] (paper, Eq. 4).

    LayerNorm takes (1, 3) to (−1, 1):

    >>> head = Head(torch.ones(2), torch.zeros(2), 0.0, torch.eye(2))
    >>> cosine_outputs(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0], [0.6, 0.8]]), head)
    tensor([[0.7071, 0.1414]])
    """
    return unit(project(x, head)) @ t.T


def _normed(
    x: Float[Tensor, "n d"], head: Head
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n 1"]]:
    """c = (x − mean x)/σ, and σ."""
    variance, mean = torch.var_mean(x, dim=-1, correction=0, keepdim=True)
    sigma = (variance + head.eps).sqrt()
    return (x - mean) / sigma, sigma
