"""Devices, precisions, batches that do not fit, and preprocessing in two halves."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import Compose

from pipeline.config import EmbedConfig
from pipeline.embeddings import forward
from pipeline.embeddings.forward import Forward, all_tokens, split_preprocess
from pipeline.models.catalog import class_tokens, load_clip

EMBED = EmbedConfig(
    batch_size=8, workers=0, shard_rows=8, dtype="float32",
    spatial_tokens=0, device="cpu", precision="float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def clip(clip_folder):
    return load_clip(clip_folder)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(7)]


@pytest.fixture(scope="module")
def pixels(clip, pictures):
    pixels_of, _ = split_preprocess(clip)
    return torch.stack([pixels_of(picture) for picture in pictures])


def runner(clip, pixels, embed=class_tokens, **changes) -> Forward:
    config = EMBED.model_copy(update=changes)
    return Forward(clip, embed, split_preprocess(clip)[1], config, pixels[:3])


def test_the_two_halves_are_the_preprocessing_bit_by_bit(clip, pictures, pixels):
    whole = torch.stack([clip.preprocess(picture) for picture in pictures])
    assert pixels.dtype == torch.uint8
    assert torch.equal(runner(clip, pixels).normalized(pixels), whole)


def test_a_preprocessing_of_another_kind_is_refused(clip):
    other = replace(clip, preprocess=Compose(clip.preprocess.transforms[:-1]))
    with pytest.raises(ValueError, match="does not end in ToTensor and Normalize"):
        split_preprocess(other)


def test_vectors_are_the_model_s(clip, pictures, pixels):
    found = runner(clip, pixels)(pixels)
    whole = torch.stack([clip.preprocess(picture) for picture in pictures])
    assert torch.allclose(found, class_tokens(clip.model, whole), atol=1e-5)


def test_all_tokens_are_what_ln_post_gets(clip, pixels):
    found = runner(clip, pixels, all_tokens)(pixels)
    seen = []
    hook = clip.model.visual.ln_post.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    alone = runner(clip, pixels)(pixels)
    hook.remove()
    assert found.shape == (7, 5, 64)
    assert torch.equal(found, seen[-1])
    assert torch.equal(found[:, 0], alone)


def test_the_cosine_is_the_least_of_all_tokens(clip, pixels):
    half = runner(clip, pixels, all_tokens, precision="bfloat16")
    exact = runner(clip, pixels, all_tokens)(pixels[:3])
    measured = torch.cosine_similarity(half(pixels[:3]), exact, dim=2).min()
    assert half.ran().cosine_to_float32 == pytest.approx(float(measured), abs=1e-6)


def test_half_precision_is_measured_against_float32(clip, pixels):
    half = runner(clip, pixels, precision="bfloat16")
    exact = runner(clip, pixels)
    assert half.ran().precision == "bfloat16"
    assert 0.99 < half.ran().cosine_to_float32 < 1
    measured = torch.cosine_similarity(half(pixels[:3]), exact(pixels[:3])).min()
    assert half.ran().cosine_to_float32 == pytest.approx(float(measured), abs=1e-6)
    assert half(pixels).dtype == torch.float32


def test_auto_stays_with_float32_on_a_cpu(clip, pixels):
    assert runner(clip, pixels, precision="auto").ran() == ("cpu", "float32", 1.0)


def test_auto_takes_the_finest_half_precision_that_agrees(clip, pixels, monkeypatch):
    monkeypatch.setattr(Forward, "_vectors", _drifting({torch.float16: 0.5, torch.bfloat16: 0.0}))
    monkeypatch.setattr(forward, "pick_device", lambda wanted, key: "cuda")
    monkeypatch.setattr(forward.torch, "tensor", lambda values, device: torch.empty(len(values)))
    other = replace(clip, model=SimpleNamespace(to=lambda device: None))
    normalize = split_preprocess(clip)[1]
    auto = EMBED.model_copy(update={"precision": "auto"})
    assert Forward(other, class_tokens, normalize, auto, pixels).dtype == torch.bfloat16
    monkeypatch.setattr(
        Forward, "_vectors", _drifting({torch.float16: float("nan"), torch.bfloat16: 0.5})
    )
    assert Forward(other, class_tokens, normalize, auto, pixels).dtype == torch.float32


def _drifting(by_dtype):
    """Vectors of ones, with a part of them turned away in some precisions."""

    def vectors(self, pixels, dtype, kept):
        ones = torch.ones(len(pixels), 4)
        ones[:, 0] += by_dtype.get(dtype, 0.0)
        return ones

    return vectors


def test_a_batch_that_does_not_fit_is_halved_until_it_does(clip, pixels):
    seen = []

    def hungry(model, part):
        seen.append(len(part))
        if len(part) > 2:
            raise torch.OutOfMemoryError("too much")
        return part.flatten(1)[:, :5]

    run = runner(clip, pixels, hungry)
    found = run(pixels)
    assert seen == [7, 3, 1, 1, 1, 1, 1, 1, 1]
    assert run.fitting.rows == 1
    assert torch.equal(found, run.normalized(pixels).flatten(1)[:, :5])


def test_a_batch_that_does_not_fit_is_halved_on_mps_too(clip, pixels):
    def hungry(model, part):
        if len(part) > 2:
            raise RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)")
        return part.flatten(1)[:, :5]

    run = runner(clip, pixels, hungry)
    assert run(pixels).shape == (7, 5)
    assert run.fitting.rows == 1

    def failing(model, part):
        raise RuntimeError("another error")

    with pytest.raises(RuntimeError, match="another error"):
        runner(clip, pixels, failing)(pixels)


def test_the_precision_is_settled_on_images_that_do_not_fit_at_once(clip, pixels):
    def hungry(model, part):
        if len(part) > 1:
            raise torch.OutOfMemoryError("too much")
        return part.flatten(1)[:, :5]

    run = runner(clip, pixels, hungry, precision="bfloat16")
    assert run.ran().cosine_to_float32 == pytest.approx(1)


def test_convolutions_in_float32_are_not_rounded(clip, pixels):
    torch.backends.cudnn.allow_tf32 = True
    runner(clip, pixels)
    assert not torch.backends.cudnn.allow_tf32


def test_one_image_that_does_not_fit_is_an_error(clip, pixels):
    def hungry(model, part):
        raise torch.OutOfMemoryError("too much")

    with pytest.raises(torch.OutOfMemoryError):
        runner(clip, pixels, hungry)(pixels)


def test_what_is_not_finite_is_an_error(clip, pixels):
    def overflowing(model, part):
        return torch.full((len(part), 2), float("inf"))

    with pytest.raises(RuntimeError, match=r"not finite: set precision of these .* to float32"):
        runner(clip, pixels, overflowing)(pixels)


@pytest.mark.parametrize(
    ("workers", "device", "expected"), [("auto", "cpu", 0), ("auto", "cuda", 16), (3, "cuda", 3)]
)
def test_workers_are_by_device_and_cores(workers, device, expected, monkeypatch):
    monkeypatch.setattr(forward, "pick_device", lambda *_: device)
    monkeypatch.setattr(forward.os, "cpu_count", lambda: 16)
    assert forward.decoders(EMBED.model_copy(update={"workers": workers})) == expected


def test_tokens_that_are_kept_are_those_asked_for(clip, pixels):
    forward = runner(clip, pixels, all_tokens, batch_size=3)
    kept = torch.tensor([[0, 1 + row % 4, 2] for row in range(7)])
    rows = torch.arange(7)[:, None]
    assert torch.equal(forward(pixels, kept), forward(pixels)[rows, kept])
