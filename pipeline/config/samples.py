"""The rendered sample datasets and the small CLIP that is trained on them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.base import Count, Fraction, Section


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
