"""`params.yaml`, parsed once into frozen models.

An unknown key, a contradiction or an impossible value raises ConfigError, which names the key,
the value and what is allowed. Fields have no defaults: what runs is what `params.yaml` says, so
that DVC sees every change.
"""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]

HERE = "local-dir:data/models"
"""Where every model lies that a stage loads, as open_clip says it."""


class ConfigError(ValueError):
    """params.yaml says something that cannot be run."""


class Section(BaseModel):
    """A part of params.yaml: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class EmbedConfig(Section):
    """How images run through a model."""

    batch_size: Count
    """Images in a forward pass; halved as often as needed on a GPU that runs out of memory."""
    workers: Annotated[int, Field(ge=0)]
    """Processes that decode images; 0 decodes in `threads` threads between forward passes, which is
    fastest where the model runs on the same cores."""
    shard_rows: Count
    """Images in one Parquet shard."""
    dtype: Literal["float16", "float32"]
    """Precision in which embeddings are stored."""
    device: Literal["auto", "cpu", "cuda", "mps"]
    """Where the model runs; `auto` takes CUDA, else MPS, else the CPU."""
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    """Arithmetic of the forward pass; `auto` takes half precision on CUDA where the first images'
    embeddings agree with float32, else float32."""


class DatasetConfig(Section):
    """A dataset on disk and how its components are named."""

    kind: Literal["image_folder", "csv", "imagenet", "isic"]
    """Layout: `image_folder` is `train/<class>/`, `val/<class>/`; `csv` is a table `images.csv`
    with the columns path and label; `imagenet` is ImageNet-1k as torchvision, Kaggle, Hugging Face
    or WebDataset have it; `isic` is one or more of ISIC 2019, 2020, 2024 and HAM10000."""
    root: Path
    """Folder of the raw dataset."""
    splits: dict[Literal["train", "val", "test"], Fraction] | None
    """Share of groups in each split, for layouts that say none (isic, and csv without a column
    split); else null."""
    every: Count
    """Keep every n-th train image of each class; 1 keeps all, the paper's reference set is 5."""
    near_duplicates: Annotated[int, Field(ge=0, le=64)] | None
    """Images whose perceptual hashes of 256 bits differ in at most this many bits are duplicates,
    and none straddles a split; null looks for equal bytes only."""
    max_excluded: Fraction
    """Share of unreadable images above which preparation stops."""
    licence: str | None
    """Licence of the images, where the folder has no LICENSE.txt."""
    labeler: Name
    """Model that names components, a key of models."""
    vocabulary: Path
    """Terms to name components with: a text file of one term a line, or a CSV with `term,kind`."""
    embed: EmbedConfig
    """How images run through the labeler."""
    templates: Annotated[list[str], Field(min_length=1)]
    """Prompt templates, each with one `{}` for the class name."""

    @model_validator(mode="after")
    def _check(self) -> "DatasetConfig":
        if self.kind == "isic" and self.splits is None:
            raise ValueError(
                "splits is null: kind isic needs shares such as {train: 0.8, val: 0.2}"
            )
        if self.kind in ("image_folder", "imagenet") and self.splits is not None:
            raise ValueError(f"splits must be null: kind {self.kind} takes them from its layout")
        if self.splits is not None and abs(sum(self.splits.values()) - 1) > 1e-9:
            raise ValueError(f"splits sum to {sum(self.splits.values())}, not to 1")
        for template in self.templates:
            if template.count("{}") != 1:
                raise ValueError(f"template {template!r} must hold exactly one {{}}")
        return self


class PreprocessConfig(Section):
    """What a model's images go through, in open_clip's words."""

    mean: tuple[float, float, float]
    """Of the red, green and blue that the model was trained on, in 0 to 1."""
    std: tuple[float, float, float]
    """Likewise."""
    interpolation: Literal["bicubic", "bilinear"]
    resize_mode: Literal["shortest", "longest", "squash"]


