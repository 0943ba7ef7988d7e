"""The catalog: what loads, what may be audited, and what is refused by name."""

import json
import re
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
import yaml
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import load_file, save_file

from pipeline.attribution.head import project
from pipeline.config import ConfigError, ModelConfig, PreprocessConfig
from pipeline.models.catalog import (
    class_tokens,
    head_of,
    image_embeddings,
    image_tower,
    load_clip,
    text_embeddings,
    weights_sha256,
)
from pipeline.models.folder import check_transform, running

TEXT = {"context_length": 8, "width": 32, "layers": 1, "heads": 2}
VISION = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1, "head_width": 32}
TIMM = {"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear", "image_size": 160}


PREPROCESS = "preprocess_cfg"
CATALOG = Path(__file__).parents[3] / "catalog.yaml"
MODELS = yaml.safe_load(CATALOG.read_text(encoding="utf-8"))["models"]


@pytest.fixture(scope="module")
def clip(clip_folder):
    return load_clip(clip_folder)


@pytest.fixture
def copied(clip_folder, tmp_path):
    return shutil.copytree(clip_folder, tmp_path / "model")


@pytest.fixture(scope="module")
def pixels():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_class_token_and_head_make_the_model_s_own_embedding(clip, pixels):
    head = head_of(clip.model)
    x = class_tokens(clip.model, pixels)
    assert x.shape == (3, 64)
    assert (head.gamma - 1).abs().mean() > 0.3
    assert head.beta.abs().mean() > 0.3
    with torch.no_grad():
        expected = clip.model.encode_image(pixels)
    assert torch.allclose(project(x, head), expected, atol=1e-4)


def test_the_class_token_is_of_its_own_image(clip, pixels):
    alone = torch.cat([class_tokens(clip.model, image[None]) for image in pixels])
    assert torch.allclose(class_tokens(clip.model, pixels), alone, atol=1e-5)
    assert not torch.allclose(alone[0], alone[1], atol=1e-2)


def test_embeddings_are_unit_and_blocks_of_prompts_agree(clip, pixels):
    assert torch.allclose(image_embeddings(clip.model, pixels).norm(dim=1), torch.ones(3))
    prompts = [f"thing number {index}" for index in range(300)]  # more than one block
    t = text_embeddings(clip, prompts)
    assert t.shape == (300, 48)
    assert torch.allclose(t.norm(dim=1), torch.ones(300))
    assert torch.allclose(t[[2, 299]], text_embeddings(clip, [prompts[2], prompts[299]]), atol=1e-5)


def test_a_loaded_model_is_frozen_and_says_how_it_preprocesses(clip):
    assert not clip.model.training
    assert not any(parameter.requires_grad for parameter in clip.model.parameters())
    assert clip.preprocessing["mean"] == [0.5, 0.5, 0.5]
    assert clip.preprocessing["resize_mode"] == "squash"
    assert clip.tokenize(["a bat"]).shape == (1, 8)
    assert clip.parameters == sum(tensor.numel() for tensor in clip.model.state_dict().values())


def test_the_hash_is_of_every_weight(clip):
    model = open_clip.CLIP(embed_dim=48, vision_cfg=VISION | {"layers": 2}, text_cfg=TEXT)
    model.load_state_dict(clip.model.state_dict())
    assert weights_sha256(model) == clip.weights_sha256
    with torch.no_grad():
        model.logit_scale += 1e-6
    assert weights_sha256(model) != clip.weights_sha256


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pool_type": "avg"}, "pool_type 'avg': only 'tok'"),
        ({"attentional_pool": True, "attn_pooler_heads": 2}, "attn_pool"),
        ({"final_ln_after_pool": True}, "final_ln_after_pool True"),
    ],
)
def test_another_pooling_is_refused_by_name(changes, said):
    model = open_clip.CLIP(embed_dim=48, vision_cfg=VISION | changes, text_cfg=TEXT)
    with pytest.raises(ConfigError, match=said):
        image_tower(model)


