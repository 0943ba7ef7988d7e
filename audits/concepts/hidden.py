"""Components that matter but that no term of the vocabulary describes, and bases compared."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.artifacts.on_disk import OnDisk
from pipeline.config import ConceptsConfig
from pipeline.labels.label import (
    Vocabulary,
    alignment,
)

HIGH_CLARITY, MEDIUM_CLARITY = 0.6, 0.4
"""Where the paper divides components by how clear they are (App. C.2)."""
BLOCK = 8192
"""Images whose class tokens are held at once."""
STRONGEST = 5
"""Images whose mean activation goes with clarity best (paper, App. C.1)."""
COLUMNS = ["component", "label", "alignment", "clarity", "group", "mean_top20", "top_images"]


def hidden_concepts(labels: pd.DataFrame, config: ConceptsConfig) -> pd.DataFrame:
    """Components with a strong activation and a weak label (paper, Eq. 7, without a prompt).

    Of the components that have a label, those whose mean top activation is at or above its
    quantile over components and whose alignment is at or below its quantile. Group is `high`
    (clarity 0.6 or more), `medium` (0.4 or more) or `low`. Clearest first; `top_images` joined by
    spaces.
    """
    named = labels[labels["label"].notna()]
    strong = named["mean_top20"] >= named["mean_top20"].quantile(config.activation_quantile)
    unlike = named["alignment"] <= named["alignment"].quantile(config.alignment_quantile)
    hidden = named[strong & unlike].sort_values(["clarity", "component"], ascending=[False, True])
    return hidden.assign(
        group=[clarity_group(value) for value in hidden["clarity"]],
        top_images=[" ".join(ids) for ids in hidden["top_images"]],
    )[COLUMNS]


def clarity_group(clarity: float) -> str:
    """`high`, `medium` or `low`."""
    if clarity >= HIGH_CLARITY:
        return "high"
    return "medium" if clarity >= MEDIUM_CLARITY else "low"


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation of two arrays [n], in [-1, 1].

    >>> round(correlation(np.array([1.0, 2.0, 3.0]), np.array([5.0, 3.0, 1.0])), 9)
    -1.0

    Raises:
        DoesNotApply: fewer than 2 values, or one array is constant.
    """
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        raise DoesNotApply(
            f"the correlation of {len(a)} values is undefined: at least 2 different ones are "
            "needed; more images, or a smaller label.top_images, give more labelled components"
        )
    return float(np.corrcoef(a, b)[0, 1])


def numbered(
    rows: Int[Tensor, "q count"],
) -> tuple[Int[Tensor, "q count"], Int[Tensor, " shown"]]:
    """The same with rows that count only the images that are there; and these images."""
    shown = rows.unique()
    return torch.searchsorted(shown, rows), shown


def unique_labels(
    rows: Int[Tensor, "q count"], u: Float[Tensor, "n p"], vocabulary: Vocabulary
) -> int:
    """How many different terms name these groups of images."""
    return len(alignment(rows, u, vocabulary)[1].unique())


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
    """Top train images of the directions SAEs compete with: principal axes and neurons of x [n, d].

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


def summarise(
    labels: pd.DataFrame,
    hidden: pd.DataFrame,
    top_activation: np.ndarray,
    unique: dict[str, int],
    gaps: Gaps,
) -> dict[str, Any]:
    """Metrics of this audit, None for what does not apply.

    Args:
        labels: one row a component.
        hidden: the hidden ones.
        top_activation: mean activation [m] of each component's STRONGEST images.
        unique: number of unique labels of the other bases.
        gaps: takes up what does not apply.
    """
    named = labels["label"].notna().to_numpy()
    correlated = None
    if named.any():
        correlated = gaps.measured(
            "concepts.clarity_activation_correlation",
            lambda: correlation(labels["clarity"].to_numpy()[named], top_activation[named]),
        )
    return {
        "components": int(named.sum()),
        "hidden": len(hidden),
        "unique_labels": {"sae": int(labels["label"].nunique()), **unique},
        "clarity_activation_correlation": correlated,
    }


def check_named(labels: pd.DataFrame, needed: int, train_images: int) -> None:
    """Make sure that some component has a name.

    Args:
        labels: one row a component.
        needed: train images on which a component has to fire to be named.
        train_images: how many there are.

    Raises:
        DoesNotApply: none has.
    """
    if labels["label"].isna().all():
        raise DoesNotApply(
            f"no component has a name: it has to fire on {needed} train images "
            f"(label.top_images), and of {train_images:,} none fires on more than "
            f"{int(labels['activations'].max()):,}"
        )
