"""Images that come close to classes that they are not, and classes that look alike.

Close is an output for a class's prompt about as high as on the class's own images, or far above
what images of the same label get. Where the images of two classes come close to each other's
prompts about as often, they look alike, and nothing can be said of words, marks or backgrounds;
nor where most classes come close to a prompt, for then the model does not know the word.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from audits.inputs import Inputs
from audits.reference.expected import own_images
from pipeline.attribution.head import cosine_outputs
from pipeline.attribution.relevance import blocks
from pipeline.config import FailuresConfig

BLOCK_ROWS = 8192
"""Images whose outputs for every class are held at once."""
MAD = 1.4826
"""Median absolute deviations in a standard deviation of normal values."""
TIE = 1e-6
"""Outputs closer than this are equal: those of two classes of one name differ by rounding."""


class Close(NamedTuple):
    """Images of one split that come close to classes, as rows of Inputs.images."""

    split: str
    own: list[np.ndarray]
    """Of each class the own ones."""
    candidates: list[np.ndarray]
    """Of each class those of other classes."""
    as_high: list[np.ndarray]
    """Of these, those that score as high as the class's own, and do not just stand out."""
    taken: list[np.ndarray]
    """Of each class those of other classes that the model takes for it, close or not: no prompt's
    output is higher than the class's, and that of their own class is lower."""
    rates: Float[np.ndarray, "c c"]
    """Share of the images of a class (row) that score as high as those of another (column)."""


def close_images(inputs: Inputs, split: str, config: FailuresConfig) -> Close:
    """For every class the images that come close to it.

    Images score as high as the class's own above mean(y) − candidate_deviations · sd(y) (paper,
    App. D) over those of its own images of the split that the model names right, so that neither
    what a model has learned by heart of its train images matters, nor own images that it does not
    recognise (`recognised`). Own images are close where they do, so that they are compared with
    candidates that were chosen as they were; images of another label are candidates where they do,
    or where y is pushed beyond their peers: more than peer_deviations robust deviations (1.4826
    median absolute deviations) above the median of their label in the split, and above the limit of
    peer_deviations. Images without a label are left out, since they may show the class. Outputs are
    held for one label at a time.

    Args:
        inputs: the audit's artifacts.
        split: whose images.
        config: the section of params.yaml.
    """
    members = dict(own_images(inputs, split))
    count = len(members)
    high, least = np.full((2, count), np.inf)  # nothing is close to a class of one image
    for position, rows in members.items():
        if len(rows) > 1:
            y = recognised(_outputs(inputs, rows, slice(None)), position, config.class_share)
            high[position] = _limit(y, config.candidate_deviations)
            least[position] = _limit(y, config.peer_deviations)
    none = np.zeros(0, dtype=np.int64)
    own, rates = [none] * count, np.zeros((count, count))
    found: list[list[np.ndarray]] = [[none] for _ in members]
    reached: list[list[np.ndarray]] = [[none] for _ in members]
    taken: list[list[np.ndarray]] = [[none] for _ in members]
    for position, rows in members.items():
        if not len(rows):
            continue
        y, at = _outputs(inputs, rows, slice(None)), rows.numpy()
        as_high = y > high
        rates[position] = as_high.mean(axis=0)
        own[position] = at[as_high[:, position]]
        near = as_high | (_beyond_peers(y, config.peer_deviations) & (y > least))
        near[:, position] = False
        for other in np.flatnonzero(near.any(axis=0)):
            found[other].append(at[near[:, other]])
            reached[other].append(at[near[:, other] & as_high[:, other]])
        best = np.where(_right(y, position), position, y.argmax(axis=1))
        for other in np.unique(best[best != position]):
            taken[other].append(at[best == other])
    parts = (found, reached, taken)
    candidates, highest, mistaken = ([np.concatenate(rows) for rows in part] for part in parts)
    return Close(split, own, candidates, highest, mistaken, rates)


