"""Exact first-order attribution of CLIP's output to SAE components, without autograd.

Everything after the last transformer block is a LayerNorm, a projection and a cosine, so the
gradient of the output with respect to the class token has a closed form; relevance needs only
that and the atoms of the components that are active.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
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


class Codes(NamedTuple):
    """Sparse SAE activations, k slots an image; an empty slot has activation 0, component 0."""

    component: Int[Tensor, "n k"]
    activation: Float[Tensor, "n k"]


def project(x: Float[Tensor, "n d"], head: Head) -> Float[Tensor, "n p"]:
    """Projected embedding z = LayerNorm(x) W_proj, not normalised."""
    normed = torch.nn.functional.layer_norm(x, x.shape[-1:], head.gamma, head.beta, head.eps)
    return normed @ head.w_proj


def unit(z: Float[Tensor, "*n p"]) -> Float[Tensor, "*n p"]:
    """z made unit length.

    Raises:
        ValueError: a row has length 0, so that a cosine with it is undefined.
    """
    norm = z.norm(dim=-1, keepdim=True)
    if not bool((norm > 0).all()):
        raise ValueError(f"{int((norm == 0).sum())} embeddings have length 0: no cosine is defined")
    return z / norm


def cosine_outputs(
    x: Float[Tensor, "n d"], t: Float[Tensor, "c p"], head: Head
) -> Float[Tensor, "n c"]:
    """Model outputs y = z_hat · t for unit text embeddings t, cosines in [-1, 1] (paper, Eq. 4)."""
    return unit(project(x, head)) @ t.T


def gradient(x: Float[Tensor, "n d"], t: Float[Tensor, "n p"], head: Head) -> Float[Tensor, "n d"]:
    """∂y/∂x of y = z_hat · t, one prompt for each image; exact for every beta and eps.

    With c = (x − mean x)/σ, σ² = var x + eps:
    u = gamma ∘ ((t − y z_hat) W_projᵀ)/‖z‖ and g = (u − mean u − c mean(u ∘ c))/σ.
    """
    z = project(x, head)
    z_hat = unit(z)
    y = (z_hat * t).sum(dim=-1, keepdim=True)
    du = (t - y * z_hat) / z.norm(dim=-1, keepdim=True)
    return _through_layer_norm(x, du @ head.w_proj.T, head)


def linear_gradient(
    x: Float[Tensor, "n d"], w: Float[Tensor, " p"], head: Head
) -> Float[Tensor, "n d"]:
    """∂y/∂x of a linear classifier's output y = w · z_hat + c0 on unit embeddings."""
    return gradient(x, w.expand(len(x), -1), head)


def _through_layer_norm(
    x: Float[Tensor, "n d"], upstream: Float[Tensor, "n d"], head: Head
) -> Float[Tensor, "n d"]:
    sigma = (x.var(dim=-1, correction=0, keepdim=True) + head.eps).sqrt()
    c = (x - x.mean(dim=-1, keepdim=True)) / sigma
    u = head.gamma * upstream
    return (u - u.mean(dim=-1, keepdim=True) - c * (u * c).mean(dim=-1, keepdim=True)) / sigma


def act_grad(
    g: Float[Tensor, "n d"], codes: Codes, atoms: Float[Tensor, "m d"]
) -> Float[Tensor, "n k"]:
    """Relevance R_j = a_j (V_j · g) of every slot: the first-order effect of zeroing it (Eq. 5)."""
    relevance = torch.empty_like(codes.activation, dtype=g.dtype)
    # Blocks bound the memory of the gathered atoms to about 64 MB.
    rows = max(1, 2**24 // (atoms.shape[1] * codes.component.shape[1]))
    for start in range(0, len(g), rows):
        block = slice(start, start + rows)
        gathered = atoms[codes.component[block]]  # [rows, k, d]
        relevance[block] = torch.einsum("nkd,nd->nk", gathered, g[block])
    return relevance * codes.activation


def logit_lens(
    atoms: Float[Tensor, "m d"], t: Float[Tensor, "c p"], head: Head
) -> Float[Tensor, "m c"]:
    """Cosine of each atom, sent through the head alone, with each prompt (Eq. 3).

    One number for a component and a prompt, the same for every image.
    """
    return cosine_outputs(atoms, t, head)


def integrated_gradients(
    x: Float[Tensor, "n d"],
    t: Float[Tensor, "n p"],
    codes: Codes,
    atoms: Float[Tensor, "m d"],
    head: Head,
    points: int,
) -> Float[Tensor, "n k"]:
    """a_j times the mean of ∂y/∂a_j at `points` midpoints α of the way from codes 0 to codes a.

    Bias and SAE error are kept all the way. As points grows, the relevances of an image sum to
    y(x) − y(x with every component off).
    """
    if points < 1:
        raise ValueError(f"points is {points}: at least 1 is needed")
    decoded = decode(codes, atoms)
    total = torch.zeros_like(x)
    for index in range(points):
        alpha = (index + 0.5) / points
        total += gradient(x - (1 - alpha) * decoded, t, head)
    return act_grad(total / points, codes, atoms)


def decode(codes: Codes, atoms: Float[Tensor, "m d"]) -> Float[Tensor, "n d"]:
    """Σ_j a_j V_j of each image, without the decoder's bias."""
    return torch.nn.functional.embedding_bag(
        codes.component, atoms, per_sample_weights=codes.activation.to(atoms.dtype), mode="sum"
    )
