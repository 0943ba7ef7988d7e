"""CLIP as transformers saves it: what it computes, and what is refused.

Embeddings are held to a plain reading of transformers' forward pass, and that, where transformers
is installed, to transformers itself.
"""

import json

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
    configuration,
    entry,
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
