"""Settings of an audit of shortcuts."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.base import Count, Fraction, Positive, Section

HUES = ("red", "green", "blue")
STATISTICS = (*HUES, "brightness", "contrast")
"""Shifts whose strength is in standard deviations of that statistic over the train images."""
SURROUNDINGS = "surroundings"
"""Where masks are: column of STATISTICS of what is around the object, and the end of a shift's name
where it acts on that alone."""
COVERED = ("object_covered", "surroundings_covered")
"""Columns of images of which a part is covered."""
Shift = Literal["red", "green", "blue", "brightness", "contrast", "blur", "jpeg", "patch"]


class AcquisitionConfig(Section):
    """A table of how images came about, for subgroups and for what a component goes with."""

    table: Path
    """CSV in the dataset's folder, one row an image. DVC does not watch it by itself."""
    image: str
    """Its column of image ids."""
    columns: Annotated[list[str], Field(min_length=1)]
    """Its columns to look at, such as site, sex, age and source; numbers are cut into four bands
    of equally many train images."""


class ShortcutConfig(Section):
    """Shortcuts of a linear classifier (paper, Sec. 5.4, App. E)."""

    positive: Annotated[list[str], Field(min_length=1)]
    """Labels of the classes to tell from the rest."""
    negative: Annotated[list[str], Field(min_length=1)] | None
    """Labels of the rest; null takes every other one."""
    repeats: Annotated[int, Field(ge=2)]
    """Classifiers, each on a random half of the train groups; on the other half its threshold and
    all that is to be chosen are chosen."""
    folds: Annotated[int, Field(ge=2)]
    """Cross-validation folds within that half that choose its regularisation."""
    regularisation: Annotated[list[Positive], Field(min_length=1)]
    """Inverse strengths C to choose from, for embeddings of unit length."""
    bootstrap: Count
    """Resamples of the groups in each repeat for an interval of 95 %."""
    top: Count
    """Candidates for a shortcut that are reported."""
    train_images: Annotated[int, Field(ge=2)]
    """Train images at most that are shifted, half of either side: what remedies learn from."""
    held_out_images: Annotated[int, Field(ge=2)]
    """Held-out images at most that are shifted and measured on, half of either side."""
    shifts: dict[Shift, Annotated[list[float], Field(min_length=1)]]
    """Strengths of each shift: of hues, brightness and contrast in standard deviations over the
    train images, below 0 the other way; of blur in hundredths of the shorter side, of patch in
    units of 2.5 % of the area, of jpeg in halvings of the quality from 100."""
    mask: str | None
    """Where the object of an image is, so that its surroundings can be shifted and covered alone:
    `dermoscopy` finds the lesion by a rule, `masks/{image}_segmentation.png` is a picture of the
    dataset's own in its folder, white where the object is, {image} the image's id; null where
    nothing says so."""
    in_range: Fraction
    """Share of the train images that a shift may take beyond what 99 % of them are; one that takes
    more is a stress and shows no shortcut. Of blur, jpeg and patch no statistic
    tells, and they count as in range."""
    min_drop: Fraction
    """Accuracy of a side has to fall by this much for a shift to show a shortcut."""
    max_price: Fraction
    """Balanced accuracy on plain images that a recommended remedy may cost."""
    alpha: Annotated[list[Positive], Field(min_length=1)]
    """Strengths of the latent augmentation to choose from (paper, Eq. 34, Fig. 15)."""
    directions: Annotated[list[Count], Field(min_length=1)]
    """Numbers of leading directions of paired shifts to choose from."""
    penalty: Annotated[list[Positive], Field(min_length=1)]
    """Strengths λ of the penalty on what a shift does to the output, to choose from."""
    quantiles: tuple[Fraction, Fraction]
    """Activation quantiles up to which an image lacks, above which it has the component."""
    acquisition: AcquisitionConfig | None
    """How images came about, null where nothing says so."""
    min_group: Annotated[int, Field(ge=2)]
    """Held-out images of a side that a subgroup needs."""

    @model_validator(mode="after")
    def _check(self) -> "ShortcutConfig":
        if both := sorted(set(self.positive) & set(self.negative or [])):
            raise ValueError(f"positive and negative both have {both}: a class is on one side")
        if not self.quantiles[0] < self.quantiles[1]:
            raise ValueError(f"quantiles {list(self.quantiles)} must rise")
        if self.mask not in (None, "dermoscopy") and "{image}" not in self.mask:
            raise ValueError(
                f"mask {self.mask!r} is neither dermoscopy, null nor a path with {{image}} in it"
            )
        for kind, strengths in self.shifts.items():
            if strengths != sorted(set(strengths)) or 0 in strengths:
                raise ValueError(f"shifts.{kind} {strengths} must rise and leave 0 out")
            if kind not in STATISTICS and strengths[0] < 0:
                raise ValueError(f"shifts.{kind} {strengths}: its strengths are above 0")
        return self

    def side(self, label: object) -> bool | None:
        """Whether a label is on the positive side, None where it is on neither."""
        if label in self.positive:
            return True
        rest = isinstance(label, str) if self.negative is None else label in self.negative
        return False if rest else None
