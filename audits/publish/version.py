"""Versions of an audit and of a comparison: what goes into their MLflow runs, and fingerprints."""

import csv
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from audits.history.lock import manifest_digest, read_lock
from audits.publish.checkout import git_state
from audits.publish.made import existing
from audits.publish.model import Model, read_model
from pipeline import layout
from pipeline.artifacts.store import read_json, read_table
from pipeline.config import Params

REPORT_FILES = (
    *("report.html", "components.html", "report.md"),
    *("metrics.json", "findings.csv", "provenance.json"),
)
IDENTITY_FILES = ("metrics.json", "findings.csv", "report.md")
FINGERPRINT_TAG = "audit.fingerprint"
NOTED = [
    "audit",
    "findings",
    "confirmed",
    "accuracy",
    "short_spurious_auc",
    "both_spurious_auc",
    "linear_spurious_auc",
]
"""Columns of a comparison's table that stand in the description of its run."""


@dataclass(frozen=True)
class Version:
    """All that one version of an audit puts into MLflow."""

    audit: str
    dataset: str
    fingerprint: str
    params: dict[str, str]
    metrics: dict[str, float]
    curves: list[tuple[str, int, float]]
    """Name, step and value of each point."""
    tags: dict[str, str]
    source: str
    """Raw root of the dataset, as params.yaml says it."""
    digest: str
    """DVC's hash of the manifest, at most 36 characters."""
    files: list[Path]
    headline: str
    """First line of the report."""
    findings: list[str]
    """In words, in the report's order."""
    model: Model
    """What is registered of it."""

    def receipt(self) -> dict[str, Any]:
        """What was published, the same wherever and whenever: no run id and no time."""
        return {
            "experiment": self.dataset,
            "run_name": self.audit,
            "fingerprint": self.fingerprint,
            "counts": {
                "params": len(self.params),
                "metrics": len(self.metrics),
                "curve_points": len(self.curves),
                "artifacts": len(self.files),
            },
        }


@dataclass(frozen=True)
class Comparison:
    """All that one version of a dataset's comparison puts into MLflow: a run above its audits'."""

    dataset: str
    fingerprint: str
    versions: list[Version]
    """Of the audits that are compared."""
    note: str
    """Headline figures as Markdown."""
    metrics: dict[str, float]
    """The numbers of its table: audit, a dot, and the column."""
    files: list[Path]
    """The page first."""

    def receipt(self) -> dict[str, Any]:
        """What was published, the same wherever and whenever: no run id and no time."""
        return {
            "experiment": self.dataset,
            "fingerprint": self.fingerprint,
            "audits": {version.audit: version.fingerprint for version in self.versions},
        }


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves of a nested mapping by dotted name, in MLflow's alphabet.

    MLflow refuses names with other than letters, digits and `_ - . / :` or space, `:` on Windows,
    and takes `/` for a folder: all others become `_`.

    Raises:
        ValueError: two leaves end up with one name.
    """
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = re.sub(r"[^\w.\- ]", "_", str(key))
        nested = flatten(value) if isinstance(value, Mapping) else None
        found = {name: value} if nested is None else {f"{name}.{k}": v for k, v in nested.items()}
        for taken in leaves.keys() & found.keys():
            raise ValueError(f"two keys have the MLflow name {taken!r}, one under {key!r}: rename")
        leaves.update(found)
    return leaves


def split_metrics(leaves: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Numbers, which MLflow takes as metrics, and texts, which become tags.

    A null is a metric that does not apply (no planted truth, say) and is left out.

    Raises:
        ValueError: a value is neither a number, a text nor null.
    """
    numbers: dict[str, float] = {}
    texts: dict[str, str] = {}
    for name, value in leaves.items():
        if isinstance(value, str):
            texts[name] = value
        elif isinstance(value, bool | int | float):
            numbers[name] = float(value)
        elif value is not None:
            raise ValueError(f"metric {name} is {value!r}: a number, a text or null is needed")
    return numbers, texts


