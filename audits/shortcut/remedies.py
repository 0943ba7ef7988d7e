"""Classifiers that are to lean less on a shortcut, each learnt from train images alone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from audits.shortcut.classifier import fit
from audits.shortcut.images import View, seen
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.attribution.head import Head
from pipeline.attribution.relevance import linear_gradient
from pipeline.config import ShortcutConfig

STANDARD = "standard"
Setting = float | int | None


@dataclass(frozen=True)
class Lesson:
    """What a remedy may learn from: images of a half of the train groups."""

    view: View
    positive: Bool[np.ndarray, " n"]
    activation: Float[np.ndarray, " n"]
    """Of the component that is to be corrected."""
    atom: Float[Tensor, " d"]
    """Of that component."""
    activation_of: Callable[[View], Float[np.ndarray, " n"]]
    """Its activation on other images."""
    pairs: np.ndarray
    """[q] positions of the images that are there under a shift too."""
    shifted: list[View]
    """These q images under each shift that is to be withstood."""
    head: Head
    c: float
    """Inverse strength of the regularisation."""


@dataclass(frozen=True)
class Edit:
    """What is done to class tokens before the head: x less their component's part, or less their
    part along a direction."""

    of: Callable[[View], Float[Tensor, "n d"]]
    along: Float[Tensor, " d"] | None = None
    """Unit direction along which nothing is left, None where something is."""


@dataclass(frozen=True)
class Fitted:
    """A classifier, and what is done to images before it."""

    model: LogisticRegression
    features: Callable[[View], Float[np.ndarray, "n p"]]
    mixed: Float[np.ndarray, "p p"] | None = None
    """What unit embeddings are multiplied with before it."""
    edit: Edit | None = None

    def scores(self, view: View) -> Float[np.ndarray, " n"]:
        """Log-odds of the positive side, both sides taken as equally frequent."""
        return np.asarray(self.model.decision_function(self.features(view)))

    def gradient(self, view: View, head: Head) -> Float[Tensor, "n d"]:
        """Of the log-odds by class tokens."""
        w = self.model.coef_[0] if self.mixed is None else self.mixed @ self.model.coef_[0]
        x = view.x if self.edit is None else self.edit.of(view)
        found = linear_gradient(x, torch.from_numpy(w).float(), head)
        if self.edit is None or self.edit.along is None:
            return found
        return found - (found @ self.edit.along)[:, None] * self.edit.along


def _as_seen(view: View) -> np.ndarray:
    return view.z


def standard(view: View, positive: Bool[np.ndarray, " n"], c: float) -> Fitted:
    """The classifier of images as they are."""
    return Fitted(fit(view.z, positive, c), _as_seen)


def latent_direction(
    x: Float[Tensor, "n d"], activation: Float[np.ndarray, " n"], quantiles: tuple[float, float]
) -> Float[Tensor, " d"]:
    """u = mean x of images that have a component − mean x of those that lack it (paper, Eq. 33).

    An image lacks it at or below the first quantile of its activation over the images, and has it
    above the second; where both are 0 these are the images on which it is off and on.

    Raises:
        DoesNotApply: no image is above the second quantile.
    """
    low, high = np.quantile(activation, quantiles)
    has = torch.from_numpy(activation > high)
    if not bool(has.any()):
        raise DoesNotApply(
            f"no train image has an activation above {high:.4g}, quantile {quantiles[1]}: lower "
            "the second value of shortcut.quantiles"
        )
    return x[has].mean(dim=0) - x[torch.from_numpy(activation <= low)].mean(dim=0)


def augmented(
    x: Float[Tensor, "n d"],
    direction: Float[Tensor, " d"],
    alpha: float,
    generator: torch.Generator,
) -> Float[Tensor, "n d"]:
    """x' = x + α (p − 0.5) u, p uniform in (0, 1), drawn for each image (paper, Eq. 34)."""
    p = torch.rand(len(x), 1, generator=generator)
    return x + alpha * (p - 0.5) * direction


def _direction(lesson: Lesson, quantiles: tuple[float, float]) -> Tensor:
    """Of the component, learnt on the images that the classifier is to call negative."""
    negative = ~lesson.positive
    x = lesson.view.x[torch.from_numpy(negative)]
    return latent_direction(x, lesson.activation[negative], quantiles)


def latent_augmentation(
    lesson: Lesson, alpha: float, quantiles: tuple[float, float], seed: int
) -> Fitted:
    """Embeddings moved at random along the component's direction (paper, Eq. 33, 34)."""
    generator = torch.Generator().manual_seed(seed)
    moved = augmented(lesson.view.x, _direction(lesson, quantiles), alpha, generator)
    return Fitted(fit(seen(moved, lesson.head).z, lesson.positive, lesson.c), _as_seen)


def direction_removed(lesson: Lesson, quantiles: tuple[float, float]) -> Fitted:
    """Of every embedding the part along the component's direction set to the train images' mean."""
    u = torch.nn.functional.normalize(_direction(lesson, quantiles), dim=0)
    mean = lesson.view.x.mean(dim=0)

    def edited(view: View) -> torch.Tensor:
        return view.x - ((view.x - mean) @ u)[:, None] * u

    return _edited(lesson, Edit(edited, u))


