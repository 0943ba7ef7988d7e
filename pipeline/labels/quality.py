"""How well a component's name tells which images fire it, of images that had no say in the name.

A name is given by the top images of its component. Whether it says more than what these few images
have in common shows on the others: those that fire the component should lie nearer to the name, in
the labeler's space, than those that do not.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline.artifacts.shards import shards
from pipeline.attribution.head import unit
from pipeline.attribution.relevance import Codes
from pipeline.embeddings.vectors import read_vectors
from pipeline.labels.tops import by_chance

FRESH = 128
"""Most images a component by which its name is measured: the standard error of an AUROC of 0.5 is
0.026 then, of 0.9 less."""
BACKGROUND = 4096
"""Most images that a name's cosine is compared on."""
TIE = 5
"""Decimals of a cosine that count: what rounding decides is a tie."""
DEALT = 0.95
"""Share of names dealt to other components that a name has to be better than to fit."""
BLOCK = 256
PAIRS = 16384


class Background(NamedTuple):
    """Images, drawn at random, among which are those that do not fire a component."""

    u: Float[Tensor, "s p"]
    """Their unit embeddings by the labeler."""
    codes: Codes
    """Their codes [s, k]."""


class Images(NamedTuple):
    """The labeler's embeddings of an audit's images, read shard by shard."""

    folder: Path
    ids: pd.Index
    """Row → id, of n images."""

    def pairs(
        self, rows: Int[Tensor, "q f"]
    ) -> Iterator[tuple[Int[Tensor, " pairs"], Float[Tensor, "pairs p"]]]:
        """Unit embeddings of the images in a table of rows, −1 where there is none.

        Yields:
            Places in the flat table and the embeddings of the images there, some at a time.
        """
        flat = rows.flatten().numpy()
        order = np.argsort(flat, kind="stable")
        flat = flat[order]
        for path in shards(self.folder):
            part = read_vectors(path, "z")
            image = self.ids.get_indexer(pd.Index(part.image_ids))
            known = np.flatnonzero(image >= 0)
            begin = np.searchsorted(flat, image[known], "left")
            count = np.searchsorted(flat, image[known], "right") - begin
            if not count.any():
                continue
            used = known[count > 0]
            u = unit(torch.from_numpy(part.values[used]).float())
            begin, count = begin[count > 0], count[count > 0]
            # Runs of places, one an image: each goes on from where it begins in the flat table.
            starts = np.repeat(begin - (count.cumsum() - count), count)
            places = torch.from_numpy(order[starts + np.arange(count.sum())])
            embedding = torch.from_numpy(np.repeat(np.arange(len(used)), count))
            for some, of in zip(places.split(PAIRS), embedding.split(PAIRS), strict=True):
                yield some, u[of]

    def mean(self, rows: Int[Tensor, "q n"]) -> Float[Tensor, "q p"]:
        """Mean unit embedding of the images in each row, none of which is missing."""
        total: Tensor | None = None
        for places, u in self.pairs(rows):
            total = u.new_zeros(len(rows), u.shape[1]) if total is None else total
            total.index_add_(0, places // rows.shape[1], u)
        if total is None:
            raise ValueError(f"{self.folder} has none of the audit's images: run `dvc repro`")
        return total / rows.shape[1]


def background_rows(images: int) -> np.ndarray:
    """Which of n images are the background: at most BACKGROUND, in their order."""
    chosen = np.argsort(by_chance(np.arange(images)), kind="stable")[:BACKGROUND]
    return np.sort(chosen)


def fresh_rows(
    drawn: Int[Tensor, "m d"], voters: Int[Tensor, "m n"], group: Int[Tensor, " images"]
) -> Int[Tensor, "m f"]:
    """Of images drawn for each component those that share no group with one of its voters.

    Args:
        drawn: rows of images that fire the component, −1 in empty places.
        voters: rows of the images that named it, likewise.
        group: of each image.

    Returns:
        The first FRESH of them, −1 in the places that are left.
    """
    found = []
    for some, by in zip(drawn.split(BLOCK), voters.split(BLOCK), strict=True):
        groups = torch.where(some >= 0, group[some], -1)
        voting = torch.where(by >= 0, group[by], -1)
        out = (groups[:, :, None] == voting[:, None, :]).any(dim=2) | (some < 0)
        order = out.byte().argsort(dim=1, stable=True)[:, :FRESH]
        found.append(torch.where(out, -1, some).gather(1, order))
    return torch.cat(found)


def deal(term: Int[Tensor, " m"]) -> Int[Tensor, " m"]:
    """To each named component the name of another, by chance; −1 to the others.

    A round through all named components in a drawn order; one that is dealt its own name has none.
    """
    named = (term >= 0).nonzero()[:, 0]
    round_ = named[np.argsort(by_chance(named.numpy()), kind="stable")]
    dealt = torch.full_like(term, -1)
    dealt[round_] = term[round_.roll(1)]
    return torch.where(dealt == term, -1, dealt)


def cosines(
    images: Images, rows: Int[Tensor, "m f"], t: Float[Tensor, "v p"], terms: list[Tensor]
) -> list[Float[Tensor, "m f"]]:
    """Cosine of each component's images with its name, NaN in empty places.

    Args:
        images: the labeler's embeddings.
        rows: images of each component.
        t: unit embeddings of the terms.
        terms: for each answer, the term [m] of each component, −1 for none (its row is no answer).
    """
    found = [torch.full(rows.shape, float("nan")) for _ in terms]
    for places, u in images.pairs(rows):
        component = places // rows.shape[1]
        for answer, term in zip(found, terms, strict=True):
            answer.view(-1)[places] = torch.einsum("np,np->n", u, t[term[component]])
    return found


def quality(
    cosine: Float[Tensor, "m f"],
    term: Int[Tensor, " m"],
    background: Background,
    t: Float[Tensor, "v p"],
    least: int,
) -> Float[np.ndarray, " m"]:
    """Detection AUROC of each component's name.

    Share of pairs of an image that fires the component and one of the background that does not in
    which the first is nearer to the name, a tie counting half: 1 tells them apart, 0.5 is chance.

    Args:
        cosine: of fresh images that fire the component with its name, NaN in empty places.
        term: name of each component, −1 for none.
        background: what does not fire is taken from.
        t: unit embeddings of the terms.
        least: images needed on either side.

    Returns:
        NaN where a component has no name or too few images fire or do not fire it.
    """
    on = background.codes.activation > 0
    image, component = on.nonzero()[:, 0], background.codes.component[on].long()
    found = []
    for first in range(0, len(term), BLOCK):
        of = slice(first, first + BLOCK)
        here = (component >= first) & (component < first + BLOCK)
        off = torch.ones(len(term[of]), len(background.u), dtype=torch.bool)
        off[component[here] - first, image[here]] = False
        others = t[term[of]] @ background.u.T
        measured = detection(cosine[of], others, off)
        enough = (~cosine[of].isnan()).sum(dim=1).ge(least) & off.sum(dim=1).ge(least)
        measured[~(enough & (term[of] >= 0))] = float("nan")
        found.append(measured)
    return torch.cat(found).numpy()


def detection(
    values: Float[Tensor, "q f"], others: Float[Tensor, "q s"], counted: Bool[Tensor, "q s"]
) -> Float[Tensor, " q"]:
    """AUROC of each row of values, but for NaN, against those of the others that are counted.

    >>> values = torch.tensor([[0.9, 0.4, float("nan")]])
    >>> others = torch.tensor([[0.1, 0.5, 0.9, 0.7]])
    >>> detection(values, others, torch.tensor([[True, True, True, False]]))
    tensor([0.5833], dtype=torch.float64)
    """
    values = values.round(decimals=TIE).contiguous()
    # What is not counted goes beyond every value.
    others = others.round(decimals=TIE).masked_fill(~counted, float("inf")).sort(dim=1).values
    known = ~values.isnan()
    below = torch.searchsorted(others, values) + torch.searchsorted(others, values, right=True)
    pairs = known.sum(dim=1) * counted.sum(dim=1)
    return below.masked_fill(~known, 0).sum(dim=1).double() / (2 * pairs)


def chance(dealt: Float[np.ndarray, " m"]) -> float:
    """AUROC that one in twenty names dealt to other components reaches, NaN where none was dealt.

    The largest where there are fewer than twenty.
    """
    measured = dealt[~np.isnan(dealt)]
    return float(np.quantile(measured, DEALT, method="higher")) if len(measured) else float("nan")


def worst_rank(
    mean: Float[Tensor, "h m p"], term: Int[Tensor, " m"], t: Float[Tensor, "v p"]
) -> Int[Tensor, " m"]:
    """Rank of each component's name among all terms in the half of the images where it does worse.

    1 where both halves by themselves give the component this name.

    Args:
        mean: mean embedding, in each half, of the component's top images there.
        term: its name.
        t: unit embeddings of the terms.
    """
    ranks = []
    for half in mean:
        found = []
        for block, own in zip(half.split(BLOCK), term.split(BLOCK), strict=True):
            cosine = block @ t.T
            found.append((cosine > cosine.gather(1, own[:, None])).sum(dim=1) + 1)
        ranks.append(torch.cat(found))
    return torch.stack(ranks).amax(dim=0)
