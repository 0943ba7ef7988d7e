"""Prompts go through the text tower as they would alone and at full length."""

import open_clip
import pytest
import torch
from torch.nn.functional import normalize

from pipeline.models.text_tower import embed_prompts

VISION = {"image_size": 16, "patch_size": 8, "width": 64, "layers": 1, "head_width": 32}
TEXT = {"context_length": 12, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
PROMPTS = [
    "a photo of a fire engine with a long ladder on a street",  # more than fits
    "bat",
    "an image of a bat on wood",
    "bat",
    "",
]


def model_of(custom: bool, **changes):
    torch.manual_seed(0)
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    made = kind(embed_dim=48, vision_cfg=VISION, text_cfg=TEXT | changes).eval()
    return made.requires_grad_(False)


@pytest.fixture
def tokens():
    return open_clip.get_tokenizer("ViT-B-32", context_length=12)(PROMPTS)


@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize(
    ("changes", "longest"),
    [({}, 9), ({"pool_type": "eos", "eos_id": 49407}, 9), ({"no_causal_mask": True}, 12)],
)
def test_embeddings_are_those_of_the_whole_length(custom, changes, longest, tokens, monkeypatch):
    model = model_of(custom, **changes)
    whole = normalize(model.encode_text(tokens), dim=-1)
    lengths = []
    encode = model.encode_text

    def spy(part):
        lengths.append(part.shape[1])
        return encode(part)

    monkeypatch.setattr(model, "encode_text", spy)
    monkeypatch.setattr("pipeline.models.text_tower.TEXTS", 2)
    found = embed_prompts(model, tokens)
    assert torch.allclose(found, whole, atol=1e-6)
    assert lengths[1] == longest  # "bat" and the shorter sentence; what is longest comes last
    assert lengths[-1] == 12
    # Another call finds the tower as it was.
    assert torch.allclose(embed_prompts(model, tokens), whole, atol=1e-6)
