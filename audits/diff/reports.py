"""A report as it is compared: its figures, and all that it stands on."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from audits.history.lock import digest, outside, read_lock, upstream
from audits.publish.version import flatten
from pipeline.artifacts.store import TEXTS

__all__ = ["FILES", "Grounds", "Report", "grounds_of_lock", "read_report"]

FILES = ("findings.csv", "metrics.json", "provenance.json")
"""Of a report's folder, those that are compared."""
CODE = ("pipeline/", "audits/")
PARAMS = "params.yaml"
COLUMNS = ("finding_id", "class", "component", "mode", "confirmed", "verdict", "example_ids")


@dataclass(frozen=True)
class Grounds:
    """What a report was made from, as `dvc.lock` or MLflow has it."""

    settings: dict[str, Any]
    """Dotted key of params.yaml, or of another file behind its name → value."""
    code: dict[str, str]
    """File or package → hash."""
    files: dict[str, str]
    """What no stage makes (words, verdicts, a dataset's root) → hash."""
    outs: dict[str, str]
    """What stages have made → hash."""
    whole: bool
    """Whether these are all there are: MLflow has an audit's own settings only."""


@dataclass(frozen=True)
class Report:
    """One audit's report at one place."""

    audit: str
    place: str
    """Where it is from, in words."""
    findings_file: bytes
    """As it is, by which the stage `review` that it is from is known."""
    findings: pd.DataFrame
    """Of findings.csv."""
    metrics: dict[str, Any]
    """Leaves of metrics.json by dotted name."""
    provenance: dict[str, Any]
    grounds: Grounds | None
    """None where neither is there."""

    def digest(self, path: Path) -> str | None:
        """DVC's hash of something that the report was made from; None where nothing says it."""
        named = self.provenance["dvc_lock"].get(path.as_posix())
        return named or (self.grounds.outs.get(path.as_posix()) if self.grounds else None)

    def rows(self) -> list[dict[str, Any]]:
        """The findings, None where a cell is empty."""
        table = self.findings.astype(object)
        return [
            {str(name): value for name, value in row.items()}
            for row in table.where(table.notna(), None).to_dict("records")
        ]


def read_report(
    audit: str, place: str, files: Mapping[str, bytes], grounds: Grounds | None
) -> Report:
    """A report from the bytes of its files.

    Raises:
        ValueError: a file is no table or no JSON, or lacks a column; the message names it.
    """
    table, metrics, provenance = (files[name] for name in FILES)
    findings = pd.read_csv(io.BytesIO(table), dtype=TEXTS, keep_default_na=False, na_values=[""])
    if missing := [column for column in COLUMNS if column not in findings.columns]:
        raise ValueError(f"{place}: {FILES[0]} of {audit} lacks {missing}, it is older")
    try:
        leaves, origin = flatten(json.loads(metrics)), json.loads(provenance)
    except ValueError as error:
        raise ValueError(f"{place}: a file of {audit} is no JSON: {error}") from error
    return Report(audit, place, table, findings, leaves, origin, grounds)


def grounds_of_lock(text: str, audit: str) -> Grounds | None:
    """What the report of an audit stands on, of all in a `dvc.lock`; None where it has no report.

    All stages that the stage `report` depends on, directly or not.
    """
    stages = read_lock(text)
    target = f"report@{audit}"
    if target not in stages:
        return None
    settings: dict[str, Any] = {}
    outs: dict[str, str] = {}
    deps: dict[str, str] = {}
    # Where stages that were run at other times name another value, the earliest stage's counts.
    for stage in (stages[name] for name in reversed(upstream(stages, target))):
        for file, values in stage.get("params", {}).items():
            prefix = "" if file == PARAMS else f"{file}: "
            settings |= {f"{prefix}{key}": value for key, value in flatten(values).items()}
        outs |= {out["path"]: digest(out) for out in stage.get("outs", [])}
        deps |= {dep["path"]: digest(dep) for dep in stage.get("deps", [])}
    code = {path: found for path, found in deps.items() if path.startswith(CODE)}
    files = {path: deps[path] for path in outside(stages, target) if path not in code}
    return Grounds(settings, code, files, outs, whole=True)
