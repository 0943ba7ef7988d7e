"""The SAE while it learns: selection, loss, AuxK, and what it is served as."""

import pytest
import torch

from pipeline.sae.trainee import Frame, Trainee, unit_losses

KINDS = ["topk", "batch_topk", "matryoshka"]
NONE = torch.zeros(4, dtype=torch.bool)


def flat(n):
    """Weights of tokens that count alike."""
    return torch.full((n,), 1 / n)


def of(config, x, seed=0):
    """A trainee in the frame of x, its biases away from 0."""
    mean, scale = x.mean(dim=0), float((x - x.mean(dim=0)).square().sum(dim=1).mean().sqrt())
    frame = Frame(mean, scale, scale)
    if not config.centre:
        frame = Frame(torch.zeros_like(mean), float(x.square().sum(dim=1).mean().sqrt()), scale)
    generator = torch.Generator().manual_seed(seed)
    trainee = Trainee(config, frame, generator)
    with torch.no_grad():
        trainee.bias.normal_(std=0.1, generator=generator)
        trainee.encoder_bias.normal_(std=0.1, generator=generator)
    return trainee


@pytest.fixture
def axes(sae_config):
    """Components along the axes of 3 dimensions and a fourth against the first.

    The frame is that of x itself, whose mean squared distance to its mean is 4.
    """

    def build(**changes):
        config = sae_config(**({"components": 4, "k": 2, "loss": "variance"} | changes))
        trainee = Trainee(config, Frame(torch.zeros(3), 1.0, 2.0), torch.Generator())
        with torch.no_grad():
            trainee.atoms.copy_(torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0]]))
            trainee.encoder_weight.copy_(trainee.atoms)
        return trainee

    return build


def test_unit_losses_by_hand():
    x = torch.tensor([[3.0, 4], [0, 2], [5, 0]])
    x_hat = torch.tensor([[4.0, 3], [0, -1], [1, 0]])
    # Unit vectors (.6, .8) and (.8, .6): 0.08; opposite: 4; the same direction: 0.
    # Lengths 5 of 5, 1 of 2, 1 of 5.
    expected = torch.tensor([0.08 + 0, 4 + 0.5**2, 0 + 0.8**2])
    torch.testing.assert_close(unit_losses(x, x_hat), expected)


def test_variance_loss_by_hand(axes):
    # The two largest of (2, 5, 1, −2) leave (0, 0, 1); of (−2, 0, 0, 2) they leave nothing.
    x = torch.tensor([[2.0, 5, 1], [-2, 0, 0]])
    step = axes()(x, torch.tensor([0.25, 0.75]), NONE)
    assert step.loss.item() == pytest.approx(0.25 * 1 / 4)
    assert step.fired.tolist() == [True, True, False, True]


def test_matryoshka_prefixes_reconstruct_alone(axes):
    trainee = axes(kind="matryoshka", prefixes=[0.5])
    with torch.no_grad():
        trainee.bias.copy_(torch.tensor([0.0, 0, 1]))
    # Of (2, 1, 5, −2) the two largest are components 2 and 0; the first half holds the latter.
    # x̂ is (2, 0, 1) and (2, 0, 6): errors 1 + 16 and 1 + 1, the bias once in each.
    step = trainee(torch.tensor([[2.0, 1, 5]]), flat(1), NONE)
    assert step.loss.item() == pytest.approx((17 + 2) / 2 / 4)
    whole = axes(kind="matryoshka", prefixes=[])
    topk = axes(kind="topk")
    x = torch.tensor([[2.0, 1, 5], [1, 0, -1]])
    assert whole(x, flat(2), NONE).loss == topk(x, flat(2), NONE).loss


