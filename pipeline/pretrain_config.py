"""Configuration of the small CLIP, apart from the code that trains it.

Every stage reads all of params.yaml, and only one of them needs to import the training code.
"""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class PretrainConfig(BaseModel):
    """The small CLIP and how it is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
