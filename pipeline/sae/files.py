"""An SAE on disk: safetensors beside a config.json."""

from pathlib import Path

from safetensors.torch import load_file, save_file

from pipeline.sae.topk import TopKSae
from pipeline.store import atomic, read_json, write_json


def save(sae: TopKSae, folder: Path, about: dict[str, object]) -> None:
    """Write `sae.safetensors` and `config.json` (components, width, k, and what `about` says)."""
    components, width = sae.atoms.shape
    with atomic(folder / "sae.safetensors") as temporary:
        tensors = {name: value.contiguous() for name, value in sae.state_dict().items()}
        save_file(tensors, temporary)
    sizes = {"kind": "topk", "components": components, "width": width, "k": sae.k}
    write_json(folder / "config.json", {**about, **sizes})


def load(folder: Path) -> TopKSae:
    """Read an SAE.

    Raises:
        ValueError: config.json names another kind, or the weights do not fit its sizes.
    """
    config = read_json(folder / "config.json")
    if config["kind"] != "topk":
        raise ValueError(f"{folder}/config.json: kind is {config['kind']!r}, known is 'topk'")
    sae = TopKSae(config["components"], config["width"], config["k"])
    try:
        sae.load_state_dict(load_file(folder / "sae.safetensors"))
    except RuntimeError as error:
        raise ValueError(f"{folder}/sae.safetensors does not fit config.json: {error}") from error
    return sae.eval().requires_grad_(False)
