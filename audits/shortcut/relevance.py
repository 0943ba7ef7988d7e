"""What each component contributes to a classifier's output."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.artifacts.gaps import DoesNotApply
from pipeline.attribution.relevance import Codes, act_grad


class Relevance(NamedTuple):
    """What each component contributes to a classifier's output, over n images."""

    share: Float[Tensor, " m"]
    """Mean |R_j| as a fraction of the sum over components; sums to 1."""
    mean: Float[Tensor, " m"]
    """Mean R_j, 0 where off: above 0 speaks for the positive side."""
    activation: Float[Tensor, " m"]
    """Mean activation, 0 where off."""


def relevance(gradient: Float[Tensor, "n d"], codes: Codes, atoms: Tensor) -> Relevance:
    """Relevance of every component for a classifier, exact to first order.

    Args:
        gradient: of the classifier's output by each image's class token.
        codes: of the images.
        atoms: of the dictionary.

    Raises:
        DoesNotApply: no component has any relevance.
    """
    slots = act_grad(gradient, codes, atoms)

    def mean(values: Tensor) -> Tensor:
        total = torch.zeros(len(atoms), dtype=torch.float64)
        total.index_add_(0, codes.component.flatten(), values.flatten().double())
        return total / len(gradient)

    absolute = mean(slots.abs())
    if not float(absolute.sum()) > 0:
        raise DoesNotApply("no component has any relevance for the classifier: is the SAE dead?")
    return Relevance(absolute / absolute.sum(), mean(slots), mean(codes.activation))


def activations_of(codes: Codes, components: Int[Tensor, " q"]) -> Float[Tensor, "n q"]:
    """Activation of some components on each image, 0 where off."""
    match = codes.component[:, :, None] == components
    return (codes.activation[:, :, None] * match).sum(dim=1)
