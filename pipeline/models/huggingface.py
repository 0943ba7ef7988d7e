"""CLIP as transformers saves it: its configuration in open_clip's words.

transformers leaves out of `config.json` what is its default, so what is left out there is taken
from its defaults and from nowhere else: no guess at what the weights do not say, such as the number
of heads. What open_clip's model or transform cannot do is refused.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.artifacts.store import read_json
from pipeline.config import ConfigError
from pipeline.models.folder import reason

CONFIG = "config.json"
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
"""Before transformers 5, and since."""
WEIGHTS = (
    *("model.safetensors", "model.safetensors.index.json"),
    *("pytorch_model.bin", "pytorch_model.bin.index.json"),
)
"""In the order in which they are taken."""

TEXT = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
}
"""transformers' defaults of CLIPTextConfig."""
VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
"""Of CLIPVisionConfig."""
PROJECTION = 512
"""Of CLIPConfig's projection_dim."""
LEGACY_EOS = 2
"""eos_token_id of old configurations, for which transformers takes the greatest token instead."""

ACTIVATIONS: dict[str, tuple[bool, dict[str, str] | None]] = {
    "quick_gelu": (True, None),
    "gelu": (False, None),
    "gelu_new": (False, {"approximate": "tanh"}),
    "gelu_pytorch_tanh": (False, {"approximate": "tanh"}),
}
"""transformers' name → whether it is open_clip's quick_gelu, and its act_kwargs."""

MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
"""Defaults of CLIPImageProcessor, OpenAI's."""
INTERPOLATION = {2: "bilinear", 3: "bicubic"}
"""PIL's number → open_clip's word."""
PROCESSORS = ("CLIPImageProcessor", "CLIPFeatureExtractor")
"""Whose defaults are known, also with `Fast` or `Pil` behind the name."""


class Converted(NamedTuple):
    """A model of transformers in open_clip's words."""

    config: dict[str, Any]
    """Content of an `open_clip_config.json`."""
    notes: list[str]
    """What the files did not say."""


def model_config(path: Path, where: str) -> Converted:
    """The `model_cfg` of a `config.json` of transformers.

    Raises:
        ConfigError: it is damaged, no CLIP's with both towers, or open_clip has no such model.
    """
    content = _read(path)
    _check_kind(content, where)
    vision, text = (_section(content, name) for name in ("vision_config", "text_config"))
    notes = [
        f"{where} says nothing of {name}, so transformers' defaults hold, ViT-B/32's; if the "
        "model is another, write there what it was trained as (num_attention_heads and hidden_act "
        "cannot be read off the weights)"
        for name, section in (("vision_config", vision), ("text_config", text))
        if not section
    ]
    vision, text = VISION | vision, TEXT | text
    width, image, patch = (
        _count(vision, key, f"{where}: vision_config")
        for key in ("hidden_size", "image_size", "patch_size")
    )
    if _count(vision, "num_channels", f"{where}: vision_config") != 3:
        raise ConfigError(f"{where}: vision_config.num_channels must be 3")
    quick, act = _activation(vision, f"{where}: vision_config")
    text_quick, text_act = _activation(text, f"{where}: text_config")
    if quick != text_quick:
        raise ConfigError(
            f"{where}: hidden_act is {vision['hidden_act']!r} in vision_config and "
            f"{text['hidden_act']!r} in text_config: open_clip takes quick_gelu in both or none"
        )
    heads = _heads(vision, f"{where}: vision_config")
    model: dict[str, Any] = {
        "embed_dim": _count({"projection_dim": PROJECTION} | content, "projection_dim", where),
        "quick_gelu": quick,
        "vision_cfg": {
            "image_size": image,
            "patch_size": patch,
            "width": width,
            "head_width": width // heads,
            **_layers(vision, act, f"{where}: vision_config"),
        },
        "text_cfg": {
            "context_length": _count(text, "max_position_embeddings", f"{where}: text_config"),
            "vocab_size": _count(text, "vocab_size", f"{where}: text_config"),
            "width": _count(text, "hidden_size", f"{where}: text_config"),
            "heads": _heads(text, f"{where}: text_config"),
            **_layers(text, text_act, f"{where}: text_config"),
            **_pooling(text, f"{where}: text_config"),
        },
    }
    return Converted(model, notes)


def preprocessing(path: Path, size: int, where: str) -> Converted:
    """The `preprocess_cfg` of a `preprocessor_config.json` of transformers, old and new.

    Args:
        path: of it, or of a `processor_config.json`.
        size: pixels a side that the image tower takes.
        where: the file, for messages.

    Raises:
        ConfigError: it is damaged, another processor's, or open_clip's transform cannot do it.
    """
    content = _read(path)
    inside = content.get("image_processor", content)  # since transformers 5
    stated = {key: value for key, value in inside.items() if value is not None}
    kind = stated.get("image_processor_type") or stated.get("feature_extractor_type")
    if kind is not None and not str(kind).startswith(PROCESSORS):
        raise _cannot(where, "image_processor_type", kind, f"one of {list(PROCESSORS)}")
    for key, needed in (("do_resize", True), ("do_rescale", True), ("do_pad", False)):
        if stated.get(key, needed) != needed:
            raise _cannot(where, key, stated[key], needed)
    scale = stated.get("rescale_factor", 1 / 255)
    if not math.isclose(scale, 1 / 255, rel_tol=1e-6):
        raise _cannot(where, "rescale_factor", scale, "1/255")
    resample = stated.get("resample", 3)
    if resample not in INTERPOLATION:
        raise _cannot(where, "resample", resample, "2 (bilinear) or 3 (bicubic)")
    normal = stated.get("do_normalize", True)
    mode = _resizing(stated, size, where)
    left_out = [key for key in ("image_mean", "image_std") if key not in stated and normal]
    notes = [f"{where} does not say {key}: transformers' default, OpenAI's" for key in left_out]
    return Converted(
        {
            "mean": stated.get("image_mean", MEAN) if normal else [0.0] * 3,
            "std": stated.get("image_std", STD) if normal else [1.0] * 3,
            "interpolation": INTERPOLATION[resample],
            "resize_mode": mode,
        },
        notes,
    )


