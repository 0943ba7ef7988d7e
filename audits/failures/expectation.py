"""Relevance of one class's prompt on images against what is expected of the class.

The images are the class's own and candidates: images of other classes that come close to it. Each
is measured by the paper's z-score (Eq. 8), own images as if they were new.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from audits.failures.likeness import likeness, unlike
from audits.inputs import Inputs
from audits.reference.expected import class_relevance
from pipeline.attribution.head import cosine_outputs, project, unit
from pipeline.attribution.relevance import blocks
from pipeline.config import FailuresConfig

BLOCK_ROWS = 8192
"""Images whose outputs for every class are held at once."""


class Expectation(NamedTuple):
    """What is expected of one class's relevance, from its own train images."""

    position: int
    """Row in Inputs.classes."""
    images: int
    floor: float
    """Least deviation that relevance is measured against."""
    mean: np.ndarray
    """Mean relevance [m], 0 where the component never fires on the class."""
    std: np.ndarray
    """Sample deviation of relevance [m], 0 likewise."""


class View(NamedTuple):
    """Images as seen by one class's prompt: r images, s active slots, u units, v pairs.

    A unit is what counts as independent: the images of one group that are of the class, or those
    of it that are not. A pair is a unit and a component that is active on some image of it.
    """

    rows: np.ndarray
    """Images [r] as rows of Inputs.images."""
    unit: np.ndarray
    """Unit of each image [r]."""
    own: np.ndarray
    """Whether a unit is of the class [u]."""
    size: np.ndarray
    """Images of each unit [u]."""
    image: np.ndarray
    """Image of each slot [s], 0 to r − 1."""
    component: np.ndarray
    """Component of each slot [s]."""
    relevance: np.ndarray
    """[s], in units of y."""
    pair: np.ndarray
    """Pair of each slot [s]."""
    unlike: np.ndarray
    """Whether each slot is of an image that does not look like the class [s]."""
    pair_unit: np.ndarray
    """[v]."""
    pair_component: np.ndarray
    """[v]."""
    pair_sum: np.ndarray
    """Σ R over a pair's slots [v]."""
    pair_squares: np.ndarray
    """Σ R² over a pair's slots [v]."""

    @property
    def of_class(self) -> np.ndarray:
        """Whether each slot is of an image of the class [s]."""
        return self.own[self.unit[self.image]]


def expectations(
    inputs: Inputs, table: pd.DataFrame, classes: pd.DataFrame
) -> Iterator[Expectation]:
    """Expectations of the classes in `classes`, one at a time, from the reference's tables."""
    positions = {label: index for index, label in enumerate(inputs.classes["label"])}
    parts = table.groupby("class", sort=False, observed=True).indices
    columns = [table[name].to_numpy() for name in ("component", "mean", "std")]
    for label, images, floor in classes[["class", "images", "floor"]].itertuples(index=False):
        component, *values = (column[parts[label]] for column in columns)
        dense = np.zeros((2, len(inputs.atoms)))
        dense[:, component] = values
        yield Expectation(positions[label], images, floor, *dense)


class Close(NamedTuple):
    """Rows of images whose output for a class's prompt is about that of its own train images."""

    own: Int[Tensor, " o"]
    """Of the class."""
    candidates: Int[Tensor, " c"]
    """Of other classes."""


def close_images(
    inputs: Inputs, classes: pd.DataFrame, split: str, deviations: float
) -> list[Close]:
    """For every class the images that come close to it.

    Close is an output for the class's short prompt above mean(y) − deviations · sd(y) over the
    class's own train images (paper, App. D). That holds for the own images too, so that they are
    compared with candidates that were chosen as they were. Images without a label are left out,
    since they may show the class. Outputs are held for a block of images at once.

    Args:
        inputs: the audit's artifacts.
        classes: columns class, y_mean, y_std; to classes that are missing nothing is close.
        split: whose images.
        deviations: how many.
    """
    least = pd.Series(np.inf, index=inputs.classes["label"].to_numpy())
    least[classes["class"]] = (classes["y_mean"] - deviations * classes["y_std"]).to_numpy()
    threshold = torch.from_numpy(least.to_numpy().astype(np.float32))
    rows = torch.nonzero(inputs.split(split) & (inputs.class_index >= 0)).flatten()
    none = torch.zeros(2, 0, dtype=torch.int32)
    own, others = [none], [none]
    for block in blocks(len(rows), BLOCK_ROWS):
        part = rows[block]
        y = cosine_outputs(inputs.tokens(part), inputs.texts["short"], inputs.head)
        close = y > threshold
        mine = torch.zeros_like(close)
        mine[torch.arange(len(part)), inputs.class_index[part]] = True
        for found, which in ((own, close & mine), (others, close & ~mine)):
            image, position = which.nonzero(as_tuple=True)
            found.append(torch.stack([position.int(), part[image].int()]))
    sides = [_by_class(torch.cat(found, dim=1), len(threshold)) for found in (own, others)]
    return [Close(*rows) for rows in zip(*sides, strict=True)]


