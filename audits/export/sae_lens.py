"""An SAE as SAELens reads it: `cfg.json` and `sae_weights.safetensors`, format of its version 6."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.sae.model import Sae

__all__ = ["config", "tensors"]

VERSION = "6.0.0"
"""The first of this format; without it SAELens takes a configuration for one of an older format."""


def config(sae: Sae, about: Mapping[str, Any]) -> dict[str, Any]:
    """What SAELens builds the SAE of.

    One without a threshold is its `topk`. One with a threshold is its `jumprelu`, whose encoding
    has no largest number of active components: it differs where more than `slots` exceed the
    threshold.

    Args:
        sae: what is served.
        about: goes into the metadata, which SAELens shows and does not read.
    """
    components, width = sae.atoms.shape
    kind = {"architecture": "jumprelu"} if sae.threshold else {"architecture": "topk"}
    return {
        **kind,
        **({} if sae.threshold else {"k": sae.slots, "rescale_acts_by_decoder_norm": False}),
        "d_in": width,
        "d_sae": components,
        "dtype": "float32",
        "device": "cpu",
        # The decoder's bias is in the encoder's already.
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": VERSION, "slots": sae.slots, **about},
    }


def tensors(sae: Sae) -> dict[str, Tensor]:
    """Its weights by SAELens's names: W_enc [d, m], b_enc [m], W_dec [m, d], b_dec [d]."""
    weights = {
        "W_enc": sae.encoder_weight.T,
        "b_enc": sae.encoder_bias,
        "W_dec": sae.atoms,
        "b_dec": sae.bias,
    }
    if sae.threshold:
        weights["threshold"] = torch.full_like(sae.encoder_bias, sae.threshold)
    return {name: value.detach().contiguous() for name, value in weights.items()}
