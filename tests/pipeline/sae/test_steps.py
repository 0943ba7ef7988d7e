"""Steps of a training: where they start, how long they are, and what they are of."""

import pytest
import torch
from safetensors.torch import load_file

from pipeline.sae import checkpoint, training
from pipeline.sae.blocks import Batch
from pipeline.sae.trainee import Trainee, unit_losses

ONCE = {"batch_size": 100, "epochs": 1}
"""A single step."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads wait for each other longer than such small products take."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def nothing(sae):
    """Measure nothing."""
    return {}


@pytest.fixture(scope="module")
def blocks(blocks_of, mixtures):
    return blocks_of(mixtures)


def test_the_mean_and_the_scale_are_the_data_s(blocks_of, sae_config):
    x = torch.tensor([[1.0, 0], [3, 0], [2, 3], [2, 1]])  # mean (2, 1), Σ‖x − x̄‖² = 8, Σ‖x‖² = 28
    spatial = torch.stack([x, x + 4], dim=1)  # mean (4, 3), Σ‖s − s̄‖² = 2 · 8 + 8 · 8
    blocks = blocks_of(x, spatial)
    for tokens in ("class", "both"):
        found = training.frame(blocks, sae_config(tokens=tokens))
        assert found.mean.tolist() == [2, 1]
        assert found.scale == pytest.approx(2**0.5)
        assert found.spread == found.scale
    found = training.frame(blocks, sae_config(tokens="spatial"))
    assert found.mean.tolist() == [4, 3]
    assert found.scale == pytest.approx(10**0.5)
    found = training.frame(blocks, sae_config(centre=False))
    assert found.mean.tolist() == [0, 0]
    assert found.scale == pytest.approx(7**0.5)
    assert found.spread == pytest.approx(2**0.5)


@pytest.mark.parametrize("rows", [1, 5])
def test_of_a_constant_embedding_nothing_is_learnt(blocks_of, sae_config, rows):
    x = torch.tensor([[0.1, 0.7, 1e4]]).expand(rows, 3)
    blocks, config = blocks_of(x), sae_config()
    assert training.frame(blocks, config) is None
    sae, curves = training.train(blocks, config, 0, lambda sae: {"l0": 0.0})
    codes = sae.encode(x)
    assert not codes.activation.any()
    torch.testing.assert_close(sae.reconstruct(codes), x)
    torch.testing.assert_close(sae.atoms.norm(dim=1), torch.ones(12))
    row = {"epoch": 1, "loss": 0.0, "dead_fraction": 1.0, "l0": 0.0}
    assert curves.to_dict("records") == [row]


def test_the_rate_rises_and_falls(sae_config):
    config = sae_config(epochs=6, learning_rate=8.0, warmup=3, decay_after=[2, 4])
    found = [training.learning_rate(config, 1, step) for step in range(6)]
    assert found == [2, 4, 6, 8, 8, 8]
    found = [training.learning_rate(config, epoch, 99) for epoch in range(1, 7)]
    assert found == pytest.approx([8, 8, 0.8, 0.8, 0.08, 0.08])
    # Where the rate falls before it has risen, both hold.
    assert training.learning_rate(config, 3, 1) == pytest.approx(0.4)
    assert training.learning_rate(sae_config(learning_rate=8.0), 1, 0) == 8


def test_the_rate_is_asked_for_at_every_step(blocks, sae_config, monkeypatch):
    asked = []
    monkeypatch.setattr(training, "learning_rate", lambda *at: asked.append(at[1:]) or 0.01)
    training.train(blocks, sae_config(batch_size=40, epochs=2), 0, nothing)
    assert asked == [(1, 0), (1, 1), (1, 2), (2, 3), (2, 4), (2, 5)]


def biases(blocks, config):
    """The bias after every epoch, and the one before the first."""
    found = [training.frame(blocks, config).mean]

    def measure(sae):
        found.append(sae.bias.clone())
        return {}

    training.train(blocks, config, 0, measure)
    return torch.stack(found)


def test_steps_go_by_the_rate(blocks, sae_config):
    once = {"batch_size": 100, "epochs": 2}
    moved = biases(blocks, sae_config(**once)).diff(dim=0)
    # AdamW's first step is the rate in every coordinate.
    scale = training.frame(blocks, sae_config()).scale
    torch.testing.assert_close(moved[0].abs(), torch.full((7,), 0.01 * scale), rtol=1e-3, atol=0)
    warm = biases(blocks, sae_config(**once, warmup=3)).diff(dim=0)
    torch.testing.assert_close(warm[0], moved[0] / 4, rtol=1e-3, atol=1e-6)
    late = biases(blocks, sae_config(**once, decay_after=[1])).diff(dim=0)
    torch.testing.assert_close(late, moved * torch.tensor([[1], [0.1]]), rtol=1e-3, atol=1e-6)


def first_gradient(blocks, config, folder):
    """What the optimizer saw in a training of one step: the gradient of atoms, and all of it."""
    training.train(blocks, config, 0, nothing, folder)
    state = load_file(folder / checkpoint.FILE)
    found = [state[f"optimizer.{number}.exp_avg"] / (1 - 0.9) for number in range(4)]
    return found[0], torch.cat([gradient.flatten() for gradient in found])


def test_a_long_gradient_is_shortened_and_not_turned(blocks, sae_config, tmp_path):
    _, long = first_gradient(blocks, sae_config(**ONCE, clip=1e6), tmp_path / "long")
    _, short = first_gradient(blocks, sae_config(**ONCE, clip=0.01), tmp_path / "short")
    assert long.norm() > 0.02
    assert short.norm() == pytest.approx(0.01, rel=1e-4)
    torch.testing.assert_close(short, long / long.norm() * 0.01)


def test_atoms_are_not_pushed_along_themselves(blocks, sae_config, tmp_path):
    config = sae_config(atoms_init="random", **ONCE)
    gradient, _ = first_gradient(blocks, config, tmp_path)
    start = Trainee(config, training.frame(blocks, config), torch.Generator().manual_seed(0))
    assert gradient.norm() > 1e-3
    assert (gradient * start.atoms.detach()).sum(dim=1).abs().max() < 1e-6


def test_an_epoch_draws_its_share_of_images(blocks, mixtures, sae_config):
    # One step over a tenth of 93 images, by an SAE at its start.
    config = sae_config(atoms_init="random", epochs=1, epoch_fraction=0.1)
    frame = training.frame(blocks, config)
    start = Trainee(config, frame, torch.Generator().manual_seed(2)).served()
    (batch,) = blocks.batches(20, 0.1, seed=2, epoch=1)
    assert len(batch.x) == 9
    expected = unit_losses(batch.x, start.reconstruct(start.encode(batch.x))).mean()
    _, curves = training.train(blocks, config, 2, nothing)
    assert curves["loss"][0] == pytest.approx(float(expected), rel=1e-5)


def test_tokens_count_as_in_equation_10():
    x = torch.arange(6.0).reshape(2, 3)
    spatial = torch.arange(24.0).reshape(2, 4, 3) + 10
    # Two of the five images that all devices have.
    found, weight = training.tokens(Batch(x, spatial, 5))
    assert torch.equal(found, torch.cat([x, spatial[0], spatial[1]]))
    torch.testing.assert_close(weight, torch.tensor([1 / 5] * 2 + [1 / 20] * 8))
    found, weight = training.tokens(Batch(x, None, 2))
    assert torch.equal(found, x)
    assert weight.tolist() == [0.5, 0.5]
    found, weight = training.tokens(Batch(None, spatial, 2))
    assert torch.equal(found, spatial.flatten(0, 1))
    assert weight.tolist() == [1 / 8] * 8


@pytest.mark.parametrize("tokens", ["spatial", "both"])
def test_spatial_tokens_are_learnt_from(tokens, mixtures, blocks_of, sae_config):
    noise = torch.randn(93, 4, 7, generator=torch.Generator().manual_seed(3))
    spatial = mixtures[:, None].roll(1, dims=2) + noise
    blocks = blocks_of(mixtures, spatial, training.COLUMNS[tokens])
    config = sae_config(
        atoms_init="random", tokens=tokens, batch_size=100, epochs=12, learning_rate=0.03
    )
    frame = training.frame(blocks, config)
    start = Trainee(config, frame, torch.Generator().manual_seed(0)).served()

    def mean_loss(x):
        return unit_losses(x, start.reconstruct(start.encode(x))).mean().item()

    expected = mean_loss(spatial.flatten(0, 1)) + (mean_loss(mixtures) if tokens == "both" else 0)
    sae, curves = training.train(blocks, config, 0, nothing)
    assert curves["loss"][0] == pytest.approx(expected, rel=1e-4)
    assert curves["loss"].iloc[-1] < 0.8 * curves["loss"][0]
    assert sae.atoms.shape == (12, 7)
