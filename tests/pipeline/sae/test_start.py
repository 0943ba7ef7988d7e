"""k-means from which training starts."""

from functools import partial

import pytest
import torch

from pipeline.sae.start import centroids
from pipeline.sae.trainee import Frame, Trainee

CENTRES = torch.tensor([[4.0, 0, 0], [0, 4, 0], [0, 0, 4], [-4, 0, 0]])


def around(seed: int = 0, each: int = 30) -> torch.Tensor:
    """Tokens around four centres, in random order."""
    generator = torch.Generator().manual_seed(seed)
    x = CENTRES.repeat(each, 1) + 0.3 * torch.randn(4 * each, 3, generator=generator)
    return x[torch.randperm(len(x), generator=generator)]


def test_one_pass_by_hand():
    x = torch.tensor([[0.0, 0], [4, 0], [1, 0], [3, 1], [6, -1]])
    found = centroids(lambda: x.split(2), 2, passes=1)
    torch.testing.assert_close(found, torch.tensor([[0.5, 0], [13 / 3, 0]]))


def test_centres_are_found_whatever_the_batches():
    x = around()
    found = centroids(lambda: x.split(7), 12)
    nearest = torch.cdist(CENTRES, found).min(dim=1).values
    assert float(nearest.max()) < 0.5
    torch.testing.assert_close(found, centroids(lambda: x.split(50), 12), rtol=0, atol=1e-5)


def plain(x: torch.Tensor, count: int, passes: int) -> torch.Tensor:
    """Lloyd's algorithm in which every token looks at every centroid in every pass."""
    found = x[:count].clone()
    for _ in range(passes):
        nearest = torch.cdist(x, found).argmin(dim=1)
        found = torch.stack(
            [
                x[nearest == c].mean(dim=0) if (nearest == c).any() else found[c]
                for c in range(count)
            ]
        )
    return found[torch.bincount(nearest, minlength=count) > 0]


@pytest.mark.parametrize("passes", [2, 3, 5, 40])
@pytest.mark.parametrize("seed", range(4))
def test_what_is_passed_over_would_change_nothing(seed, passes):
    x = torch.randn(400, 3, generator=torch.Generator().manual_seed(seed))
    found = centroids(lambda: x.split(64), 40, passes)
    torch.testing.assert_close(found, plain(x, 40, passes), rtol=0, atol=1e-5)


def test_it_ends_where_no_centroid_moves():
    asked = []

    def tokens():
        asked.append(1)
        return around().split(16)

    centroids(tokens, 4, passes=1000)
    assert len(asked) < 100


def test_each_seeds_own_images_lead_to_the_same_centres():
    a, b = (centroids(partial(around(seed, 60).split, 16), 16) for seed in (1, 4))
    for found in (a, b):
        assert float(torch.cdist(CENTRES, found).min(dim=1).values.max()) < 0.5
    assert not torch.equal(a, b)


def test_tokens_that_are_there_twice_give_one_centroid():
    x = torch.tensor([[1.0, 2], [1, 2], [5, 0], [5, 0]])
    found = centroids(lambda: [x], 4)
    torch.testing.assert_close(found, torch.tensor([[1.0, 2], [5, 0]]))


def test_fewer_tokens_than_asked_for():
    assert len(centroids(lambda: around(each=2).split(3), 20)) <= 8


@pytest.fixture
def trainee(sae_config):
    def build(**changes):
        config = sae_config(**({"components": 6, "k": 2} | changes))
        return Trainee(config, Frame(torch.zeros(3), 1.0, 1.0), torch.Generator().manual_seed(3))

    return build


def test_atoms_start_at_directions_and_encoders_rebuild_best(trainee):
    made = trainee()
    drawn = made.atoms.detach().clone()
    # Two atoms alike fire together and rebuild everything along them twice.
    directions = torch.tensor([[3.0, 0, 0], [2, 0, 0], [0, 0, 0], [0, 5, 0]])
    x = torch.tensor([[2.0, 0, 0], [4, 0, 0]])
    made.start_at(directions, x.split(1))
    expected = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    torch.testing.assert_close(made.atoms[[0, 1, 3]].detach(), expected)
    torch.testing.assert_close(made.atoms[[2, 4, 5]].detach(), drawn[[2, 4, 5]])
    torch.testing.assert_close(made.encoder_weight.detach(), made.atoms.detach() / 2)


def test_an_encoder_of_its_own_stays(trainee):
    made = trainee(encoder_init="random")
    before = made.encoder_weight.detach().clone()
    made.start_at(torch.eye(3), [torch.eye(3)])
    torch.testing.assert_close(made.encoder_weight.detach(), before)
