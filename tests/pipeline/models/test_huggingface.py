"""CLIP as transformers saves it: what it computes, and what is refused.

Embeddings are held to a plain reading of transformers' forward pass, and that, where transformers
is installed, to transformers itself.
"""

import json
import sys

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.config import ConfigError, ModelConfig, PreprocessConfig
from pipeline.models.catalog import head_of, load_clip
from pipeline.models.fetch import fetch
from pipeline.models.hub import check, resolve
from tests.pipeline.models.invented_transformers import (
    PREPROCESSOR,
    TEXT,
    VISION,
    configuration,
    reference,
    weights,
    write_folder,
)

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
PROMPTS = ["a photo of a bat", "hot dog", "word " * 30]


@pytest.fixture(scope="module")
def pixels() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def tokens() -> Tensor:
    return open_clip.SimpleTokenizer(context_length=TEXT["max_position_embeddings"])(PROMPTS)


def entry(folder) -> ModelConfig:
    return ModelConfig(name=f"local-dir:{folder}")


def assert_computes(folder, tensors, config, pixels, tokens) -> None:
    """That an open_clip folder computes what transformers does with tensors and config."""
    clip = load_clip(folder)
    with torch.inference_mode():
        images, texts = reference(tensors, config, pixels, tokens)
        torch.testing.assert_close(clip.model.encode_image(pixels), images, **CLOSE)
        torch.testing.assert_close(clip.model.encode_text(tokens), texts, **CLOSE)
    assert clip.tokenize(PROMPTS).equal(tokens)


@pytest.mark.parametrize(
    ("vision", "text"),
    [
        ({}, {}),
        ({"hidden_act": "gelu"}, {"hidden_act": "gelu", "eos_token_id": 2}),
        ({"hidden_act": "gelu_new", "layer_norm_eps": 1e-3}, {"hidden_act": "gelu"}),
        ({"num_attention_heads": 6}, {"num_attention_heads": 2, "layer_norm_eps": 1e-2}),
        ({"image_size": [32, 32], "patch_size": [8, 8]}, {}),
    ],
)
def test_both_towers_compute_what_transformers_does(tmp_path, pixels, tokens, vision, text):
    config = configuration(vision, text)
    write_folder(tmp_path / "theirs", config)
    fetch("k", entry(tmp_path / "theirs"), tmp_path / "made")
    plain = configuration(vision | {"image_size": 32, "patch_size": 8}, text)
    assert_computes(tmp_path / "made", weights(), plain, pixels, tokens)
    eps = config["vision_config"]["layer_norm_eps"]
    assert head_of(load_clip(tmp_path / "made").model).eps == eps


def test_a_text_ends_where_the_configuration_says(tmp_path, pixels):
    config = configuration(text={"eos_token_id": 7})
    write_folder(tmp_path / "theirs", config)
    fetch("k", entry(tmp_path / "theirs"), tmp_path / "made")
    tokens = torch.tensor([[3, 9, 7, 40, 7, 0, 0, 0, 0], [5, 7, 49407, 1, 1, 2, 0, 0, 0]])
    _, expected = reference(weights(), config, pixels, tokens)
    found = load_clip(tmp_path / "made").model.encode_text(tokens)
    torch.testing.assert_close(found, expected, **CLOSE)