def test_a_tower_without_projection_is_refused():
    model = open_clip.CLIP(embed_dim=48, vision_cfg=VISION, text_cfg=TEXT)
    model.visual.proj = None
    with pytest.raises(ConfigError, match="no proj"):
        head_of(model)


def test_a_timm_tower_is_refused_by_its_class_but_embeds():
    model = open_clip.CustomTextCLIP(embed_dim=48, vision_cfg=TIMM, text_cfg=TEXT).eval()
    with pytest.raises(ConfigError, match=r"timm_model\.TimmModel.*labeler"):
        image_tower(model)
    assert image_embeddings(model, torch.randn(2, 3, 160, 160)).shape == (2, 48)


def test_a_missing_folder_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"none does not exist: run `dvc repro fetch@none`, or"):
        load_clip(tmp_path / "none")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("absent", r"model holds no open_clip_model\.safetensors: put it there"),
        ("truncated", "model does not load: "),
        ("another", r"model does not load: .*visual\.proj"),
        ("stretched", r"visual\.positional_embedding has the shape \[10, 64\].*stretch"),
        ("infinite", r"safetensors: logit_scale is not finite"),
    ],
)
def test_weights_that_are_not_the_model_s_are_refused(copied, damage, said):
    weights = copied / "open_clip_model.safetensors"
    tensors = load_file(weights)
    if damage == "absent":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    else:
        tensors |= {
            "another": {"visual.proj": tensors["visual.proj"][:, :-1].contiguous()},
            "stretched": {"visual.positional_embedding": torch.zeros(10, 64)},
            "infinite": {"logit_scale": torch.tensor(torch.inf)},
        }[damage]
        save_file(tensors, weights)
    with pytest.raises(ConfigError, match=said):
        load_clip(copied)


def test_weights_beside_safetensors_are_never_opened(copied, clip):
    (copied / "open_clip_pytorch_model.bin").write_bytes(b"no weights")
    assert load_clip(copied).weights_sha256 == clip.weights_sha256
    (copied / "open_clip_model.safetensors").unlink()
    with pytest.raises(ConfigError, match="holds no open_clip_model"):
        load_clip(copied)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_cfg": None}, "has no model_cfg"),
        ({"preprocess_cfg": None}, "has no preprocess_cfg: open_clip would take defaults"),
        ({"mean": None}, "preprocess_cfg has no mean: open_clip would take OpenAI's"),
        ({"mean": None, "std": None}, "has no mean and no std"),
        ({"std": [0.25, 0.25]}, "preprocess_cfg.std"),
        ({"std": [0.25, 0.0, 0.25]}, "std above 0"),
        ({"mean": [0.5, float("nan"), 0.5]}, "must be finite"),
        ({"interpolation": "random"}, "preprocess_cfg.interpolation is 'random'"),
        ({"interpolaton": "bilinear"}, "preprocess_cfg.interpolaton"),
        ({"size": 48}, "size is 48, the image tower's is 32"),
        ({"mode": "L"}, "mode is 'L': it must be 'RGB'"),
        ({"fill_color": 255}, "fill_color is 255"),
        ({"vision_cfg": None}, "model_cfg has no vision_cfg"),
        ({"vision_cfg": VISION | {"depth": 2}}, "does not load: .*depth"),
        ({"vision_cfg": TIMM | {"timm_model_name": "hf-hub:a/b"}}, "configured elsewhere"),
        ({"text_cfg": TEXT | {"hf_model_name": "roberta-base"}}, "'roberta-base', which no folder"),
        ({"text_cfg": TEXT | {"tokenizer_kwargs": {"trust_remote_code": True}}}, "trust_remote"),
    ],
)
def test_a_configuration_that_does_not_say_enough_or_says_too_much_is_refused(
    copied, changes, said
):
    path = copied / "open_clip_config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        towers = ("vision_cfg", "text_cfg")
        sections = config if key in config else config["model_cfg" if key in towers else PREPROCESS]
        sections[key] = value
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=said) as error:
        load_clip(copied)
    assert str(copied) in str(error.value)


