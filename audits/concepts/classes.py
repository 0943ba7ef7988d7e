"""Which class a component tells best: a second way of naming it, that no other model is asked for.

A name of the vocabulary is the labeler's word for what the top images show. The class whose images
the component tells from all others is the dataset's word for where it fires, weak images and all.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from torch import Tensor

from audits.concepts.components import active, largest_activations
from pipeline.attribution.relevance import Codes
from pipeline.sae.codes import StoredCodes

CANDIDATES = 3
"""Classes a component that are looked at closely: those of which it fires on the largest share."""
BINS = 16
"""Of a component's activations, in which two are equal."""
BLOCK = 1024
"""Images whose codes are held at once."""


class Coded(NamedTuple):
    """Images by which components are told."""

    codes: Codes | StoredCodes
    """Of all images [n, k]."""
    counted: Bool[Tensor, " n"]
    label: Int[Tensor, " n"]
    """Class of each, −1 where it is unknown: such an image does not count."""

    def parts(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Of each activation: component, activation and class of the image, block by block."""
        for rows in (self.counted & (self.label >= 0)).nonzero()[:, 0].split(BLOCK):
            place, component, activation = active(self.codes, rows)
            yield component, activation, self.label[rows].numpy()[place]

    def sizes(self, classes: int) -> Int[np.ndarray, " c"]:
        """Images of each class."""
        return np.bincount(self.label[self.counted & (self.label >= 0)], minlength=classes)


def tell_classes(
    choosing: Coded, measuring: Coded, components: int, labels: pd.Series
) -> pd.DataFrame:
    """The class that each component tells best, and how well on other images than chose it.

    Args:
        choosing: images by which the class is chosen, by its AUROC among `CANDIDATES`.
        measuring: others.
        components: m.
        labels: of the classes [c].

    Returns:
        One row a component: class (label) and class_auroc (`aurocs`), null and NaN for one that
        fires on no image that chooses, or where none of the class, or no other, measures.
    """
    near = most_fired(choosing, components, len(labels))
    found = aurocs(choosing, near, components, len(labels))
    fires = ~np.isnan(found).all(axis=1)
    best = np.nan_to_num(found, nan=-1).argmax(axis=1)
    chosen = np.take_along_axis(near, best[:, None], axis=1)
    measured = aurocs(measuring, chosen, components, len(labels))[:, 0]
    known = fires & ~np.isnan(measured)
    names = labels.to_numpy(dtype=object)[chosen[:, 0]]
    return pd.DataFrame(
        {
            "class": pd.Series(np.where(known, names, None), dtype="string"),
            "class_auroc": np.where(known, measured, np.nan),
        }
    )


def most_fired(images: Coded, components: int, classes: int) -> Int[np.ndarray, "m q"]:
    """The classes of which each component fires on the largest shares, the largest first."""
    fired = np.zeros((components, classes), dtype=np.int32)
    for component, _, label in images.parts():
        np.add.at(fired, (component, label), 1)
    sizes = np.maximum(images.sizes(classes), 1).astype(np.float32)
    count = min(CANDIDATES, classes)
    # Some components at a time: their shares are as much memory again.
    return np.concatenate(
        [
            np.argsort(-(fired[first : first + BLOCK] / sizes), axis=1, kind="stable")[:, :count]
            for first in range(0, components, BLOCK)
        ]
    )


def aurocs(
    images: Coded, asked: Int[np.ndarray, "m q"], components: int, classes: int
) -> Float[np.ndarray, "m q"]:
    """AUROC of each component's activation, images of each class asked for against all others.

    In [0, 1]. Activations in one of `BINS` bins of equal width up to the component's largest are a
    tie, and so are images that do not fire it. NaN where there is no image of the class or no
    other, or the component never fires.
    """
    largest = largest_activations((part[:2] for part in images.parts()), components)
    of_all = np.zeros((components, BINS), dtype=np.int64)
    of_class = np.zeros((*asked.shape, BINS), dtype=np.int64)
    for component, activation, label in images.parts():
        bin_ = np.ceil(BINS * (activation / largest[component])).astype(np.int64) - 1
        bin_ = bin_.clip(0)  # a share so small that it rounds to 0
        np.add.at(of_all, (component, bin_), 1)
        at, place = np.nonzero(asked[component] == label[:, None])
        np.add.at(of_class, (component[at], place, bin_[at]), 1)
    sizes = images.sizes(classes)
    own = sizes[asked].astype(np.float64)
    other = sizes.sum() - own
    others = of_all[:, None] - of_class
    # Whoever does not fire it is below all bins.
    silent = own - of_class.sum(axis=2), other - others.sum(axis=2)
    below = silent[1][..., None] + np.cumsum(others, axis=2) - others / 2
    pairs = (of_class * below).sum(axis=2) + silent[0] * silent[1] / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        found = pairs / (own * other)
    found[largest == 0] = np.nan
    return found