class ModelConfig(Section):
    """An open_clip model. Keys that may be null may be left out."""

    name: str
    """open_clip's model name, `hf-hub:<repo>` or `local-dir:<folder>`. A model whose name is
    `local-dir:data/models/<key>` is there already; every other is listed in `outside.models`, and
    the stage `fetch` brings it there."""
    pretrained: str | None = None
    """open_clip's pretrained tag, or the file of a checkpoint; null where the name already says
    where the weights are."""
    preprocess: PreprocessConfig | None = None
    """For the file of a checkpoint, which does not say it; null takes the tag's or the folder's."""
    tokenizer: str | None = None
    """open_clip's model name whose tokenizer is meant, where a hub repository says none."""
    note: str | None = None
    """What every report on this model has to say, such as the data it was fine-tuned on."""

    @model_validator(mode="after")
    def _check(self) -> "ModelConfig":
        if ":" in self.name and self.pretrained is not None:
            raise ValueError(
                f"pretrained is {self.pretrained!r}: it must be null beside {self.name!r}, which "
                "says where its weights are"
            )
        return self


class OutsideConfig(Section):
    """What comes from outside the workflow; it is looked for before anything else runs."""

    datasets: list[Name]
    """Datasets whose root is put there by hand: all but the rendered samples."""
    models: list[Name]
    """Models that `fetch` brings into data/models: all but those that lie there already."""


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


class ScenesConfig(Section):
    """How the scenes dataset is rendered."""

    size: int = Field(ge=32, le=1024)
    """Edge of a picture, pixels."""
    train_images: int = Field(ge=1)
    """Train images of an object class, count."""
    confuser_images: int = Field(ge=1)
    """Train images of a class that is there to confuse, count."""
    val_images: int = Field(ge=1)
    """Validation images of every class, count."""
    landscape_share: float = Field(ge=0, le=1)
    """Share of the images of a class with a landscape of its own that stand on it, fraction."""
    ambiguity: dict[Literal["polysemy", "compound", "typography", "spurious"], Fraction]
    """For each mode, share of the captions of a distractor that name the class attacked, fraction.
    """

    @model_validator(mode="after")
    def _check(self) -> "ScenesConfig":
        if len(self.ambiguity) < 4:
            raise ValueError(
                f"ambiguity names {sorted(self.ambiguity)}: it needs a share for each of polysemy, "
                "compound, typography and spurious"
            )
        return self


class LesionsConfig(Section):
    """What the sample dataset lesions holds."""

    lesions: Count
    """Lesions; each has one to three photographs, 1.53 on average."""
    image_size: Annotated[int, Field(ge=32)]
    """Edge of the square photographs in pixels."""
    shares: dict[Literal["MEL", "NV", "BCC", "BKL"], Fraction]
    """Share of the lesions of each diagnosis; all four, summing to 1."""
    separation: Annotated[float, Field(ge=0)]
    """Distance of melanoma and nevus in mean atypia, in standard deviations of either."""
    red_skin_melanoma: Fraction
    """Share of the melanomas on red or pink skin."""
    red_skin_other: Fraction
    """Share of the other lesions on red or pink skin."""
    patches_melanoma: Fraction
    """Share of the melanomas photographed with colour calibration patches."""
    patches_other: Fraction
    """Share of the other lesions photographed with colour calibration patches."""

    @model_validator(mode="after")
    def _check(self) -> "LesionsConfig":
        if len(self.shares) < 4 or abs(sum(self.shares.values()) - 1) > 1e-9:
            raise ValueError(f"shares {self.shares} must name MEL, NV, BCC and BKL and sum to 1")
        return self


class PretrainConfig(Section):
    """The small CLIP and how it is trained."""

    datasets: list[str] = Field(min_length=1)
    """Sample datasets whose captions it is trained on."""
    image_size: int = Field(ge=16)
    """Edge of an input image, pixels."""
    patch_size: int = Field(ge=2)
    """Edge of a patch, pixels; divides image_size."""
    width: int = Field(ge=64, multiple_of=64)
    """Width of both towers, which is the length of the pre-LN embedding."""
    layers: int = Field(ge=1)
    """Transformer blocks of the image tower."""
    text_layers: int = Field(ge=1)
    """Transformer blocks of the text tower."""
    context_length: int = Field(ge=4)
    """Tokens of a caption; longer captions are cut."""
    epochs: int = Field(ge=1)
    """Passes over the train images, with one caption of each at random."""
    batch_size: int = Field(ge=2)
    """Images in a step."""
    learning_rate: float = Field(gt=0)
    """AdamW's highest rate, after a warm-up of a tenth of the steps; a cosine takes it to 0."""
    weight_decay: float = Field(ge=0)
    """AdamW's decay of matrices; vectors and scalars have none."""
    workers: int = Field(ge=0)
    """Processes that decode images."""

    @model_validator(mode="after")
    def _check(self) -> "PretrainConfig":
        if self.image_size % self.patch_size:
            raise ValueError(
                f"patch_size is {self.patch_size}: it must divide image_size, {self.image_size}"
            )
        return self


