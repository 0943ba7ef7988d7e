"""The weights of a model among what training scripts save: where they are found, what is said."""

import argparse
from collections import OrderedDict

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.config import ConfigError
from pipeline.models.layouts import transformers_part
from pipeline.models.tensors import Content, read
from pipeline.models.weights import Found, find

SETTINGS = {
    "embed_dim": 6,
    "vision_cfg": {"image_size": 8, "patch_size": 4, "width": 12, "layers": 1, "head_width": 6},
    "text_cfg": {"context_length": 5, "vocab_size": 11, "width": 10, "layers": 2, "heads": 2},
}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(3)
    return open_clip.CLIP(**SETTINGS)


@pytest.fixture(scope="module")
def weights(model) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    state = model.state_dict()
    return {name: torch.randn(tensor.shape, generator=generator) for name, tensor in state.items()}


def under(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


def halved(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor / 2 for name, tensor in weights.items()}


def found(model, content, unread=()) -> Found:
    return find(model, Content(content, list(unread)), "w.pt")


def assert_same(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert tensors.keys() == expected.keys()
    assert all(tensor.equal(expected[name]) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    ("nest", "prefix", "said"),
    [
        ("", "", None),
        ("state_dict", "", "key 'state_dict'"),
        ("model_state_dict", "", "key 'model_state_dict'"),
        ("model", "", "key 'model'"),
        ("checkpoint.net", "", "key 'checkpoint.net'"),
        ("", "module.", "prefix 'module.'"),
        ("state_dict", "clip.", "key 'state_dict' and prefix 'clip.'"),
        ("state_dict", "model.net.", "key 'state_dict' and prefix 'model.net.'"),
        ("state_dict", "_orig_mod.", "_orig_mod taken out of the names"),
        ("model", "module._orig_mod.", "_orig_mod taken out of the names"),
        ("model", "_orig_mod.module.", "prefix 'module.'"),
        ("a_script_s.own.names", "of.some.wrapper.", "prefix 'of.some.wrapper.'"),
    ],
)
def test_keys_and_prefixes_are_found_and_said(model, weights, nest, prefix, said):
    content: object = under(prefix, weights)
    for key in reversed(nest.split(".") if nest else []):
        content = {"epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}}, key: content}
    tensors, notes = found(model, content)
    assert_same(tensors, weights)
    assert any(said in note for note in notes) if said else notes == []


def test_wrappers_are_taken_out_at_any_depth(model, weights):
    names = {name.replace("visual.", "visual._orig_mod.") for name in weights}
    assert names != weights.keys()
    content = {name.replace("visual.", "visual._orig_mod."): t for name, t in weights.items()}
    assert_same(found(model, content).tensors, weights)


def test_what_openai_and_transformers_save_without_weights_is_left_out(model, weights):
    extra = {key: torch.tensor(7) for key in ("input_resolution", "context_length", "vocab_size")}
    extra |= {"text_model.embeddings.position_ids": torch.arange(5)}
    assert_same(found(model, weights | extra).tensors, weights)


def test_tensors_beside_the_model_are_left_out_and_counted(model, weights):
    beside = {"loss.scale": torch.ones(1), "head.weight": torch.ones(2, 2)}
    tensors, notes = found(model, {"state_dict": under("clip.", weights) | beside})
    assert_same(tensors, weights)
    assert "2 tensors beside the model are left out: loss.scale, head.weight" in notes


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        *(("state_dict_ema", ""), ("model_ema", ""), ("ema", "module."), ("teacher", "")),
        *(("swa_state", ""), ("state_dict", "ema_model."), ("state_dict", "model_ema.module.")),
    ],
)
def test_of_trained_weights_and_averages_the_trained_are_taken_and_both_said(
    model, weights, key, prefix
):
    averages = under(prefix, halved(weights))
    content = {
        key: averages,
        "state_dict": {**weights, **(averages if key == "state_dict" else {})},
    }
    tensors, notes = found(model, content)
    assert_same(tensors, weights)
    said = next(note for note in notes if "EMA" in note)
    assert said.startswith("taken are the trained weights")
    assert "to audit those, save them alone" in said
    assert repr(prefix or key) in said


def test_averages_alone_are_taken_and_called_so(model, weights):
    tensors, notes = found(model, {"state_dict_ema": weights})
    assert_same(tensors, weights)
    assert "taken are averaged weights (EMA), for there are no others" in notes
    swa = {"n_averaged": torch.tensor(4)} | under("module.", weights)
    assert "taken are averaged weights (EMA), for there are no others" in found(model, swa).notes


def test_several_weights_of_equal_standing_are_refused_unless_they_are_the_same(model, weights):
    with pytest.raises(ConfigError, match=r"several weights.* key 'best'; key 'last': which are"):
        found(model, {"best": weights, "last": halved(weights)})
    assert_same(found(model, {"best": weights, "last": dict(weights)}).tensors, weights)


def test_a_text_tower_that_is_or_is_no_module_of_its_own(model, weights):
    parts = ("transformer.", "token_emb", "positional_emb", "ln_final.", "text_projection")
    apart = {f"text.{k}" if k.startswith(parts) else k: v for k, v in weights.items()}
    assert_same(found(model, apart).tensors, weights)
    custom = open_clip.CustomTextCLIP(**SETTINGS)
    assert custom.state_dict().keys() == apart.keys()
    assert_same(found(custom, weights).tensors, apart)


def test_transformers_names_below_a_prefix(model, weights):
    theirs: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        part = transformers_part(name)
        whole = tensor.T if part.transposed else tensor
        pieces = whole.chunk(3) if len(part.names) == 3 else [whole]
        theirs |= dict(zip(part.names, pieces, strict=True))
    assert "text_model.encoder.layers.1.self_attn.v_proj.bias" in theirs
    tensors, notes = found(model, {"state_dict": under("model.clip.", theirs)})
    assert_same(tensors, weights)
    assert "names are those of transformers" in notes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"visual.positional_embedding": torch.ones(10, 12)},
            r"has the shape \[10, 12\], the model's is \[5, 12\].*image size or context length",
        ),
        ({"visual.proj": torch.ones(12, 7)}, r"\[12, 7\], the model's is \[12, 6\].*architecture"),
        ({"more": torch.ones(2)}, "the model has no more.*nothing else"),
        ({"ln_final.bias": None}, "the model's ln_final.bias are not there"),
        (
            {"visual.proj": torch.ones(12, 6, dtype=torch.int8)},
            "visual.proj is torch.int8.*quantis",
        ),
        ({"visual.proj.lora_A": torch.ones(2, 6)}, r"adapters of LoRA .*merge_and_unload"),
    ],
)
def test_other_weights_are_refused_with_names_shapes_and_cause(model, weights, changes, said):
    content = {k: v for k, v in (weights | changes).items() if v is not None}
    with pytest.raises(ConfigError, match=f"w.pt does not load: .*{said}") as error:
        found(model, {"state_dict": under("clip.", content)})
    assert "weights_only" not in str(error.value)


