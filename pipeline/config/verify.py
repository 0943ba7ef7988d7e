"""How far a report that is made anew may be from the committed one. No stage reads it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.base import Section


class ToleranceConfig(Section):
    """How far some of the metrics may be."""

    metric: str
    """Dotted name in metrics.json, or `findings.` and a column of findings.csv; `*` stands for any
    characters. The first entry that fits a metric counts."""
    within: Literal["interval"] | Annotated[float, Field(ge=0)]
    """`interval`: the interval of 95 % of the difference has to hold 0 (as for `audit gate`), and
    `verify.relative` counts where a metric has no interval; a number: the largest difference."""


class VerifyConfig(Section):
    """What `audit verify` takes for the same."""

    relative: Annotated[float, Field(ge=0)]
    """Largest difference of a number, as a share of the larger of the two; in an artifact, of the
    largest number of its column or tensor."""
    metrics: list[ToleranceConfig]
    """Metrics that it is not for."""

    @model_validator(mode="after")
    def _check(self) -> "VerifyConfig":
        names = [one.metric for one in self.metrics]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"metrics lists {twice} twice: give one tolerance each")
        return self
