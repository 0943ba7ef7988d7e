"""Where training begins: at what images have in common, so that another seed begins there too.

From random directions, dictionaries of two seeds have hardly a component in common; from centroids,
each seed's own, they do (docs/benchmarks.md).
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PASSES = 10
"""Of Lloyd's algorithm. A pass costs as much as encoding the tokens densely, and after ten
centroids hardly move."""

Tokens = Callable[[], Iterable[Float[Tensor, "b d"]]]
"""Gives tokens by batches, the same ones at each call."""


class Nearest(NamedTuple):
    """The centroid that each token is nearest to."""

    centroid: Int[Tensor, " b"]
    score: Float[Tensor, " b"]
    """⟨token, centroid⟩ − ‖centroid‖²/2, the larger the nearer."""

    def part(self, first: int, end: int) -> "Nearest":
        """Of some of the tokens, in the same memory."""
        return Nearest(self.centroid[first:end], self.score[first:end])

    def with_room(self, tokens: int) -> "Nearest":
        """The same with room for as many tokens, itself where it has it."""
        missing = max(tokens, 2 * len(self.score)) - len(self.score)
        if tokens <= len(self.score):
            return self
        return Nearest(*(torch.cat([held, held.new_zeros(missing)]) for held in self))


@torch.no_grad()
def centroids(tokens: Tokens, count: int, passes: int = PASSES) -> Float[Tensor, "c d"]:
    """Means of the tokens that are nearest to each other: k-means by Lloyd's algorithm.

    It starts from the first tokens; one batch of them is held at a time. The first two passes cost
    as much as encoding the tokens densely, later ones less: only centroids that moved are looked at
    again by a token whose own has not.

    Args:
        tokens: in random order.
        count: centroids asked for.
        passes: over the tokens at most, fewer where no centroid moves any more.

    Returns:
        At most count: none of which no token is nearest, as of a token that was there before.
    """
    found = _first(tokens, count)
    sizes = found.new_zeros(len(found))
    moved = torch.ones_like(sizes, dtype=torch.bool)
    # In one piece: what each batch left of its own would keep the memory around it, of products and
    # batches that are gone, from being used again.
    nearest = Nearest(torch.zeros_like(sizes[:0], dtype=torch.long), sizes[:0])
    for number in range(passes):
        sums, sizes = torch.zeros_like(found), torch.zeros_like(sizes)
        half = found.square().sum(dim=1) / 2
        end = 0
        for batch in tokens():
            first, end = end, end + len(batch)
            nearest = nearest.with_room(end)
            own = nearest.part(first, end)
            if number:
                _update(own, batch, found, half, moved)
            else:
                _copy(_nearest(batch, found, half), own)
            sums.index_add_(0, own.centroid, batch)
            sizes.index_add_(0, own.centroid, sizes.new_ones(len(batch)))
        means = torch.where((sizes > 0)[:, None], sums / sizes.clamp_min(1)[:, None], found)
        moved, found = (means != found).any(dim=1), means
        if not moved.any():
            break
    return found[sizes > 0]


def _nearest(
    batch: Float[Tensor, "b d"], found: Float[Tensor, "c d"], half: Float[Tensor, " c"]
) -> Nearest:
    score, centroid = (batch @ found.T - half).max(dim=1)
    return Nearest(centroid, score)


def _copy(found: Nearest, to: Nearest) -> None:
    for source, target in zip(found, to, strict=True):
        target.copy_(source)


def _update(
    nearest: Nearest,
    batch: Float[Tensor, "b d"],
    found: Float[Tensor, "c d"],
    half: Float[Tensor, " c"],
    moved: Bool[Tensor, " c"],
) -> None:
    """Find, in place, what is nearest since some centroids have moved."""
    lost = moved[nearest.centroid]
    anew = _nearest(batch[lost], found, half)
    nearest.centroid[lost], nearest.score[lost] = anew
    # The others' own is still nearest of those that have not moved.
    kept, others = (~lost).nonzero()[:, 0], moved.nonzero()[:, 0]
    if len(kept) and len(others):
        rival = _nearest(batch[kept], found[others], half[others])
        nearer = rival.score > nearest.score[kept]
        nearest.centroid[kept[nearer]] = others[rival.centroid[nearer]]
        nearest.score[kept[nearer]] = rival.score[nearer]


def _first(tokens: Tokens, count: int) -> Float[Tensor, "c d"]:
    found: list[Tensor] = []
    for batch in tokens():
        found.append(batch)
        if sum(map(len, found)) >= count:
            break
    return torch.cat(found)[:count]
