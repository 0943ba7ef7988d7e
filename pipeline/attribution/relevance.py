"""Exact first-order attribution of CLIP's output to SAE components, without autograd.

Everything after the last transformer block is a LayerNorm, a projection and a cosine, so the
gradient of the output with respect to the class token has a closed form; relevance needs only
that and the atoms of the components that are active.
"""

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.attribution.head import Head, _normed, cosine_outputs, project, unit

CACHED_ROWS = 256
"""Embeddings worked on at once: what is computed on the way stays in a core's cache."""
ORDERED_ROWS = 4096
"""Images whose slots are put in the order of components at once: their vectors stay in cache."""


class Codes(NamedTuple):
    """Sparse SAE activations, k slots an image; an empty slot has activation 0, component 0."""

    component: Int[Tensor, "n k"]
    activation: Float[Tensor, "n k"]


def blocks(count: int, size: int) -> Iterator[slice]:
    """Consecutive rows, at most `size` and at least 1 at once."""
    size = max(1, size)
    return (slice(start, start + size) for start in range(0, count, size))


def gradient(x: Float[Tensor, "n d"], t: Float[Tensor, "n p"], head: Head) -> Float[Tensor, "n d"]:
    """∂y/∂x of y = z_hat · t, one prompt for each image; exact for every beta and eps.

    With c = (x − mean x)/σ, σ² = var x + eps:
    u = gamma ∘ ((t − y z_hat) W_projᵀ)/‖z‖ and g = (u − mean u − c mean(u ∘ c))/σ.
    """
    g = torch.empty_like(x)
    for rows in blocks(len(x), CACHED_ROWS):
        c, sigma = _normed(x[rows], head)
        z = torch.addcmul(head.beta, c, head.gamma) @ head.w_proj  # project(x[rows], head)
        z_hat = unit(z)
        y = (z_hat * t[rows]).sum(dim=-1, keepdim=True)
        du = torch.addcmul(t[rows], y, z_hat, value=-1) / z.norm(dim=-1, keepdim=True)
        g[rows] = _through_layer_norm(c, du @ head.w_proj.T, head) / sigma
    return g


def linear_gradient(
    x: Float[Tensor, "n d"], w: Float[Tensor, " p"], head: Head
) -> Float[Tensor, "n d"]:
    """∂y/∂x of a linear classifier's output y = w · z_hat + c0 on unit embeddings."""
    return gradient(x, w.expand(len(x), -1), head)


def _through_layer_norm(
    c: Float[Tensor, "n d"], upstream: Float[Tensor, "n d"], head: Head
) -> Float[Tensor, "n d"]:
    """From the gradient with respect to LayerNorm's output, σ times that with respect to x."""
    u = head.gamma * upstream
    along = (u * c).mean(dim=-1, keepdim=True)
    u -= u.mean(dim=-1, keepdim=True)
    return u.addcmul_(c, along, value=-1)


def act_grad(
    g: Float[Tensor, "n d"], codes: Codes, atoms: Float[Tensor, "m d"]
) -> Float[Tensor, "n k"]:
    """Relevance R_j = a_j (V_j · g) of every slot: the first-order effect of zeroing it (Eq. 5).

    >>> codes = Codes(torch.tensor([[2, 0]]), torch.tensor([[3.0, 0.5]]))
    >>> atoms = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    >>> act_grad(torch.tensor([[10.0, 0.0]]), codes, atoms)
    tensor([[18.,  5.]])
    """
    return slot_dots(g, codes.component, atoms) * codes.activation


