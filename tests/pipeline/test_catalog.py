"""The catalog: what loads, what may be audited, and what is refused by name."""

import json
import shutil

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.attribution import project
from pipeline.config import ConfigError, ModelConfig
from pipeline.models.catalog import (
    class_tokens,
    head_of,
    image_embeddings,
    image_tower,
    load_clip,
    text_embeddings,
    weights_sha256,
)

TEXT = {"context_length": 8, "width": 32, "layers": 1, "heads": 2}
VISION = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1, "head_width": 32}
TIMM = {"timm_model_name": "test_vit", "timm_pool": "avg", "timm_proj": "linear", "image_size": 160}


def entry(name: str, pretrained: str | None = None) -> ModelConfig:
    return ModelConfig(name=name, pretrained=pretrained, note=None)


@pytest.fixture(scope="module")
def clip(clip_folder):
    return load_clip(entry(f"local-dir:{clip_folder}"))


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


def test_an_entry_without_weights_is_refused():
    with pytest.raises(ConfigError, match=r"'ViT-B-32' has pretrained null.*openai"):
        load_clip(entry("ViT-B-32"))


def test_unknown_weights_are_refused():
    with pytest.raises(ConfigError, match="'ViT-B-32' with pretrained 'nowhere' does not load"):
        load_clip(entry("ViT-B-32", "nowhere"))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="none' with pretrained None does not load"):
        load_clip(entry(f"local-dir:{tmp_path}/none"))


@pytest.mark.parametrize("damage", ["absent", "truncated", "another"])
def test_weights_that_do_not_load_are_refused(clip_folder, tmp_path, damage):
    folder = shutil.copytree(clip_folder, tmp_path / "model")
    weights = folder / "open_clip_model.safetensors"
    if damage == "absent":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
    else:
        tensors = load_file(weights)
        tensors["visual.proj"] = tensors["visual.proj"][:, :-1].contiguous()
        save_file(tensors, weights)
    with pytest.raises(ConfigError, match="model' with pretrained None does not load"):
        load_clip(entry(f"local-dir:{folder}"))


def test_a_folder_without_a_model_config_is_refused(tmp_path):
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": {}}))
    with pytest.raises(ConfigError, match="model_cfg"):
        load_clip(entry(f"local-dir:{tmp_path}"))
