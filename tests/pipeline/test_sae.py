"""The sparse autoencoder: loss, constraint, training, health, and its files."""

import numpy as np
import pytest
import torch

from pipeline.attribution import Codes, unit
from pipeline.config import SaeConfig
from pipeline.encode import codes_table
from pipeline.sae import files, health, training
from pipeline.sae.topk import TopKSae, reconstruction_loss
from pipeline.store import read_code_columns, write_shard

N, D, M, K = 90, 7, 12, 3


def config(**changes) -> SaeConfig:
    values = {
        "components": M,
        "k": K,
        "epochs": 3,
        "epoch_fraction": 1.0,
        "batch_size": 20,
        "learning_rate": 0.01,
        "decay_after": [99],
    }
    return SaeConfig(**(values | changes))


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    """Sparse mixtures of few directions, away from the origin."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(N, 9, generator=generator)
    directions = torch.randn(9, D, generator=generator)
    return (weights * (weights > 0.7)) @ directions + torch.arange(D)


def hand_made() -> TopKSae:
    """Three components along the axes and a fourth against the first; k = 2, b = (1, 0, 0)."""
    sae = TopKSae(4, 3, 2)
    with torch.no_grad():
        sae.atoms.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]]))
        sae.encoder_weight.copy_(sae.atoms)
        sae.bias.copy_(torch.tensor([1.0, 0, 0]))
    return sae.requires_grad_(False)


def test_explained_variance_by_hand():
    x = torch.tensor([[0.0, 0], [2, 0], [4, 3]])  # mean (2, 1), Σ‖x − x̄‖² = 5 + 1 + 8
    x_hat = x + torch.tensor([[1.0, 0], [0, 0], [0, -2]])  # Σ‖x − x̂‖² = 5
    assert health.explained_variance(x, x_hat) == pytest.approx(1 - 5 / 14)
    assert health.explained_variance(x, x) == 1
    assert health.explained_variance(x, x.mean(dim=0).expand(3, 2)) == pytest.approx(0)
    assert health.explained_variance(x, -x) < 0


@pytest.mark.parametrize(
    ("x", "said"), [(torch.ones(1, 2), "at least 2"), (torch.ones(4, 2), "constant")]
)
def test_explained_variance_refuses_what_has_none(x, said):
    with pytest.raises(ValueError, match=said):
        health.explained_variance(x, x)


def test_cosine_l0_and_alive_by_hand():
    x = torch.tensor([[1.0, 0, 0], [0, 2, 0]])
    assert health.mean_cosine(x, torch.tensor([[3.0, 0, 0], [0, 1, 1]])) == pytest.approx(
        (1 + 0.5**0.5) / 2
    )
    # Component 0 stands in empty slots only: it is not alive.
    codes = Codes(torch.tensor([[4, 2], [4, 0], [0, 0]]), torch.tensor([[2.0, 1], [3, 0], [0, 0]]))
    assert health.alive_fraction(codes, 5) == pytest.approx(2 / 5)
    # Here it is active.
    codes = Codes(torch.tensor([[0, 4], [2, 0]]), torch.tensor([[3.0, 1], [2, 0]]))
    assert health.l0(codes) == pytest.approx(3 / 2)
    assert health.alive_fraction(codes, 6) == pytest.approx(3 / 6)


def test_zero_shot_agreement_counts_images_whose_best_class_is_kept(head):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 24, generator=generator)
    t = unit(torch.randn(4, 18, generator=generator))
    other = x.clone()
    other[:2] = -3 * x[:2]
    best = [health.cosine_outputs(v, t, head).argmax(dim=1) for v in (x, other)]
    expected = float((best[0] == best[1]).float().mean())
    assert expected < 1, "the example must change some class"
    assert health.zero_shot_agreement(x, x, t, head) == 1
    assert health.zero_shot_agreement(x, other, t, head) == pytest.approx(expected)


def test_loss_by_hand():
    x = torch.tensor([[3.0, 4], [0, 2], [5, 0]])
    x_hat = torch.tensor([[4.0, 3], [0, -1], [1, 0]])
    # Unit vectors (.6, .8) and (.8, .6): 0.08; opposite: 4; the same direction: 0.
    directions = 0.08 + 4 + 0
    # Lengths 5 of 5, 1 of 2, 1 of 5.
    lengths = 0 + 0.5**2 + 0.8**2
    assert float(reconstruction_loss(x, x_hat)) == pytest.approx((directions + lengths) / 3)


def test_encode_keeps_the_k_largest_and_leaves_empty_slots():
    codes = hand_made().encode(torch.tensor([[3.0, 5, 1], [-2, 0, 0], [1, 0, 0]]))
    assert codes.component.tolist() == [[1, 0], [3, 0], [0, 0]]
    assert codes.activation.tolist() == [[5, 2], [3, 0], [0, 0]]


def test_reconstruct_adds_atoms_and_bias():
    sae = hand_made()
    x = torch.tensor([[3.0, 5, 0], [-2, 0, 4], [1, 0, 0]])
    assert torch.equal(sae.reconstruct(sae.encode(x)), x)


def test_atoms_are_unit_after_every_step(x):
    sae = TopKSae.initialised(x, M, K, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(sae.parameters(), lr=0.5, weight_decay=0.0)
    before = sae.atoms.detach().clone()
    for _ in range(5):
        training._step(sae, optimizer, x[:20])
        assert torch.allclose(sae.atoms.norm(dim=1), torch.ones(M), atol=1e-6)
    assert not torch.allclose(sae.atoms, before)


def test_gradient_of_atoms_is_tangent(x):
    sae = TopKSae.initialised(x, M, K, torch.Generator().manual_seed(0))
    reconstruction_loss(x, sae.reconstruct(sae.encode(x))).backward()
    along = (sae.atoms.grad * sae.atoms.detach()).sum(dim=1)
    sae.remove_parallel_gradient()
    assert along.abs().max() > 1e-3
    assert (sae.atoms.grad * sae.atoms.detach()).sum(dim=1).abs().max() < 1e-6


def test_initialised_starts_from_the_data(x):
    sae = TopKSae.initialised(x, M, K, torch.Generator().manual_seed(0))
    assert torch.allclose(sae.bias, x.mean(dim=0))
    assert torch.equal(sae.encoder_weight, sae.atoms)
    assert torch.allclose(sae.atoms.norm(dim=1), torch.ones(M), atol=1e-6)


def test_training_improves_and_tells_its_course(x):
    sae, curves = training.train(x[:70], x[70:], config(epochs=15), seed=0)
    assert curves["epoch"].tolist() == list(range(1, 16))
    assert curves["loss"].iloc[-1] < 0.7 * curves["loss"].iloc[0]
    last = training.health(sae, x[70:])
    assert {key: curves[key].iloc[-1] for key in last} == last
    assert not any(parameter.requires_grad for parameter in sae.parameters())


def test_one_seed_one_sae(x):
    a, b, c = (training.train(x, x, config(), seed=seed)[0].state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["atoms"], c["atoms"])


def test_the_rate_falls_after_the_epochs_named(x):
    early, late = (training.train(x, x, config(decay_after=[e]), seed=0)[1]["loss"] for e in (1, 2))
    assert early[0] == late[0]
    assert early[1] == pytest.approx(late[1], rel=0.2)
    assert early[1] != late[1]


def test_an_epoch_draws_its_share_of_images(x):
    # One step over a tenth of 90 images: the loss is that of 9 images drawn by the seed.
    generator = torch.Generator().manual_seed(2)
    sae = TopKSae.initialised(x, M, K, generator)
    rows = torch.randperm(N, generator=generator)[:9]
    expected = reconstruction_loss(x[rows], sae.reconstruct(sae.encode(x[rows])))
    curves = training.train(x, x, config(epochs=1, epoch_fraction=0.1), seed=2)[1]
    assert curves["loss"][0] == pytest.approx(float(expected.detach()))


def test_a_loss_that_is_no_number_names_the_epoch(x):
    broken = x.clone()
    broken[3, 2] = float("nan")
    with pytest.raises(ValueError, match=r"loss is nan in epoch 1.*learning_rate"):
        training.train(broken, x, config(), seed=0)


def test_blocks_encode_as_the_whole(x):
    sae = TopKSae.initialised(x, M, K, torch.Generator().manual_seed(0))
    whole, blocks = sae.encode(x), training.encode_blocks(sae, x, rows=32)
    assert torch.equal(whole.component, blocks.component)
    assert torch.allclose(whole.activation, blocks.activation, atol=1e-6)


def test_an_sae_survives_the_disk(x, tmp_path):
    sae = TopKSae.initialised(x, M, K, torch.Generator().manual_seed(0))
    files.save(sae, tmp_path / "sae", {"seed": 7})
    read = files.load(tmp_path / "sae")
    assert read.k == K
    assert {n: t.tolist() for n, t in read.state_dict().items()} == {
        n: t.tolist() for n, t in sae.state_dict().items()
    }


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [('"topk"', '"relu"', "kind is 'relu'"), ('"width": 7', '"width": 8', "does not fit")],
)
def test_a_config_that_does_not_fit_is_refused(x, tmp_path, old, new, said):
    files.save(TopKSae.initialised(x, M, K, torch.Generator()), tmp_path, {})
    path = tmp_path / "config.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=said):
        files.load(tmp_path)


def test_codes_survive_the_disk(tmp_path):
    # Activations that half precision holds exactly, in three images with 3, 1 and 0 active.
    codes = Codes(
        torch.tensor([[5, 0, 2], [11, 0, 0], [0, 0, 0]]),
        torch.tensor([[4.0, 2.5, 0.125], [3.0, 0, 0], [0, 0, 0]]),
    )
    ids = np.array(["a", "b", "c"], dtype=object)
    for number, part in enumerate((slice(0, 2), slice(2, 3))):
        shard = Codes(codes.component[part], codes.activation[part])
        write_shard(tmp_path, number, codes_table(ids[part], shard))
    read_ids, component, activation = read_code_columns(tmp_path, k=3)
    assert read_ids.tolist() == ["a", "b", "c"]
    assert component.tolist() == codes.component.tolist()
    assert activation.tolist() == codes.activation.tolist()


def test_an_activation_that_half_precision_rounds_to_0_is_off():
    table = codes_table(np.array(["a"]), Codes(torch.tensor([[5, 9]]), torch.tensor([[1.0, 1e-9]])))
    assert table.column("component").to_pylist() == [[5]]
    assert table.column("activation").to_pylist() == [[1.0]]
