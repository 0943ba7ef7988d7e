"""The largest numbers of long rows, for devices whose top-k reads a row several times."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

CHUNK = 16
"""Neighbours of which only the largest is looked at first: near √(m / k) for m = 30,000, k = 64,
where both of what is left to choose from are shortest."""


@torch.no_grad()
def largest(rows: Float[Tensor, "n m"], count: int) -> Int[Tensor, "n c"]:
    """Places of the `count` largest numbers of each row, in no order.

    They lie in the `count` chunks of neighbours whose largest numbers are the largest: any number
    of another chunk is no larger than any of these. So a row is read once, and a top-k is taken of
    m / 16 maxima and of 16 · count numbers. Where 16 does not divide m, chunks are as long as the
    greatest common divisor.

    >>> rows = torch.tensor([[3.0, 1, 8, 9, 0, 0, 7, 2]])
    >>> largest(rows, 3).sort().values.tolist()
    [[2, 3, 6]]

    Args:
        rows: to look through.
        count: at most m.
    """
    chunk = math.gcd(rows.shape[1], CHUNK)
    chunks = rows.unflatten(1, (-1, chunk))
    if chunk == 1 or chunks.shape[1] <= count:
        return rows.topk(count, dim=1, sorted=False).indices
    chosen = chunks.amax(dim=2).topk(count, dim=1, sorted=False).indices
    within = chosen[:, :, None].expand(-1, -1, chunk)
    place = chunks.gather(1, within).flatten(1).topk(count, dim=1, sorted=False).indices
    return chosen.gather(1, place // chunk) * chunk + place % chunk