def test_a_configuration_that_is_no_json_is_refused(copied):
    (copied / "open_clip_config.json").write_text("{")
    with pytest.raises(ConfigError, match=r"open_clip_config\.json cannot be read"):
        load_clip(copied)


def test_clip_s_tokenizer_is_not_taken_for_another_vocabulary(copied):
    path = copied / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"]["vocab_size"] = 32000
    path.write_text(json.dumps(config))
    model = open_clip.CLIP(**config["model_cfg"])
    save_file(model.state_dict(), copied / "open_clip_model.safetensors")
    with pytest.raises(ConfigError, match="has 32000 tokens, but without hf_tokenizer_name"):
        load_clip(copied)


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_what_runs_is_read_off_the_transform(resize_mode, interpolation):
    stated = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "interpolation": interpolation}
    stated["resize_mode"] = resize_mode
    transform = image_transform_v2(PreprocessCfg(size=40, **stated), is_train=False)
    assert running(transform) == stated | {"size": (40, 40)}
    check_transform(transform, PreprocessConfig(**stated), (40, 40), "file")
    for key, value in (
        ("mean", (0.2, 0.1, 0.3)),
        ("std", (0.4, 0.6, 0.5)),
        ("interpolation", "bilinear" if interpolation == "bicubic" else "bicubic"),
        ("resize_mode", "squash" if resize_mode == "longest" else "longest"),
    ):
        with pytest.raises(ConfigError, match=f"file says .*{key}.*but open_clip's transform"):
            check_transform(transform, PreprocessConfig(**stated | {key: value}), 40, "file")
    with pytest.raises(ConfigError, match="size"):
        check_transform(transform, PreprocessConfig(**stated), (40, 48), "file")


def test_open_clip_s_lost_interpolation_of_oblong_images_is_seen():
    stated = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "interpolation": "bilinear"}
    transform = image_transform_v2(PreprocessCfg(size=(32, 48), **stated), is_train=False)
    with pytest.raises(ConfigError, match=r"'interpolation': 'bilinear'.*'bicubic'"):
        check_transform(
            transform, PreprocessConfig(**stated, resize_mode="shortest"), (32, 48), "file"
        )


@pytest.mark.parametrize("key", MODELS)
def test_an_entry_of_the_catalog_is_known_to_open_clip(key):
    entry = ModelConfig(**MODELS[key])
    name = entry.tokenizer if entry.name.startswith("hf-hub:") else entry.name
    assert open_clip.get_model_config(name)["text_cfg"]["vocab_size"] == 49408
    with torch.device("meta"):
        model = open_clip.create_model(name, load_weights=False, device="meta")
    if entry.pretrained is not None:
        tag = open_clip.get_pretrained_cfg(entry.name, entry.pretrained)
        assert tag.get("quick_gelu", False) == open_clip.get_model_config(name).get("quick_gelu", 0)
        assert tag["hf_hub"]
    if key.startswith("mobileclip"):
        with pytest.raises(ConfigError, match=r"timm_model\.TimmModel.*can still be a labeler"):
            image_tower(model)
    else:
        tower = image_tower(model)
        assert tower.proj.shape[0] == tower.ln_post.normalized_shape[0]


def test_the_catalog_s_datasets_name_labelers_of_it():
    catalog = yaml.safe_load(CATALOG.read_text(encoding="utf-8"))
    assert {dataset["labeler"] for dataset in catalog["datasets"].values()} <= set(MODELS)
    assert all(re.fullmatch("[a-z0-9][a-z0-9_-]*", key) for key in MODELS)
    assert "ISIC" in MODELS["whylesionclip"]["note"]