def text_params(leaves: Mapping[str, Any]) -> dict[str, str]:
    """Params as MLflow takes them: texts as they are, all else as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in leaves.items()
    }


def curve_points(curves: pd.DataFrame) -> list[tuple[str, int, float]]:
    """Name, step and value for each filled cell of a training curve, one row an epoch."""
    return [
        (f"train.{column}", int(step), float(value))
        for column in curves.columns.drop("epoch")
        for step, value in zip(curves["epoch"], curves[column], strict=True)
        if pd.notna(value)
    ]


def fingerprint(
    audit: str, params: Mapping[str, str], dataset: str, contents: Mapping[str, bytes]
) -> str:
    """SHA-256 of an audit's version, without anything volatile such as commit or time.

    Args:
        audit: name of the audit.
        params: its flattened params.
        dataset: fingerprint of the dataset.
        contents: bytes of the report's files by name.
    """
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    identity = {"audit": audit, "params": dict(params), "dataset": dataset, "files": files}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def read_version(params: Params, audit: str) -> Version:
    """Collect a version from the files of the current directory.

    Raises:
        FileNotFoundError: a file is missing; the message names it and the stage that makes it.
    """
    config = params.audit(audit)
    report = layout.report(audit)
    files = [existing(report / name, f"report@{audit}") for name in REPORT_FILES]
    curves = existing(layout.sae(audit) / "curves.csv", f"train_sae@{audit}")
    lock = existing(Path("dvc.lock"), f"publish@{audit}")
    provenance = read_json(report / "provenance.json")
    # What embeddings are called and how many processes decode change no result, and so no version.
    entry = params.entry(config.embeddings)
    embeddings = entry.model_dump(mode="json", exclude={"dataset", "model", "workers"})
    given = config.model_dump(mode="json", exclude={"embeddings"})
    flat = text_params(flatten(given | {"embeddings": embeddings}))
    metrics, texts = split_metrics(flatten(read_json(report / "metrics.json")))
    identity = {name: (report / name).read_bytes() for name in IDENTITY_FILES}
    dataset_fingerprint = provenance["dataset"]["fingerprint"]
    version = fingerprint(audit, flat, dataset_fingerprint, identity)
    model = params.models[config.model]
    tags = {
        FINGERPRINT_TAG: version,
        "dataset.fingerprint": dataset_fingerprint,
        "model.name": model.name,
        "model.tag": model.pretrained or model.name,
        "model.weights_sha256": provenance["model"]["weights_sha256"],
    }
    # The two are null outside a Git checkout.
    git = {
        f"git.{key}": str(value) for key, value in git_state(Path()).items() if value is not None
    }
    return Version(
        audit=audit,
        dataset=config.dataset,
        fingerprint=version,
        params=flat,
        metrics=metrics,
        curves=curve_points(read_table(curves)),
        tags={**texts, **git, **tags},
        source=str(params.dataset(config.dataset).root),
        digest=manifest_digest(
            read_lock(lock.read_text(encoding="utf-8")),
            layout.manifest(config.dataset) / "manifest.parquet",
        ),
        files=files,
        headline=(report / "report.md").read_text(encoding="utf-8").split("\n")[0].lstrip("# "),
        findings=[_said(row) for row in _rows(report / "findings.csv")],
        model=read_model(params, audit),
    )


def _said(row: Mapping[str, str]) -> str:
    """A finding in a few words."""
    label, mode, images = (row.get(key, "") for key in ("component_label", "mode", "images"))
    shown = f" on “{label}”" if label else ""
    about = ", ".join(part for part in (mode, f"{images} images" if images else "") if part)
    return f"{row['class']}{shown} ({about})" if about else f"{row['class']}{shown}"


def compared(dataset: str) -> list[str]:
    """Audits that the comparison of a dataset is of.

    Raises:
        FileNotFoundError: there is none.
    """
    path = existing(layout.comparison(dataset).with_suffix(".csv"), f"compare@{dataset}")
    return [str(row["audit"]) for row in _rows(path)]


def read_comparison(params: Params, dataset: str) -> Comparison:
    """Collect a comparison and the versions of its audits from the files of the current directory.

    Raises:
        FileNotFoundError: a file is missing; the message names it and the stage that makes it.
    """
    versions = [read_version(params, audit) for audit in compared(dataset)]
    page = existing(layout.comparison(dataset), f"compare@{dataset}")
    table = page.with_suffix(".csv")
    contents = {path.name: path.read_bytes() for path in (page, table)}
    audits = {version.audit: version.fingerprint for version in versions}
    rows = _rows(table)
    return Comparison(
        dataset=dataset,
        fingerprint=fingerprint("comparison", audits, dataset, contents),
        versions=versions,
        note=markdown(rows),
        metrics=_numbers(rows),
        files=[page, table],
    )


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Those of NOTED that a table has, as a Markdown table."""
    columns = [name for name in NOTED if name in rows[0]]
    lines = [columns, ["---"] * len(columns), *([row[name] for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _numbers(rows: Sequence[Mapping[str, str]]) -> dict[str, float]:
    found = {}
    for row in rows:
        for column, cell in row.items():
            with suppress(ValueError):
                found[f"{row['audit']}.{column}"] = float(cell)
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
