"""Where training begins: at what images have in common, so that another seed begins there too.

From random directions, dictionaries of two seeds have hardly a component in common; from centroids,
each seed's own, they do (docs/benchmarks.md).
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

PASSES = 10
"""Of Lloyd's algorithm. A pass costs as much as encoding the tokens densely, and after ten
centroids hardly move."""

Tokens = Callable[[], Iterable[Float[Tensor, "b d"]]]
"""Gives tokens by batches, the same ones at each call."""


@torch.no_grad()
def centroids(tokens: Tokens, count: int, passes: int = PASSES) -> Float[Tensor, "c d"]:
    """Means of the tokens that are nearest to each other: k-means by Lloyd's algorithm.

    It starts from the first tokens; one batch of them is held at a time.

    Args:
        tokens: in random order.
        count: centroids asked for.
        passes: over the tokens.

    Returns:
        At most count: none of which no token is nearest, as of a token that was there before.
    """
    found = _first(tokens, count)
    sizes = found.new_zeros(len(found))
    for _ in range(passes):
        sums, sizes = torch.zeros_like(found), torch.zeros_like(sizes)
        half = found.square().sum(dim=1) / 2
        for batch in tokens():
            nearest = (batch @ found.T - half).argmax(dim=1)
            sums.index_add_(0, nearest, batch)
            sizes.index_add_(0, nearest, sizes.new_ones(len(batch)))
        found = torch.where((sizes > 0)[:, None], sums / sizes.clamp_min(1)[:, None], found)
    return found[sizes > 0]


def _first(tokens: Tokens, count: int) -> Float[Tensor, "c d"]:
    found: list[Tensor] = []
    for batch in tokens():
        found.append(batch)
        if sum(map(len, found)) >= count:
            break
    return torch.cat(found)[:count]
