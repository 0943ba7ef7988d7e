"""open_clip folders: what they have to state, and whether open_clip does what they state.

A folder is one that open_clip's `local-dir:` reads: `open_clip_config.json` with `model_cfg` and
`preprocess_cfg`, `open_clip_model.safetensors`, and a tokenizer's files where it is Hugging Face's.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import nn
from torchvision.transforms import CenterCrop, InterpolationMode, Normalize

from pipeline import layout
from pipeline.config import ConfigError, PreprocessConfig

CONFIG, WEIGHTS = layout.MODEL_CONFIG, layout.MODEL_WEIGHTS
CHECKPOINT = "open_clip_pytorch_model.bin"
"""What open_clip calls weights that are no safetensors."""

LOADING_ERRORS = (
    *(RuntimeError, OSError, ValueError, TypeError, LookupError, AttributeError, AssertionError),
    *(ImportError, EOFError, StopIteration, SafetensorError, UnpicklingError),
)
"""What open_clip raises on a configuration or on weights that it cannot make a model of."""

TOKENIZER_KEYS = {"clean", "strip_sep_token", "language"}
"""Of tokenizer_kwargs, those that change what a prompt becomes; `trust_remote_code` would run code
that a hub repository holds, and `reduction_mask` draws at random."""


def reason(error: BaseException) -> str:
    """First words of an error of a library, whose own text may list every tensor of a model."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 400 else f"{text[:400]} …"


def read_config(path: Path) -> dict[str, Any]:
    """The content of an `open_clip_config.json`.

    Raises:
        ConfigError: it is missing, no JSON, or no mapping.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read ({reason(error)}): it has to hold open_clip's "
            '{"model_cfg": …, "preprocess_cfg": …}'
        ) from error
    if not isinstance(config, dict):
        raise ConfigError(f'{path} has to hold open_clip\'s {{"model_cfg": …, …}}')
    return config


def check_config(config: Mapping[str, Any], where: str) -> PreprocessConfig:
    """The preprocessing that an `open_clip_config.json` states, after a check of the whole.

    Resizing that is not stated is open_clip's: bicubic, the shortest edge.

    Raises:
        ConfigError: a part is missing, has unknown keys or impossible values, or would make
            open_clip fetch something from elsewhere or run code.
    """
    for key in ("model_cfg", "preprocess_cfg"):
        if not isinstance(config.get(key), dict):
            raise ConfigError(f"{where} has no {key}: open_clip would take defaults; add it")
    model, preprocess = config["model_cfg"], dict(config["preprocess_cfg"])
    for key in ("vision_cfg", "text_cfg"):
        if not isinstance(model.get(key), dict):
            raise ConfigError(f"{where}: model_cfg has no {key}: it is no CLIP of open_clip")
    vision, text = model["vision_cfg"], model["text_cfg"]
    if text.get("hf_model_name"):
        raise ConfigError(
            f"{where}: the text tower is Hugging Face's {text['hf_model_name']!r}, which no folder "
            "holds: only open_clip's own text towers can be loaded"
        )
    if ":" in str(vision.get("timm_model_name")):
        raise ConfigError(
            f"{where}: the image tower {vision['timm_model_name']!r} is configured elsewhere: only "
            "those that timm knows by name can be loaded"
        )
    if unknown := sorted(set(text.get("tokenizer_kwargs") or {}) - TOKENIZER_KEYS):
        raise ConfigError(
            f"{where}: tokenizer_kwargs has {unknown}: only {sorted(TOKENIZER_KEYS)} are taken"
        )
    missing = [key for key in ("mean", "std") if preprocess.get(key) is None]
    if missing:
        raise ConfigError(
            f"{where}: preprocess_cfg has no {' and no '.join(missing)}: open_clip would take "
            "OpenAI's; say with which the model was trained, there or as preprocess in params.yaml"
        )
    size, tower = preprocess.pop("size", None), vision.get("image_size", 224)
    if size is not None and _pair(size) != _pair(tower):
        raise ConfigError(f"{where}: preprocess_cfg.size is {size}, the image tower's is {tower}")
    for key, needed in (("mode", "RGB"), ("fill_color", 0)):
        if (found := preprocess.pop(key, needed)) != needed:
            raise ConfigError(f"{where}: preprocess_cfg.{key} is {found!r}: it must be {needed!r}")
    try:
        stated = PreprocessConfig.model_validate(
            {"interpolation": "bicubic", "resize_mode": "shortest"} | preprocess
        )
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(
            f"{where}: preprocess_cfg.{key} is {problem['input']!r}: {problem['msg']}"
        ) from error
    if not all(map(math.isfinite, stated.mean + stated.std)) or min(stated.std) <= 0:
        raise ConfigError(
            f"{where}: mean {list(stated.mean)} and std {list(stated.std)} must be finite, and std "
            "above 0"
        )
    return stated


def check_weights(model: nn.Module, shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Make sure that a model holds the weights of a file as they are, and that they are finite.

    Args:
        model: with the weights loaded.
        shapes: tensor → shape in the file.
        where: the file, for messages.

    Raises:
        ConfigError: open_clip has resized positional embeddings, or a weight is NaN or infinite.
    """
    for name, tensor in model.state_dict().items():
        if name in shapes and math.prod(shapes[name]) != tensor.numel():
            raise ConfigError(
                f"{where}: {name} has the shape {list(shapes[name])}, the model's is "
                f"{list(tensor.shape)}: it is of another image size or context length, and "
                "open_clip would stretch it; take the model that it was trained as"
            )
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ConfigError(f"{where}: {name} is not finite: the weights are damaged")


def check_transform(
    transform: Any, stated: PreprocessConfig, size: int | tuple[int, int], where: str
) -> None:
    """Make sure that images go through what the configuration states, and leave as `size`.

    Raises:
        ConfigError: open_clip's transform does something else.
    """
    expected = stated.model_dump() | {"size": _pair(size)}
    found = running(transform)
    if differing := [key for key in expected if found.get(key) != expected[key]]:
        said = {key: expected[key] for key in differing}
        done = {key: found.get(key) for key in differing}
        raise ConfigError(f"{where} says {said}, but open_clip's transform does {done}")


def running(transform: Any) -> dict[str, Any]:
    """What open_clip's transform of an image does: mean, std, interpolation, resize_mode, size.

    A key is missing where no step of the transform says it.
    """
    found: dict[str, Any] = {}
    for step in transform.transforms:
        kind = type(step).__name__
        if isinstance(step, Normalize):
            found |= {"mean": tuple(step.mean), "std": tuple(step.std)}
        elif kind in ("Resize", "ResizeKeepRatio"):
            found["interpolation"] = InterpolationMode(step.interpolation).value
            squash = kind == "Resize" and not isinstance(step.size, int)
            longest = kind == "ResizeKeepRatio" and step.longest == 1
            found["resize_mode"] = "squash" if squash else "longest" if longest else "shortest"
            if squash:  # the two others leave it to the crop after them
                found["size"] = _pair(step.size)
        elif isinstance(step, CenterCrop) or kind == "CenterCropOrPad":
            found["size"] = _pair(step.size)
    return found


def _pair(size: Any) -> tuple[int, ...]:
    return tuple(size) if isinstance(size, list | tuple) else (size, size)
