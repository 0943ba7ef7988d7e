"""Relevance of one class's prompt on images against what is expected of the class.

The images are the class's own and those of other classes. Each is measured by the paper's z-score
(Eq. 8), own images as if they were new.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from audits.inputs import Inputs
from audits.reference.expected import class_relevance
from pipeline.config import Relevance


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

    A unit is what counts as independent: the images of one group that have the same label. A pair
    is a unit and a component that is active on some image of it.
    """

    position: int
    """The class, as a row of Inputs.classes."""
    rows: np.ndarray
    """Images [r] as rows of Inputs.images."""
    close: np.ndarray
    """Whether an image comes close to the class [r]."""
    unit: np.ndarray
    """Unit of each image [r]."""
    label: np.ndarray
    """Label of each unit [u], as a row of Inputs.classes."""
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
    pair_unit: np.ndarray
    """[v]."""
    pair_component: np.ndarray
    """[v]."""
    pair_sum: np.ndarray
    """Σ R over a pair's slots [v]."""
    pair_squares: np.ndarray
    """Σ R² over a pair's slots [v]."""

    @property
    def own(self) -> np.ndarray:
        """Whether a unit is of the class [u]."""
        return self.label == self.position

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


def view(
    inputs: Inputs,
    expected: Expectation,
    own: Int[np.ndarray, " o"],
    others: Int[np.ndarray, " i"],
    close: Int[np.ndarray, " c"],
    kind: Relevance = "act_grad",
) -> View:
    """Images of a class and of others, as its prompt sees them.

    Args:
        inputs: the audit's artifacts.
        expected: of the class.
        own: rows of images of the class that come close to it.
        others: rows of images of other classes.
        close: rows of those among them that come close to the class.
        kind: of relevance, as in what is expected.
    """
    rows = np.concatenate([own, others])
    group = pd.factorize(inputs.images["group_id"].iloc[rows])[0]
    label = inputs.class_index[torch.from_numpy(rows)].numpy()
    count = len(inputs.classes)
    units, unit_of = np.unique(count * group + label, return_inverse=True)
    asked = torch.from_numpy(rows)
    every = class_relevance(inputs, asked, inputs.texts["short"][expected.position], kind)
    codes = inputs.coded(asked)
    image, slot = np.nonzero(codes.activation.numpy() > 0)
    component = codes.component.numpy()[image, slot]
    relevance = every.numpy()[image, slot].astype(np.float64)
    m = len(inputs.atoms)
    pairs, pair = np.unique(unit_of[image] * m + component, return_inverse=True)
    return View(
        position=expected.position,
        rows=rows,
        close=np.isin(rows, own) | np.isin(rows, close),
        unit=unit_of,
        label=units % count,
        size=np.bincount(unit_of),
        image=image,
        component=component,
        relevance=relevance,
        pair=pair,
        pair_unit=pairs // m,
        pair_component=pairs % m,
        pair_sum=np.bincount(pair, relevance),
        pair_squares=np.bincount(pair, relevance**2),
    )


def surprise(seen: View, expected: Expectation, new: bool) -> np.ndarray:
    """z-score of every slot [s] (paper, Eq. 8), the deviation at least the floor.

    Args:
        seen: the images.
        expected: mean, deviation and floor.
        new: whether the own images had no part in them. Where they had, those of a unit that come
            close are measured by all others, as a new image is. With ΔS and ΔQ the sums of R − μ
            and (R − μ)² over these b images: μ' = μ − ΔS/(n − b),
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
