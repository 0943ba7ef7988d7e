"""Settings of an audit."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.base import Count, Fraction, Name, Positive, Section
from pipeline.config.shortcut import ShortcutConfig

STRONG = ("activation", "activation_quantile", "relevance", "relevance_quantile")
WEAK = ("alignment", "alignment_quantile")
"""Keys of `ConceptsConfig` of which one is given."""


class SaeConfig(Section):
    """The sparse autoencoder and its training (paper, Sec. 3.1 and App. A)."""

    kind: Literal["topk", "batch_topk", "matryoshka"]
    """`topk` keeps the k largest activations of an image (the paper's); `batch_topk` k an image on
    average, those above a threshold learnt in training; `matryoshka` is topk whose first components
    have to reconstruct on their own too."""
    components: Count
    """Number of atoms m."""
    k: Count
    """Active components an image, for batch_topk on average."""
    tokens: Literal["class", "spatial", "both"]
    """Tokens to learn from; the spatial ones need `spatial_tokens` of its embeddings."""
    loss: Literal["unit", "variance"]
    """Squared error of a token: `unit` of its direction (Eq. 10 of the paper) and of its length,
    `variance` as a share of the variance of all."""
    epochs: Count
    """Passes, each over `epoch_fraction` of the train images."""
    epoch_fraction: Annotated[float, Field(gt=0, le=1)]
    """Share of the train images, drawn anew, in one epoch."""
    batch_size: Count
    """Images in a step, over all devices."""
    learning_rate: Positive
    """AdamW's rate after warm-up."""
    warmup: Annotated[int, Field(ge=0)]
    """Steps in which the rate rises from 0."""
    decay_after: list[Count]
    """Epochs after which the rate is divided by 10, each below `epochs`."""
    clip: Positive
    """Largest norm of a step's gradient; a longer one is shortened to it."""
    centre: bool
    """Whether the encoder sees x less its mean over the train images."""
    atoms_init: Literal["kmeans", "random"]
    """Atoms at the start: centroids of the first epoch's tokens by k-means, with which another seed
    finds most components again, or random directions, with which it does not."""
    encoder_init: Literal["transpose", "random"]
    """Encoder at the start: the atoms, or directions of its own."""
    auxk: Annotated[float, Field(ge=0)]
    """Weight of AuxK, which lets components that do not fire learn what the others leave; 0 is
    off."""
    auxk_k: Count
    """Such components an image."""
    dead_after: Positive
    """Epochs without firing after which a component counts as dead."""
    revive_after: list[Count]
    """Epochs after which dead components start anew, at what the others leave of random images;
    each below `epochs`."""
    prefixes: list[Annotated[float, Field(gt=0, lt=1)]]
    """For matryoshka: shares of the components that have to reconstruct on their own."""
    device: Literal["auto", "cpu", "cuda", "mps"]
    """Where it is trained; `auto` takes CUDA, else MPS, else the CPU."""
    devices: Count
    """Devices, or processes on the CPU, that share each batch."""

    @model_validator(mode="after")
    def _check(self) -> "SaeConfig":
        if self.k > self.components:
            raise ValueError(f"k is {self.k}: it cannot exceed components, {self.components}")
        if self.batch_size % self.devices:
            raise ValueError(
                f"batch_size is {self.batch_size}: it must be a multiple of devices, {self.devices}"
            )
        for key in ("decay_after", "revive_after"):
            if late := [epoch for epoch in getattr(self, key) if epoch >= self.epochs]:
                raise ValueError(
                    f"{key} is {getattr(self, key)}, but epochs is {self.epochs}: nothing comes "
                    f"after {late}; take them out, or name epochs below {self.epochs}"
                )
        if self.prefixes != sorted(set(self.prefixes)):
            raise ValueError(f"prefixes {self.prefixes} must rise")
        return self


class DictionaryConfig(Section):
    """A dictionary that was trained elsewhere, as SAELens or `audit export` writes it."""

    folder: Path
    """Of `cfg.json` and `sae_weights.safetensors`: an SAE of the model's class tokens before
    ln_post, top-k, standard, or JumpReLU with one threshold."""
    sha256: str
    """Of the two files, one behind the other: by it, and not by the folder, DVC knows the
    dictionary. The stage `train_sae` says what it is where it is another."""
    min_explained_variance: Fraction
    """A dictionary that explains less of the variance of 10,000 train images stops `train_sae`."""


class StabilityConfig(Section):
    """Whether further seeds of the autoencoder find the same components, and the same findings."""

    seeds: Count
    """SAEs in all, the audit's own and further ones, which come in pairs: each learns from one half
    of the train groups, so that those of a pair share no image; 1 trains none and measures
    nothing."""
    cosine: Annotated[float, Field(gt=0, le=1)]
    """Atoms of two seeds are the same component from this cosine on."""


class LabelConfig(Section):
    """Naming of components (paper, Sec. 3.2)."""

    top_images: Annotated[int, Field(ge=2)]
    """Most activating images whose mean embedding is named; fewer activations leave a component
    unnamed and out of statistics."""


class ConceptsConfig(Section):
    """Hidden concepts: strong components with a weak label (paper, Eq. 7).

    One of the first four keys says what is strong, and one of the next two what is weak; the others
    are left out. Quantiles are over the components that have a label.
    """

    activation: Positive | None = None
    """τ_act, of the mean activation of a component's top images (the paper's is 3.0)."""
    activation_quantile: Fraction | None = None
    """τ_act as a quantile."""
    relevance: float | None = None
    """τ_rel, of a component's mean relevance for a class's prompt on the class's own train images,
    the largest over classes, in units of the output."""
    relevance_quantile: Fraction | None = None
    """τ_rel as a quantile."""
    alignment: Annotated[float, Field(ge=-2, le=2)] | None = None
    """τ_align, of the best alignment."""
    alignment_quantile: Fraction | None = None
    """τ_align as a quantile."""
    classes: Annotated[list[str], Field(min_length=1)] | None = None
    """Labels of the classes whose prompts relevance is for; all where it is left out."""

    @model_validator(mode="after")
    def _check(self) -> "ConceptsConfig":
        for keys in (STRONG, WEAK):
            given = [key for key in keys if getattr(self, key) is not None]
            if len(given) != 1:
                raise ValueError(
                    f"{' and '.join(given) or 'none'} of {', '.join(keys)} "
                    f"{'are' if given else 'is'} given: give one of them"
                )
        return self

    @property
    def by(self) -> Literal["activation", "relevance"]:
        """What a component has to be strong by."""
        activation = self.activation is not None or self.activation_quantile is not None
        return "activation" if activation else "relevance"


class ProbeConfig(Section):
    """Words on neutral grounds that the audited model is shown."""

    words: Count
    """Class names written at most; of more, so many are drawn at random."""
    controls: Annotated[int, Field(ge=0)]
    """Words that are no class's, at most 31."""
    pictures: Count
    """Words written in all, over which the grounds of each word are spread; each is on at least
    3."""
    grounds: Annotated[int, Field(ge=4)]
    """Grounds, each with a font, ink, place and case of its own; a word is on each of them where
    `pictures` allows it."""
    marks: Count
    """Pictures on each ground with marks in place of a word."""
    answer: Annotated[float, Field(gt=0.5, le=1)]
    """A component answers to one word where it fires on it with this AUROC against other words."""


class ModesConfig(Section):
    """Suggestion of a finding's mode."""

    wordnet: Path | None
    """Folder of WordNet's `data.noun`, for all senses of all nouns; null takes the 21,843 senses of
    ImageNet-21k that timm ships."""


Relevance = Literal["act_grad", "integrated_gradients", "ablation"]
"""Act×Grad as in the paper; Integrated Gradients; the exact effect of switching a component off."""


class FailuresConfig(Section):
    """Failure modes: higher relevance than expected (paper, Sec. 4.2b)."""

    relevance: Relevance
    """What is measured of a component, here and in the reference. Ablation costs an image's number
    of active components times as much as Act×Grad, Integrated Gradients ten times."""
    candidate_deviations: Positive
    """An image of another class is a candidate where y exceeds mean − this many deviations, over
    those of the class's own images that the model names right."""
    peer_deviations: Positive
    """It is one, too, where y exceeds what images of its label get by this many robust deviations,
    and mean − this many deviations."""
    z: Positive
    """Relevance above mean + z deviations is unexpected."""
    min_images: Count
    """Candidates on which it has to be, for a flag."""
    min_class_images: Count
    """Of these at least so many are of each class that counts."""
    class_share: Annotated[float, Field(gt=0, lt=1)]
    """A class comes close as a whole where more than this part of its images do; twice what it
    costs of an AUROC of 1. Where more than half of the other classes do, the model does not know
    the class's name, and the class is not searched. Where it names no more of a class's own images
    right, all of them say what a candidate is."""
    look_alike: Positive
    """Classes look alike, and are not compared, where images of each come close to the other: those
    of the prompt's class this many times as often, or more."""
    q: Annotated[float, Field(gt=0, lt=1)]
    """False discovery rate over all (class, component, other class), for each test by itself
    (Benjamini-Hochberg)."""
    confirm_p: Annotated[float, Field(gt=0, lt=1)]
    """A finding holds where its test repeats on validation images at this one-sided p-value,"""
    confirm_as_high: Fraction
    """and at least this part of its images score as high as the class's own, in place of just far
    above images of their label: only these does the model take for the class."""
    overlap: Annotated[float, Field(gt=0, le=1)]
    """Flags of one class that share this part of the smaller set of images are one finding."""
    mainstay: Annotated[float, Field(gt=0, le=1)]
    """A component carries a class where its expected relevance is this part of the largest."""
    permutations: Count
    """Random exchanges of which of a class's images come close, that the expected number of false
    flags is the mean of."""

    @model_validator(mode="after")
    def _check(self) -> "FailuresConfig":
        if self.peer_deviations < self.candidate_deviations:
            raise ValueError(
                f"peer_deviations {self.peer_deviations} is less than candidate_deviations "
                f"{self.candidate_deviations}: it lets images in that score less"
            )
        return self


class ReviewConfig(Section):
    """Which findings and components are those of the last review."""

    cosine: Annotated[float, Field(gt=0, le=1)]
    """Atoms are the same from this cosine on."""
    images: Annotated[float, Field(gt=0, le=1)]
    """Findings are the same that share this part of the smaller set of images; a verdict on one
    that shares less is to be given again."""


class RobustnessConfig(Section):
    """Separability of a class from its distractors (paper, Sec. 5.3)."""

    min_images: Count
    """Validation images that a distractor set needs."""
    train_images: Count
    """Train images of a class at most, drawn at random, that the linear classifier learns from."""
    search_images: Count
    """Those among them at most on which its regularisation is chosen."""
    folds: Annotated[int, Field(ge=2)]
    """Cross-validation folds that choose it."""
    regularisation: Annotated[list[Positive], Field(min_length=1)]
    """Inverse strengths C to choose from, for embeddings of unit length."""

    @model_validator(mode="after")
    def _check(self) -> "RobustnessConfig":
        if not self.folds <= self.search_images <= self.train_images:
            raise ValueError(
                f"search_images is {self.search_images}: it must be from folds, {self.folds}, to "
                f"train_images, {self.train_images}"
            )
        return self


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


class ReportConfig(Section):
    """The page."""

    gallery: Count
    """Images in a row of a gallery."""
    thumbnail: Count
    """Edge of a thumbnail in pixels."""
    maps: Annotated[int, Field(ge=0)]
    """Pictures at most that say where a component fires: the report's, then those of
    components.html, the first of each component before the second. One takes three passes of the
    model, each of the first 1,000 six."""


class AuditConfig(Section):
    """One audit: a model on a dataset."""

    dataset: Name
    model: Name
    embeddings: Name
    """The model's embeddings of the dataset, a key of embeddings."""
    sae: SaeConfig
    dictionary: DictionaryConfig | None
    """Served in place of an SAE that is trained here: of `sae` only components, k and device count
    then, and have to be the dictionary's. null trains one."""
    stability: StabilityConfig
    label: LabelConfig
    concepts: ConceptsConfig
    probe: ProbeConfig
    modes: ModesConfig
    failures: FailuresConfig
    review: ReviewConfig
    robustness: RobustnessConfig
    faithfulness: FaithfulnessConfig
    shortcut: ShortcutConfig | None
    report: ReportConfig
