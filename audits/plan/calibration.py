"""What an image, a text and a training step take on this machine: measured in half a minute.

Seconds are of processors, over all threads, as a stage's own are counted.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch

from audits.plan.beginning import held
from pipeline.config import EmbedConfig, SaeConfig
from pipeline.datasets.files import read_bytes
from pipeline.datasets.opening import Image, open_each
from pipeline.datasets.pixels import Reading, decode
from pipeline.embeddings.forward import Forward, split_preprocess
from pipeline.embeddings.shifts import shifted
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.models.catalog import (
    auditable,
    class_tokens,
    image_embeddings,
    load_clip,
    text_embeddings,
)
from pipeline.places import Place
from pipeline.sae import training
from pipeline.sae.blocks import EmbeddingBlocks
from pipeline.sae.health import Measure
from pipeline.sae.matching import match
from pipeline.sae.model import Sae
from pipeline.sae.start import centroids

Item = TypeVar("Item")

IMAGES = 64
"""Images that are opened and go through a model."""
BATCHES = 8
"""Batches in an epoch of the training that is timed."""
ENOUGH = 3.0
"""Seconds of training after which it stops."""
ATOMS = 2048
"""Atoms that are matched at most; more take time by their square."""
SHIFTS = (("red", 10.0), ("blur", 2.0))
"""What changing pixels is measured with."""


class ModelRates(NamedTuple):
    """Of a model on a dataset; seconds."""

    load: float
    decode: float
    """To read, decode and bring an image to the model's size."""
    forward: float
    """An image through the model."""
    shift: float
    """To change the pixels of an image."""
    text: float
    """A text through the model."""
    memory: int
    """Bytes that the weights and a batch take."""
    width: int
    """Of an image's vector."""
    projected: int
    """Of its embedding, which prompts have."""


class SaeRates(NamedTuple):
    """Of an autoencoder of an audit's sizes; seconds."""

    step: float
    centroid: float
    """A token in a pass of k-means."""
    encode: float
    """An image encoded, reconstructed and compared."""
    match: float
    """Its atoms matched with as many."""


def opening(paths: list[str], root: Place, reading: Reading) -> float:
    """Seconds in which `prepare` opens an image."""
    few = [Image(path) for path in spread(paths, IMAGES)]
    return _seconds(lambda: list(open_each(few, root, reading, 1))) / len(few)


def of_model(
    folder: Path, entry: EmbedConfig, paths: list[str], root: Place, reading: Reading
) -> ModelRates:
    """Measure a model on some of a dataset's images and on some words.

    Raises:
        ConfigError: the model is not there yet, or is damaged.
        OSError: an image cannot be read.
    """
    before, began = held(), time.process_time()
    clip = load_clip(folder)
    load = time.process_time() - began
    pixels_of, normalize = split_preprocess(clip)
    few = spread(paths, IMAGES)
    pictures: list[torch.Tensor] = []
    decoding = _seconds(
        lambda: pictures.extend(pixels_of(decode(read_bytes(root, p), reading).rgb) for p in few)
    )
    pixels = torch.stack(pictures)
    tokens = class_tokens if auditable(clip.model) else image_embeddings
    forward = Forward(clip, tokens, normalize, entry, pixels[:8])
    width = forward(pixels[:8]).shape[-1]
    loaded = held()
    running = _seconds(lambda: forward(pixels))
    batch = (held() - loaded) * entry.batch_size // len(few)
    words = [f"a photo of word {number}" for number in range(IMAGES)]
    projected = text_embeddings(clip, words[:8]).shape[-1]
    return ModelRates(
        load,
        decoding / len(few),
        running / len(few),
        _seconds(lambda: [shifted(pixels, *shift) for shift in SHIFTS]) / len(few) / len(SHIFTS),
        _seconds(lambda: text_embeddings(clip, words)) / len(words),
        loaded - before + batch + 4 * entry.batch_size * pixels[0].numel(),
        width,
        projected,
    )


def of_sae(config: SaeConfig, width: int, spatial: int) -> SaeRates:
    """Train an autoencoder of these sizes on random vectors for a few seconds, and use it.

    Args:
        config: sizes and kind.
        width: of a token.
        spatial: tokens of an image beside the class token.
    """
    rows = BATCHES * config.batch_size
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=(rows, width)).astype(np.float32)}
    if spatial:
        columns["spatial"] = rng.normal(size=(rows, spatial * width)).astype(np.float32)
    ids = [str(row) for row in range(rows)]
    with TemporaryDirectory() as place:
        write_vectors(Path(place), 0, [vector_table(ids, columns)])
        table = pd.DataFrame({"image_id": ids, "split": "train"})
        blocks = EmbeddingBlocks.open(Path(place), table, "train", training.COLUMNS[config.tokens])
        step = _epoch(blocks, config) / BATCHES
        plain = EmbeddingBlocks.open(Path(place), table, "train")
        sae = Sae(config.components, width, config.k)
        torch.nn.init.normal_(sae.encoder_weight)
        measure = Measure(plain)
        measure(sae)
        encode = _seconds(lambda: measure(sae)) / rows
    tokens = torch.from_numpy(columns["x"])
    parts = tokens.split(config.batch_size)
    count = min(config.components, rows)
    centroids(lambda: parts, count, 1)
    centroid = _seconds(lambda: centroids(lambda: parts, count, 1)) / rows
    some = min(config.components, ATOMS)
    one, other = (torch.from_numpy(rng.normal(size=(some, width))) for _ in range(2))
    matched = _seconds(lambda: match(one, other))
    return SaeRates(
        step,
        centroid * config.components / count,
        encode,
        matched * (config.components / some) ** 2,
    )


class _EnoughError(Exception):
    pass


def _epoch(blocks: EmbeddingBlocks, config: SaeConfig) -> float:
    """Seconds of an epoch: the median of some."""
    ends: list[float] = []

    def note(_: Sae) -> dict[str, float | list[int]]:
        ends.append(time.process_time())
        if len(ends) > 2 and ends[-1] - ends[0] > ENOUGH:
            raise _EnoughError
        return {}

    endless = {"epochs": 10_000, "epoch_fraction": 1.0, "decay_after": [], "revive_after": []}
    cheap = {"atoms_init": "random", "devices": 1}
    with suppress(_EnoughError):
        training.train(blocks, config.model_copy(update=endless | cheap), 0, note)
    return float(np.median(np.diff(ends)))


def spread(values: Sequence[Item], count: int) -> list[Item]:
    """At most so many of some values, from all over."""
    places = np.linspace(0, len(values) - 1, min(len(values), count)).astype(int)
    return [values[place] for place in places]


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