def come_close(inputs: Inputs, close: Close) -> pa.Table:
    """The candidates of every class as a table, columns class and image_id: a row a candidate.

    By them `audit diff` tells whether a model still takes the images of a finding for the class.
    """
    ids = pa.array(inputs.images["image_id"])
    labels = pa.array(inputs.classes["label"])
    rows = np.concatenate([np.zeros(0, dtype=np.int64), *close.candidates])
    classes = np.repeat(np.arange(len(labels)), [len(found) for found in close.candidates])
    return pa.table({"class": labels.take(pa.array(classes)), "image_id": ids.take(pa.array(rows))})


def look_alikes(rates: Float[np.ndarray, "c c"], ratio: float) -> Bool[np.ndarray, "c c"]:
    """Classes (columns) that look like a class (row).

    Likeness is mutual, while a word, a mark or a background that misleads does so one way: two
    classes look alike where the class's own images come close to the other one's prompt at least
    `ratio` times as often as the other's to its own.

    Args:
        rates: of `Close`, train images.
        ratio: `failures.look_alike`.
    """
    alike = (rates > 0) & (rates.T > 0) & (rates >= ratio * rates.T)
    np.fill_diagonal(alike, False)
    return alike


def unknown(rates: Float[np.ndarray, "c c"], share: float) -> Bool[np.ndarray, " c"]:
    """Classes whose name the model does not know well enough to ask what misleads it.

    More than half of the other classes, of two at least, come close to its prompt with more than
    `share` of their images each: whatever these show, it is no word, mark or background that a few
    of them have in common.

    Args:
        rates: of `Close`, train images.
        share: `failures.class_share`.

    >>> unknown(np.array([[0.9, 0.0, 0.0], [0.6, 0.9, 0.0], [0.4, 0.5, 0.9]]), 0.2).tolist()
    [True, False, False]
    """
    others = rates > share
    np.fill_diagonal(others, False)
    count = len(rates) - 1
    return (others.sum(axis=0) > count / 2) & (count > 1)


def recognised(y: Float[np.ndarray, "r c"], position: int, share: float) -> Float[np.ndarray, " s"]:
    """Outputs of a class's own images for its prompt, of those images alone that it names right.

    An image that is mislabelled, carries what fails another class, or shows what the model does not
    know of the class says nothing of how much the class's prompt answers to what it knows, and a
    few of them sink the mean and widen the deviation until hundreds of other images seem close.

    Args:
        y: outputs of the own images for every class.
        position: the class's column.
        share: where no more of them are named right, or one at most, all own images count: few say
            nothing of the class.

    >>> recognised(np.array([[0.9, 0.1], [0.8, 0.1], [0.2, 0.3]]), 0, share=0.1).tolist()
    [0.9, 0.8]
    """
    of_class, right = y[:, position], _right(y, position)
    return of_class[right] if right.sum() > max(1, share * len(right)) else of_class


def _right(y: Float[np.ndarray, "r c"], position: int) -> Bool[np.ndarray, " r"]:
    """Which images of a class the model names right."""
    right: np.ndarray = y[:, position] >= y.max(axis=1) - TIE
    return right


def _outputs(inputs: Inputs, rows: Tensor, prompts: slice) -> Float[np.ndarray, "r c"]:
    parts = [
        cosine_outputs(inputs.tokens(rows[part]), inputs.texts["short"][prompts], inputs.head)
        for part in blocks(len(rows), BLOCK_ROWS)
    ]
    return torch.cat(parts).double().numpy()


def _limit(y: Float[np.ndarray, " r"], deviations: float) -> float:
    return float(y.mean() - deviations * y.std(ddof=1))


def _beyond_peers(y: Float[np.ndarray, "r c"], deviations: float) -> Bool[np.ndarray, "r c"]:
    middle = np.median(y, axis=0)
    spread = MAD * np.median(np.abs(y - middle), axis=0)
    return (y > middle + deviations * spread) & (spread > 0)