def switched_off(lesson: Lesson) -> Fitted:
    """Of every embedding the component's part taken away, x − a V: the latent twin of a cover."""

    def edited(view: View) -> torch.Tensor:
        activation = torch.from_numpy(lesson.activation_of(view)).float()
        return view.x - activation[:, None] * lesson.atom

    return _edited(lesson, Edit(edited))


def _edited(lesson: Lesson, edit: Edit) -> Fitted:
    def features(view: View) -> np.ndarray:
        return seen(edit.of(view), lesson.head).z

    return Fitted(fit(features(lesson.view), lesson.positive, lesson.c), features, edit=edit)


def _mixed(lesson: Lesson, matrix: Float[np.ndarray, "p p"]) -> Fitted:
    def features(view: View) -> np.ndarray:
        return view.z @ matrix

    return Fitted(fit(features(lesson.view), lesson.positive, lesson.c), features, mixed=matrix)


def shifts_removed(lesson: Lesson, count: int) -> Fitted:
    """The `count` leading directions of what the shift does to unit embeddings projected out.

    Directions are the first right singular vectors of z(shifted) − z over the pairs, not centred.

    Raises:
        DoesNotApply: there are fewer pairs than directions.
    """
    plain = lesson.view.z[lesson.pairs]
    moved = np.vstack([view.z - plain for view in lesson.shifted])
    if len(moved) < count:
        raise DoesNotApply(f"there are {len(moved)} pairs of images, for {count} directions")
    directions = np.linalg.svd(moved, full_matrices=False)[2][:count]
    return _mixed(lesson, np.eye(directions.shape[1]) - directions.T @ directions)


def shift_penalty(lesson: Lesson, strength: float) -> Fitted:
    """What the shift does to the output is penalised beside the weights' length.

    Minimised is the loss + (‖w‖² + λ mean (w · d)²)/2C, d = z(shifted) − z over the pairs, λ the
    strength: the same as the plain penalty on features z M^(−1/2), M = 1 + λ mean d dᵀ. It goes
    from the standard classifier, λ = 0, to one that no pair's output moves under the shift.
    """
    plain = lesson.view.z[lesson.pairs]
    moved = np.vstack([view.z - plain for view in lesson.shifted])
    values, vectors = np.linalg.eigh(moved.T @ moved / len(moved))
    root = (vectors / np.sqrt(1 + strength * values.clip(0))) @ vectors.T
    return _mixed(lesson, root)


def shifted_copies(lesson: Lesson) -> Fitted:
    """Trained on the images as they are and on copies of them under the shift, in pixels."""
    features = np.vstack([lesson.view.z, *(view.z for view in lesson.shifted)])
    copies = np.tile(lesson.positive[lesson.pairs], len(lesson.shifted))
    positive = np.concatenate([lesson.positive, copies])
    return Fitted(fit(features, positive, lesson.c), _as_seen)


def reweighted(lesson: Lesson) -> Fitted:
    """Images weighted so that the component is as frequent on either side.

    It counts as there above its mean activation over the train images; each of the four groups of
    side and presence weighs the same.

    Raises:
        DoesNotApply: one of the four groups is empty.
    """
    there = lesson.activation > lesson.activation.mean()
    group = 2 * lesson.positive + there
    counts = np.bincount(group, minlength=4)
    if not counts.all():
        raise DoesNotApply(
            f"of the four groups of side and component one has no train image: {counts.tolist()}"
        )
    weight = len(group) / (4 * counts[group])
    return Fitted(fit(lesson.view.z, lesson.positive, lesson.c, weight), _as_seen)


def settings(config: ShortcutConfig) -> list[tuple[str, Setting]]:
    """Every remedy with each setting that it is tried with."""
    return [
        *(("latent_augmentation", alpha) for alpha in config.alpha),
        ("direction_removed", None),
        ("switched_off", None),
        *(("shifts_removed", count) for count in config.directions),
        *(("shift_penalty", strength) for strength in config.penalty),
        ("shifted_copies", None),
        ("reweighted", None),
    ]


def learn(
    remedy: str, setting: Setting, lesson: Lesson, quantiles: tuple[float, float], seed: int
) -> Fitted:
    """One remedy's classifier.

    Raises:
        DoesNotApply: these images do not allow it.
    """
    if remedy == "latent_augmentation" and setting is not None:
        return latent_augmentation(lesson, setting, quantiles, seed)
    if remedy == "direction_removed":
        return direction_removed(lesson, quantiles)
    if remedy == "shifts_removed" and setting is not None:
        return shifts_removed(lesson, int(setting))
    if remedy == "shift_penalty" and setting is not None:
        return shift_penalty(lesson, setting)
    plain = {
        "switched_off": switched_off,
        "shifted_copies": shifted_copies,
        "reweighted": reweighted,
    }
    return plain[remedy](lesson)
