"""The relevance that each component is expected to have for each class."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from audits.inputs import Inputs
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.attribution.head import cosine_outputs
from pipeline.attribution.relevance import (
    ablation,
    act_grad,
    blocks,
    gradient,
    integrated_gradients,
)
from pipeline.config import Relevance

BLOCK_ROWS = 4096
"""Images whose relevance is held at once."""
IG_POINTS = 10
"""Of Integrated Gradients (paper, App. B.2)."""
CLASSES = {"images": np.int64, "y_mean": np.float64, "y_std": np.float64, "floor": np.float64}
"""Columns of the classes' table, beside class."""


class Moments(NamedTuple):
    """Sums over images from which mean and deviation of every component's relevance follow."""

    images: int
    mean: np.ndarray
    """[m], an image on which a component is off counting as 0."""
    squares: np.ndarray
    """Σ(R − mean)² over images [m]."""
    active: np.ndarray
    """Number of images with relevance other than 0 [m]."""

    @property
    def std(self) -> np.ndarray:
        """Sample standard deviation [m], √(Σ(R − μ)²/(r − 1)).

        Raises:
            ValueError: fewer than 2 images, so that no deviation is defined.
        """
        if self.images < 2:
            raise ValueError(
                f"a deviation over {self.images} images is undefined: at least 2 are needed"
            )
        return np.sqrt(self.squares / (self.images - 1))

    def merge(self, other: "Moments") -> "Moments":
        """Moments of both sets of images (Chan, Golub and LeVeque 1979).

        With n = n₁ + n₂ and δ = μ₂ − μ₁: μ = μ₁ + δ n₂/n, Σ = Σ₁ + Σ₂ + δ² n₁ n₂/n.
        """
        images = self.images + other.images
        delta = other.mean - self.mean
        return Moments(
            images,
            self.mean + delta * (other.images / images),
            self.squares + other.squares + delta**2 * (self.images * other.images / images),
            self.active + other.active,
        )


def class_relevance(
    inputs: Inputs, rows: Int[Tensor, " r"], t: Float[Tensor, " p"], kind: Relevance = "act_grad"
) -> Float[Tensor, "r k"]:
    """Relevance of each slot of some images for one prompt.

    Args:
        inputs: the audit's artifacts.
        rows: images as rows of Inputs.images.
        t: the prompt's unit embedding.
        kind: of relevance; all are in units of y.
    """
    relevance = torch.empty(len(rows), inputs.codes.component.shape[1])
    for part in blocks(len(rows), BLOCK_ROWS):
        x = inputs.tokens(rows[part])
        codes = inputs.coded(rows[part])
        asked = t.expand(len(x), -1)
        of = (codes, inputs.atoms)
        if kind == "act_grad":
            relevance[part] = act_grad(gradient(x, asked, inputs.head), *of)
        elif kind == "integrated_gradients":
            relevance[part] = integrated_gradients(x, asked, *of, inputs.head, IG_POINTS)
        else:
            relevance[part] = ablation(x, asked, *of, inputs.head)
    return relevance


def slot_moments(
    component: Int[Tensor, "r k"], relevance: Float[Tensor, "r k"], components: int
) -> Moments:
    """Moments of the relevance of every component over r images."""
    images = len(component)
    index = component.flatten().numpy()
    values = relevance.flatten().double().numpy()
    active = np.bincount(index[values != 0], minlength=components)
    mean = np.bincount(index, values, components) / images
    # Two passes, not Σ R² − n μ²: relevance is small and the difference would cancel.
    squares = np.where(values != 0, (values - mean[index]) ** 2, 0)
    squares = np.bincount(index, squares, components) + (images - active) * mean**2
    return Moments(images, mean, squares, active)


def deviation_floor(moments: Moments) -> float:
    """The least deviation that relevance is measured against, for one class, in units of y.

    A component that never fires on a class has deviation 0, and any relevance would be infinitely
    surprising. But r images cannot tell never from less often than once in r, so a component is
    given at least the deviation that a single activation would have: R/√r, R the class's typical
    relevance, the root mean square over its slots with any. The fewer the images, the higher it is.

    Raises:
        DoesNotApply: no slot has any relevance.
    """
    active = int(moments.active.sum())
    if not active:
        raise DoesNotApply(f"no component has any relevance on {moments.images} images")
    squares = moments.squares.sum() + moments.images * (moments.mean**2).sum()
    return float(np.sqrt(squares / active / moments.images))


def own_images(inputs: Inputs, split: str) -> Iterator[tuple[int, Int[Tensor, " r"]]]:
    """Position of each class and the rows of its own images in a split, in the order of classes."""
    index = torch.where(inputs.split(split), inputs.class_index, -1)
    order = index.argsort(stable=True)
    counts = torch.bincount(index + 1, minlength=len(inputs.classes) + 1).tolist()
    return enumerate(order.split(counts)[1:])


def reference(inputs: Inputs, kind: Relevance = "act_grad") -> tuple[pd.DataFrame, pd.DataFrame]:
    """Expected relevance of each class for its short prompt, and its outputs.

    Args:
        inputs: the audit's artifacts.
        kind: of relevance.

    Returns:
        A row for each (class, component) with any activation: mean, std, count; and a row for
        each class: images, y_mean, y_std (sample deviation), floor. Classes with fewer than 2
        train images, or to which no component is relevant, are left out of both.
    """
    none, nowhere = np.zeros(0), np.zeros(0, dtype=np.int64)
    components, classes = [(nowhere, none, none, nowhere)], []
    for position, rows in own_images(inputs, "train"):
        if len(rows) < 2:
            continue
        label = inputs.classes["label"][position]
        moments, y = _expected(inputs, rows, inputs.texts["short"][position], kind)
        if not moments.active.any():
            continue
        floor = deviation_floor(moments)
        seen = np.flatnonzero(moments.active)
        components.append((seen, moments.mean[seen], moments.std[seen], moments.active[seen]))
        outputs = {"y_mean": float(y.mean()), "y_std": float(y.std())}
        classes.append({"class": label, "images": len(rows), **outputs, "floor": floor})
    labels = [str(row["class"]) for row in classes]
    codes = np.repeat(np.arange(len(labels)), [len(seen) for seen, *_ in components[1:]])
    component, mean, std, count = (np.concatenate(part) for part in zip(*components, strict=True))
    columns = {
        # Millions of rows: a number each for the class, not a text.
        "class": pd.Categorical.from_codes(codes, pd.Index(labels, dtype="str")),
        "component": component.astype(np.int32),
        "mean": mean,
        "std": std,
        "count": count.astype(np.int32),
    }
    outputs_of = {
        column: np.array([row[column] for row in classes], dtype=kind)
        for column, kind in CLASSES.items()
    }
    return pd.DataFrame(columns), pd.DataFrame(
        {"class": pd.Index(labels, dtype="str"), **outputs_of}
    )


def _expected(
    inputs: Inputs, rows: Int[Tensor, " r"], t: Float[Tensor, " p"], kind: Relevance
) -> tuple[Moments, Float[Tensor, " r"]]:
    """Moments of relevance over some images, and their outputs in double precision."""
    parts, outputs = [], []
    for block in blocks(len(rows), BLOCK_ROWS):
        part = rows[block]
        component = inputs.codes.component[part]
        relevance = class_relevance(inputs, part, t, kind)
        parts.append(slot_moments(component, relevance, len(inputs.atoms)))
        outputs.append(cosine_outputs(inputs.tokens(part), t[None], inputs.head)[:, 0].double())
    moments = parts[0]
    for other in parts[1:]:
        moments = moments.merge(other)
    return moments, torch.cat(outputs)
