"""Matching of atoms: the exact one by hand, the scalable one held to it."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.sae.matching import Match, match

EXACT, LARGE = 10_000, 0
"""`exact_up_to` that takes the exact matching always, and never."""
WAYS = pytest.mark.parametrize("exact_up_to", [EXACT, LARGE])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def clustered(n: int, d: int, seed: int) -> Tensor:
    """Atoms in ten narrow clusters of uneven size: all of a cluster want the same partners."""
    chosen = torch.from_numpy(np.random.default_rng(seed).geometric(0.3, n).clip(max=10) - 1)
    return normal(10, d)[chosen] + 0.3 * normal(n, d, seed=seed + 1)


def one_to_one(found: Match) -> bool:
    return len(set(found.partner.tolist())) == len(found.partner)


@WAYS
def test_the_sum_counts_not_the_nearest_atom(exact_up_to):
    # The first atom is nearer to b[0], but then the second would be left with b[1], far from it.
    a = torch.tensor([[1.0, 0.0, 0.2], [1.0, 0.0, 0.0]])
    b = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 5.0], [0.0, 3.0, 0.0]])
    found = match(a, b, exact_up_to)
    assert found.partner.tolist() == [1, 0]
    assert found.cosine.tolist() == pytest.approx([0.2 / 1.04**0.5, 1.0])


@WAYS
def test_a_permutation_with_noise_is_found_again(exact_up_to):
    b = normal(300, 40)
    order = np.random.default_rng(2).permutation(300)[:260]
    a = 3.0 * b[order] + 0.3 * normal(260, 40, seed=1)
    found = match(a, b, exact_up_to)
    assert np.array_equal(found.partner, order)
    expected = torch.nn.functional.cosine_similarity(a, b[order])
    assert found.cosine == pytest.approx(expected.numpy(), abs=1e-6)


@pytest.mark.parametrize("kind", ["random", "clustered", "half"])
def test_the_scalable_matching_loses_at_most_two_thousandths(kind):
    a = clustered(600, 30, 5) if kind == "clustered" else normal(600, 30, seed=5)
    b = clustered(650, 30, 8) if kind == "clustered" else normal(650, 30, seed=8)
    if kind == "half":
        b[:300] = a[:300] + 0.2 * normal(300, 30, seed=9)
    exact, scalable = match(a, b, EXACT), match(a, b, LARGE)
    assert one_to_one(exact)
    assert one_to_one(scalable)
    assert exact.cosine.mean() - 2e-3 < scalable.cosine.mean() <= exact.cosine.mean() + 1e-6


def test_the_order_of_atoms_does_not_matter():
    a, b = normal(120, 25), normal(150, 25, seed=1)
    order = np.random.default_rng(3).permutation(150)
    plain, shuffled = match(a, b, LARGE), match(a, b[order], LARGE)
    assert np.array_equal(plain.partner, order[shuffled.partner])


def test_no_atoms_have_no_partners():
    assert match(torch.zeros(0, 5), normal(3, 5)).partner.shape == (0,)


def test_what_cannot_be_matched_is_refused():
    with pytest.raises(ValueError, match="4 atoms cannot all be matched with 3"):
        match(normal(4, 5), normal(3, 5))
    with pytest.raises(ValueError, match="length 0"):
        match(torch.zeros(2, 5), normal(3, 5))