def slot_dots(
    vectors: Float[Tensor, "n d"], component: Int[Tensor, "n k"], atoms: Float[Tensor, "m d"]
) -> Float[Tensor, "n k"]:
    """V_j · vector of every slot and its image's vector; no atom is copied.

    Slots are taken in the order of components: an atom comes from memory once for thousands of
    images, and their vectors, which are far fewer than the atoms, from the cache.
    """
    width = component.shape[1]
    if len(atoms) < width:  # fewer than the result's: all products are the short way
        return (vectors @ atoms.T).gather(1, component.long())
    dots = torch.empty(component.shape, dtype=vectors.dtype)
    for rows in blocks(len(component), ORDERED_ROWS):
        slots = component[rows].flatten().int()
        order = slots.argsort(stable=True)
        starts = torch.zeros(len(atoms) + 1, dtype=torch.int32)
        starts[1:] = torch.bincount(slots, minlength=len(atoms)).cumsum(0)
        image = (order // width).int()
        found = _dots(starts, image, atoms, vectors[rows])
        dots.view(-1)[rows.start * width :][order] = found
    return dots


def _dots(
    starts: Int[Tensor, " m_1"],
    image: Int[Tensor, " s"],
    atoms: Float[Tensor, "m d"],
    vectors: Float[Tensor, "n d"],
) -> Float[Tensor, " s"]:
    """V_j · vector of pairs: images `image[starts[j]:starts[j + 1]]` go with atom j."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        pairs = torch.sparse_csr_tensor(
            starts,
            image,
            torch.zeros(len(image), dtype=vectors.dtype),
            (len(atoms), len(vectors)),
            check_invariants=False,  # empty slots make a pair occur twice
        )
    return torch.sparse.sampled_addmm(pairs, atoms, vectors.T, beta=0).values()


def logit_lens(
    atoms: Float[Tensor, "m d"], t: Float[Tensor, "c p"], head: Head
) -> Float[Tensor, "m c"]:
    """Cosine of each atom, sent through the head alone, with each prompt (Eq. 3).

    One number for a component and a prompt, the same for every image.
    """
    return cosine_outputs(atoms, t, head)


def energy(codes: Codes, atoms: Float[Tensor, "m d"]) -> Float[Tensor, "n k"]:
    """a_j ‖V_j‖ of every slot: how much of x it makes up, whatever is asked."""
    return codes.activation * atoms.norm(dim=1)[codes.component]


def random_relevance(codes: Codes, generator: torch.Generator) -> Float[Tensor, "n k"]:
    """Numbers from 0 to 1 drawn for every slot, 0 for empty ones: the order of chance."""
    draw = torch.rand(codes.activation.shape, generator=generator, dtype=codes.activation.dtype)
    return draw * (codes.activation > 0)


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
    missing = 1 - (torch.arange(points, dtype=x.dtype) + 0.5) / points
    mean = torch.empty_like(x)
    for rows in blocks(len(x), CACHED_ROWS // points):
        way = x[rows, None] - missing[:, None] * decoded[rows, None]  # [rows, points, d]
        asked = t[rows].repeat_interleave(points, dim=0)
        mean[rows] = gradient(way.flatten(0, 1), asked, head).view_as(way).mean(dim=1)
    return act_grad(mean, codes, atoms)


def ablation(
    x: Float[Tensor, "n d"],
    t: Float[Tensor, "n p"],
    codes: Codes,
    atoms: Float[Tensor, "m d"],
    head: Head,
) -> Float[Tensor, "n k"]:
    """y − y with the one slot's activation at 0, exact: what every relevance estimates.

    0 for empty slots. A small difference of outputs: float64 keeps its digits.
    """
    effects = torch.empty(codes.activation.shape, dtype=x.dtype)
    for rows in blocks(len(x), CACHED_ROWS // max(1, codes.component.shape[1])):
        parts = codes.activation[rows, :, None] * atoms[codes.component[rows]]  # [rows, k, d]
        without = unit(project((x[rows, None] - parts).flatten(0, 1), head))
        y_without = (without.view(*parts.shape[:2], without.shape[1]) * t[rows, None]).sum(dim=-1)
        y = (unit(project(x[rows], head)) * t[rows]).sum(dim=-1, keepdim=True)
        effects[rows] = y - y_without
    return effects.masked_fill(codes.activation == 0, 0)


def activations(codes: Codes, components: int) -> Float[Tensor, "n m"]:
    """Activation of every component on each image, 0 where off."""
    dense = torch.zeros(len(codes.component), components, dtype=codes.activation.dtype)
    return dense.scatter_add_(1, codes.component.long(), codes.activation)


def decode(codes: Codes, atoms: Float[Tensor, "m d"]) -> Float[Tensor, "n d"]:
    """Σ_j a_j V_j of each image, without the decoder's bias.

    >>> codes = Codes(torch.tensor([[1, 0]]), torch.tensor([[2.0, 0.5]]))
    >>> decode(codes, torch.tensor([[1.0, 0.0], [0.6, 0.8]]))
    tensor([[1.7000, 1.6000]])
    """
    if not codes.component.numel():  # which embedding_bag refuses
        return atoms.new_zeros(len(codes.component), atoms.shape[1])
    return torch.nn.functional.embedding_bag(
        codes.component, atoms, per_sample_weights=codes.activation.to(atoms.dtype), mode="sum"
    )
