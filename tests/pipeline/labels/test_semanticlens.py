"""Clarity and polysemanticity beside semanticlens, on the same embeddings."""

import pytest
import torch
from torch.nn.functional import normalize

from pipeline.labels.clarity import clarity, polysemanticity

semanticlens = pytest.importorskip("semanticlens", reason="pip install -e '.[peers]'")


@pytest.fixture
def embeddings():
    """Of 40 components, 20 unit embeddings each: from one direction to all over the place."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(40, 1, 64, generator=generator)
    noise = torch.randn(40, 20, 64, generator=generator)
    return normalize(centres + torch.linspace(0, 4, 40)[:, None, None] * noise, dim=-1)


def test_clarity_is_theirs(embeddings):
    theirs = semanticlens.clarity_score(embeddings)
    assert theirs.max() > 0.99
    assert theirs.min() < 0.2
    assert torch.allclose(clarity(embeddings), theirs, atol=1e-6)


def test_polysemanticity_is_theirs_where_two_clusters_are_plain():
    """Elsewhere their k-means depends on a seed, and ours is the best of all starts."""
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randn(8, 2, 1, 64, generator=generator)
    noise = 0.2 * torch.randn(8, 2, 10, 64, generator=generator)
    two = normalize((pairs + noise).flatten(1, 2), dim=-1)
    theirs = torch.as_tensor(semanticlens.polysemanticity_score(two), dtype=two.dtype)
    assert torch.allclose(polysemanticity(two), theirs, atol=1e-4)
