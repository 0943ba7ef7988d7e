"""The images that each component fires on most, taken up shard by shard."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.attribution.relevance import Codes


class TopImages(NamedTuple):
    """The most activating images of each component."""

    active_images: Int[Tensor, " m"]
    """How many images have a non-zero activation."""
    rows: Int[Tensor, "m n"]
    """Images by falling activation; −1 in the places that a component cannot fill."""
    activation: Float[Tensor, "m n"]
    """Their activations, 0 in those places."""


class Tops:
    """Top images of what has come so far; memory is bound by components, not by images."""

    def __init__(self, components: int, count: int) -> None:
        self._total = np.zeros(components, dtype=np.int64)
        self._rows = np.full((components, count), -1, dtype=np.int64)
        self._values = np.zeros((components, count), dtype=np.float32)
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, codes: Codes, eligible: Bool[Tensor, "_"], first: int) -> None:
        """Take in the eligible images of a part whose rows go on from `first`."""
        image, component, activation = active(codes, eligible, first)
        self.put(component, image, activation)

    def put(self, component: np.ndarray, image: np.ndarray, value: np.ndarray) -> None:
        """Take in images by a value above 0; their rows go on from put to put."""
        self._total += np.bincount(component, minlength=len(self._total))
        # One that is no stronger than the weakest so far comes after it; empty places are 0.
        better = value > self._values[component, -1]
        self._waiting.append((component[better], image[better], value[better]))
        # Taking in goes over all places, so it waits until as many images have come.
        if sum(len(part[0]) for part in self._waiting) >= self._rows.size:
            self._take_in()

    def found(self) -> TopImages:
        """What has come so far."""
        self._take_in()
        return TopImages(
            *(torch.from_numpy(array) for array in (self._total, self._rows, self._values))
        )

    def _take_in(self) -> None:
        if not self._waiting:
            return
        component, image, value = (np.concatenate(p) for p in zip(*self._waiting, strict=True))
        self._waiting = []
        rows, values = self._rows, self._values
        touched = np.unique(component)
        places = touched.repeat(rows.shape[1]), np.tile(np.arange(rows.shape[1]), len(touched))
        taken = rows[places] >= 0
        component = np.concatenate([places[0][taken], component])
        image = np.concatenate([rows[places][taken], image])
        value = np.concatenate([values[places][taken], value])
        order = np.lexsort((image, -value, component))
        component, image, value = component[order], image[order], value[order]
        place = np.arange(len(component)) - np.searchsorted(component, component)
        kept = place < rows.shape[1]
        rows[component[kept], place[kept]] = image[kept]
        values[component[kept], place[kept]] = value[kept]


def active(
    codes: Codes, eligible: Bool[Tensor, "_"], first: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, component and activation of each slot that is not empty, of eligible images."""
    on = (codes.activation > 0) & eligible[:, None]
    image = first + on.nonzero()[:, 0].numpy()
    return image, codes.component[on].numpy(), codes.activation[on].numpy()


def top_images(
    parts: Iterable[tuple[Codes, Bool[Tensor, "_"]]], components: int, count: int
) -> TopImages:
    """The `count` images with the largest activation of each component, of the eligible images.

    Images of equal activation come in the order of their rows, which go on from part to part.

    Args:
        parts: codes of some images, and which of these are eligible; one part is held at a time.
        components: m.
        count: n.
    """
    tops, end = Tops(components, count), 0
    for codes, eligible in parts:
        tops.add(codes, eligible, end)
        end += len(eligible)
    return tops.found()


def among_shown(top: TopImages) -> tuple[TopImages, Int[Tensor, " shown"]]:
    """The same with rows that count only images at the top of some component; and these images."""
    filled = top.rows >= 0
    shown = top.rows[filled].unique()
    rows = torch.where(filled, torch.searchsorted(shown, top.rows), -1)
    return top._replace(rows=rows), shown


def by_chance(number: np.ndarray) -> np.ndarray:
    """Whole numbers, each as one from 1 to 2^24 that looks drawn at random and that no seed, order
    or sharding decides."""
    return ((pd.util.hash_array(number.astype(np.uint64)) >> 40) + 1).astype(np.float32)
