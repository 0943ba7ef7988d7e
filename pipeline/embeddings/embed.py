"""Stage `embed`: a dataset's images through a model, as Parquet shards, once for all who need them.

Of a model that can be audited, its tokens before ln_post: the class token of each image, column
`x`, and, where they are asked for, some of its spatial tokens, column `spatial`. Of one that can
only be a labeler, its unit image embeddings, column `z`, and no head.

After a kill the next run goes on at the next shard, if nothing that decides the shards' bytes has
changed.
"""

import hashlib
from collections.abc import Callable, Sequence
from itertools import groupby, starmap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline import layout
from pipeline.artifacts.resume import resumable, work_key
from pipeline.artifacts.stage import begin, pick_device
from pipeline.artifacts.store import SHARD_PATTERN, atomic, read_json, read_table, write_json
from pipeline.attribution.head import Head, project, unit
from pipeline.config import ConfigError, EmbedConfig
from pipeline.datasets.pixels import Reading, reading_of
from pipeline.embeddings.forward import DEVICE, Forward, Ran, all_tokens, decoders, split_preprocess
from pipeline.embeddings.images import Batch, ahead, batches, runs
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.models.catalog import (
    Clip,
    auditable,
    class_tokens,
    head_of,
    image_embeddings,
    image_tower,
    load_clip,
    tokens_and_embeddings,
)

COSINE_TOLERANCE = 1e-5
STORED = {"batch_size", "shard_rows", "dtype", "spatial_tokens"}
"""Settings that decide the shards' bytes, with what `auto` becomes of device and precision."""
AHEAD = 4
"""Batches that are computed while a shard is being written."""
FIRST = 8  # images on which the head is checked and the precision settled


def check_head(model: Any, pixels: Tensor, head: Head) -> None:
    """Make sure that the head of the class token is what the model itself computes.

    Raises:
        RuntimeError: some image's cosine between the two is below 1 − COSINE_TOLERANCE.
    """
    x, z = tokens_and_embeddings(model, pixels)
    cosine = (unit(project(x, head)) * z).sum(dim=-1)
    if float(cosine.min()) < 1 - COSINE_TOLERANCE:
        raise RuntimeError(
            "the head does not reproduce the model's embeddings: cosine "
            f"{float(cosine.min()):.7f}; this tower computes something else after its last block "
            "and cannot be audited"
        )


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


def drawn_tokens(sha256: Sequence[str], tokens: int, count: int) -> Int[np.ndarray, "n s"]:
    """Which of its `tokens` spatial tokens are kept of each image: `count`, or all, ascending.

    Drawn without replacement by the image's hash alone: other images and their order do not matter.
    """
    rows = [
        np.sort(np.random.default_rng(int(digest, 16)).permutation(tokens)[:count])
        for digest in sha256
    ]
    return np.stack(rows)


def columns_of(
    vectors: Float[Tensor, "n *tokens d"], column: str, config: EmbedConfig
) -> dict[str, np.ndarray]:
    """What a shard holds of some images: `column`, and `spatial` where it is asked for.

    Args:
        vectors: of each image, or its class token and the spatial tokens that are kept.
        column: name of the vectors or class tokens.
        config: number of spatial tokens and precision.

    Raises:
        ValueError: a number is too large for the precision.
    """
    columns: dict[str, Tensor] = {column: vectors}
    if config.spatial_tokens:
        columns = {column: vectors[:, 0], "spatial": vectors[:, 1:].flatten(1)}
    stored = {name: values.to(getattr(torch, config.dtype)) for name, values in columns.items()}
    if not all(values.isfinite().all() for values in stored.values()):
        raise ValueError(
            f"dtype of these embeddings is {config.dtype}: it cannot hold numbers up to "
            f"{float(vectors.abs().max()):.3g}; set it to float32"
        )
    return {name: values.numpy() for name, values in stored.items()}


