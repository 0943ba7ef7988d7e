"""Settings of an audit."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.base import Count, Fraction, Name, Positive, Section
from pipeline.config.data import EmbedConfig


class SaeConfig(Section):
    """The top-k sparse autoencoder (paper, App. A)."""

    components: Count
    """Number of atoms m."""
    k: Count
    """Active components an image."""
    epochs: Count
    """Passes, each over `epoch_fraction` of the train images."""
    epoch_fraction: Annotated[float, Field(gt=0, le=1)]
    """Share of the train images, drawn anew, in one epoch."""
    batch_size: Count
    """Images in a step."""
    learning_rate: Positive
    """AdamW's rate at the start."""
    decay_after: list[Count]
    """Epochs after which the rate is divided by 10."""

    @model_validator(mode="after")
    def _check(self) -> "SaeConfig":
        if self.k > self.components:
            raise ValueError(f"k is {self.k}: it cannot exceed components, {self.components}")
        return self


class LabelConfig(Section):
    """Naming of components (paper, Sec. 3.2)."""

    top_images: Annotated[int, Field(ge=2)]
    """Most activating images whose mean embedding is named; fewer activations leave a component
    unnamed and out of statistics."""


class ConceptsConfig(Section):
    """Hidden concepts: strong components with a weak label (paper, Eq. 7)."""

    activation_quantile: Fraction
    """τ_act as a quantile over components of the mean top activation."""
    alignment_quantile: Fraction
    """τ_align as a quantile over components of the best alignment."""


class FailuresConfig(Section):
    """Failure modes: higher relevance than expected (paper, Sec. 4.2b)."""

    candidate_deviations: Positive
    """An image of another class is a candidate where y exceeds mean − this many deviations."""
    z: Positive
    """Relevance above mean + z deviations is unexpected."""
    min_images: Count
    """Candidates on which it has to be, for a flag."""
    q: Annotated[float, Field(gt=0, lt=1)]
    """False discovery rate over all (class, component) pairs (Benjamini-Hochberg)."""
    confirm_p: Annotated[float, Field(gt=0, lt=1)]
    """A finding is confirmed on validation images at this one-sided p-value."""
    overlap: Annotated[float, Field(gt=0, le=1)]
    """Flags of one class that share this part of the smaller set of images are one finding."""


class RobustnessConfig(Section):
    """Separability of a class from its distractors (paper, Sec. 5.3)."""

    min_images: Count
    """Validation images that a distractor set needs."""
    folds: Annotated[int, Field(ge=2)]
    """Cross-validation folds that choose the linear classifier's regularisation."""


class FaithfulnessConfig(Section):
    """Deletion and insertion curves (paper, Sec. 5.1, App. B.2)."""

    classes: Count
    """Classes at most."""
    images: Count
    """Validation images of a class at most."""
    steps: Count
    """Components removed or added, one a step."""
    subsets: Annotated[int, Field(ge=2)]
    """Equal subsets of the images for the standard error of the AUC."""
    reference_images: Count
    """Random images whose mean relevance orders random-reference deletion."""
    points: Count
    """Points of Integrated Gradients."""


class ShortcutConfig(Section):
    """Shortcuts of a linear classifier (paper, Sec. 5.4, App. E)."""

    positive: str
    """Label of the class to tell from the rest."""
    repeats: Annotated[int, Field(ge=2)]
    """Classifiers on random halves of the train groups, for mean and standard error."""
    top: Count
    """Components with the largest relevance share that are reported."""
    red_shift: Annotated[dict[Literal["added", "removed"], float], Field(min_length=2)]
    """δ of red' = clamp(red (1 − δ), 0, 1) for both shifts (paper, Eq. 32)."""
    alpha: Positive
    """Strength of the latent augmentation (paper, Eq. 34)."""
    quantiles: tuple[Fraction, Fraction]
    """Activation quantiles below which an image lacks, above which it has the component."""


class ReportConfig(Section):
    """The page."""

    gallery: Count
    """Images in a row of a gallery."""
    thumbnail: Count
    """Edge of a thumbnail in pixels."""


class AuditConfig(Section):
    """One audit: a model on a dataset."""

    dataset: Name
    model: Name
    embed: EmbedConfig
    sae: SaeConfig
    label: LabelConfig
    concepts: ConceptsConfig
    failures: FailuresConfig
    robustness: RobustnessConfig
    faithfulness: FaithfulnessConfig
    shortcut: ShortcutConfig | None
    report: ReportConfig
