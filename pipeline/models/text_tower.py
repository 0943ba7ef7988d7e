"""Prompts through a model's text tower."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int64
from open_clip import CLIP
from open_clip.transformer import TextTransformer
from torch import Tensor, nn
from tqdm import tqdm

from pipeline.attribution.head import unit
from pipeline.models.memory import Fitting

TEXTS = 256  # prompts in a forward pass, fewer where the device's memory is short


def embed_prompts(model: Any, tokens: Int64[Tensor, "q l"]) -> Float[Tensor, "q p"]:
    """Unit text embeddings of tokenized prompts; float32 on the CPU.

    Prompts go through the tower by length. Where attention is causal and the embedding is that of
    the end of text, a pass is cut behind the last one: what follows reaches no embedding. ViT-B/32
    has 77 tokens, and "a photo of a bat" takes 7.
    """
    tower = _causal(model)
    device = next(model.parameters()).device
    lengths = torch.full((len(tokens),), tokens.shape[1])
    if tower is not None:
        lengths = _ends(tower, tokens) + 1
    order = lengths.argsort(stable=True)
    with tqdm(
        total=len(tokens), desc="embed texts", unit=" texts", disable=len(tokens) <= TEXTS
    ) as bar:

        def embedded(some: slice) -> Tensor:
            rows = order[some]
            length = int(lengths[rows].max())
            with _cut(tower, length):
                found: Tensor = model.encode_text(tokens[rows, :length].to(device)).float().cpu()
            bar.update(len(rows))
            return found

        parts = Fitting(TEXTS).parts(embedded, len(order))
    return unit(torch.cat(parts))[order.argsort()]


def _causal(model: Any) -> CLIP | TextTransformer | None:
    """The part of a model that has positions and mask, if no token sees a later one."""
    tower = getattr(model, "text", model)
    if type(tower) not in (CLIP, TextTransformer) or tower.attn_mask is None:
        return None
    if getattr(tower, "cls_emb", None) is not None or _pooled(tower) not in ("argmax", "eos"):
        return None
    return tower


def _pooled(tower: CLIP | TextTransformer) -> str:
    return tower.text_pool_type if isinstance(tower, CLIP) else tower.pool_type


def _ends(tower: CLIP | TextTransformer, tokens: Int64[Tensor, "q l"]) -> Int64[Tensor, " q"]:
    """Place of the token whose output is the embedding (open_clip's `text_global_pool`)."""
    if _pooled(tower) == "argmax":
        return tokens.argmax(dim=-1)
    end = tower.text_eos_id if isinstance(tower, CLIP) else tower.eos_id
    return (tokens == end).int().argmax(dim=-1)


@contextmanager
def _cut(tower: CLIP | TextTransformer | None, length: int) -> Iterator[None]:
    """The tower with as many positions."""
    if tower is None:
        yield
        return
    position, mask = tower.positional_embedding, tower.attn_mask
    tower.positional_embedding = nn.Parameter(position[:length], requires_grad=False)
    tower.attn_mask = mask[:length, :length]
    try:
        yield
    finally:
        tower.positional_embedding, tower.attn_mask = position, mask