class SamplesConfig(Section):
    """The rendered sample datasets."""

    workers: Count
    """Processes that render."""
    scenes: ScenesConfig
    lesions: LesionsConfig


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0)]
    """Seed of everything that draws at random."""
    threads: Count
    """Threads of tensor operations; part of what makes a run repeatable."""
    samples: SamplesConfig
    pretrain: PretrainConfig
    outside: OutsideConfig
    datasets: dict[Name, DatasetConfig]
    models: dict[Name, ModelConfig]
    audits: dict[Name, AuditConfig]
    defaults: dict[str, object] = {}
    """YAML anchors that datasets and audits merge; not read otherwise."""

    @model_validator(mode="after")
    def _check(self) -> "Params":
        for name, dataset in self.datasets.items():
            if dataset.labeler not in self.models:
                raise ValueError(
                    f"datasets.{name}.labeler is {dataset.labeler!r}, which models does not hold; "
                    f"it holds {sorted(self.models)}"
                )
        for name, audit in self.audits.items():
            for key, value, known in (
                ("dataset", audit.dataset, self.datasets),
                ("model", audit.model, self.models),
            ):
                if value not in known:
                    raise ValueError(
                        f"audits.{name}.{key} is {value!r}, which {key}s does not hold; "
                        f"it holds {sorted(known)}"
                    )
        for name in self.audits:
            if name.startswith("concepts-") or name.endswith("-perturbed"):
                raise ValueError(
                    f"audits.{name}: a name that starts with concepts- or ends with -perturbed is "
                    "taken by a folder of data/embeddings; choose another"
                )
        rendered = set(SamplesConfig.model_fields) - {"workers"}
        _same("outside.datasets", self.outside.datasets, set(self.datasets) - rendered)
        fetched = {name for name, model in self.models.items() if model.name != f"{HERE}/{name}"}
        _same("outside.models", self.outside.models, fetched)
        for name in set(self.models) - fetched:
            model = self.models[name]
            if model.preprocess is not None or model.tokenizer is not None:
                raise ValueError(
                    f"models.{name} has preprocess or tokenizer: the folder {model.name} says both"
                )
        return self

    def audit(self, name: str) -> AuditConfig:
        """The audit of that name.

        Raises:
            ConfigError: params.yaml has none.
        """
        if name not in self.audits:
            raise ConfigError(f"params.yaml has no audits.{name}; it has {sorted(self.audits)}")
        return self.audits[name]

    def dataset(self, name: str) -> DatasetConfig:
        """The dataset of that name.

        Raises:
            ConfigError: params.yaml has none.
        """
        if name not in self.datasets:
            raise ConfigError(f"params.yaml has no datasets.{name}; it has {sorted(self.datasets)}")
        return self.datasets[name]


def _same(key: str, listed: list[str], needed: set[str]) -> None:
    if missing := sorted(needed - set(listed)):
        raise ValueError(f"{key} lacks {missing}: list what does not come from this workflow")
    if unknown := sorted(set(listed) - needed):
        raise ValueError(f"{key} lists {unknown}, which need not come from outside: take them out")
    if len(listed) > len(set(listed)):
        raise ValueError(f"{key} lists a name twice: {listed}")


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml.

    Raises:
        ConfigError: the file is missing or is no YAML, a key is unknown or missing, or a value is
            not allowed; the message has a line for each, with the key and the value.
    """
    if not path.exists():
        raise ConfigError(f"{path} does not exist: run from the repository's root")
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(path, dict(problem)) for problem in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _explain(path: Path, problem: dict[str, object]) -> str:
    location = problem["loc"]
    key = ".".join(str(part) for part in location) if isinstance(location, tuple) else ""
    if problem["type"] == "extra_forbidden":
        return f"{path}: unknown key {key} (value {problem['input']!r}): remove it or fix its name"
    if problem["type"] == "missing":
        return f"{path}: key {key} is missing"
    value = problem["input"]
    shown = f" is {value!r}" if isinstance(value, str | int | float | bool | None) else ""
    return f"{path}: {key or 'params'}{shown}: {problem['msg']}"
