"""Stage `fetch`: bring a model into data/models, as an open_clip folder that loads offline."""

import argparse
import gc
import sys
from pathlib import Path

import open_clip
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file

from pipeline import layout
from pipeline.artifacts.store import atomic, write_json
from pipeline.config import ConfigError, ModelConfig, load_params
from pipeline.models.building import build, tokenizer_of
from pipeline.models.catalog import load_clip, weights_sha256
from pipeline.models.folder import CONFIG, WEIGHTS
from pipeline.models.hub import RECORD, entry_of, resolve

PROBES = ["", "a photo of a bat", "Fußball – 東京 & “melanoma”, 2.5 mm", "word " * 100]
"""Prompts that tell tokenizers apart: none, plain, other scripts, more than any context."""


def fetch(key: str, config: ModelConfig, folder: Path) -> str:
    """Write a model's folder, and load it again; returns the SHA-256 of its weights.

    Raises:
        ConfigError: the model cannot be had, or is not what its entry says.
        RuntimeError: what was written is not what was fetched.
    """
    source = resolve(key, config)
    model, notes = build(source)
    for note in notes:
        print(f"models.{key}: {note}", file=sys.stderr)
    sha256 = weights_sha256(model)
    tokenize = tokenizer_of(source, model)
    with atomic(folder) as temporary:
        temporary.mkdir()
        tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        save_file(tensors, temporary / WEIGHTS)
        preprocessing = open_clip.get_model_preprocess_cfg(model)
        write_json(
            temporary / CONFIG,
            {"model_cfg": source.config["model_cfg"], "preprocess_cfg": preprocessing},
        )
        made = {"weights": source.weights.name, "notes": notes}
        write_json(temporary / RECORD, {**entry_of(config), **made})
        if isinstance(tokenize, HFTokenizer):
            tokenize.save_pretrained(temporary)
        del model, tensors
        gc.collect()
        clip = load_clip(temporary)
        if clip.weights_sha256 != sha256:
            raise RuntimeError(f"{folder}: the weights have changed on their way to the disk")
        if not clip.tokenize(PROBES).equal(tokenize(PROBES)):
            raise RuntimeError(
                f"{folder}: its tokenizer makes other tokens than the one of {source.tokenizer}"
            )
    return sha256


def main() -> None:
    """Fetch one of the models under outside.models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="name under models: in params.yaml")
    key = parser.parse_args().model
    try:
        fetch(key, load_params().model(key), layout.model(key))
    except ConfigError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
