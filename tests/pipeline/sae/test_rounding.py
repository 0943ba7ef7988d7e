"""What a product rounded to TF32, as GPUs compute it, proposes, and float32 decides."""

import pytest
import torch

from pipeline.sae import trainee as trainees
from pipeline.sae import training
from pipeline.sae.trainee import Frame, Trainee


def tf32(x):
    """To the nearest number of 10 bits of mantissa, ties to even."""
    bits = x.detach().contiguous().view(torch.int32)
    nearest = (bits + 0x0FFF + (bits >> 13 & 1)) & ~0x1FFF
    return nearest.view(torch.float32)


@pytest.fixture
def rounded(monkeypatch):
    """Products are as a GPU's, on the CPU."""
    monkeypatch.setattr(trainees, "rounds", lambda _: True)

    def product(self, framed):
        return self.encoder_bias.detach() + tf32(framed) @ tf32(self.encoder_weight).T

    monkeypatch.setattr(Trainee, "pre_activations", product)


def test_to_10_bits():
    x = torch.tensor([1 + 2**-10, 1 + 2**-11, 1 + 3 * 2**-11, -1 - 2**-12, 0.0])
    assert tf32(x).tolist() == [1 + 2**-10, 1, 1 + 2**-9, -1, 0]


@pytest.fixture
def large(sae_config):
    """An SAE of 4,096 components, and tokens."""
    config = sae_config(components=4096, k=16)
    trainee = Trainee(config, Frame(torch.zeros(96), 1.0, 1.0), torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        trainee.encoder_bias.normal_(std=0.1, generator=generator)
    return trainee, torch.randn(400, 96, generator=generator)


def winners(trainee, x):
    """Components of each token in order, and their values."""
    with torch.no_grad():
        value, component = trainee.strongest(x, trainee.pre_activations(x))
    component, order = component.sort()
    return component, value.gather(1, order)


def test_rounding_alone_chooses_others_and_float32_sets_it_right(large, request):
    trainee, x = large
    expected, value = winners(trainee, x)
    request.getfixturevalue("rounded")
    rounded = trainee.pre_activations(x).topk(16).indices.sort().values
    assert (rounded != expected).any()
    found, exact = winners(trainee, x)
    assert torch.equal(found, expected)
    torch.testing.assert_close(exact, value, rtol=1e-5, atol=1e-5)


def test_what_dead_components_learn_from_is_not_rounded(sae_config, request):
    config = sae_config(components=64, k=4, auxk=0.5, auxk_k=8)
    trainee = Trainee(config, Frame(torch.zeros(96), 1.0, 1.0), torch.Generator().manual_seed(1))
    x = torch.randn(20, 96, generator=torch.Generator().manual_seed(4))
    dead = torch.arange(64) >= 32
    expected = trainee(x, torch.full((20,), 1 / 20), dead).loss
    request.getfixturevalue("rounded")
    found = trainee(x, torch.full((20,), 1 / 20), dead).loss
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0.0)


def test_of_few_components_no_more_are_proposed_than_there_are(sae_config, rounded):
    trainee = Trainee(
        sae_config(components=5, k=4), Frame(torch.zeros(3), 1.0, 1.0), torch.Generator()
    )
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(3))
    expected = (x @ trainee.encoder_weight.T).topk(4).indices.sort().values
    assert torch.equal(winners(trainee, x)[0], expected)


@pytest.mark.parametrize("kind", ["topk", "batch_topk", "matryoshka"])
def test_an_sae_is_trained_as_by_float32(kind, blocks_of, mixtures, sae_config, request):
    blocks = blocks_of(mixtures)
    config = sae_config(kind=kind, auxk=0.03, dead_after=0.2)

    def norms(sae):
        return {name: float(value.norm()) for name, value in sae.state_dict().items()}

    _, expected = training.train(blocks, config, 0, norms)
    request.getfixturevalue("rounded")
    _, found = training.train(blocks, config, 0, norms)
    assert found.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-4)


def test_only_this_product_is_rounded(large, monkeypatch):
    trainee, x = large
    seen = []

    def addmm(*args, out):
        seen.append(torch.backends.cuda.matmul.fp32_precision)
        raise KeyboardInterrupt

    before = torch.backends.cuda.matmul.fp32_precision
    monkeypatch.setattr(torch, "addmm", addmm)
    with pytest.raises(KeyboardInterrupt):
        trainee.pre_activations(x)
    assert seen == ["tf32"]
    assert torch.backends.cuda.matmul.fp32_precision == before != "tf32"


@pytest.mark.parametrize(("device", "expected"), [("cpu", False), ("mps", False), ("cuda", True)])
def test_where_it_is_rounded(device, expected):
    assert trainees.rounds(torch.device(device)) is expected
