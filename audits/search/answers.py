"""How much each component answers to a text or to an image."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline.attribution.head import unit
from pipeline.sae.model import Sae

BLOCK = 1024
"""Components whose images are taken up at a time."""


class Shown(NamedTuple):
    """What the images show on which components fire most, as the labeler sees it."""

    named: Bool[Tensor, " m"]
    """Components that fire on enough train images to be judged by them."""
    means: Float[Tensor, "named p"]
    """Unit mean of the unit embeddings of their top images, x̄."""


def shown_by(
    top_images: pd.Series, enough: int, image_ids: np.ndarray, values: np.ndarray
) -> Shown:
    """The mean top images of components.

    Args:
        top_images: ids of each component's images, by falling activation.
        enough: images that a component needs.
        image_ids: of the rows of values.
        values: the labeler's embeddings [n, p], in the precision in which they are stored.

    Raises:
        ValueError: an image has no embedding.
    """
    named = torch.tensor([len(ids) >= enough for ids in top_images], dtype=torch.bool)
    ids = [image for images in top_images[named.numpy()] for image in images[:enough]]
    rows = torch.from_numpy(pd.Index(image_ids).get_indexer(pd.Index(ids, dtype=object)))
    if (rows < 0).any():
        raise ValueError("labels and the labeler's embeddings are of other images: run `dvc repro`")
    means = [
        unit(unit(torch.from_numpy(values[part]).float()).mean(dim=1))
        for part in rows.view(-1, enough).split(BLOCK)
    ]
    return Shown(named, torch.cat(means) if means else torch.zeros(0, values.shape[1]))


def fit(shown: Shown, t: Float[Tensor, " p"], empty: Float[Tensor, " p"]) -> Float[Tensor, " m"]:
    """How well a text describes each component's top images, s (paper, Eq. 2).

    cos(x̄, t) − cos(x̄, t_empty), in [-2, 2]; NaN where a component fires on too few images.
    """
    found = torch.full((len(shown.named),), float("nan"))
    found[shown.named] = shown.means @ (t - empty)
    return found


def before_top_k(sae: Sae, x: Float[Tensor, " d"]) -> Float[Tensor, " m"]:
    """Activations of an image before the rectifier and the top k; below 0 it speaks against."""
    return torch.addmv(sae.encoder_bias, sae.encoder_weight, x)


def ends(score: Float[Tensor, " m"], count: int) -> tuple[list[int], list[int]]:
    """Components of the highest scores, falling, and of the lowest, rising; NaN in neither.

    None is in both; of equal scores the lower number is nearer to the top.
    """
    known = score.isfinite().nonzero()[:, 0]
    order = known[score[known].argsort(descending=True, stable=True)].tolist()
    most = order[:count]
    return most, order[len(most) :][::-1][:count]