def shard(folder, tensors, suffix, save) -> None:
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = {f"{number}{suffix}": names[number::3] for number in range(3)}
    for file, inside in parts.items():
        save({name: tensors[name] for name in inside}, folder / file)
    stem = "model.safetensors" if suffix == ".safetensors" else "pytorch_model.bin"
    weight_map = {name: file for file, inside in parts.items() for name in inside}
    (folder / f"{stem}.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize("form", ["half", "bin", "sharded", "sharded bin", "position_ids"])
def test_weights_are_read_in_each_form(tmp_path, pixels, tokens, form):
    tensors = weights()
    folder = write_folder(tmp_path / "theirs")
    if form == "half":
        tensors = {name: tensor.half() for name, tensor in tensors.items()}
        save_file(tensors, folder / "model.safetensors")
        tensors = {name: tensor.float() for name, tensor in tensors.items()}
    elif form == "position_ids":  # of transformers before 4.31
        extra = {"vision_model.embeddings.position_ids": torch.arange(17)[None]}
        save_file(tensors | extra, folder / "model.safetensors")
    elif form == "bin":
        (folder / "model.safetensors").unlink()
        torch.save(tensors, folder / "pytorch_model.bin")
    else:
        suffix = ".bin" if form.endswith("bin") else ".safetensors"
        shard(folder, tensors, suffix, torch.save if suffix == ".bin" else save_file)
    check("k", entry(folder))
    fetch("k", entry(folder), tmp_path / "made")
    assert_computes(tmp_path / "made", tensors, configuration(), pixels, tokens)
    assert all(t.dtype == torch.float32 for t in load_file(_made(tmp_path)).values())


def _made(folder):
    return folder / "made" / "open_clip_model.safetensors"


def test_a_missing_shard_is_named(tmp_path):
    folder = write_folder(tmp_path / "theirs")
    shard(folder, weights(), ".safetensors", save_file)
    (folder / "1.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"1\.safetensors cannot be read"):
        check("k", entry(folder))
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../x.bin"}}')
    with pytest.raises(ConfigError, match=r"must name files beside it, but names .*\.\./x\.bin"):
        check("k", entry(folder))


def test_a_hub_repository_is_converted(hub_cache, tmp_path, pixels, tokens):
    folder = write_folder(tmp_path / "theirs")
    shard(folder, weights(), ".safetensors", save_file)
    hub_cache("lab/medical", {path.name: path.read_bytes() for path in folder.iterdir()})
    config = ModelConfig(name="hf-hub:lab/medical")
    check("k", config)
    fetch("k", config, tmp_path / "made")
    assert_computes(tmp_path / "made", weights(), configuration(), pixels, tokens)
    record = json.loads((tmp_path / "made" / "source.json").read_text())
    assert record["name"] == "hf-hub:lab/medical"
    assert "converted from transformers' CLIPModel of lab/medical" in record["notes"]


def test_what_transformers_leaves_out_is_its_default(tmp_path):
    """Its configurations may hold only what differs from the defaults, those of ViT-B/32."""
    config = configuration()
    config |= {"vision_config": {"hidden_size": 96, "patch_size": 16}, "text_config": {}}
    del config["projection_dim"]
    found = resolve("k", entry(write_folder(tmp_path, config, {}))).config["model_cfg"]
    assert found["embed_dim"] == 512
    assert found["quick_gelu"]
    assert found["vision_cfg"] == {
        "image_size": 224,
        "patch_size": 16,
        "width": 96,
        "head_width": 8,
        "layers": 12,
        "mlp_ratio": 32,
    }
    assert found["text_cfg"]["heads"] == 8
    assert found["text_cfg"]["context_length"] == 77


def test_an_old_section_stands_before_the_new(tmp_path):
    config = configuration() | {"text_config_dict": {"num_attention_heads": 2, "hidden_size": 24}}
    found = resolve("k", entry(write_folder(tmp_path, config))).config["model_cfg"]["text_cfg"]
    assert (found["heads"], found["layers"]) == (2, 12)


def test_weights_that_the_configuration_says_nothing_of_are_not_guessed_at(tmp_path):
    config = {"architectures": ["CLIPModel"], "model_type": "clip"}
    write_folder(tmp_path, config, {})
    with pytest.raises(ConfigError) as error:
        fetch("k", entry(tmp_path), tmp_path / "made")
    for said in (
        f"{tmp_path}/model.safetensors does not load",
        "the model's is [",
        "another architecture",
        "config.json says nothing of vision_config",
        "num_attention_heads and hidden_act cannot",
    ):
        assert said in str(error.value)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"interpolation": "bilinear", "resize_mode": "shortest", "mean": [0.1, 0.2, 0.3]}),
        ({"size": 32, "crop_size": 32}, {"resize_mode": "shortest"}),  # before transformers 4.25
        ({"size": {"height": 32, "width": 32}}, {"resize_mode": "squash"}),
        (
            {"size": {"height": 32, "width": 32}, "do_center_crop": False, "crop_size": None},
            {"resize_mode": "squash"},
        ),
        ({"resample": 3}, {"interpolation": "bicubic"}),
        ({"do_normalize": False}, {"mean": [0.0] * 3, "std": [1.0] * 3}),
        ({"image_processor_type": "CLIPImageProcessorFast"}, {}),
        ({"image_processor_type": None, "feature_extractor_type": "CLIPFeatureExtractor"}, {}),
        ({"image_mean": None}, {"mean": [0.48145466, 0.4578275, 0.40821073]}),
    ],
)
def test_preprocessing_is_taken_over(tmp_path, changes, expected):
    write_folder(tmp_path, preprocessor=PREPROCESSOR | changes)
    found = resolve("k", entry(tmp_path)).config["preprocess_cfg"]
    assert found | expected == found