def _resizing(stated: Mapping[str, Any], size: int, where: str) -> str:
    """open_clip's word for how an image becomes a square of `size` pixels a side."""
    resized = stated.get("size", size)
    crop = _sides(stated.get("crop_size", size), where, "crop_size")
    cropped = stated.get("do_center_crop", True)
    if isinstance(resized, Mapping) and {"height", "width"} <= set(resized):
        sides, mode = _sides(resized, where, "size"), "squash"
        fits = sides == (size, size) and (not cropped or crop == sides)
    else:
        edge = resized.get("shortest_edge") if isinstance(resized, Mapping) else resized
        fits = edge == size and bool(cropped) and crop == (size, size)
        fits &= not isinstance(resized, Mapping) or set(resized) == {"shortest_edge"}
        mode = "shortest"
    if not fits:
        said = {
            key: stated[key] for key in ("size", "do_center_crop", "crop_size") if key in stated
        }
        raise ConfigError(
            f"{where} says {said}, but the image tower takes {size} × {size} pixels, and open_clip "
            f"makes them by resizing the shortest edge to {size} and cropping to that, or by "
            f'resizing to {{"height": {size}, "width": {size}}}: only these can be taken over'
        )
    return mode


def _sides(value: Any, where: str, key: str) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    try:
        return value["height"], value["width"]
    except (TypeError, LookupError) as error:
        raise _cannot(where, key, value, "a number, or height and width") from error


def _cannot(where: str, key: str, value: Any, needed: Any) -> ConfigError:
    return ConfigError(
        f"{where}: {key} is {value!r}: open_clip's transform can only do what it means where it is "
        f"{needed}; correct it if it is wrong, or put an open_clip_config.json beside it"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {reason(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path} has to hold a mapping")
    return content


def _check_kind(content: Mapping[str, Any], where: str) -> None:
    kind, built = content.get("model_type"), content.get("architectures") or []
    if kind in ("clip_vision_model", "clip_text_model"):
        tower, other = ("image", "text") if kind == "clip_vision_model" else ("text", "image")
        raise ConfigError(
            f"{where}: model_type is {kind!r}: it is the {tower} tower alone, and an audit needs "
            f"the {other} tower of the same training too; save the whole CLIPModel"
        )
    if kind != "clip" or (built and "CLIPModel" not in built):
        raise ConfigError(
            f"{where}: model_type is {kind!r} and architectures {built}: of transformers' models "
            "only CLIPModel (model_type clip) can be converted. Others need open_clip's own form, "
            "an open_clip_config.json with its weights; many have a name there "
            '(`python -c "import open_clip; print(open_clip.list_pretrained())"`), and those with '
            "another image tower, such as SigLIP, can label components but not be audited"
        )


def _section(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a configuration states of a tower; an old `…_dict` stands before all else."""
    old = content.get(f"{name}_dict")
    stated = old if old is not None else content.get(name) or {}
    return {key: value for key, value in stated.items() if value is not None}


def _count(section: Mapping[str, Any], key: str, where: str) -> int:
    value = section[key]
    if isinstance(value, list) and len(set(value)) == 1:
        value = value[0]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{where}.{key} is {value!r}: it must be a whole number from 1")
    return value


def _heads(section: Mapping[str, Any], where: str) -> int:
    heads, width = (_count(section, key, where) for key in ("num_attention_heads", "hidden_size"))
    if width % heads:
        raise ConfigError(
            f"{where}.num_attention_heads is {heads}: hidden_size, {width}, is no multiple of it"
        )
    return heads


def _activation(section: Mapping[str, Any], where: str) -> tuple[bool, dict[str, str] | None]:
    name = section["hidden_act"]
    if name not in ACTIVATIONS:
        raise ConfigError(
            f"{where}.hidden_act is {name!r}: open_clip's towers have one of {[*ACTIVATIONS]}"
        )
    return ACTIVATIONS[name]


def _layers(section: Mapping[str, Any], act: dict[str, str] | None, where: str) -> dict[str, Any]:
    """Settings that both towers have, those that are open_clip's default left out."""
    width, inner = (_count(section, key, where) for key in ("hidden_size", "intermediate_size"))
    ratio = inner / width
    if int(width * ratio) != inner:  # as open_clip computes it, one rounding off
        ratio = math.nextafter(ratio, math.inf)
    layers: dict[str, Any] = {
        "layers": _count(section, "num_hidden_layers", where),
        "mlp_ratio": ratio,
    }
    if section["layer_norm_eps"] != 1e-5:
        layers["norm_kwargs"] = {"eps": section["layer_norm_eps"]}
    if act is not None:
        layers["act_kwargs"] = act
    return layers


def _pooling(text: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Which token's output is the text's: the first end-of-text token's.

    CLIP's own is the last of the vocabulary, so that it is open_clip's default, the greatest token.
    """
    end, words = text["eos_token_id"], text["vocab_size"]
    if end in (LEGACY_EOS, words - 1):
        return {}
    if not isinstance(end, int) or not 0 <= end < words:
        raise ConfigError(
            f"{where}.eos_token_id is {end!r}: it must be one of the {words} tokens of vocab_size"
        )
    return {"pool_type": "eos", "eos_id": end}
