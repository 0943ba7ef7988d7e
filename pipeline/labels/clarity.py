"""How alike the images of a component are (paper, Sec. 3.2): one concept, several, or none."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MAX_ITERATIONS = 100


def clarity(u: Float[Tensor, "*m n p"]) -> Float[Tensor, "*m"]:
    """Mean cosine of all pairs among the n unit embeddings of each component.

    (‖mean u‖² − 1/n) · n/(n − 1): 1 when all are identical, about 0 when unrelated; at least
    −1/(n − 1).

    >>> clarity(torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]]))
    tensor([1., 0.])

    Raises:
        ValueError: n is below 2, so that there is no pair.
    """
    n = u.shape[-2]
    if n < 2:
        raise ValueError(f"clarity of {n} embeddings is undefined: at least 2 are needed")
    return (u.mean(dim=-2).square().sum(dim=-1) - 1 / n) * n / (n - 1)


def polysemanticity(u: Float[Tensor, "m n p"]) -> Float[Tensor, " m"]:
    """1 − cosine of the centres of two k-means clusters of each component's unit embeddings.

    0 when all are identical, 2 when the clusters are opposite. This is 1 − clarity of the two
    unit centres.

    >>> two_of_each = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> polysemanticity(torch.stack([two_of_each, two_of_each[[0, 1, 0, 1]]]))
    tensor([1., 0.])

    Raises:
        ValueError: n is below 2, so that there are no two clusters.
    """
    if u.shape[1] < 2:
        raise ValueError(f"two clusters of {u.shape[1]} embeddings: at least 2 are needed")
    gram = u @ u.mT
    second = two_means(gram)
    weights = torch.stack([~second, second], dim=1).to(u.dtype)  # [m, 2, n]
    products = weights @ gram @ weights.mT  # [m, 2, 2]: sums of clusters, multiplied
    norms = products.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt().prod(dim=1)
    cosine = products[:, 0, 1] / norms.clamp_min(torch.finfo(u.dtype).tiny)
    # With one cluster empty all embeddings are identical.
    return torch.where(second.any(dim=1), 1 - cosine, torch.zeros_like(cosine))


def two_means(gram: Float[Tensor, "m n n"]) -> Bool[Tensor, "m n"]:
    """2-means of m sets of n points given by their inner products: which are in the second cluster.

    Lloyd's algorithm for all sets at once, started from every point and the point farthest from
    it; the start with the smallest spread wins, so that nothing is random. The second cluster is
    empty only where all points are identical.
    """
    square = gram.diagonal(dim1=1, dim2=2)
    distance = square[:, :, None] + square[:, None, :] - 2 * gram
    far = distance.argmax(dim=2)  # [m, n]: one start a point
    second = distance.gather(1, far[:, :, None].expand_as(distance)) < distance  # [m, start, n]
    for _ in range(MAX_ITERATIONS):
        moved = _nearer_to_second(gram, second)
        if bool((moved == second).all()):
            break
        second = moved
    best = (_compactness(gram, ~second) + _compactness(gram, second)).argmax(dim=1)
    return second[torch.arange(len(gram)), best]


def _nearer_to_second(
    gram: Float[Tensor, "m n n"], second: Bool[Tensor, "m s n"]
) -> Bool[Tensor, "m s n"]:
    # |p − c|² without |p|², which both clusters share: −2 p·c + |c|².
    first, other = (
        -2 * (mean @ gram) + ((mean @ gram) * mean).sum(dim=-1, keepdim=True)
        for mean in (_weights(~second, gram.dtype), _weights(second, gram.dtype))
    )
    both = second.any(dim=-1, keepdim=True) & (~second).any(dim=-1, keepdim=True)
    return torch.where(both, other < first, second)


def _compactness(
    gram: Float[Tensor, "m n n"], members: Bool[Tensor, "m s n"]
) -> Float[Tensor, "m s"]:
    # Size times squared length of the centre: largest where the spread is smallest.
    total = members.to(gram.dtype)
    return ((total @ gram) * _weights(members, gram.dtype)).sum(dim=-1)


def _weights(members: Bool[Tensor, "m s n"], dtype: torch.dtype) -> Float[Tensor, "m s n"]:
    weights = members.to(dtype)
    return weights / weights.sum(dim=-1, keepdim=True).clamp_min(1)
