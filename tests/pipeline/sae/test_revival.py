"""Components that have died, and what brings them back."""

import numpy as np
import pytest
import torch

from pipeline.sae import training
from pipeline.sae.revival import revive
from pipeline.sae.trainee import Trainee

KINDS = ["topk", "batch_topk", "matryoshka"]


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


class Wounded(Trainee):
    """A trainee every other component of which is too far below 0 ever to fire."""

    def __init__(self, *args):
        super().__init__(*args)
        with torch.no_grad():
            self.encoder_bias[::2] = -3.0


@pytest.fixture(scope="module")
def many(blocks_of):
    """Images [300, 24] of 40 directions, among which 32 components find enough to do."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.rand(300, 40, generator=generator)
    directions = 5 * torch.randn(40, 24, generator=generator)
    return blocks_of((weights * (weights > 0.93)) @ directions + 3 * torch.arange(24))


def wounded(blocks, config, monkeypatch):
    """An SAE trained from half dead, and the share of the dead after each epoch."""
    monkeypatch.setattr(training, "Trainee", Wounded)
    config = config.model_copy(update={"components": 32, "batch_size": 50, "learning_rate": 0.03})
    sae, curves = training.train(blocks, config, 0, nothing)
    return sae, curves["dead_fraction"].tolist()


def test_the_dead_stay_dead(many, sae_config, monkeypatch):
    _, dead = wounded(many, sae_config(epochs=30), monkeypatch)
    assert set(dead) == {0.5}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("auxk_k", [4, 16])
def test_auxk_revives_the_dead(kind, auxk_k, many, sae_config, monkeypatch):
    config = sae_config(kind=kind, epochs=30, auxk=0.1, auxk_k=auxk_k)
    _, dead = wounded(many, config, monkeypatch)
    assert dead[0] == 0.5
    assert dead[-1] < 0.1


def test_a_new_beginning_revives_the_dead(many, sae_config, monkeypatch):
    config = sae_config(epochs=6, revive_after=[2, 4])
    sae, dead = wounded(many, config, monkeypatch)
    assert dead[:2] == [0.5, 0.5]
    assert dead[-1] < 0.1
    again, _ = wounded(many, config, monkeypatch)
    assert all(map(torch.equal, again.parameters(), sae.parameters()))


@pytest.fixture
def stepped(blocks_of, mixtures, sae_config):
    """A trainee after a step, and its optimizer."""
    config = sae_config()
    trainee = Trainee(
        config, training.frame(blocks_of(mixtures), config), torch.Generator().manual_seed(0)
    )
    optimizer = torch.optim.AdamW(trainee.parameters())
    step = trainee(mixtures, torch.full((93,), 1 / 93), torch.zeros(12, dtype=torch.bool))
    step.loss.backward()
    optimizer.step()
    trainee.constrain()
    trainee.note(step.fired, 93, step.threshold)
    trainee.idle += 5
    return trainee, optimizer


def test_the_revived_point_at_errors_and_are_forgotten(stepped, mixtures):
    trainee, optimizer = stepped
    sae = trainee.served()
    x = mixtures[[5, 8]]
    errors = x - sae.reconstruct(sae.encode(x))
    dead = torch.tensor([j in (4, 9) for j in range(12)])
    before = {name: value.clone() for name, value in trainee.state_dict().items()}
    length = float(before["encoder_weight"][~dead].norm(dim=1).mean())
    # As many tokens as dead components: each is drawn once.
    revive(trainee, optimizer, dead, x, seed=0)
    after = trainee.state_dict()
    directions = errors / errors.norm(dim=1, keepdim=True)
    found = after["atoms"][dead]
    order = (found @ directions.T).argmax(dim=1)
    assert sorted(order.tolist()) == [0, 1]
    torch.testing.assert_close(found, directions[order])
    torch.testing.assert_close(after["encoder_weight"][dead], found * length / 2)
    assert not after["encoder_bias"][dead].any()
    assert not after["idle"][dead].any()
    assert torch.equal(after["bias"], before["bias"])
    for name in ("atoms", "encoder_weight", "encoder_bias", "idle"):
        assert torch.equal(after[name][~dead], before[name][~dead])
    for name in ("atoms", "encoder_weight", "encoder_bias"):
        for moment in ("exp_avg", "exp_avg_sq"):
            values = optimizer.state[getattr(trainee, name)][moment]
            assert not values[dead].any()
            assert values[~dead].any()


def test_errors_are_drawn_by_their_squares(stepped, mixtures):
    trainee, optimizer = stepped
    sae = trainee.served()
    share = (mixtures - sae.reconstruct(sae.encode(mixtures))).square().sum(dim=1)
    dead = torch.arange(12) == 4
    start = {name: value.clone() for name, value in trainee.state_dict().items()}
    errors = torch.nn.functional.normalize(mixtures - sae.reconstruct(sae.encode(mixtures)), dim=1)
    drawn = []
    for seed in range(400):
        trainee.load_state_dict(start)
        revive(trainee, optimizer, dead, mixtures, seed)
        drawn.append(int((errors @ trainee.atoms[4]).argmax()))
    strong = share > share.median()
    expected = float(share[strong].sum() / share.sum())
    assert expected > 0.7
    assert np.mean(strong.numpy()[drawn]) == pytest.approx(expected, abs=0.06)


def test_no_more_are_revived_than_there_are_errors(stepped, mixtures):
    trainee, optimizer = stepped
    before = trainee.atoms.detach().clone()
    dead = torch.arange(12) % 3 == 0
    revive(trainee, optimizer, dead, mixtures[:2], seed=0)
    assert (trainee.atoms != before).any(dim=1).nonzero().flatten().tolist() == [0, 3]
    revive(trainee, optimizer, torch.zeros(12, dtype=torch.bool), mixtures, seed=0)
    assert (trainee.atoms != before).any(dim=1).sum() == 2
