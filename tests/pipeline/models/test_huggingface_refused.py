"""CLIP as transformers saves it: what is refused, and vocabularies that are not CLIP's own."""

import json
import sys

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from pipeline.config import ConfigError
from pipeline.models.fetch import fetch
from pipeline.models.hub import check, resolve
from tests.pipeline.models.invented_transformers import (
    PREPROCESSOR,
    TEXT,
    VISION,
    configuration,
    entry,
    weights,
    write_folder,
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": {"shortest_edge": 40}}, r"shortest_edge': 40.*takes 32 × 32 pixels"),
        ({"size": {"shortest_edge": 32, "longest_edge": 64}}, "longest_edge"),
        ({"do_center_crop": False}, "'do_center_crop': False"),
        ({"crop_size": {"height": 32, "width": 24}}, "'width': 24"),
        ({"do_resize": False}, "do_resize is False"),
        ({"do_rescale": False}, "do_rescale is False"),
        ({"rescale_factor": 1 / 127.5}, "rescale_factor is 0.0078"),
        ({"resample": 0}, r"resample is 0: .*2 \(bilinear\) or 3 \(bicubic\)"),
        ({"do_pad": True}, "do_pad is True"),
        ({"image_processor_type": "ViTImageProcessor"}, "image_processor_type is 'ViTImageProc"),
        ({"image_std": [0.5, 0.5, 0.0]}, "must be finite, and std above 0"),
    ],
)
def test_preprocessing_that_open_clip_cannot_do_is_refused(tmp_path, changes, said):
    write_folder(tmp_path, preprocessor=PREPROCESSOR | changes)
    with pytest.raises(ConfigError, match=said):
        check("k", entry(tmp_path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "siglip"}, "model_type is 'siglip'.*only CLIPModel.*label components"),
        ({"model_type": None}, "model_type is None"),
        ({"model_type": "clip_vision_model"}, "image tower alone.*needs the text tower"),
        ({"model_type": "clip_text_model"}, "text tower alone.*needs the image tower"),
        ({"architectures": ["CLIPForImageClassification"]}, "CLIPForImageClassification"),
        ({"vision_config": VISION | {"hidden_act": "relu"}}, "vision_config.hidden_act is 'relu'"),
        ({"vision_config": VISION | {"hidden_act": "gelu"}}, "quick_gelu in both or none"),
        ({"vision_config": VISION | {"num_attention_heads": 5}}, "48, is no multiple of it"),
        ({"vision_config": VISION | {"num_channels": 4}}, "num_channels must be 3"),
        ({"vision_config": VISION | {"image_size": [32, 48]}}, r"image_size is \[32, 48\]"),
        ({"text_config": TEXT | {"eos_token_id": 50000}}, "eos_token_id is 50000: .*49408 tokens"),
        ({"text_config": TEXT | {"vocab_size": 49410}}, "text tower of 49410: put the tokenizer"),
        ({"projection_dim": "20"}, "projection_dim is '20'"),
    ],
)
def test_models_that_cannot_be_converted_are_refused(tmp_path, changes, said):
    write_folder(tmp_path, configuration() | changes)
    with pytest.raises(ConfigError, match=said):
        check("k", entry(tmp_path))


@pytest.mark.parametrize(
    ("tower", "said"), [("vision", "no image tower"), ("text", "no text tower")]
)
def test_weights_of_one_tower_are_refused(tmp_path, tower, said):
    tensors = {
        name: t for name, t in weights().items() if tower not in name.replace("visual", "vision")
    }
    write_folder(tmp_path / "theirs", tensors=tensors)
    with pytest.raises(ConfigError, match=f"It has {said}: a CLIP needs both"):
        fetch("k", entry(tmp_path / "theirs"), tmp_path / "made")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tf_model.h5", "holds no model.safetensors .*weights of TensorFlow, and only PyTorch's"),
        ("flax_model.msgpack", "weights of Flax"),
        ("model.onnx", "weights of ONNX"),
    ],
)
def test_weights_of_other_frameworks_are_refused(tmp_path, name, said):
    write_folder(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / name)
    with pytest.raises(ConfigError, match=said):
        check("k", entry(tmp_path))


def test_adapters_of_lora_are_to_be_merged_first(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    save_file({"base_model.model.x.lora_A.weight": torch.zeros(2, 3)}, tmp_path / "a.safetensors")
    with pytest.raises(ConfigError, match=r"adapters of LoRA .*merge_and_unload"):
        check("k", entry(tmp_path))


def standard_vocabulary() -> tuple[dict[str, int], list[str]]:
    """Tokens and merges of CLIP's own tokenizer under transformers' names."""
    own = open_clip.SimpleTokenizer()
    renamed = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    words = {renamed.get(word, word): number for word, number in own.encoder.items()}
    return words, [" ".join(pair) for pair in own.bpe_ranks]


def write_tokenizer(folder, *, fast: bool, words: dict, merges: list) -> None:
    if fast:
        special = [{"id": words[name]} for name in ("<|startoftext|>", "<|endoftext|>")]
        content = {
            "added_tokens": special,
            "normalizer": {"normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]},
            "model": {"vocab": words, "merges": [pair.split() for pair in merges]},
        }
        (folder / "tokenizer.json").write_text(json.dumps(content))
    else:
        (folder / "vocab.json").write_text(json.dumps(words))
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))


@pytest.mark.parametrize("fast", [False, True])
def test_clip_s_own_vocabulary_needs_no_other_tokenizer(tmp_path, fast):
    words, merges = standard_vocabulary()
    write_tokenizer(write_folder(tmp_path), fast=fast, words=words, merges=merges)
    source = resolve("k", entry(tmp_path))
    assert source.tokenizer is None
    assert not any("tokenizer" in note for note in source.notes)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("change", ["numbers", "merges"])
def test_another_vocabulary_needs_transformers(tmp_path, monkeypatch, fast, change):
    monkeypatch.setitem(sys.modules, "transformers", None)
    words, merges = standard_vocabulary()
    if change == "numbers":
        words |= {"a</w>": words["b</w>"], "b</w>": words["a</w>"]}
    else:
        merges[3], merges[4] = merges[4], merges[3]
    write_tokenizer(write_folder(tmp_path), fast=fast, words=words, merges=merges)
    with pytest.raises(ConfigError, match="pip install transformers"):
        check("k", entry(tmp_path))


def test_added_tokens_make_another_vocabulary(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    words, merges = standard_vocabulary()
    write_tokenizer(write_folder(tmp_path), fast=False, words=words, merges=merges)
    (tmp_path / "added_tokens.json").write_text('{"<lesion>": 49408}')
    with pytest.raises(ConfigError, match="pip install transformers"):
        check("k", entry(tmp_path))
