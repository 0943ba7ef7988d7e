"""The directions that SAEs compete with: principal axes and neurons of x (paper, Fig. 4b)."""

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.artifacts.gaps import DoesNotApply
from pipeline.artifacts.on_disk import OnDisk
from pipeline.labels.clarity import clarity
from pipeline.labels.label import Vocabulary, alignment

BLOCK = 8192
"""Images whose class tokens are held at once."""
DIRECTIONS = 1024
"""Whose top images' embeddings are held at once."""


class Farthest:
    """The images farthest along each of some directions, of what has come so far.

    Of equals those that came first.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._values, self._rows = torch.empty(0), torch.empty(0, dtype=torch.long)

    def add(self, projections: Float[Tensor, "b q"], rows: Int[Tensor, " b"]) -> None:
        """Take in images by where they lie along each direction."""
        if len(self._values) == self._count:
            better = (projections > self._values[-1]).any(dim=1)
            projections, rows = projections[better], rows[better]
        of = rows[:, None].expand(projections.shape)
        if len(self._values):
            projections = torch.cat([self._values, projections])
            of = torch.cat([self._rows, of])
        best = projections.sort(dim=0, descending=True, stable=True)
        self._values = best.values[: self._count]
        self._rows = of.gather(0, best.indices[: self._count])

    @property
    def rows(self) -> Int[Tensor, "q count"]:
        """The farthest first; all images where there are fewer than asked for."""
        return self._rows.T.contiguous()


def principal_axes(x: Tensor | OnDisk, rows: Int[Tensor, " r"]) -> Float[Tensor, "q d"]:
    """Principal axes of some images, a row each by falling variance, at most r, in float64.

    Of the covariance, so that nothing but it is held. An axis' sign is such that its number of the
    largest size is positive.
    """
    d = x.shape[1]
    total, products = (torch.zeros(size, dtype=torch.float64) for size in ((d,), (d, d)))
    for part in rows.split(BLOCK):
        values = x[part].double()
        total += values.sum(dim=0)
        products.addmm_(values.T, values)
    mean = total / len(rows)
    covariance = (products - len(rows) * mean.outer(mean)) / (len(rows) - 1)
    axes = torch.linalg.eigh(covariance).eigenvectors.T.flip(0)[: len(rows)]
    return axes * axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)).sign()


def bases(
    x: Tensor | OnDisk, train: Bool[Tensor, " n"], count: int
) -> dict[str, Int[Tensor, "_ _"]]:
    """Top train images of the principal axes and of the neurons of x [n, d].

    Raises:
        DoesNotApply: there is one train image, which has no axes.
    """
    rows = train.nonzero()[:, 0]
    if len(rows) < 2:
        raise DoesNotApply("the principal axes of one train image are undefined")
    axes = principal_axes(x, rows)
    pca, neuron = Farthest(count), Farthest(count)
    for part in rows.split(BLOCK):
        values = x[part].float()
        pca.add(values.double() @ axes.T, part)
        neuron.add(values, part)
    return {"pca": pca.rows, "neuron": neuron.rows}


def numbered(
    rows: Int[Tensor, "q count"],
) -> tuple[Int[Tensor, "q count"], Int[Tensor, " shown"]]:
    """The same with rows that count only the images that are there; and these images."""
    shown = rows.unique()
    return torch.searchsorted(shown, rows), shown


def judged(
    rows: Int[Tensor, "q count"], u: Float[Tensor, "n p"], vocabulary: Vocabulary
) -> pd.DataFrame:
    """What the components of a dictionary are judged by, of other directions: label and clarity.

    Args:
        rows: top images of each direction.
        u: unit embeddings of images by the labeler.
        vocabulary: terms to choose from.

    Returns:
        One row a direction.
    """
    terms = vocabulary.terms["term"].to_numpy(dtype=object)
    clear = torch.cat([clarity(u[some]) for some in rows.split(DIRECTIONS)])
    return pd.DataFrame(
        {
            "label": pd.Series(terms[alignment(rows, u, vocabulary).term.numpy()], dtype="string"),
            "clarity": clear.double().numpy(),
        }
    )
