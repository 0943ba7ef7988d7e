"""What a dataset is too small, too uniform or too sparsely labelled for: left out, with the reason.

A figure that the data cannot give raises `DoesNotApply`. Stages go on without it and write the
reasons beside their metrics, from where the report takes them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipeline.artifacts.store import write_json

KEY = "does_not_apply"
"""Where metrics hold the reasons: figure (`faithfulness`, `faithfulness.sem`) → why it is none."""

T = TypeVar("T")


class DoesNotApply(ValueError):
    """The data cannot give a figure; the message goes on after "because" and has the numbers."""


class Gaps:
    """The figures that a stage had to leave out."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}
        """Figure → why it is absent."""

    def measured(self, figure: str, measure: Callable[[], T]) -> T | None:
        """What `measure` returns; None, with the reason kept, where it raises DoesNotApply."""
        try:
            return measure()
        except DoesNotApply as reason:
            self.reasons[figure] = str(reason)
            return None

    def write_metrics(self, path: Path, metrics: Mapping[str, Any]) -> None:
        """Write metrics as JSON, without those that are None, and the reasons, if any."""
        reasons = {KEY: self.reasons} if self.reasons else {}
        write_json(path, {**present(metrics), **reasons})


def present(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The same tree without leaves that are None and without the branches that this leaves bare."""
    found = {
        key: present(value) if isinstance(value, Mapping) else value for key, value in tree.items()
    }
    return {
        key: value
        for key, value in found.items()
        if value is not None and (value != {} or tree[key] == {})
    }
