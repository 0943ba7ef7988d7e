"""Names that the weights of one model have in different libraries."""

import re
from typing import NamedTuple, TypeAlias

from torch import Tensor, cat

Shapes: TypeAlias = dict[str, tuple[int, ...]]
"""Tensor → its shape."""


class Part(NamedTuple):
    """Where the tensor of a model's parameter comes from."""

    names: tuple[str, ...]
    """Tensors that follow each other along the first axis."""
    transposed: bool = False

    def shape(self, tensors: dict[str, Tensor], prefix: str) -> tuple[int, ...]:
        """The parameter's shape; without copying it."""
        first, *others = (tuple(tensors[prefix + name].shape) for name in self.names)
        if others:
            first = (sum(shape[0] for shape in (first, *others)), *first[1:])
        return first[::-1] if self.transposed else first

    def value(self, tensors: dict[str, Tensor], prefix: str) -> Tensor:
        """The parameter."""
        found = [tensors[prefix + name] for name in self.names]
        whole = found[0] if len(found) == 1 else cat(found)
        return whole.T if self.transposed else whole


Layout: TypeAlias = dict[str, Part]
"""Parameter of the model → where it comes from."""

TEXT = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection")
"""How the names of a text tower begin that is no module of its own."""

WHOLE = {
    "logit_scale": Part(("logit_scale",)),
    "visual.proj": Part(("visual_projection.weight",), transposed=True),
    "text_projection": Part(("text_projection.weight",), transposed=True),
    "visual.class_embedding": Part(("vision_model.embeddings.class_embedding",)),
    "visual.conv1.weight": Part(("vision_model.embeddings.patch_embedding.weight",)),
    "visual.positional_embedding": Part(("vision_model.embeddings.position_embedding.weight",)),
    "token_embedding.weight": Part(("text_model.embeddings.token_embedding.weight",)),
    "positional_embedding": Part(("text_model.embeddings.position_embedding.weight",)),
}
"""Parameters whose names follow no rule."""
MODULES = {
    "visual.ln_pre": "vision_model.pre_layrnorm",  # spelt so in transformers
    "visual.ln_post": "vision_model.post_layernorm",
    "ln_final": "text_model.final_layer_norm",
}
BLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")
IN_BLOCK = {
    "attn.in_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.out_proj": ("self_attn.out_proj",),
    "ln_1": ("layer_norm1",),
    "ln_2": ("layer_norm2",),
    "mlp.c_fc": ("mlp.fc1",),
    "mlp.c_proj": ("mlp.fc2",),
}


def layouts(parameters: Shapes) -> dict[str, Layout]:
    """Library → layout, of those in which a model's weights can lie."""
    found = {
        "open_clip": {name: Part((name,)) for name in parameters},
        "open_clip, text tower apart": {name: Part((_moved(name),)) for name in parameters},
    }
    named = {name: transformers_part(name) for name in parameters}
    known = {name: part for name, part in named.items() if part is not None}
    if len(known) == len(named):
        found["transformers"] = known
    return found


def transformers_part(parameter: str) -> Part | None:
    """Where transformers' CLIPModel has a parameter of open_clip's CLIP; None where it has none."""
    parameter = parameter.removeprefix("text.")
    if parameter in WHOLE:
        return WHOLE[parameter]
    module, _, kind = parameter.rpartition(".")
    if module in MODULES:
        return Part((f"{MODULES[module]}.{kind}",))
    match = BLOCK.fullmatch(parameter)
    if match is None or match[3] not in IN_BLOCK:
        return None
    tower = "vision_model" if match[1] else "text_model"
    at = f"{tower}.encoder.layers.{match[2]}"
    return Part(tuple(f"{at}.{name}.{match[4]}" for name in IN_BLOCK[match[3]]))


def _moved(name: str) -> str:
    """A parameter's name where the text tower is a module of its own, or is not."""
    if name.startswith("text."):
        return name.removeprefix("text.")
    return f"text.{name}" if name.startswith(TEXT) else name
