"""Stage `reference`: the relevance that each component is expected to have for each class.

For every class, relevance of each component for the class's own prompt over the class's own train
images: what a new image's relevance is compared with (paper, Sec. 4.2b).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from audits.inputs import Inputs, load_inputs
from pipeline import layout
from pipeline.attribution import Codes, act_grad, cosine_outputs, gradient
from pipeline.stage import begin
from pipeline.store import write_table


class Moments(NamedTuple):
    """Mean and sample standard deviation of the relevance of every component [m]."""

    mean: np.ndarray
    std: np.ndarray
    active: np.ndarray
    """Number of images with relevance other than 0."""


def class_relevance(
    inputs: Inputs, rows: Int[Tensor, " r"], t: Float[Tensor, " p"]
) -> Float[Tensor, "r k"]:
    """Relevance of each slot of some images for one prompt."""
    x = inputs.x[rows]
    codes = Codes(inputs.codes.component[rows], inputs.codes.activation[rows])
    return act_grad(gradient(x, t.expand(len(x), -1), inputs.head), codes, inputs.atoms)


def slot_moments(
    component: Int[Tensor, "r k"], relevance: Float[Tensor, "r k"], components: int
) -> Moments:
    """Moments of relevance over r images, an image on which a component is off counting as 0.

    The deviation is the sample standard deviation, √(Σ(R − μ)²/(r − 1)).

    Raises:
        ValueError: fewer than 2 images, so that no deviation is defined.
    """
    images = len(component)
    if images < 2:
        raise ValueError(f"a deviation over {images} images is undefined: at least 2 are needed")
    index = component.flatten().numpy()
    values = relevance.flatten().double().numpy()
    total = np.bincount(index, values, components)
    active = np.bincount(index[values != 0], minlength=components)
    mean = total / images
    # Two passes, not Σ R² − n μ²: relevance is small and the difference would cancel.
    squares = np.where(values != 0, (values - mean[index]) ** 2, 0)
    squares = np.bincount(index, squares, components) + (images - active) * mean**2
    return Moments(mean, np.sqrt(squares / (images - 1)), active)


def deviation_floor(relevance: Float[Tensor, "r k"]) -> float:
    """The least deviation that relevance is measured against, for one class, in units of y.

    A component that never fires on a class has deviation 0, and any relevance would be infinitely
    surprising. But r images cannot tell never from less often than once in r, so a component is
    given at least the deviation that a single activation would have: R/√r, R the class's typical
    relevance, the root mean square over its slots with any.

    Raises:
        ValueError: no slot has any relevance.
    """
    values = relevance[relevance != 0].double()
    if not len(values):
        raise ValueError(f"no component has any relevance on {len(relevance)} images")
    return float(values.square().mean().sqrt()) / len(relevance) ** 0.5


def reference(inputs: Inputs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Expected relevance of each class for its short prompt, and its outputs.

    Returns:
        A row for each (class, component) with any activation: mean, std, count; and a row for
        each class: images, y_mean, y_std (sample deviation), floor. Classes with fewer than 2
        train images are left out of both.

    Raises:
        ValueError: no class has 2 train images, or no component is relevant to a class.
    """
    tables, classes = [], []
    train = inputs.split("train")
    for position, label in enumerate(inputs.classes["label"]):
        rows = torch.nonzero(train & (inputs.class_index == position)).flatten()
        if len(rows) < 2:
            continue
        t = inputs.texts["short"][position]
        relevance = class_relevance(inputs, rows, t)
        moments = slot_moments(inputs.codes.component[rows], relevance, len(inputs.atoms))
        try:
            floor = deviation_floor(relevance)
        except ValueError as error:
            raise ValueError(f"class {label!r}: {error}") from error
        y = cosine_outputs(inputs.x[rows], t[None], inputs.head)[:, 0].double()
        seen = np.flatnonzero(moments.active)
        tables.append(
            pd.DataFrame(
                {
                    "class": label,
                    "component": seen.astype(np.int32),
                    "mean": moments.mean[seen],
                    "std": moments.std[seen],
                    "count": moments.active[seen].astype(np.int32),
                }
            )
        )
        classes.append(
            {
                "class": label,
                "images": len(rows),
                "y_mean": float(y.mean()),
                "y_std": float(y.std()),
                "floor": floor,
            }
        )
    if not classes:
        raise ValueError("no class has 2 or more train images: there is nothing to compare with")
    return pd.concat(tables, ignore_index=True), pd.DataFrame(classes)


def main() -> None:
    """Compute an audit's expected relevance."""
    name, params = begin(__doc__)
    table, classes = reference(load_inputs(params, name))
    folder = layout.reference(name)
    write_table(folder / "reference.parquet", table)
    write_table(folder / "classes.parquet", classes)


if __name__ == "__main__":
    main()
