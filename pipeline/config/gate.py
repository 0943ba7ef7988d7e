"""What stops a release: budgets that `audit gate` holds reports to. No stage reads them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.base import Section


class UnreviewedConfig(Section):
    """Findings that nobody has given a verdict on."""

    severity: Literal["low", "medium", "high"]
    """Such a finding of this severity or above fails: `low` is any finding, `medium` one that is
    confirmed, `high` one that every further dictionary finds again besides."""
    of: Literal["new", "all"]
    """`new`: only findings count that the last release has not and whose failure its model has not,
    as `audit diff` calls them new. What its audit may only have missed is named and not counted: a
    further dictionary of it finds the failure, or it is not sure that fewer of the images come
    close to the class there than two findings have to share. Where its artifacts are not here to
    tell, all that it has not count. `all`: every finding."""


class BudgetConfig(Section):
    """How much worse than the last release's a metric may be, and how bad at all."""

    metric: str
    """Dotted name in metrics.json."""
    better: Literal["higher", "lower"]
    """Which way is the better one."""
    worse_by: Literal["interval"] | Annotated[float, Field(ge=0)] | None
    """`interval`: it fails where it is worse and the interval of 95 % of the difference leaves out
    0; a number: where it is worse by more than that; null: however worse it is."""
    limit: float | None
    """It fails where it is worse than this, whatever the last release had; null: never."""

    @model_validator(mode="after")
    def _check(self) -> "BudgetConfig":
        if self.worse_by is None and self.limit is None:
            raise ValueError(f"{self.metric}: worse_by and limit are both null, nothing can fail")
        return self


class GateConfig(Section):
    """What `audit gate` fails on."""

    against: str | None
    """The last release: a Git revision or another place that `audit diff` takes; null: there is
    none, and nothing that is relative to it can be measured."""
    not_measured: Literal["pass", "fail"]
    """What becomes of a budget that could not be measured; either way it is named."""
    unreviewed: UnreviewedConfig | None
    """null: findings without a verdict stop nothing."""
    metrics: list[BudgetConfig]

    @model_validator(mode="after")
    def _check(self) -> "GateConfig":
        names = [budget.metric for budget in self.metrics]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"metrics lists {twice} twice: give one budget each")
        return self
