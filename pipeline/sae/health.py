"""How far a dictionary can be trusted: what it recovers and how it uses its components."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.attribution.relevance import Codes
from pipeline.sae.blocks import EmbeddingBlocks
from pipeline.sae.model import Sae, encode_blocks

ROWS = 1024
"""Images that are encoded at a time."""
BestClass = Callable[[Float[Tensor, "n d"]], Int[Tensor, " n"]]
"""The class that a model gives each of some embeddings."""
BINS = 16
"""Bins of the density histogram; with more of them, some near one image hold no whole number of
images where there are a few hundred in all."""
FIGURES = ("explained_variance", "cosine", "l0", "alive_fraction")
AGREEMENT = "zero_shot_agreement"
"""The figure that takes classes, and with them prompts, on which no training depends."""
DENSITY = "density"
"""Name under which `Measure` gives the counts of the bins."""


@dataclass
class Health:
    """Figures of an SAE over images that come in blocks."""

    components: int
    images: int = 0
    active: int = 0
    """Activations above 0."""
    residual: float = 0.0
    """Σ‖x − x̂‖²."""
    cosines: float = 0.0
    """Σ cos(x, x̂)."""
    best_class: BestClass | None = None
    """None where agreement is not asked for."""
    agreeing: int = 0
    """Images whose best class is the same from x and from x̂."""
    sums: np.ndarray = field(default_factory=lambda: np.zeros(()))
    squares: float = 0.0
    fired: np.ndarray = field(default_factory=lambda: np.zeros(()))
    """Images on which each component is active [m]."""

    def add(
        self,
        x: Float[Tensor, "n d"],
        codes: Codes,
        x_hat: Float[Tensor, "n d"],
    ) -> None:
        """Take some images in: embeddings, codes, reconstructions."""
        on = codes.activation > 0
        counts = np.bincount(codes.component[on].numpy(), minlength=self.components)
        self.images += len(x)
        self.active += int(on.sum())
        self.fired = self.fired + counts
        self.sums = self.sums + x.double().sum(dim=0).numpy()
        self.squares += float(x.double().square().sum())
        self.residual += float((x.double() - x_hat).square().sum())
        self.cosines += float(torch.nn.functional.cosine_similarity(x, x_hat, dim=-1).sum())
        if self.best_class is not None:
            self.agreeing += int((self.best_class(x) == self.best_class(x_hat)).sum())

    @property
    def explained_variance(self) -> float:
        """Share of the variance of x that x̂ recovers, all dimensions together.

        1 − Σ‖x_i − x̂_i‖² / Σ‖x_i − x̄‖², x̄ the mean over images, per dimension.
        1 is perfect, 0 is as good as predicting x̄, and it can be negative.

        Raises:
            DoesNotApply: fewer than 2 images, or x is constant.
        """
        if self.images < 2:
            raise DoesNotApply(
                f"the images outside the train split are {self.images}, and a variance takes 2"
            )
        spread = self.squares - float(np.square(self.sums).sum()) / self.images
        if not spread > 1e-12 * self.squares:  # in float64, where nothing but rounding remains
            raise DoesNotApply(
                f"all {self.images} images outside the train split have the same embedding"
            )
        return 1 - self.residual / spread

    def figures(self, gaps: Gaps) -> dict[str, float | None]:
        """FIGURES, and AGREEMENT where it is asked for, by name.

        None with a gap where there is nothing to measure one on.

        explained_variance: see there. cosine: mean of cos(x, x̂), 1 is perfect, 0 unrelated.
        l0: mean number of active components an image. alive_fraction: of components that are
        active on at least one image. zero_shot_agreement: fraction of images whose best class is
        the same from x and from x̂.
        """
        asked = () if self.best_class is None else (AGREEMENT,)
        if gaps.measured("sae", self._any) is None:
            return dict.fromkeys((*FIGURES, *asked))
        return {
            "explained_variance": gaps.measured(
                "sae.explained_variance", lambda: self.explained_variance
            ),
            "cosine": self.cosines / self.images,
            "l0": self.active / self.images,
            "alive_fraction": float((self.fired > 0).mean()),
            **{name: self.agreeing / self.images for name in asked},
        }

    def _any(self) -> int:
        if not self.images:
            raise DoesNotApply("there is no image outside the train split to measure it on")
        return self.images

    def deciles(self) -> dict[str, float]:
        """Lower decile, median and upper decile of the density, by name.

        Of the decimal logarithm of the firing rate (fraction of images), over components that
        fire: 0 is all images, −log10(images) a single one. NaN where no component fires.
        """
        names = ("density_lower_decile", "density_median", "density_upper_decile")
        rates = np.log10(self.fired[self.fired > 0] / self.images)
        if not len(rates):
            return dict.fromkeys(names, float("nan"))
        return dict(zip(names, np.quantile(rates, (0.1, 0.5, 0.9)).tolist(), strict=True))


@dataclass
class Measure:
    """Health of an SAE on one set of images, to be asked again and again."""

    blocks: EmbeddingBlocks | None
    """None where there are no images."""
    best_class: BestClass | None = None
    """As of `Health`."""

    def __call__(self, sae: Sae) -> dict[str, float | list[int]]:
        """`Health.figures` (NaN for none) and `Health.deciles` by name, and counts of `density`."""
        health = self.health(sae)
        counts = density(health.fired, health.images)
        figures = {
            name: float("nan") if value is None else value
            for name, value in health.figures(Gaps()).items()
        }
        return {**figures, **health.deciles(), DENSITY: counts}

    @property
    def images(self) -> int:
        """How many they are."""
        return 0 if self.blocks is None else self.blocks.rows

    @torch.inference_mode()
    def health(self, sae: Sae) -> Health:
        """The figures' sums, over all images."""
        fired = np.zeros(len(sae.atoms))
        health = Health(len(sae.atoms), fired=fired, best_class=self.best_class)
        for batch in () if self.blocks is None else self.blocks.in_order(ROWS):
            assert batch.x is not None, "blocks are of class tokens"
            codes = sae.encode(batch.x.to(sae.atoms.device))
            x_hat = sae.reconstruct(codes).cpu()
            # The sums are float64, which MPS has not, and few.
            health.add(batch.x, Codes(*(column.cpu() for column in codes)), x_hat)
        return health


