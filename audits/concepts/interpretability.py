"""How interpretable components are, and what goes with it (paper, Sec. 5.2 and App. C.1)."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from audits.concepts.components import active
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.artifacts.shards import shards
from pipeline.attribution.head import unit
from pipeline.attribution.relevance import Codes
from pipeline.embeddings.vectors import read_vectors
from pipeline.sae.codes import StoredCodes

BLOCK = 8192
"""Images whose embeddings are held at once, in single precision."""
STRONGEST = 5
"""Images whose mean activation goes with clarity best (paper, App. C.1)."""


def embedded(
    folder: Path, image_ids: np.ndarray, counted: Bool[Tensor, " n"]
) -> Iterator[tuple[Int[Tensor, " b"], Float[Tensor, "b p"]]]:
    """Rows and unit embeddings by the labeler of the images that count, some at a time.

    Args:
        folder: of the embeddings' shards, in any order.
        image_ids: of all rows [n].
        counted: those that count.
    """
    ids = pd.Index(image_ids)
    for path in shards(folder):
        part = read_vectors(path, "z")
        row = ids.get_indexer(part.image_ids)
        known = np.flatnonzero((row >= 0) & counted.numpy()[row])
        for first in range(0, len(known), BLOCK):
            some = known[first : first + BLOCK]
            yield torch.from_numpy(row[some]), unit(torch.from_numpy(part.values[some]).float())


class Similarity:
    """Sums over images from which every component's monosemanticity follows, see there."""

    def __init__(self, components: int, width: int) -> None:
        self._images = np.zeros(components, dtype=np.int64)
        self._least = np.full(components, np.inf, dtype=np.float32)
        self._total, self._squares = (np.zeros(components) for _ in range(2))
        self._weighted = np.zeros((components, width))
        self._all = np.zeros(width)
        self.images = 0
        """That have come so far."""

    def add(self, codes: Codes | StoredCodes, rows: Int[Tensor, " b"], u: Tensor) -> None:
        """Take in some images: the codes of all, their rows and unit embeddings [b, p]."""
        place, component, activation = active(codes, rows)
        m = len(self._total)
        self._images += np.bincount(component, minlength=m)
        np.minimum.at(self._least, component, activation)
        self._total += np.bincount(component, activation, m)
        self._squares += np.bincount(component, activation.astype(np.float64) ** 2, m)
        # A product for each activation, not for each component: most are silent on an image.
        self._weighted += csr_array((activation, (component, place)), (m, len(rows))) @ u.numpy()
        self._all += u.numpy().sum(axis=0)
        self.images += len(rows)

    @property
    def mean_activation(self) -> Float[np.ndarray, " m"]:
        """Mean activation over all images, 0 of those on which a component is silent."""
        return self._total / max(self.images, 1)

    @property
    def monosemanticity(self) -> Float[np.ndarray, " m"]:
        """Mean cosine of all pairs of images, weighed by both images' activations.

        Σ ã_n ã_l cos(u_n, u_l) / Σ ã_n ã_l over pairs of different images, ã_n = a_n − min a: 1
        where all images that fire a component are the same, about 0 where they are unrelated, at
        least −1 (Pach et al. 2025, where ã is divided by its largest value, too: the same). In
        time linear in images, for Σ ã_n ã_l cos(u_n, u_l) = ‖Σ ã_n u_n‖² − Σ ã_n². NaN where no
        two images are left to compare.
        """
        # Of a component that some image does not fire the least activation is 0.
        least = np.where(self._images == self.images, self._least, 0).astype(np.float64)
        total = self._total - self.images * least
        squares = self._squares - 2 * least * self._total + self.images * least**2
        # ‖Σ a u − min a Σ u‖², multiplied out so that nothing of the sums' size is made anew.
        length = (
            np.einsum("mp,mp->m", self._weighted, self._weighted)
            - 2 * least * (self._weighted @ self._all)
            + least**2 * (self._all @ self._all)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            found = (length - squares) / (total**2 - squares)
        # What rounding leaves of the pairs of one image is no pair.
        found[total**2 - squares <= 1e-9 * total**2] = np.nan
        return found


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


def correlations(named: pd.DataFrame, gaps: Gaps) -> dict[str, float | None]:
    """Correlation of clarity with everything else that says how a component fires and what on.

    Means and rates by their logarithms, too, since both are skewed (paper, Fig. 9).

    Args:
        named: columns clarity, mean_top20, mean_activation, firing_rate, monosemanticity,
            polysemanticity and redundancy of the components that fire on enough images.
        gaps: takes up what does not apply.
    """
    measures = {
        "mean_top20": named["mean_top20"],
        "mean_activation": named["mean_activation"],
        "log_mean_activation": np.log10(named["mean_activation"]),
        "firing_rate": named["firing_rate"],
        "log_firing_rate": np.log10(named["firing_rate"]),
        "monosemanticity": named["monosemanticity"],
        "polysemanticity": named["polysemanticity"],
        "redundancy": named["redundancy"],
    }

    def with_clarity(values: pd.Series) -> float:
        known = values.notna()
        return correlation(named["clarity"][known].to_numpy(), values[known].to_numpy())

    return {
        key: gaps.measured(f"concepts.clarity_correlation.{key}", partial(with_clarity, values))
        for key, values in measures.items()
    }
