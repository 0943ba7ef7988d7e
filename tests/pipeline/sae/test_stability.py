"""Stability of components over seeds, on dictionaries whose likeness is known."""

import numpy as np
import pytest
import torch

from pipeline.artifacts.gaps import Gaps
from pipeline.sae.health import firing
from pipeline.sae.model import Sae
from pipeline.sae.stability import Dictionary, measure
from pipeline.sae.stability import dictionary as fitted

NOTHING = torch.zeros(0, 12)
"""No images to compare with."""


def dictionary(seed: int, atoms: torch.Tensor, dead: tuple[int, ...] = ()) -> Dictionary:
    lives = torch.ones(len(atoms), dtype=torch.bool)
    lives[list(dead)] = False
    number = {0: 0, 7: 0, 1: 1, 8: 1, 2: 2, 9: 2}[seed]
    return Dictionary(number, seed, atoms, lives)


def turned(atoms: torch.Tensor, cosines: list[float]) -> torch.Tensor:
    """Atoms of which each has a given cosine with its original, in directions of its own."""
    c = torch.tensor(cosines)[:, None]
    fresh = torch.eye(12)[len(atoms) : 2 * len(atoms)]
    return c * atoms + (1 - c.square()).sqrt() * fresh


def test_by_hand():
    atoms = torch.eye(12)[:4]
    order = [2, 0, 3, 1]
    first = turned(atoms, [1.0, 0.8, 0.7, 0.5])[order]
    second = turned(atoms, [0.9, 0.6, 0.9, 0.1])
    # Component 3 is dead: it has no stability, and no pair of the audit's own counts it.
    own = dictionary(7, atoms, dead=(3,))
    others = [dictionary(8, first), dictionary(9, second)]
    images = 3 * torch.cat([turned(atoms, [0.9, 0.6, 0.7, 1.0]), torch.eye(12)[10:]])
    found = measure(own, others, images, cosine=0.65, gaps=Gaps())
    assert found.components["component"].tolist() == [0, 1, 2, 3]
    assert found.components.dtypes.astype(str).tolist() == ["int32", "float32"]
    stability = found.components["stability"].to_numpy()
    assert stability[:3] == pytest.approx([0.95, 0.7, 0.8], abs=1e-6)
    assert np.isnan(stability[3])
    assert found.pairs[["seed_a", "seed_b"]].to_numpy().tolist() == [[7, 8], [7, 9], [8, 9]]
    assert found.pairs["apart"].tolist() == [False, False, True]
    assert found.pairs["matched_fraction"].tolist()[:2] == pytest.approx([1.0, 2 / 3])
    assert found.pairs["mean_cosine"].tolist()[:2] == pytest.approx([2.5 / 3, 0.8])
    assert found.metrics == {
        "seeds": 3,
        "components": 3,
        "matched_fraction": pytest.approx(5 / 6),
        "mean_cosine": pytest.approx((2.5 / 3 + 0.8) / 2),
        "matched_fraction_apart": pytest.approx(float(found.pairs["matched_fraction"][2])),
        "mean_cosine_apart": pytest.approx(float(found.pairs["mean_cosine"][2])),
        "random_fraction": 0.0,
        "random_cosine": pytest.approx(0.3, abs=0.3),
        "image_fraction": pytest.approx(2 / 3),
        "image_cosine": pytest.approx(2.2 / 3),
    }


def test_the_same_dictionary_is_stable_and_a_random_one_is_not():
    generator = torch.Generator().manual_seed(0)
    atoms, other = (torch.randn(50, 200, generator=generator) for _ in range(2))
    own = dictionary(0, atoms)
    assert (
        measure(own, [dictionary(1, atoms.flip(0))], NOTHING, 0.999, Gaps()).metrics[
            "matched_fraction"
        ]
        == 1
    )
    metrics = measure(own, [dictionary(1, other)], NOTHING, 0.5, Gaps()).metrics
    assert metrics["matched_fraction"] == 0
    assert metrics["mean_cosine"] < 0.2
    # Both dictionaries are random: matching makes the same of both.
    assert metrics["random_cosine"] == pytest.approx(metrics["mean_cosine"], abs=0.02)


def test_a_partner_may_be_dead():
    atoms = torch.eye(5)[:3]
    found = measure(dictionary(0, atoms), [dictionary(1, atoms, dead=(0, 1))], NOTHING, 0.7, Gaps())
    assert found.components["stability"].tolist() == [1, 1, 1]


def test_one_seed_alone_has_no_stability():
    found = measure(dictionary(0, torch.eye(4)[:3]), [], NOTHING, 0.7, Gaps())
    assert found.components["stability"].isna().all()
    assert list(found.pairs) == ["seed_a", "seed_b", "apart", "matched_fraction", "mean_cosine"]
    assert found.metrics == {"seeds": 1, "components": 3}


def test_a_dead_dictionary_is_matched_with_none():
    dead, gaps = dictionary(0, torch.eye(4)[:3], dead=(0, 1, 2)), Gaps()
    others = [dictionary(1, torch.eye(4)[:3]), dead._replace(number=2, seed=2)]
    found = measure(dead, others, NOTHING, 0.7, gaps)
    assert found.components["stability"].isna().all()
    assert found.metrics == {"seeds": 3, "components": 0}
    assert gaps.reasons == {"stability": "none of 3 components fires on any image"}


def test_another_seed_that_is_dead_has_no_row_of_its_own():
    atoms, gaps = torch.eye(4)[:2], Gaps()
    dead = dictionary(1, atoms, dead=(0, 1))
    found = measure(dictionary(0, atoms), [dead, dictionary(2, atoms)], NOTHING, 0.7, gaps)
    assert found.metrics["matched_fraction"] == 1
    assert found.pairs[["seed_a", "seed_b"]].to_numpy().tolist() == [[0, 1], [0, 2]]
    assert gaps.reasons == {}


def test_alive_is_active_on_an_image(blocks_of):
    sae = Sae(3, 2, slots=2)
    with torch.no_grad():
        sae.encoder_weight.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, -1]]))
    x = torch.tensor([[2.0, -1], [3, 0], [1, -5], [-1, -2]])
    images = blocks_of(x)
    assert firing(sae, images).tolist() == [3, 0, 2]
    assert fitted(2, 9, sae, images).alive.tolist() == [True, False, True]