@torch.inference_mode()
def firing(sae: Sae, blocks: EmbeddingBlocks) -> np.ndarray:
    """Number of images [m] on which each component is active."""
    fired = np.zeros(len(sae.atoms), dtype=np.int64)
    for batch in blocks.in_order(ROWS):
        assert batch.x is not None, "blocks are of class tokens"
        codes = encode_blocks(sae, batch.x, ROWS)
        on = codes.component[codes.activation > 0].numpy()
        fired += np.bincount(on, minlength=len(fired))
    return fired


def density(fired: Int[np.ndarray, " m"] | np.ndarray, images: int) -> list[int]:
    """How many components fire how often: counts of the bins between `edges`.

    >>> density(np.array([0, 1, 1, 1000]), images=1000)
    [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]

    Args:
        fired: images on which each component is active; those that never fire are in no bin.
        images: of how many.
    """
    bounds = edges(images)
    rates = np.log10(fired[fired > 0] / images)
    counts: list[int] = np.histogram(np.clip(rates, bounds[0], bounds[-1]), bounds)[0].tolist()
    return counts


def edges(images: int) -> Float[np.ndarray, " b"]:
    """Edges of the density's bins: equal steps of the decimal logarithm of the firing rate.

    From one image to all of them, so that the bins of every epoch are the same.
    """
    # Of a single image the bins would have no width.
    return np.linspace(-np.log10(max(images, 2)), 0, BINS + 1)


def densities(epochs: Sequence[int], counts: Sequence[Sequence[int]], images: int) -> pd.DataFrame:
    """The density of each epoch as a table: epoch, low, high (see `edges`) and count, a row a bin.

    Args:
        epochs: their numbers.
        counts: `density` of each.
        images: on which it was measured.
    """
    bounds = edges(images)
    return pd.DataFrame(
        {
            "epoch": np.repeat(epochs, BINS),
            "low": np.tile(bounds[:-1], len(epochs)),
            "high": np.tile(bounds[1:], len(epochs)),
            "count": np.concatenate(counts),
        }
    )
