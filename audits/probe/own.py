"""Words on pictures of the audited dataset, beside those on neutral grounds.

What writing does to an embedding depends on what is around it: on pictures it moves x partly
otherwise than on a plain colour. Which components writing fires is told by a direction taken on
both; what a finding's images carry by that of neutral grounds alone, which is less easily taken in
by other marks (docs/measurements.md).
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from numpy.random import Generator
from PIL import Image, ImageOps
from torch import Tensor

from audits.probe.answers import NO_WORD, Plan
from audits.probe.writing import EDGE, grounds, marked, written
from pipeline.datasets.pixels import Reading
from pipeline.embeddings.images import batches, runs
from pipeline.places import Place

PICTURES = 256
"""Of the dataset, at most, that words are written on."""
BATCH = 64
SHOWN = 3
"""Of each: with a word, with marks, and as it is."""


def chosen(images: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """At most PICTURES rows of a manifest's images, drawn at random, in their order."""
    drawn = rng.choice(len(images), min(PICTURES, len(images)), replace=False)
    return images.iloc[np.sort(drawn)]


def plan_own(count: int, words: int, rng: Generator) -> Plan:
    """What is on the pictures: of each one with a word, one with marks and the picture itself.

    Args:
        count: of pictures, each a ground.
        words: to draw from.
        rng: source of the words.
    """
    word = np.full((count, SHOWN), NO_WORD)
    word[:, 0] = rng.integers(words, size=count)
    return Plan(word.reshape(-1), np.repeat(np.arange(count), SHOWN))


def own_pictures(
    images: pd.DataFrame,
    root: Place,
    reading: Reading,
    words: list[str],
    planned: Plan,
    rng: Generator,
) -> Iterator[Image.Image]:
    """The pictures of such a plan in its order.

    Args:
        images: image_id, path and sha256 of each picture.
        root: folder that the paths are relative to.
        reading: how the files' pixels are taken.
        words: that are written.
        planned: of `plan_own`.
        rng: source of the hands that write, and of the marks, which take the word's place.

    Raises:
        OSError: an image is missing or has changed.
    """
    hands = iter(grounds(len(images), rng))
    said = iter(planned.word[planned.word != NO_WORD].tolist())
    parts = runs(len(images), BATCH)
    for batch in batches(images, root, reading, _square, parts, 0, "probe, own pictures"):
        for pixels in batch.pixels:
            picture = Image.fromarray(pixels.numpy())
            hand, word = next(hands), words[next(said)]
            yield written(word, hand, picture)
            yield marked(word, hand, rng, picture)
            yield picture


def _square(picture: Image.Image) -> Tensor:
    """Its middle, uint8 [EDGE, EDGE, 3]."""
    return torch.from_numpy(np.array(ImageOps.fit(picture, (EDGE, EDGE), Image.Resampling.LANCZOS)))