def embed_shards(
    images: pd.DataFrame,
    root: Path,
    reading: Reading,
    pixels_of: Callable[[Image.Image], Tensor],
    forward: Callable[[Tensor, Sequence[str]], Tensor],
    column: str,
    config: EmbedConfig,
    folder: Path,
    progress: str,
) -> None:
    """Write the vectors of images as shards of `shard_rows`, those that the folder has left out.

    Args:
        images: manifest rows: image_id, path, sha256.
        root: the dataset's folder.
        reading: how the files' pixels are taken.
        pixels_of: a picture as a tensor.
        forward: a stack of them and the images' hashes to vectors [n, d], or, where config asks for
            spatial tokens, to class token and the spatial tokens that are kept [n, 1 + s, d].
        column: name of the vectors or class tokens in the shards.
        config: batches, shards, spatial tokens and the precision of storage.
        folder: written to; shards in it are kept.
        progress: what the progress bar says.
    """
    edge = config.shard_rows
    hashes = images["sha256"].tolist()
    done = {int(path.stem.removeprefix("part-")) for path in folder.glob(SHARD_PATTERN)}
    plan = [
        part
        for part in runs(len(images), config.batch_size, edge)
        if part.start // edge not in done
    ]

    def table(batch: Batch, rows: range) -> tuple[int, pa.Table]:
        vectors = forward(batch.pixels, hashes[rows.start : rows.stop])
        columns = columns_of(vectors, column, config)
        return rows.start // edge, vector_table(batch.image_ids, columns)

    pinned = pick_device(config.device, DEVICE) == "cuda"
    workers = decoders(config)
    stream = batches(images, root, reading, pixels_of, plan, workers, progress, pinned)
    made = ahead(starmap(table, zip(stream, plan, strict=True)), AHEAD)
    for number, shard in groupby(made, lambda pair: pair[0]):
        tables = (table for _, table in shard)
        write_vectors(folder / f"part-{number:05d}.parquet", tables)


def embed_audit(
    clip: Clip,
    images: pd.DataFrame,
    root: Path,
    reading: Reading,
    config: EmbedConfig,
    path: Path,
    progress: str,
) -> Ran:
    """Tokens of a manifest's images; how the model ran.

    Raises:
        RuntimeError: the model's head is not LayerNorm and projection of its class token.
    """
    pixels_of, normalize = split_preprocess(clip)
    first = first_pixels(images, root, reading, pixels_of)
    tokens = all_tokens if config.spatial_tokens else class_tokens
    forward = Forward(clip, tokens, normalize, config, first)
    check_head(clip.model, forward.normalized(first), head_of(clip.model))
    key = shards_key(clip, images, config, forward.ran(), ["x", None, reading])
    grid = len(image_tower(clip.model).positional_embedding) - 1

    def chosen(pixels: Tensor, sha256: Sequence[str]) -> Tensor:
        if not config.spatial_tokens:
            return forward(pixels)
        drawn = torch.from_numpy(drawn_tokens(sha256, grid, config.spatial_tokens))
        return forward(pixels, nn.functional.pad(1 + drawn, (1, 0)))  # 0 is the class token

    with resumable(path, key) as folder:
        embed_shards(images, root, reading, pixels_of, chosen, "x", config, folder, progress)
    return forward.ran()


def embed_projected(
    clip: Clip,
    images: pd.DataFrame,
    root: Path,
    reading: Reading,
    config: EmbedConfig,
    path: Path,
    progress: str,
) -> Ran:
    """Unit embeddings of a manifest's images, by any tower; how the model ran.

    Raises:
        ConfigError: spatial tokens are asked for.
    """
    if config.spatial_tokens:
        raise ConfigError(
            f"spatial_tokens of these embeddings is {config.spatial_tokens}: it must be 0, for the "
            "image tower of this model is no ViT with a class token; of such a labeler one "
            "embedding an image is kept"
        )
    pixels_of, normalize = split_preprocess(clip)
    first = first_pixels(images, root, reading, pixels_of)
    forward = Forward(clip, image_embeddings, normalize, config, first)
    key = shards_key(clip, images, config, forward.ran(), ["z", reading])

    def embedded(pixels: Tensor, _: Sequence[str]) -> Tensor:
        return forward(pixels)

    with resumable(path, key) as folder:
        embed_shards(images, root, reading, pixels_of, embedded, "z", config, folder, progress)
    return forward.ran()


def first_pixels(
    images: pd.DataFrame,
    root: Path,
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
    embed = embed_audit if whole else embed_projected
    ran = embed(clip, images, root, reading, entry, layout.embeddings(name), "embed")
    head = head_of(clip.model) if whole else None
    write_head(layout.head(name), clip, ran, entry.model, entry.dtype, head)


if __name__ == "__main__":
    main()
