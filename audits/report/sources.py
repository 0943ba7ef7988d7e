"""What the stages of an audit left, read and checked before anything is drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from audits.report.metrics import merge
from pipeline import layout
from pipeline.store import read_json, read_table

CURVES = ("epoch", "loss", "explained_variance", "cosine", "l0", "alive_fraction")
LABELS = ("component", "alignment", "clarity")
FINDINGS = (
    "finding_id",
    "class",
    "component",
    "component_label",
    "mode",
    "score",
    "images",
    "max_z",
    "q_value",
    "confirmed",
    "stability",
    "verdict",
    "example_ids",
)
FORMS = ("finding_id", "form", "spurious_auc", "valid_auc")
STEPS = ("protocol", "method", "step", "y", "sem")
HIDDEN = ("component", "label", "alignment", "clarity", "group", "mean_top20", "top_images")
COMPONENTS = ("component", "label", "kind", "share", "rank", "suspect", "top_images")
PLANTS = (
    "plant",
    "class",
    "mode",
    "images",
    "spurious_auc",
    "fallen",
    "found",
    "finding_ids",
    "component",
    "encoding_auc",
    "rank",
)

TEXT = ("finding_id", "class", "component_label", "mode", "verdict", "label", "kind", "group")
IDS = ("example_ids", "top_images", "finding_ids")
FLAGS = ("confirmed", "suspect", "fallen", "found")


@dataclass(frozen=True)
class Sources:
    """Tables and metrics of one audit; a table of an audit that does not apply has no rows."""

    audit: str
    dataset: dict[str, Any]
    """`dataset.json`: name, fingerprint, counts, classes, licence, excluded."""
    manifest: pd.DataFrame
    model: dict[str, Any]
    """`model.json`: model, name, pretrained, weights_sha256, preprocessing, device, dtype, note."""
    curves: pd.DataFrame
    """SAE training, one row an epoch."""
    labels: pd.DataFrame
    """One row a component: how well its label fits, how clear it is."""
    findings: pd.DataFrame
    evidence: dict[str, Any]
    """Finding → `mode_reason` among others."""
    forms: pd.DataFrame
    """One row a (finding, prompt form)."""
    faithfulness: pd.DataFrame
    """One row a (protocol, method, step)."""
    hidden: pd.DataFrame
    components: pd.DataFrame
    """Components of the linear classifier by relevance share."""
    plants: pd.DataFrame
    metrics: dict[str, Any]
    """All stages' metrics, merged."""

    def short(self, label: str) -> str:
        """The short name of a class.

        Raises:
            ValueError: dataset.json has no such class.
        """
        for entry in self.dataset["classes"]:
            if entry["label"] == label:
                return str(entry["short"])
        raise ValueError(
            f"class {label!r} of audit {self.audit} is not among the classes of dataset "
            f"{self.dataset['name']}: its findings are older than its manifest, run `dvc repro`"
        )


def input_paths(audit: str, dataset: str) -> dict[Path, str]:
    """Every file the report reads, apart from images, and the stage that makes it."""
    manifest = layout.manifest(dataset)
    paths = {
        manifest / "manifest.parquet": f"prepare@{dataset}",
        manifest / "dataset.json": f"prepare@{dataset}",
        layout.head(audit) / "model.json": f"embed@{audit}",
        layout.sae(audit) / "curves.csv": f"train_sae@{audit}",
        layout.audit(audit, "sae") / "metrics.json": f"encode@{audit}",
        layout.labels(audit): f"label@{audit}",
    }
    results = {
        "failures": ["findings.csv", "evidence.json"],
        "robustness": ["findings.csv"],
        "faithfulness": ["curves.csv"],
        "concepts": ["hidden.csv"],
        "shortcut": ["components.csv"],
        "validate": ["plants.csv"],
    }
    for stage, tables in results.items():
        for name in [*tables, "metrics.json"]:
            paths[layout.audit(audit, stage) / name] = f"{stage}@{audit}"
    return paths


def read_sources(audit: str, dataset: str) -> Sources:
    """Read all inputs of a report, relative to the current directory.

    Raises:
        FileNotFoundError: a file is missing; the message names it and the stage that makes it.
        ValueError: a table lacks a column, or two stages claim one metric.
    """
    stages = input_paths(audit, dataset)
    for path, stage in stages.items():
        _existing(path, stage)
    metrics = {
        stage: read_json(layout.audit(audit, stage) / "metrics.json")
        for stage in ("concepts", "failures", "faithfulness", "robustness", "shortcut", "validate")
    }
    about = read_json(layout.manifest(dataset) / "dataset.json")
    images = {"dataset": {"images": about["counts"]["images"]}}
    sae = read_json(layout.audit(audit, "sae") / "metrics.json")
    return Sources(
        audit=audit,
        dataset=about,
        manifest=_table(
            layout.manifest(dataset) / "manifest.parquet", ("image_id", "path", "split", "label")
        ),
        model=read_json(layout.head(audit) / "model.json"),
        curves=_table(layout.sae(audit) / "curves.csv", CURVES),
        labels=_table(layout.labels(audit), LABELS),
        findings=_table(layout.audit(audit, "failures") / "findings.csv", FINDINGS),
        evidence=read_json(layout.audit(audit, "failures") / "evidence.json"),
        forms=_table(layout.audit(audit, "robustness") / "findings.csv", FORMS),
        faithfulness=_table(layout.audit(audit, "faithfulness") / "curves.csv", STEPS),
        hidden=_table(layout.audit(audit, "concepts") / "hidden.csv", HIDDEN),
        components=_table(layout.audit(audit, "shortcut") / "components.csv", COMPONENTS),
        plants=_table(layout.audit(audit, "validate") / "plants.csv", PLANTS),
        metrics=merge([images, sae, *metrics.values()]),
    )


def _existing(path: Path, stage: str) -> None:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run `dvc repro {stage}` to make it")


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table with at least these columns; in a CSV, texts become text, flags bool, ids lists."""
    table = read_table(path)
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"{path} lacks the columns {missing}; it has {list(table.columns)}")
    if path.suffix != ".csv":
        return table
    # CSV has no types: a class named 7 or an empty label must stay text.
    converted = table.copy()
    for column in converted.columns.intersection(list(TEXT)):
        converted[column] = [_text(value) for value in table[column]]
    for column in converted.columns.intersection(list(IDS)):
        converted[column] = pd.Series(
            [_ids(value) for value in table[column]], index=table.index, dtype=object
        )
    for column in converted.columns.intersection(list(FLAGS)):
        converted[column] = [_text(value).lower() in ("true", "1") for value in table[column]]
    return converted


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)


def _ids(value: object) -> list[str]:
    return _text(value).split()