def test_matryoshka_is_the_mean_of_its_prefixes_losses(mixtures, sae_config):
    config = sae_config(kind="matryoshka", k=4, components=17, prefixes=[0.25, 0.5, 0.75])
    trainee = of(config, mixtures)
    x = mixtures[:13]
    framed = (x - trainee.frame_mean) / trainee.scale
    dense = framed @ trainee.encoder_weight.T + trainee.encoder_bias
    value, component = dense.topk(4, dim=1)
    kept = torch.zeros_like(dense).scatter(1, component, value.clamp_min(0))
    losses = []
    for m in (4, 8, 13, 17):
        x_hat = (kept[:, :m] @ trainee.atoms[:m] + trainee.bias) * trainee.scale
        losses.append(unit_losses(x, x_hat + trainee.frame_mean).mean())
    expected = torch.stack(losses).mean()
    found = trainee(x, flat(13), torch.zeros(17, dtype=torch.bool)).loss
    torch.testing.assert_close(found, expected)
    parameters = [trainee.atoms, trainee.bias, trainee.encoder_weight, trainee.encoder_bias]
    for one, other in zip(
        torch.autograd.grad(found, parameters),
        torch.autograd.grad(expected, parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_batch_topk_keeps_k_an_image_on_average(mixtures, sae_config):
    trainee = of(sae_config(kind="batch_topk", k=2, components=17), mixtures)
    x = mixtures[:13]
    step = trainee(x, flat(13), torch.zeros(17, dtype=torch.bool))
    framed = (x - trainee.frame_mean) / trainee.scale
    dense = framed @ trainee.encoder_weight.T + trainee.encoder_bias
    on = dense > step.threshold
    assert on.sum() == 2 * 13
    assert len(on.sum(dim=1).unique()) > 1, "the example must give images different numbers"
    x_hat = (torch.where(on, dense, 0.0) @ trainee.atoms + trainee.bias) * trainee.scale
    expected = unit_losses(x, x_hat + trainee.frame_mean).mean()
    torch.testing.assert_close(step.loss, expected)


def test_batch_topk_keeps_no_activation_below_0(axes):
    trainee = axes(kind="batch_topk", k=2)
    with torch.no_grad():
        trainee.encoder_bias.fill_(-9.0)
    step = trainee(torch.tensor([[2.0, 1, 5], [3, 0, 0]]), flat(2), NONE)
    assert step.threshold == 0
    assert not step.fired.any()


def test_batch_topk_gives_an_image_four_times_k_at_most(sae_config):
    trainee = of(sae_config(kind="batch_topk", k=1, components=9), torch.eye(9))
    with torch.no_grad():
        trainee.atoms.copy_(torch.eye(9))
        trainee.encoder_weight.copy_(torch.eye(9))
        trainee.encoder_bias.zero_()
    # Nine strong activations in one image, one weak one in each of eight others.
    x = torch.cat([torch.full((1, 9), 50.0) + torch.arange(9.0), torch.eye(9)[:8]])
    step = trainee(x, flat(9), torch.zeros(9, dtype=torch.bool))
    assert step.fired[5:].all()
    trainee.note(step.fired, 9, step.threshold)
    assert (trainee.served().encode(x).activation > 0).sum(dim=1)[0] == 4


def test_the_served_threshold_is_a_moving_average_in_units_of_x(mixtures, sae_config):
    trainee = of(sae_config(kind="batch_topk"), mixtures)
    fired = torch.zeros(12, dtype=torch.bool)
    trainee.note(fired, 5, torch.tensor(1.0))
    assert trainee.served().threshold == pytest.approx(trainee.scale)
    trainee.note(fired, 5, torch.tensor(2.0))
    assert trainee.scale > 2
    assert trainee.served().threshold == pytest.approx(1.1 * trainee.scale)
    assert of(sae_config(kind="topk"), mixtures).served().threshold == 0


def test_what_fired_is_remembered(axes):
    trainee = axes()
    trainee.note(torch.tensor([True, False, False, True]), 20, torch.tensor(0.0))
    trainee.note(torch.tensor([False, False, True, True]), 13, torch.tensor(0.0))
    assert trainee.idle.tolist() == [13, 33, 0, 0]


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_served_reconstructs_as_in_training(kind, centre, mixtures, sae_config):
    config = sae_config(kind=kind, centre=centre, prefixes=[])
    trainee = of(config, mixtures)
    step = trainee(mixtures, flat(93), torch.zeros(12, dtype=torch.bool))
    trainee.note(step.fired, 93, step.threshold)
    sae = trainee.served()
    codes = sae.encode(mixtures)
    torch.testing.assert_close(unit_losses(mixtures, sae.reconstruct(codes)).mean(), step.loss)
    fired = torch.zeros(12, dtype=torch.bool)
    fired[codes.component[codes.activation > 0]] = True
    assert torch.equal(fired, step.fired)
    assert not any(parameter.requires_grad for parameter in sae.parameters())


@pytest.mark.parametrize("start", ["transpose", "random"])
def test_the_encoder_starts_as_it_was_asked_to(start, sae_config):
    frame = Frame(torch.ones(7), 2.0, 2.0)
    trainee = Trainee(sae_config(encoder_init=start), frame, torch.Generator().manual_seed(0))
    for rows in (trainee.atoms, trainee.encoder_weight):
        torch.testing.assert_close(rows.norm(dim=1), torch.ones(12))
    assert torch.equal(trainee.atoms, trainee.encoder_weight) == (start == "transpose")
    assert trainee.atoms.data_ptr() != trainee.encoder_weight.data_ptr()


def test_the_gradient_of_atoms_is_tangent(mixtures, sae_config):
    trainee = of(sae_config(), mixtures)
    trainee(mixtures, flat(93), torch.zeros(12, dtype=torch.bool)).loss.backward()
    along = (trainee.atoms.grad * trainee.atoms.detach()).sum(dim=1)
    across = trainee.atoms.grad - along[:, None] * trainee.atoms.detach()
    trainee.remove_parallel_gradient()
    assert along.abs().max() > 1e-3
    torch.testing.assert_close(trainee.atoms.grad, across, rtol=1e-4, atol=1e-7)


def auxk_case(axes, auxk, dead, encoder_bias=(0.0, 0.0, 0.0, 0.0), **changes):
    """A trainee after backward on one image, and its loss.

    k = 1 and the bias leave (2, 1, −1) of x: x̂ is (0, 0, 5) + (0, 0, 1).
    """
    trainee = axes(k=1, auxk=auxk, **({"auxk_k": 1} | changes))
    with torch.no_grad():
        trainee.bias.copy_(torch.tensor([0.0, 0, 1]))
        trainee.encoder_bias.copy_(torch.tensor(encoder_bias))
    step = trainee(torch.tensor([[2.0, 1, 5]]), flat(1), torch.tensor(dead))
    step.loss.backward()
    return trainee, step.loss.item()


def test_auxk_by_hand(axes):
    plain = (4 + 1 + 1) / 4
    assert auxk_case(axes, 0.0, [True, False, False, True])[1] == pytest.approx(plain)
    assert auxk_case(axes, 0.5, [False] * 4)[1] == pytest.approx(plain)
    # The stronger of the dead 0 and 3 leaves (0, 1, −1) of the residual, the bias counted once.
    found = auxk_case(axes, 0.5, [True, False, False, True])[1]
    assert found == pytest.approx(plain + 0.5 * 2 / 4)
    # The dead 1 and 3 are at 1 and −2: they reconstruct (0, 1, 0).
    found = auxk_case(axes, 0.5, [False, True, False, True], auxk_k=7)[1]
    assert found == pytest.approx(plain + 0.5 * 5 / 4)


def test_auxk_teaches_the_dead_and_leaves_the_living_alone(axes):
    dead = torch.tensor([False, True, False, True])
    case = {"encoder_bias": (0.0, 1.0, 0.0, -4.0), "auxk_k": 2}
    plain, _ = auxk_case(axes, 0.0, dead.tolist(), **case)
    trainee, _ = auxk_case(axes, 0.5, dead.tolist(), **case)
    assert torch.equal(trainee.bias.grad, plain.bias.grad)
    for name in ("atoms", "encoder_weight", "encoder_bias"):
        found, without = getattr(trainee, name).grad, getattr(plain, name).grad
        assert torch.equal(found[~dead], without[~dead])
        assert not without[dead].any()
    # The dead are at 2 and −6, reconstruct (0, 2, 0) and leave (2, −1, −1). Component 1 is to fall
    # by 1, 3 by 2, though it is off: the gradient is 0.5 · 2 · (1, 2) / 4.
    assert trainee.encoder_bias.grad[dead].tolist() == [0.25, 0.5]
    assert trainee.encoder_weight.grad[3].tolist() == [1, 0.5, 2.5]
    # The atom of 1 is to be more like what is left, by 0.5 · 2 · 2 / 4.
    assert trainee.atoms.grad[1].tolist() == [-1, 0.5, 0.5]
