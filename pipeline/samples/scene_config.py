"""Configuration of the scenes dataset, apart from the code that renders it.

Every stage reads all of params.yaml, and only one of them needs to import the renderer.
"""

from pydantic import BaseModel, ConfigDict, Field


class ScenesConfig(BaseModel):
    """How the scenes dataset is rendered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
    ambiguity: float = Field(ge=0, le=1)
    """Share of the captions of a distractor that name the class attacked, fraction."""
