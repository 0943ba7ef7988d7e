"""How large a dictionary is by default: by the model's width and the number of train images."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline import layout
from pipeline.artifacts.store import read_json
from pipeline.config import DatasetConfig
from pipeline.datasets.adapters import listing
from pipeline.datasets.splits import thin

IMAGES = 16
"""Train images for each component: a compromise, for with fewer the dictionaries of two halves of
the images have less in common (docs/benchmarks.md), and with more, findings on photographs are of
no plant more often (docs/planted.md)."""
SMALLEST = 64
WIDTHS = 32
"""Components at most for each dimension of the embeddings, about as many as in the paper."""
WIDTH_SHARE = 8
"""Dimensions for each active component. With a quarter of the width more predictions survive the
reconstruction, and two of 24 failures planted in photographs are missed (docs/planted.md)."""
FOLDER = "local-dir:"
WAY = 0.6
"""Rate times steps: about how far AdamW may move a number away from the start. With less,
dictionaries reconstruct worse, with more, two of them have less in common."""


class Sizes(NamedTuple):
    """What the rule gives."""

    sae: dict[str, Any]
    """Keys of SaeConfig."""
    said: str
    """What they are, and why."""


def sizes(width: int | None, images: int | None, sae: Mapping[str, Any]) -> Sizes:
    """Components, active ones and rate by default.

    - components: a power of two near images/16, at least 64 and at most 32 widths;
    - k: an eighth of the width, at most half of the components;
    - learning_rate: 0.6 over the number of steps.

    Args:
        width: of the model's class token before ln_post; None where it is not known yet.
        images: train images; likewise.
        sae: the settings otherwise, which stand for what cannot be said.
    """
    unknown = [
        name for name, value in (("the model's width", width), ("the images", images)) if not value
    ]
    if not width or not images:
        return Sizes(
            {},
            f"components {sae['components']:,}, k {sae['k']}, the catalog's, for "
            f"{' and '.join(unknown)} cannot be looked up yet: once they are there, the same "
            "command with --replace sets them by the rule in docs/method.md",
        )
    near = 2 ** round(math.log2(max(images / IMAGES, 1)))
    components = min(max(SMALLEST, near), WIDTHS * width)
    k = max(1, min(width // WIDTH_SHARE, components // 2))
    steps = sae["epochs"] * math.ceil(sae["epoch_fraction"] * images / sae["batch_size"])
    rate = float(f"{WAY / steps:.1g}")
    found = {"components": components, "k": k, "learning_rate": rate}
    return Sizes(
        found,
        f"components {components:,} (a power of two near {images:,} train images / {IMAGES}), k "
        f"{k} (width {width:,} / {WIDTH_SHARE}), rate {rate:g} ({WAY} / {steps:,} steps)",
    )


def images_of(name: str, config: DatasetConfig, seed: int) -> int | None:
    """Train images of a dataset, as its manifest or else its folder says; None where neither can.

    Of a folder they are about as many as the stage `prepare` will leave.
    """
    about = layout.manifest(name) / "dataset.json"
    if about.exists():
        return int(read_json(about)["counts"]["splits"].get("train", 0)) or None
    try:
        records = thin(listing(config, seed).records, config.every)
    except (OSError, ValueError):
        return None
    return sum(record.split == "train" for record in records) or None


def width_of(key: str, name: str, models: Path) -> int | None:
    """Width of a model's image tower; None where nothing here says it.

    Args:
        key: of the model.
        name: its `name` in params.yaml.
        models: folder in which open_clip folders are looked for.
    """
    folder = models / key
    if not folder.exists() and name.startswith(FOLDER):
        folder = Path(name.removeprefix(FOLDER))
    config: Mapping[str, Any] = {}
    if (folder / layout.MODEL_CONFIG).exists():
        config = read_json(folder / layout.MODEL_CONFIG).get("model_cfg", {})
    elif ":" not in name:
        # Imported late: open_clip takes seconds.
        import open_clip

        config = open_clip.get_model_config(name) or {}
    width = config.get("vision_cfg", {}).get("width")
    return width if isinstance(width, int) else None
