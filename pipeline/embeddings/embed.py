"""Stage `embed`: a dataset's images through a model, as Parquet shards, once for all who need them.

Of a model that can be audited, its tokens before ln_post: the class token of each image, column
`x`, and, where they are asked for, some of its spatial tokens, column `spatial`. Of one that can
only be a labeler, its unit image embeddings, column `z`, and no head.

After a kill the next run goes on at the next shard, if nothing that decides the shards' bytes has
changed.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from upath import UPath

from pipeline import layout
from pipeline.artifacts.resume import resumable, work_key
from pipeline.artifacts.shards import ready
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import atomic, read_json, read_table, write_json
from pipeline.attribution.head import Head
from pipeline.config import ConfigError, EmbedConfig
from pipeline.datasets.pixels import Reading, reading_of
from pipeline.embeddings.embedder import Embedder
from pipeline.embeddings.forward import DEVICE, Ran, split_preprocess
from pipeline.embeddings.images import batches, parts_left, runs
from pipeline.engine.crew import LOCAL, Engine, Needs
from pipeline.models.catalog import Clip, auditable, head_of, load_clip
from pipeline.places import Place

STORED = {"batch_size", "shard_rows", "dtype", "spatial_tokens"}
"""Settings that decide the shards' bytes, with what `auto` becomes of device and precision."""
FIRST = 8  # images on which the head is checked and the precision settled


def shards_key(clip: Clip, images: pd.DataFrame, config: EmbedConfig, ran: Ran, more: Any) -> str:
    """Key of the shards of some images under a model, and whatever else decides them.

    Of device and precision, what `auto` became: a run that goes on elsewhere begins anew.
    """
    rows = images[["image_id", "sha256"]].to_csv(index=False).encode()
    inputs = {
        "images": hashlib.sha256(rows).hexdigest(),
        "weights": clip.weights_sha256,
        "preprocessing": clip.preprocessing,
        "config": config.model_dump(include=STORED),
        "ran": [ran.device, ran.precision],
        "threads": torch.get_num_threads(),
        "more": more,
    }
    return work_key("embed", inputs)


def embed_images(
    clip: Clip,
    images: pd.DataFrame,
    root: Place,
    reading: Reading,
    config: EmbedConfig,
    path: Path,
    progress: str,
    column: str = "x",
    engine: Engine = LOCAL,
    store: UPath | None = None,
) -> Ran:
    """A manifest's images through a model, as shards; how it ran.

    Args:
        clip: the model.
        images: manifest rows: image_id, path, sha256.
        root: the dataset's folder.
        reading: how the files' pixels are taken.
        config: how images run through the model.
        path: folder of the shards.
        progress: what the progress bar says.
        column: `x` for tokens before ln_post, `z` for unit embeddings by any tower.
        engine: where it is done.
        store: where the shards are to lie, if not in the folder; see `shards.written`.

    Raises:
        RuntimeError: x is asked for, and the model's head is not LayerNorm and projection of its
            class token.
        ConfigError: z is asked for, and spatial tokens are.
    """
    if column == "z" and config.spatial_tokens:
        raise ConfigError(
            f"spatial_tokens of these embeddings is {config.spatial_tokens}: it must be 0, for the "
            "image tower of this model is no ViT with a class token; of such a labeler one "
            "embedding an image is kept"
        )
    first = first_pixels(images, root, reading, split_preprocess(clip)[0])
    how = (clip, column, root, reading, config, first, progress, engine.ahead(), store)
    needs = Needs(config.device, DEVICE, (root, clip.folder))
    with engine.crew(partial(Embedder, *how), needs, -(-len(images) // config.shard_rows)) as crew:
        made_of = ["x", None, reading] if column == "x" else ["z", reading]
        key = shards_key(clip, images, config, crew.about, made_of)
        with resumable(path, key) as folder:
            units = [(part, folder) for part in parts_left(images, config.shard_rows, folder)]
            for _ in crew.each(units, progress, lambda unit: len(unit[0].images), folder):
                pass
        ran: Ran = crew.about
        return ran


def first_pixels(
    images: pd.DataFrame,
    root: Place,
    reading: Reading,
    pixels_of: Callable[[Image.Image], Tensor],
) -> Tensor:
    """Pixels of the first few images, to check a model and settle its precision on."""
    few = images.iloc[:FIRST]
    return next(batches(few, root, reading, pixels_of, runs(len(few), FIRST), 0, "check")).pixels


def write_head(
    folder: Path, clip: Clip, ran: Ran, name: str, dtype: str, head: Head | None
) -> None:
    """`model.json`, and `head.safetensors` where there is one: what later stages know of the model.

    Args:
        folder: written to.
        clip: the model.
        ran: how it ran.
        name: its key in params.yaml.
        dtype: precision in which the embeddings are stored.
        head: what makes z of what is stored; None where z is.
    """
    about = {
        "model": name,
        "parameters": clip.parameters,
        "weights_sha256": clip.weights_sha256,
        "preprocessing": clip.preprocessing,
        **ran._asdict(),
        "dtype": dtype,
    }
    with atomic(folder) as temporary:
        temporary.mkdir()
        if head is not None:
            about |= {"d_pre": head.w_proj.shape[0], "d_post": head.w_proj.shape[1]}
            about |= {"eps": head.eps}
            tensors = {"gamma": head.gamma, "beta": head.beta, "w_proj": head.w_proj}
            save_file(tensors, temporary / "head.safetensors")
        write_json(temporary / "model.json", about)


def main() -> None:
    """Embed all images of a manifest."""
    name, params = begin(__doc__, "embeddings")
    entry = params.entry(name)
    clip = load_clip(layout.model(entry.model))
    manifest = layout.manifest(entry.dataset)
    images = read_table(manifest / "images.parquet")
    reading = reading_of(read_json(manifest / "reading.json"))
    root = params.dataset(entry.dataset).root
    # An audit cannot do without x: where it names this entry, the model is refused if it has none.
    audited = any(audit.embeddings == name for audit in params.audits.values())
    whole = audited or auditable(clip.model)
    how = ("embed", "x" if whole else "z", Engine.of(params), ready(params.shards))
    ran = embed_images(clip, images, root, reading, entry, layout.embeddings(name), *how)
    head = head_of(clip.model) if whole else None
    write_head(layout.head(name), clip, ran, entry.model, entry.dtype, head)


if __name__ == "__main__":
    main()
