"""open_clip models that lie in a folder: loaded offline, and run."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from jaxtyping import Float
from open_clip.transformer import VisionTransformer
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn

from pipeline.attribution.head import Head, unit
from pipeline.config import ConfigError
from pipeline.models.folder import (
    CONFIG,
    LOADING_ERRORS,
    WEIGHTS,
    check_config,
    check_transform,
    check_weights,
    read_config,
    reason,
)
from pipeline.models.text_tower import TEXTS, embed_prompts


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
    parameters: int
    """Number of parameters, count."""
    folder: Path
    """That it was loaded from. Pickled, a model is its folder, to be loaded from there again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return load_clip, (self.folder,)


def load_clip(folder: Path) -> Clip:
    """Load the model that a folder holds, on the CPU in float32, without network.

    Raises:
        ConfigError: the folder or one of its files is missing or damaged, the configuration does
            not say how images are preprocessed, open_clip would preprocess them otherwise, or the
            weights are another model's or not finite.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"{folder} does not exist: run `dvc repro fetch@{folder.name}`, or put {CONFIG} and "
            f"{WEIGHTS} there"
        )
    if not (folder / WEIGHTS).is_file():
        raise ConfigError(
            f"{folder} holds no {WEIGHTS}: put it there, or, where the weights are in another "
            "file, name the folder `local-dir:<folder>` in a model of another key, and fetch it"
        )
    config = read_config(folder / CONFIG)
    stated = check_config(config, str(folder / CONFIG))
    try:
        model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        tokenize = named_tokenizer(f"local-dir:{folder}", config["model_cfg"]["text_cfg"])
        with safe_open(folder / WEIGHTS, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except LOADING_ERRORS as error:
        raise ConfigError(f"{folder} does not load: {reason(error)}") from error
    check_weights(model, shapes, str(folder / WEIGHTS))
    check_transform(preprocess, stated, model.visual.image_size, str(folder / CONFIG))
    words = open_clip.get_model_tokenize_cfg(model)["vocab_size"]
    if isinstance(tokenize, open_clip.SimpleTokenizer) and words != tokenize.vocab_size:
        raise ConfigError(
            f"{folder / CONFIG}: the text tower has {words} tokens, but without hf_tokenizer_name "
            f"open_clip takes CLIP's own tokenizer of {tokenize.vocab_size}: say there which is "
            "meant, or fetch the model with the key tokenizer"
        )
    model.eval().requires_grad_(False)
    preprocessing = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in open_clip.get_model_preprocess_cfg(model).items()
    }
    parameters = sum(parameter.numel() for parameter in model.parameters())
    sha256 = weights_sha256(model)
    return Clip(model, preprocess, tokenize, preprocessing, sha256, parameters, folder)


def named_tokenizer(name: str, text: Mapping[str, Any], **options: Any) -> Any:
    """The tokenizer that open_clip has by a name; code that lies beside one is not run.

    Args:
        name: that open_clip knows.
        text: text_cfg of the model that it is for.
        options: of open_clip's `get_tokenizer`.
    """
    if text.get("hf_tokenizer_name"):
        # Asked nothing, transformers asks whoever sits there whether to run it.
        options["trust_remote_code"] = False
    return open_clip.get_tokenizer(name, **options)


def weights_sha256(model: nn.Module) -> str:
    """SHA-256 over names, shapes and bytes of all tensors of a model, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
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


def auditable(model: Any) -> bool:
    """Whether the image tower is one that `image_tower` takes."""
    try:
        image_tower(model)
    except ConfigError:
        return False
    return True


def head_of(model: nn.Module) -> Head:
    """LayerNorm and projection of an auditable model, float32 on the CPU.

    Raises:
        ConfigError: the model cannot be audited, see `image_tower`.
    """
    tower = image_tower(model)
    norm = tower.ln_post
    return Head(
        norm.weight.detach().float().cpu().clone(),
        norm.bias.detach().float().cpu().clone(),
        float(norm.eps),
        tower.proj.detach().float().cpu().clone(),
    )


@torch.inference_mode()
def class_tokens(model: Any, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
    """Class token x of each image after the last block, before ln_post; float32 on the CPU.

    Raises:
        ConfigError: the model cannot be audited, see `image_tower`.
    """
    return tokens_and_embeddings(model, pixels)[0]


@torch.inference_mode()
def tokens_and_embeddings(
    model: Any, pixels: Float[Tensor, "n 3 h w"]
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n p"]]:
    """Class tokens as `class_tokens`, and the unit embeddings that the model makes of them.

    Raises:
        ConfigError: the model cannot be audited, see `image_tower`.
    """
    tokens: list[Tensor] = []
    hook = image_tower(model).ln_post.register_forward_pre_hook(
        lambda _, inputs: tokens.append(inputs[0])  # [n, 1 + patches, d]
    )
    try:
        z = model.encode_image(pixels.to(_device(model)))
    finally:
        hook.remove()
    return tokens[0][:, 0].float().cpu(), unit(z.float().cpu())


@torch.inference_mode()
def image_embeddings(model: Any, pixels: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n p"]:
    """Unit image embeddings, of any open_clip tower; float32 on the CPU."""
    return unit(model.encode_image(pixels.to(_device(model))).float().cpu())


@torch.inference_mode()
def text_embeddings(clip: Clip, prompts: list[str]) -> Float[Tensor, "q p"]:
    """Unit text embeddings of prompts, each embedded once; float32 on the CPU."""
    once = list(dict.fromkeys(prompts))
    tokens = [clip.tokenize(once[start : start + TEXTS]) for start in range(0, len(once), TEXTS)]
    embedded = embed_prompts(clip.model, torch.cat(tokens))
    place = {prompt: row for row, prompt in enumerate(once)}
    return embedded[[place[prompt] for prompt in prompts]]


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
