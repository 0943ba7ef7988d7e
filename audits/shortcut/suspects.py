"""The components that a classifier leans on, and those among them that should not matter."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.artifacts.gaps import DoesNotApply
from pipeline.attribution.head import Head
from pipeline.attribution.relevance import Codes, act_grad, linear_gradient

BESIDE_THE_POINT = ("background", "context", "writing")
"""Kinds of terms that have nothing to do with a class: the vocabulary's authors accept them as no
evidence."""
COLUMNS = [
    "component",
    "label",
    "kind",
    "share",
    "rank",
    "suspect",
    "mean_relevance",
    "mean_activation",
    "top_images",
]


class Relevance(NamedTuple):
    """What each component contributes to a classifier's output, over n images."""

    share: Float[Tensor, " m"]
    """Mean |R_j| as a fraction of the sum over components; sums to 1."""
    mean: Float[Tensor, " m"]
    """Mean R_j, 0 where off: above 0 speaks for the positive class."""
    activation: Float[Tensor, " m"]
    """Mean activation, 0 where off."""


def relevance(
    x: Float[Tensor, "n d"], codes: Codes, w: Float[Tensor, " p"], head: Head, atoms: Tensor
) -> Relevance:
    """Relevance of every component for a linear classifier with weights w, exact to first order.

    Raises:
        DoesNotApply: no component has any relevance.
    """
    slots = act_grad(linear_gradient(x, w, head), codes, atoms)

    def mean(values: Tensor) -> Tensor:
        total = torch.zeros(len(atoms), dtype=torch.float64)
        total.index_add_(0, codes.component.flatten(), values.flatten().double())
        return total / len(x)

    absolute = mean(slots.abs())
    if not float(absolute.sum()) > 0:
        raise DoesNotApply("no component has any relevance for the classifier: is the SAE dead?")
    return Relevance(absolute / absolute.sum(), mean(slots), mean(codes.activation))


def rank_components(found: Relevance, labels: pd.DataFrame, top: int) -> pd.DataFrame:
    """The `top` components with the largest share, rank 1 the largest.

    A component is `suspect` where the vocabulary's kind for its label is BESIDE_THE_POINT.
    `top_images` joined by spaces.
    """
    order = found.share.argsort(descending=True, stable=True)[:top].numpy()
    rows = labels.set_index("component").loc[order]
    return pd.DataFrame(
        {
            "component": order,
            "label": rows["label"].to_numpy(),
            "kind": rows["kind"].to_numpy(),
            "share": found.share.numpy()[order],
            "rank": np.arange(1, len(order) + 1),
            "suspect": rows["kind"].isin(BESIDE_THE_POINT).to_numpy(dtype=bool),
            "mean_relevance": found.mean.numpy()[order],
            "mean_activation": found.activation.numpy()[order],
            "top_images": [" ".join(ids) for ids in rows["top_images"]],
        }
    )[COLUMNS]


def check_kinds(table: pd.DataFrame, vocabulary: pd.DataFrame) -> None:
    """Make sure that something tells which of the components should not matter.

    Args:
        table: of `rank_components`.
        vocabulary: columns term and kind, null where unsaid.

    Raises:
        DoesNotApply: no component has a label with a kind.
    """
    if table["kind"].notna().any():
        return
    if vocabulary["kind"].isna().all():
        raise DoesNotApply(
            "the vocabulary has no kinds: a CSV with the columns term and kind says which terms "
            f"are {', '.join(BESIDE_THE_POINT[:-1])} or {BESIDE_THE_POINT[-1]}"
        )
    named = int(table["label"].notna().sum())
    raise DoesNotApply(
        f"of the {len(table)} components {named} have a label, and none a label that the "
        "vocabulary has a kind for"
    )
