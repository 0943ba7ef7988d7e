"""An SAE on disk: safetensors beside a config.json."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from pipeline.artifacts.store import atomic, read_json, write_json
from pipeline.sae.model import Sae


def save(sae: Sae, folder: Path, about: Mapping[str, Any]) -> None:
    """Write `sae.safetensors` and `config.json` (what encoding needs, and what `about` says)."""
    components, width = sae.atoms.shape
    with atomic(folder / "sae.safetensors") as temporary:
        tensors = {name: value.contiguous() for name, value in sae.state_dict().items()}
        save_file(tensors, temporary)
    served = {"components": components, "width": width, "slots": sae.slots}
    write_json(folder / "config.json", {**about, **served, "threshold": sae.threshold})


def load(folder: Path) -> Sae:
    """Read an SAE.

    Raises:
        ValueError: config.json lacks a key, or the weights do not fit its sizes.
    """
    config = read_json(folder / "config.json")
    keys = ("components", "width", "slots", "threshold")
    if missing := [key for key in keys if key not in config]:
        raise ValueError(f"{folder}/config.json lacks {missing}: run `dvc repro` to train it anew")
    sae = Sae(*(config[key] for key in keys))
    try:
        sae.load_state_dict(load_file(folder / "sae.safetensors"))
    except RuntimeError as error:
        raise ValueError(f"{folder}/sae.safetensors does not fit config.json: {error}") from error
    return sae.eval().requires_grad_(False)
