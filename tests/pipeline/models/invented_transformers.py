"""CLIP as transformers saves it, invented, and a plain reading of what transformers computes.

`reference` was compared with transformers 5.24 by the test that needs it installed.
"""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from pipeline.config import ModelConfig

VISION = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 32,
    "patch_size": 8,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
TEXT = {
    "vocab_size": 49408,
    "hidden_size": 24,
    "intermediate_size": 60,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 9,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
}
PROJECTION = 20
PREPROCESSOR = {
    "crop_size": {"height": 32, "width": 32},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.1, 0.2, 0.3],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.4, 0.5, 0.6],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 32},
}


def entry(folder: Path) -> ModelConfig:
    """A model that lies in a folder."""
    return ModelConfig(name=f"local-dir:{folder}")


def configuration(vision: dict | None = None, text: dict | None = None) -> dict:
    """Content of a `config.json`, with changes in the sections of the towers."""
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": PROJECTION,
        "vision_config": VISION | (vision or {}),
        "text_config": TEXT | (text or {}),
    }


def weights(seed: int = 0) -> dict[str, Tensor]:
    """Tensors under transformers' names, all of them random."""
    shapes: dict[str, tuple[int, ...]] = {
        "logit_scale": (),
        "visual_projection.weight": (PROJECTION, VISION["hidden_size"]),
        "text_projection.weight": (PROJECTION, TEXT["hidden_size"]),
    }
    for tower, config in (("vision_model", VISION), ("text_model", TEXT)):
        d, inner = config["hidden_size"], config["intermediate_size"]
        at = f"{tower}.embeddings"
        if tower == "vision_model":
            patch = config["patch_size"]
            shapes[f"{at}.class_embedding"] = (d,)
            shapes[f"{at}.patch_embedding.weight"] = (d, 3, patch, patch)
            positions = (config["image_size"] // patch) ** 2 + 1
            norms = ["pre_layrnorm", "post_layernorm"]
        else:
            shapes[f"{at}.token_embedding.weight"] = (config["vocab_size"], d)
            positions, norms = config["max_position_embeddings"], ["final_layer_norm"]
        shapes[f"{at}.position_embedding.weight"] = (positions, d)
        for layer in range(config["num_hidden_layers"]):
            at = f"encoder.layers.{layer}"
            norms += [f"{at}.layer_norm1", f"{at}.layer_norm2"]
            for linear, shape in {
                **{f"self_attn.{letter}_proj": (d, d) for letter in ("q", "k", "v", "out")},
                "mlp.fc1": (inner, d),
                "mlp.fc2": (d, inner),
            }.items():
                shapes[f"{tower}.{at}.{linear}.weight"] = shape
                shapes[f"{tower}.{at}.{linear}.bias"] = shape[:1]
        for norm in norms:
            shapes |= {f"{tower}.{norm}.{kind}": (d,) for kind in ("weight", "bias")}
    generator = torch.Generator().manual_seed(seed)
    return {k: 0.3 * torch.randn(shape, generator=generator) for k, shape in shapes.items()}


def write_folder(
    folder: Path,
    config: dict | None = None,
    preprocessor: dict | None = None,
    tensors: dict[str, Tensor] | None = None,
) -> Path:
    """A folder as `CLIPModel.save_pretrained` and its processor's leave it."""
    folder.mkdir(parents=True, exist_ok=True)
    stated = PREPROCESSOR if preprocessor is None else preprocessor
    (folder / "config.json").write_text(json.dumps(config or configuration()))
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    save_file(weights() if tensors is None else tensors, folder / "model.safetensors")
    return folder


def reference(
    tensors: dict[str, Tensor], config: dict, pixels: Tensor, tokens: Tensor
) -> tuple[Tensor, Tensor]:
    """Image and text embeddings that transformers' CLIPModel computes, not normalised."""
    vision, text = (
        SimpleNamespace(**config["vision_config"]),
        SimpleNamespace(**config["text_config"]),
    )
    at = "vision_model.embeddings"
    patches = functional.conv2d(
        pixels, tensors[f"{at}.patch_embedding.weight"], stride=vision.patch_size
    )
    patches = patches.flatten(2).transpose(1, 2)  # [n, patches, d]
    first = tensors[f"{at}.class_embedding"].expand(len(pixels), 1, -1)
    x = torch.cat([first, patches], dim=1) + tensors[f"{at}.position_embedding.weight"]
    x = _norm(tensors, "vision_model.pre_layrnorm", x, vision)
    x = _encoder(tensors, "vision_model", x, vision, None)
    pooled = _norm(tensors, "vision_model.post_layernorm", x[:, 0], vision)
    images = pooled @ tensors["visual_projection.weight"].T
    x = functional.embedding(tokens, tensors["text_model.embeddings.token_embedding.weight"])
    x = x + tensors["text_model.embeddings.position_embedding.weight"]
    mask = torch.full((tokens.shape[1],) * 2, -torch.inf).triu(1)
    x = _norm(
        tensors, "text_model.final_layer_norm", _encoder(tensors, "text_model", x, text, mask), text
    )
    legacy = text.eos_token_id == 2
    ends = tokens.argmax(1) if legacy else (tokens == text.eos_token_id).int().argmax(1)
    return images, x[torch.arange(len(x)), ends] @ tensors["text_projection.weight"].T


def _encoder(tensors, tower, x, config, mask):
    for layer in range(config.num_hidden_layers):
        at = f"{tower}.encoder.layers.{layer}"
        inside = _norm(tensors, f"{at}.layer_norm1", x, config)
        q, k, v = (
            _linear(tensors, f"{at}.self_attn.{letter}_proj", inside)
            .unflatten(-1, (config.num_attention_heads, -1))
            .transpose(1, 2)
            for letter in "qkv"
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        scores = scores if mask is None else scores + mask
        attended = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + _linear(tensors, f"{at}.self_attn.out_proj", attended)
        inside = _linear(tensors, f"{at}.mlp.fc1", _norm(tensors, f"{at}.layer_norm2", x, config))
        x = x + _linear(tensors, f"{at}.mlp.fc2", ACTIVATIONS[config.hidden_act](inside))
    return x


ACTIVATIONS = {
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "gelu": functional.gelu,
    "gelu_new": lambda x: (
        0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    ),
}


def _linear(tensors, name, x):
    return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def _norm(tensors, name, x, config):
    given = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return functional.layer_norm(x, x.shape[-1:], *given, config.layer_norm_eps)