def _by_class(found: Int[Tensor, "2 n"], classes: int) -> list[Int[Tensor, " r"]]:
    """The images of each class, from positions of classes and images beside each other."""
    position, image = found
    counts = torch.bincount(position, minlength=classes).tolist()
    return list(image[position.argsort(stable=True)].split(counts))


def view(
    inputs: Inputs,
    expected: Expectation,
    own: Int[Tensor, " o"],
    others: Int[Tensor, " c"],
    known: Int[Tensor, " t"],
    config: FailuresConfig,
) -> View:
    """Images of a class and others, as its prompt sees them.

    Args:
        inputs: the audit's artifacts.
        expected: of the class.
        own: rows of images of the class that are compared.
        others: rows of candidates.
        known: rows of the class's train images, which say how it looks.
        config: the section of params.yaml.
    """
    rows = torch.cat([own, others])
    group = pd.factorize(inputs.images["group_id"].iloc[rows.numpy()])[0]
    units, unit_of = np.unique(2 * group + (np.arange(len(rows)) >= len(own)), return_inverse=True)
    every = class_relevance(inputs, rows, inputs.texts["short"][expected.position])
    image, slot = np.nonzero(inputs.codes.activation[rows].numpy() > 0)
    component = inputs.codes.component[rows].numpy()[image, slot]
    relevance = every.numpy()[image, slot].astype(np.float64)
    m = len(inputs.atoms)
    pairs, pair = np.unique(unit_of[image] * m + component, return_inverse=True)
    return View(
        rows=rows.numpy(),
        unit=unit_of,
        own=units % 2 == 0,
        size=np.bincount(unit_of),
        image=image,
        component=component,
        relevance=relevance,
        pair=pair,
        unlike=_unlike(inputs, rows, known, config)[image],
        pair_unit=pairs // m,
        pair_component=pairs % m,
        pair_sum=np.bincount(pair, relevance),
        pair_squares=np.bincount(pair, relevance**2),
    )


def _unlike(
    inputs: Inputs, rows: Int[Tensor, " r"], known: Int[Tensor, " t"], config: FailuresConfig
) -> np.ndarray:
    """Images [r] that do not look like the class."""
    every, at = torch.cat([rows, known]).unique(return_inverse=True)
    z = unit(project(inputs.tokens(every), inputs.head))
    group = torch.from_numpy(pd.factorize(inputs.images["group_id"].iloc[every.numpy()])[0])
    own = at[len(rows) :]
    found = likeness(z, group, z[own], group[own], config.neighbours)[at]
    return unlike(found[: len(rows)], found[len(rows) :], config.unlike)


def own_expectation(seen: View, components: int) -> Expectation:
    """What the own images of a view would make one expect; images 0 where that is undefined."""
    own = seen.own[seen.pair_unit]
    images = int(seen.size[seen.own].sum())
    squares = seen.pair_squares[own]
    if images < 2 or not squares.any():
        return Expectation(-1, 0, 0.0, np.zeros(components), np.zeros(components))
    at = seen.pair_component[own]
    mean = np.bincount(at, seen.pair_sum[own], components) / images
    total = np.bincount(at, squares, components)
    std = np.sqrt(np.maximum(total - images * mean**2, 0) / (images - 1))
    floor = float(np.sqrt(squares.sum() / np.count_nonzero(squares) / images))
    return Expectation(-1, images, floor, mean, std)


def surprise(seen: View, expected: Expectation, new: bool) -> np.ndarray:
    """z-score of every slot [s] (paper, Eq. 8), the deviation at least the floor.

    Args:
        seen: the images.
        expected: mean, deviation and floor.
        new: whether the own images had no part in them. Where they had, those of a unit are
            measured by all others, as a new image is. With ΔS and ΔQ the sums of R − μ and
            (R − μ)² over the unit's b images: μ' = μ − ΔS/(n − b),
            Σ' = Σ − ΔQ − ΔS²/(n − b), σ' = √(Σ'/(n − b − 1)).
    """
    at = seen.component
    mean, std = expected.mean[at], expected.std[at]
    if not new:
        pair = seen.pair
        unit_of = seen.pair_unit[pair]
        images = seen.size[unit_of]
        total = seen.pair_sum[pair] - images * mean
        squares = seen.pair_squares[pair] - (2 * total + images * mean) * mean
        others = np.maximum(expected.images - images, 1)
        left = (expected.images - 1) * std**2 - squares - total**2 / others
        own = seen.own[unit_of]
        mean = np.where(own, mean - total / others, mean)
        without = np.sqrt(np.maximum(left, 0) / np.maximum(others - 1, 1))
        std = np.where(own, without, std)
    return (seen.relevance - mean) / np.maximum(std, expected.floor)