def test_another_model_s_weights_are_refused_by_a_few_names(model):
    with pytest.raises(ConfigError, match=r"holds none of the model's weights, such as .*more"):
        found(model, {"layer1.0.weight": torch.ones(2)}, ["script.Config"])
    with pytest.raises(ConfigError, match=r"Not read, for they are no tensors: script\.Config"):
        found(model, {}, ["script.Config"])


def test_a_mapping_that_holds_itself_ends(model, weights):
    content: dict[str, object] = {"model": weights}
    content["self"] = content
    assert_same(found(model, content).tensors, weights)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_taken(model, weights, dtype):
    tensors = found(model, {name: tensor.to(dtype) for name, tensor in weights.items()}).tensors
    assert all(tensor.dtype == dtype for tensor in tensors.values())  # the model's on loading


def test_a_script_s_whole_checkpoint(model, weights, tmp_path):
    content = {
        "epoch": np.int64(3),
        "best": np.float64(0.3),
        "args": argparse.Namespace(lr=1),
        "model_state_dict": OrderedDict(under("module._orig_mod.", weights)),
        "optimizer": torch.optim.AdamW(model.parameters()).state_dict(),
    }
    torch.save(content, tmp_path / "w.ckpt")
    tensors, notes = find(model, read(tmp_path / "w.ckpt"), "w.ckpt")
    assert_same(tensors, weights)
    assert any("not read, for they are no tensors: argparse.Namespace, numpy" in n for n in notes)


def test_names_of_transformers_are_complete(clip_folder):
    names = load_file(clip_folder / "open_clip_model.safetensors")
    assert all(transformers_part(name) is not None for name in names)
    assert transformers_part("visual.trunk.blocks.0.norm1.weight") is None
