"""What runs on a GPU, on one that is not there: see invented_device."""

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators import CPUAccelerator
from lightning_fabric.strategies import SingleDeviceStrategy

from audits.maps.parts import component_parts
from benchmarks.gpu import times
from pipeline.config import EmbedConfig
from pipeline.embeddings import forward
from pipeline.embeddings.forward import Forward, all_tokens, split_preprocess
from pipeline.models.catalog import (
    class_tokens,
    image_embeddings,
    load_clip,
    text_embeddings,
)
from pipeline.sae import trainee, training
from pipeline.sae.model import Sae
from tests.pipeline import invented_device
from tests.pipeline.invented_device import DEVICE, Held, Refused, gpu


@pytest.fixture(scope="module", autouse=True)
def deterministic():
    """As in training; and one thread, for others wait longer than such small products take."""
    threads, before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(before)
    torch.set_num_threads(threads)


@pytest.fixture
def on_gpu(monkeypatch):
    """Trainings run there."""
    monkeypatch.setattr(CPUAccelerator, "setup_device", lambda *_: None)
    strategy = SingleDeviceStrategy(DEVICE)
    monkeypatch.setattr(training, "Fabric", lambda **_: Fabric(strategy=strategy))
    monkeypatch.setattr(trainee, "rounds", lambda device: device == DEVICE)
    with gpu():
        yield


def test_the_device_refuses_what_gpus_refuse():
    with gpu():
        index, weight = torch.zeros(3, dtype=torch.long).to(DEVICE), torch.ones(3, device=DEVICE)
        assert isinstance(weight, Held)
        assert weight.device == DEVICE
        with pytest.raises(Refused, match="no deterministic implementation"):
            torch.bincount(index, weight)
        with pytest.raises(Refused, match="tensors on two devices"):
            weight + torch.ones(3)
        with pytest.raises(Refused, match="no float64"):
            weight.double()
        assert (weight + 1).cpu().tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("kind", "loss"), [("topk", "unit"), ("batch_topk", "variance"), ("matryoshka", "variance")]
)
def test_an_sae_is_trained_as_on_the_cpu(kind, loss, blocks_of, mixtures, sae_config, request):
    generator = torch.Generator().manual_seed(3)
    spatial = mixtures[:, None] + torch.randn(93, 4, 7, generator=generator)
    blocks = blocks_of(mixtures, spatial)
    config = sae_config(
        kind=kind, loss=loss, tokens="both", auxk=0.03, dead_after=0.2, revive_after=[1, 2]
    )
    _, expected = training.train(blocks, config, 0, norms)
    request.getfixturevalue("on_gpu")
    _, found = training.train(blocks, config, 0, norms)
    assert found.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-4)


def makes_a_view(operation):
    """Whether it says how to read what is there, and a device has nothing to do."""
    written = [out.alias_info and out.alias_info.is_write for out in operation._schema.returns]
    return None not in written and not any(written)


def waits(operation, args):
    """Whether the device has to catch up: its numbers are asked for, or some come to it."""
    crosses = operation in invented_device.COPIES and not isinstance(args[0], Held)
    asks = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select")
    index = args[1] if operation._schema.name == "aten::index" else []
    which = any(place is not None and place.dtype == torch.bool for place in index)
    return crosses or which or operation._schema.name in asks


@pytest.mark.parametrize(("kind", "count"), [("topk", 96), ("batch_topk", 99), ("matryoshka", 139)])
def test_what_a_step_asks_of_the_device_does_not_grow_with_the_dictionary(
    kind, count, on_gpu, monkeypatch
):
    run, asked = invented_device._run, []
    monkeypatch.setattr(invented_device, "_run", lambda *call: asked.append(call) or run(*call))
    monkeypatch.setattr(times, "K", 8)

    def operations(components):
        monkeypatch.setattr(times, "COMPONENTS", components)
        step = times.stepper(DEVICE.type, 16, 32, kind)
        step()  # the first makes what the optimizer keeps
        asked.clear()
        step()
        assert not [operation for operation, args, _ in asked if waits(operation, args)]
        return sum(not makes_a_view(operation) for operation, *_ in asked)

    assert [operations(components) for components in (1024, 4096)] == [count, count]


class Killed(Exception):
    """A run ends."""


def test_a_training_goes_on_there(on_gpu, blocks_of, mixtures, sae_config, tmp_path):
    blocks, config = blocks_of(mixtures), sae_config(kind="batch_topk", auxk=0.03, dead_after=0.2)
    _, whole = training.train(blocks, config, 0, norms)
    calls = []

    def killed(sae):
        calls.append(sae)
        if len(calls) == 2:
            raise Killed
        return norms(sae)

    with pytest.raises(Killed):
        training.train(blocks, config, 0, killed, tmp_path)
    _, found = training.train(blocks, config, 0, norms, tmp_path)
    assert found.equals(whole)


EMBED = EmbedConfig(
    batch_size=4,
    workers=0,
    shard_rows=8,
    spatial_tokens=0,
    dtype="float32",
    device="auto",
    precision="auto",
)


@pytest.mark.parametrize("embed", [class_tokens, all_tokens, image_embeddings])
def test_images_go_through_a_model_as_on_the_cpu(embed, clip_folder, monkeypatch):
    generator = torch.Generator().manual_seed(4)
    pixels = torch.randint(256, (6, 32, 32, 3), generator=generator, dtype=torch.uint8)
    clip = load_clip(clip_folder)
    _, normalize = split_preprocess(clip)
    expected = Forward(clip, embed, normalize, EMBED, pixels)(pixels)
    terms = text_embeddings(clip, ["a bat", "a ship"])
    monkeypatch.setattr(forward, "pick_device", lambda *_: DEVICE.type)
    with gpu():
        there = Forward(clip, embed, normalize, EMBED, pixels)
        assert isinstance(there.normalized(pixels), Held)
        found = there(pixels)
        terms_there = text_embeddings(clip, ["a bat", "a ship"])
    assert not isinstance(found, Held)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(terms_there, terms)


def test_activations_are_taken_apart_as_on_the_cpu(clip_folder):
    generator = torch.Generator().manual_seed(5)
    clip = load_clip(clip_folder)
    pixels = torch.randn(3, 3, 32, 32, generator=generator)
    sae = Sae(6, class_tokens(clip.model, pixels).shape[1], 2).requires_grad_(False)
    sae.encoder_weight.normal_(generator=generator)
    expected = component_parts(clip.model, pixels, sae, [4, 0, 4])
    with gpu():
        clip.model.to(DEVICE)
        found = component_parts(clip.model, pixels, sae, [4, 0, 4])
    assert not isinstance(found.patches, Held)
    torch.testing.assert_close(found.patches, expected.patches)
    torch.testing.assert_close(found.rest, expected.rest)


def norms(sae):
    """Lengths of what an SAE is."""
    return {name: float(value.norm()) for name, value in sae.state_dict().items()}
