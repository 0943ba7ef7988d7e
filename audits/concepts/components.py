"""What a component is like beside its name: how strongly it fires, and which others are near."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.attribution.head import unit
from pipeline.attribution.relevance import Codes
from pipeline.sae.codes import StoredCodes

BINS = 16
"""Of a component's activations."""
NEAREST = 6
BLOCK = 1024
"""Components whose cosines with all others, or images whose codes, are held at once."""


def spread(
    codes: Codes | StoredCodes, counted: Bool[Tensor, " n"], components: int
) -> tuple[Float[np.ndarray, " m"], Int[np.ndarray, "m b"]]:
    """Largest activation of each component, and how many images fire it how strongly.

    Args:
        codes: of all images [n, k].
        counted: those that count.
        components: m.

    Returns:
        The largest activation, 0 where it never fires; and counts in `BINS` bins of equal width
        from 0, which is in none, to the largest, which is in the last.
    """
    counts = np.zeros(components * BINS, dtype=np.int64)
    rows = counted.nonzero()[:, 0].split(BLOCK)
    largest = largest_activations((active(codes, part)[1:] for part in rows), components)
    for part in rows:
        _, component, activation = active(codes, part)
        place = np.ceil(BINS * (activation / largest[component])).astype(np.int64) - 1
        # A share so small that it rounds to 0 is in the first bin.
        counts += np.bincount(component * BINS + place.clip(0), minlength=len(counts))
    return largest, counts.reshape(components, BINS)


def active(
    codes: Codes | StoredCodes, rows: Int[Tensor, " r"]
) -> tuple[Int[np.ndarray, " a"], Int[np.ndarray, " a"], Float[np.ndarray, " a"]]:
    """Place among the rows, component and activation of all that fires on some images."""
    component, activation = codes.component[rows], codes.activation[rows]
    on = activation > 0
    return on.nonzero()[:, 0].numpy(), component[on].numpy(), activation[on].numpy()


def largest_activations(
    parts: Iterable[tuple[np.ndarray, np.ndarray]], components: int
) -> Float[np.ndarray, " m"]:
    """The largest activation of each component in pairs of components and activations."""
    largest = np.zeros(components, dtype=np.float32)
    for component, activation in parts:
        np.maximum.at(largest, component, activation)
    return largest


def neighbours(
    atoms: Float[Tensor, "m d"],
) -> tuple[Int[np.ndarray, "m r"], Float[np.ndarray, "m r"]]:
    """The components whose atoms are nearest to each one's, and the cosines, the nearest first.

    `NEAREST` of them, or all others where there are fewer. Cosines are in [-1, 1].
    """
    directions = unit(atoms.float())
    count = min(NEAREST, len(atoms) - 1)
    found, cosines = [], []
    for rows in torch.arange(len(atoms)).split(BLOCK):
        cosine = directions[rows] @ directions.T
        cosine[torch.arange(len(rows)), rows] = -torch.inf
        best = cosine.topk(count, dim=1)
        found.append(best.indices)
        cosines.append(best.values)
    return torch.cat(found).numpy(), torch.cat(cosines).numpy()


def about_components(
    codes: Codes | StoredCodes, counted: Bool[Tensor, " n"], atoms: Float[Tensor, "m d"]
) -> pd.DataFrame:
    """One row a component: component, largest and activations (`spread`), neighbours and cosines
    (`neighbours`)."""
    largest, activations = spread(codes, counted, len(atoms))
    near, cosines = neighbours(atoms)
    return pd.DataFrame(
        {
            "component": np.arange(len(atoms), dtype=np.int32),
            "largest": largest,
            "activations": list(activations),
            "neighbours": list(near),
            "cosines": list(cosines),
        }
    )
