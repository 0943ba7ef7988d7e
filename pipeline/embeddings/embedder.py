"""Shards of images through one model: what each engine calls, in one process or in many."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, starmap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor, nn
from upath import UPath

from pipeline.artifacts.stage import pick_device
from pipeline.attribution.head import Head, project, unit
from pipeline.config import EmbedConfig
from pipeline.datasets.pixels import Reading
from pipeline.embeddings.forward import DEVICE, Forward, Ran, all_tokens, decoders, split_preprocess
from pipeline.embeddings.images import Ahead, Batch, Part, batches, made_ahead, runs
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.models.catalog import (
    Clip,
    class_tokens,
    head_of,
    image_embeddings,
    image_tower,
    tokens_and_embeddings,
)
from pipeline.places import Place

COSINE_TOLERANCE = 1e-5
AHEAD = 4
"""Batches that are computed while a shard is being written."""


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
    parts: Sequence[Part],
    root: Place,
    reading: Reading,
    pixels_of: Callable[[Image.Image], Tensor],
    forward: Callable[[Tensor, Sequence[str]], Tensor],
    column: str,
    config: EmbedConfig,
    folder: Path,
    progress: str,
    ahead: Ahead | None = None,
    store: UPath | None = None,
) -> Iterator[int]:
    """Write the vectors of images as shards; the number of each when it is written.

    Args:
        parts: the shards' images, of `parts_left`; all but the last are of `shard_rows`.
        root: the dataset's folder.
        reading: how the files' pixels are taken.
        pixels_of: a picture as a tensor.
        forward: a stack of them and the images' hashes to vectors [n, d], or, where config asks for
            spatial tokens, to class token and the spatial tokens that are kept [n, 1 + s, d].
        column: name of the vectors or class tokens in the shards.
        config: batches, shards, spatial tokens and the precision of storage.
        folder: written to.
        progress: what the progress bar says.
        ahead: what decodes in place of this machine's processes, where no processor is the model's.
        store: where the shards are to lie, if not in the folder; see `shards.written`.
    """
    if not parts:
        return
    edge = config.shard_rows
    images = pd.concat([part.images for part in parts])
    hashes = images["sha256"].tolist()
    plan = runs(len(images), config.batch_size, edge)

    def table(batch: Batch, rows: range) -> tuple[int, pa.Table]:
        vectors = forward(batch.pixels, hashes[rows.start : rows.stop])
        columns = columns_of(vectors, column, config)
        return parts[rows.start // edge].number, vector_table(batch.image_ids, columns)

    device = pick_device(config.device, DEVICE)
    # Of a cluster's processors, those where the model runs are taken by it.
    workers = 0 if ahead is not None and device == "cpu" else decoders(config)
    pinned = device == "cuda"
    stream = batches(images, root, reading, pixels_of, plan, workers, progress, pinned, ahead)
    made = made_ahead(starmap(table, zip(stream, plan, strict=True)), AHEAD)
    for number, shard in groupby(made, lambda pair: pair[0]):
        write_vectors(folder, number, (table for _, table in shard), store)
        yield number


class Embedder:
    """Shards of images through one model."""

    def __init__(
        self,
        clip: Clip,
        column: str,
        root: Place,
        reading: Reading,
        config: EmbedConfig,
        first: Tensor,
        progress: str,
        ahead: Ahead | None,
        store: UPath | None,
    ) -> None:
        """
        Args:
            clip: the model.
            column: `x` for tokens before ln_post, `z` for unit embeddings.
            root: the dataset's folder.
            reading: how the files' pixels are taken.
            config: how images run through the model.
            first: pixels of the first few images, of `first_pixels`.
            progress: what the progress bar says.
            ahead: as of `embed_shards`.
            store: likewise.

        Raises:
            RuntimeError: x is asked for, and the model's head is not LayerNorm and projection of
                its class token.
        """
        embed = image_embeddings
        if column == "x":
            embed = all_tokens if config.spatial_tokens else class_tokens
        self.pixels_of, normalize = split_preprocess(clip)
        self.forward = Forward(clip, embed, normalize, config, first)
        self.grid = 0
        if column == "x":
            check_head(clip.model, self.forward.normalized(first), head_of(clip.model))
            self.grid = len(image_tower(clip.model).positional_embedding) - 1
        self.column, self.root, self.reading = column, root, reading
        self.config, self.progress, self.ahead, self.store = config, progress, ahead, store

    def about(self) -> Ran:
        """How the model runs."""
        return self.forward.ran()

    def each(self, units: Iterable[tuple[Part, Path]]) -> Iterator[int]:
        """Write shards into their folder, which is the same for all; the number of each."""
        todo = list(units)
        parts = [part for part, _ in todo]
        folder = todo[0][1] if todo else Path()
        how = (self.column, self.config, folder, self.progress, self.ahead, self.store)
        return embed_shards(parts, self.root, self.reading, self.pixels_of, self._vectors, *how)

    def _vectors(self, pixels: Tensor, sha256: Sequence[str]) -> Tensor:
        if not self.config.spatial_tokens:
            return self.forward(pixels)
        drawn = torch.from_numpy(drawn_tokens(sha256, self.grid, self.config.spatial_tokens))
        return self.forward(pixels, nn.functional.pad(1 + drawn, (1, 0)))  # 0 is the class token
