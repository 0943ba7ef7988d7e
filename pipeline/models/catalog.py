"""open_clip models of the catalog, loaded with weights or not at all."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from jaxtyping import Float
from open_clip.transformer import VisionTransformer
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from pipeline.attribution import Head, unit
from pipeline.config import ConfigError, ModelConfig


@dataclass(frozen=True)
class Clip:
    """A CLIP with weights, in evaluation mode, and what turns images and prompts into its input."""

    model: Any
    """One of open_clip's classes."""
    preprocess: Callable[[Image.Image], Tensor]
    tokenize: Callable[[list[str]], Tensor]
    preprocessing: dict[str, Any]
    """open_clip's preprocess_cfg: size, mean, std, interpolation, resize_mode."""
    weights_sha256: str


def load_clip(config: ModelConfig) -> Clip:
    """Build a model of the catalog and load its weights.

    Raises:
        ConfigError: the entry names no weights, open_clip does not know it, or its weights are
            missing, damaged or another model's.
    """
    if ":" not in config.name and config.pretrained is None:
        raise ConfigError(
            f"model {config.name!r} has pretrained null, so its weights would be random: name one "
            f"of {open_clip.list_pretrained_tags_by_model(config.name)}, or use local-dir:<folder>"
        )
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(
            config.name,
            pretrained=config.pretrained,
            weights_only=True,
            require_pretrained=True,
        )
        tokenize = open_clip.get_tokenizer(config.name)
    except (RuntimeError, OSError, ValueError, SafetensorError) as error:
        raise ConfigError(
            f"model {config.name!r} with pretrained {config.pretrained!r} does not load: {error}"
        ) from error
    model.eval().requires_grad_(False)
    preprocessing = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in open_clip.get_model_preprocess_cfg(model).items()
    }
    return Clip(model, preprocess, tokenize, preprocessing, weights_sha256(model))


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of all tensors of a model, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def image_tower(model: Any) -> VisionTransformer:
    """The image tower of a model that can be audited: class token, then ln_post, then proj.

    Raises:
        ConfigError: the tower is of another class, pools another way, or has no proj.
    """
    tower = model.visual
    if not isinstance(tower, VisionTransformer):
        raise ConfigError(
            f"the image tower is a {type(tower).__module__}.{type(tower).__name__}: only "
            "open_clip's VisionTransformer can be audited; this model can still be a labeler"
        )
    for what, found, needed in (
        ("pool_type", tower.pool_type, "tok"),
        ("attn_pool", tower.attn_pool, None),
        ("final_ln_after_pool", tower.final_ln_after_pool, False),
    ):
        if found != needed:
            raise ConfigError(
                f"the image tower has {what} {found!r}: only {needed!r} can be audited; "
                "this model can still be a labeler"
            )
    if tower.proj is None or not isinstance(tower.ln_post, nn.LayerNorm):
        raise ConfigError(
            "the image tower has no proj or no LayerNorm ln_post: it cannot be audited; "
            "this model can still be a labeler"
        )
    return tower


def head_of(model: nn.Module) -> Head:
    """LayerNorm and projection of an auditable model, float32.

    Raises:
        ConfigError: the model cannot be audited, see `image_tower`.
    """
    tower = image_tower(model)
    norm = tower.ln_post
    return Head(
        norm.weight.detach().float().clone(),
        norm.bias.detach().float().clone(),
        float(norm.eps),
        tower.proj.detach().float().clone(),
    )


@torch.inference_mode()
def class_tokens(model: Any, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
    """Class token x of each image after the last block, before ln_post.

    Raises:
        ConfigError: the model cannot be audited, see `image_tower`.
    """
    tokens: list[Tensor] = []
    hook = image_tower(model).ln_post.register_forward_pre_hook(
        lambda _, inputs: tokens.append(inputs[0])  # [n, 1 + patches, d]
    )
    try:
        model.encode_image(pixels)
    finally:
        hook.remove()
    return tokens[0][:, 0].float()


@torch.inference_mode()
def image_embeddings(model: Any, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n p"]:
    """Unit image embeddings, of any open_clip tower."""
    return unit(model.encode_image(pixels).float())


@torch.inference_mode()
def text_embeddings(clip: Clip, prompts: list[str]) -> Float[Tensor, "q p"]:
    """Unit text embeddings of prompts."""
    blocks = [
        clip.model.encode_text(clip.tokenize(prompts[start : start + 256])).float()
        for start in range(0, len(prompts), 256)
    ]
    return unit(torch.cat(blocks))
