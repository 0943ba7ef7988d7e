"""The products of a sparse code with a dictionary, forward and backward, without the zeros.

A dense step of a top-k SAE computes four products of n × m × d: encoding, decoding and the
gradients of both matrices. Here only the encoder's forward is dense; the others visit the n × s
slots that are active. All are sums in a fixed order, so that results are bitwise the same from run
to run; slots are sorted by component once for all gradients of a step.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag


class Bags(NamedTuple):
    """Slots that are summed up together."""

    of: Int[Tensor, "n s"]
    """Number of each slot's bag, rising from slot to slot."""
    bounds: Int[Tensor, " b_1"]
    """Where each bag's slots begin, and the end."""


def bags(part: Int[Tensor, "n s"], parts: int) -> Bags:
    """A bag for each part of each token's slots, parts of a token one after the other.

    Args:
        part: of each slot, from 0 on, rising along a token's slots.
        parts: how many there are.
    """
    n = len(part)
    of = torch.arange(n, device=part.device)[:, None] * parts + part
    every = torch.arange(n * parts + 1, device=part.device)
    return Bags(of, torch.searchsorted(of.flatten(), every))


def weighted_sum(
    rows: Float[Tensor, "m d"],
    index: Int[Tensor, "n s"],
    weight: Float[Tensor, "n s"],
    bounds: Int[Tensor, " b_1"] | None = None,
) -> Float[Tensor, "b d"]:
    """Σ weight · rows[index] over each token's slots, or each bag's where there are bounds."""
    if bounds is None:
        return embedding_bag(index, rows, mode="sum", per_sample_weights=weight)
    return embedding_bag(
        index.flatten(),
        rows,
        bounds,
        mode="sum",
        per_sample_weights=weight.flatten(),
        include_last_offset=True,
    )


def slot_products(
    rows: Float[Tensor, "m d"],
    index: Int[Tensor, "n s"],
    vectors: Float[Tensor, "b d"],
    of: Int[Tensor, "n s"] | None = None,
) -> Float[Tensor, "n s"]:
    """rows[index] · vectors[i] for each slot.

    It is the gradient of `weighted_sum` by its weights. i is a slot's token, or its bag where `of`
    says which.
    """
    if of is None:
        of = torch.arange(len(index), device=index.device)[:, None].expand(index.shape).contiguous()
    slots, bag = index.flatten(), of.flatten()
    # Autograd would call the same kernel, which copies no rows, but after a forward pass, and that
    # reads each slot's row for nothing. Of the offsets only the type is looked at; 0 is a sum.
    products: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        vectors.contiguous(), rows, slots, bag[:1], bag, 0
    )
    return products.view(index.shape)


class Grouped(NamedTuple):
    """The slots of some codes in the order of components."""

    slots: Int[Tensor, " ns"]
    """Places i · s + slot, those of a component in their order."""
    bounds: Int[Tensor, " m_1"]
    """Where each component's begin, and the end."""


def grouped(index: Int[Tensor, "n s"], components: int) -> Grouped:
    """Slots by component."""
    component, slots = index.flatten().sort(stable=True)
    every = torch.arange(components + 1, device=index.device)
    return Grouped(slots, torch.searchsorted(component, every))


def transposed_sum(
    vectors: Float[Tensor, "b d"],
    by: Grouped,
    weight: Float[Tensor, "n s"],
    of: Int[Tensor, "n s"] | None = None,
) -> Float[Tensor, "m d"]:
    """Σ of weight · vectors[i] over the slots with index j, for each component j.

    It is the gradient of `weighted_sum` by its rows. i is a slot's token, or its bag where `of`
    says which.
    """
    if of is None:
        row = torch.div(by.slots, weight.shape[1], rounding_mode="floor")
    else:
        row = of.flatten()[by.slots]
    return embedding_bag(
        row,
        vectors,
        by.bounds,
        mode="sum",
        per_sample_weights=weight.flatten()[by.slots],
        include_last_offset=True,
    )


def slot_sum(by: Grouped, weight: Float[Tensor, "n s"]) -> Float[Tensor, " m"]:
    """Σ of weight over the slots with index j, for each component j."""
    # Wider where that is cheap; MPS has no float64. CUDA has no ordered weighted bincount.
    wide = weight.double() if weight.is_cpu else weight
    rows = wide.reshape(-1, 1)
    summed = embedding_bag(by.slots, rows, by.bounds, mode="sum", include_last_offset=True)
    return summed[:, 0].to(weight.dtype)


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        activation: Tensor,
        atoms: Tensor,
        component: Tensor,
        of: Tensor | None,
        bounds: Tensor | None,
        *by: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(activation, atoms, component, of, *by)
        return weighted_sum(atoms, component, activation, bounds)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        activation, atoms, component, of, *by = ctx.saved_tensors
        gradient = gradient.contiguous()
        by_activation = slot_products(atoms, component, gradient, of)
        by_atoms = transposed_sum(gradient, Grouped(*by), activation, of)
        return by_activation, by_atoms, None, None, None, None, None


class _Select(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, value: Tensor, *by: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, *by)
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor, None, None, None]:
        x, *slots = ctx.saved_tensors
        by = Grouped(*slots)
        return None, transposed_sum(x, by, gradient), slot_sum(by, gradient), None, None, None


def decode(
    activation: Float[Tensor, "n s"],
    atoms: Float[Tensor, "m d"],
    component: Int[Tensor, "n s"],
    by: Grouped,
    within: Bags | None = None,
) -> Float[Tensor, "b d"]:
    """Σ activation · atoms[component] over each token's slots, with gradients for both factors.

    Args:
        activation: of each slot.
        atoms: what is summed.
        component: of each slot.
        by: slots by component, as `grouped` has them.
        within: sums are over each bag's slots, not each token's.
    """
    of, bounds = within or (None, None)
    decoded: Tensor = _Decode.apply(activation, atoms, component, of, bounds, *by)
    return decoded


def selected(
    x: Float[Tensor, "n d"],
    weight: Float[Tensor, "m d"],
    bias: Float[Tensor, " m"],
    value: Float[Tensor, "n s"],
    by: Grouped,
) -> Float[Tensor, "n s"]:
    """`value`, which is x · weight[component] + bias[component], with gradients for both.

    For values that autograd did not see come about. x gets no gradient.

    Args:
        x: encoded tokens.
        weight: of the encoder.
        bias: of the encoder.
        value: of each slot.
        by: slots by component, as `grouped` has them.
    """
    picked: Tensor = _Select.apply(x, weight, bias, value, *by)
    return picked