def test_preprocessing_of_transformers_5_lies_in_the_processor_s_file(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": PREPROCESSOR}))
    assert resolve("k", entry(tmp_path)).config["preprocess_cfg"]["std"] == [0.4, 0.5, 0.6]


def test_an_empty_preprocessor_means_transformers_defaults_and_is_said(tmp_path):
    write_folder(tmp_path, preprocessor={})
    source = resolve("k", entry(tmp_path))
    assert source.config["preprocess_cfg"]["std"] == [0.26862954, 0.26130258, 0.27577711]
    assert source.config["preprocess_cfg"]["interpolation"] == "bicubic"
    assert any("does not say image_mean: transformers' default" in note for note in source.notes)


def test_without_preprocessor_params_must_say_it(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match=r"no mean and no std.*as preprocess in params"):
        resolve("k", entry(tmp_path))
    given = PreprocessConfig(
        mean=(0.1,) * 3, std=(0.2,) * 3, interpolation="bilinear", resize_mode="squash"
    )
    stated = entry(tmp_path).model_copy(update={"preprocess": given})
    assert resolve("k", stated).config["preprocess_cfg"] == given.model_dump(mode="json")


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


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu", "gelu_new"])
@pytest.mark.parametrize("eos", [2, 49407])
def test_the_reference_is_what_transformers_computes(tmp_path, pixels, tokens, activation, eos):
    transformers = pytest.importorskip("transformers", reason="in the optional group tokenizers")
    config = configuration(
        {"hidden_act": activation}, {"hidden_act": activation, "eos_token_id": eos}
    )
    model = transformers.CLIPModel.from_pretrained(write_folder(tmp_path, config)).eval()
    with torch.inference_mode():
        theirs = model(pixel_values=pixels, input_ids=tokens)
        images, texts = reference(weights(), config, pixels, tokens)
    normal = torch.nn.functional.normalize
    torch.testing.assert_close(theirs.image_embeds, normal(images, dim=-1), **CLOSE)
    torch.testing.assert_close(theirs.text_embeds, normal(texts, dim=-1), **CLOSE)


@pytest.mark.parametrize("size", [{"shortest_edge": 32}, {"height": 32, "width": 32}])
@pytest.mark.parametrize("resample", [2, 3])
def test_pixels_are_those_of_transformers_within_rounding(tmp_path, size, resample):
    transformers = pytest.importorskip("transformers", reason="in the optional group tokenizers")
    changes = {"size": size, "resample": resample}
    write_folder(tmp_path / "theirs", preprocessor=PREPROCESSOR | changes)
    fetch("k", entry(tmp_path / "theirs"), tmp_path / "made")
    generator = torch.Generator().manual_seed(2)
    coarse = torch.randint(0, 256, (6, 8, 3), generator=generator, dtype=torch.uint8)
    image = Image.fromarray(coarse.numpy()).resize((80, 60), Image.Resampling.BICUBIC)
    theirs = transformers.CLIPImageProcessorPil.from_pretrained(tmp_path / "theirs")
    expected = torch.as_tensor(theirs(image, return_tensors="pt")["pixel_values"][0])
    ours = load_clip(tmp_path / "made").preprocess(image)
    assert (ours - expected).abs().max() < 2.1 / 255 / 0.4
