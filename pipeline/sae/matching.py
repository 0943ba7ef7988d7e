"""One-to-one matching of the atoms of two dictionaries by cosine."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from torch import Tensor

from pipeline.attribution.head import unit
from pipeline.attribution.relevance import blocks

EXACT_ATOMS = 4096
"""Atoms up to which exact matching takes a second or two, and all its cosines 128 MiB or less."""
CANDIDATES = 16
"""Nearest atoms of the other dictionary that an atom may be matched with."""
ROUNDS = 3
"""Times at most that the matching over candidates is made."""
BLOCK_COSINES = 2**25
"""Cosines held at once, 128 MiB."""


class Match(NamedTuple):
    """A partner for each atom of a dictionary, no two the same."""

    partner: Int[np.ndarray, " n"]
    """Row of the other dictionary."""
    cosine: Float[np.ndarray, " n"]
    """With the partner, from −1 to 1: 1 is the same direction."""


def match(
    a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], exact_up_to: int = EXACT_ATOMS
) -> Match:
    """The one-to-one matching of all atoms of a with some of b whose cosines sum to the most.

    Exact (Hungarian assignment) where b has at most `exact_up_to` atoms. Above, an atom may be
    matched only with its CANDIDATES nearest, with those it is among the CANDIDATES nearest of, and
    with the nearest of those that this leaves over. Same atoms and threads, same matching.

    Args:
        a: atoms of any length but 0.
        b: likewise, at least as many.
        exact_up_to: atoms above which candidates are taken.

    Raises:
        ValueError: b has fewer atoms than a, so that some could have no partner, or an atom has
            length 0.
    """
    if len(a) > len(b):
        raise ValueError(f"{len(a)} atoms cannot all be matched with {len(b)}: swap the two")
    if len(a) == 0:
        return Match(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))
    a, b = unit(a.float()), unit(b.float())
    return _match(a, b, exact_up_to)


def _match(a: Tensor, b: Tensor, exact_up_to: int) -> Match:
    if len(b) <= exact_up_to:
        return match_exactly(a, b)
    partner, left = _match_candidates(a, b)
    cosine = _pair_cosines(a, b, np.arange(len(a)), partner)
    if 0 < len(left) < len(a):
        rest = partner[left]
        again = _match(a[torch.from_numpy(left)], b[torch.from_numpy(rest)], exact_up_to)
        partner[left], cosine[left] = rest[again.partner], again.cosine
    return Match(partner, cosine)


def match_exactly(a: Float[Tensor, "n d"], b: Float[Tensor, "m d"]) -> Match:
    """Hungarian assignment of unit atoms: all n · m cosines at once, time about cubic."""
    cosines = (a @ b.T).numpy()
    row, partner = linear_sum_assignment(cosines, maximize=True)
    return Match(partner, cosines[row, partner])


def _match_candidates(a: Tensor, b: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Partners [n] over candidate pairs, and the atoms of a to which those left none.

    Pair (i, i) is allowed beside the candidates, so that every atom of a can have a partner. Where
    too many atoms want the same few, some have no better one: then the atoms of b that nobody has
    become candidates of all, and the matching is made again.
    """
    n, m = len(a), len(b)
    theirs = _nearest(b, a)
    candidates = np.unique(
        np.concatenate([_pairs(_nearest(a, b), m), (theirs * m + np.arange(m)[:, None]).ravel()])
    )
    for _ in range(ROUNDS):
        pairs = np.union1d(candidates, np.arange(n) * m + np.arange(n))
        # 2 − cosine, since a weight of 0 would say that there is no pair.
        weights = 2 - _pair_cosines(a, b, pairs // m, pairs % m).astype(np.float64)
        graph = csr_array((weights, (pairs // m, pairs % m)), shape=(n, m))
        matched, partner = min_weight_full_bipartite_matching(graph)
        found = np.isin(matched * m + partner, candidates)
        if found.all():
            break
        free = np.setdiff1d(np.arange(m), partner[found])
        nearest = free[_nearest(a, b[torch.from_numpy(free)])]
        candidates = np.union1d(candidates, _pairs(nearest, m))
    return partner.astype(np.int64), np.flatnonzero(~found)


def _pairs(columns: np.ndarray, m: int) -> np.ndarray:
    """Pairs (row, column) of a table of columns, as row · m + column."""
    return (np.arange(len(columns))[:, None] * m + columns).ravel()


def _nearest(a: Tensor, b: Tensor) -> np.ndarray:
    """Rows of b with the largest cosine to each atom of a, [n, CANDIDATES] or fewer."""
    width = min(CANDIDATES, len(b))
    parts = [(a[r] @ b.T).topk(width).indices for r in blocks(len(a), BLOCK_COSINES // len(b))]
    return torch.cat(parts).numpy()


def _pair_cosines(a: Tensor, b: Tensor, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    left, right = torch.from_numpy(row), torch.from_numpy(column)
    size = BLOCK_COSINES // a.shape[1]
    parts = [(a[left[r]] * b[right[r]]).sum(dim=1) for r in blocks(len(left), size)]
    return torch.cat(parts).numpy()
