"""What the comparison takes from the reports of a dataset's audits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from audits.compare.measure import Measured, forms
from audits.robustness.averages import BASE
from pipeline import layout
from pipeline.artifacts.gaps import KEY
from pipeline.artifacts.store import read_json, read_table
from pipeline.config import Params

MEASURED = {
    "accuracy": (BASE,),
    "dataset": ("images",),
    "failures": ("findings", "confirmed"),
    "sae": ("explained_variance", "alive_fraction", "cosine", "l0", "zero_shot_agreement"),
    "robustness": ("findings",),
    "faithfulness": ("deletion_local", "insertion_local", "ablation_correlation"),
}
"""Figures that a report must have, below these keys of its metrics, or say why it has not."""


@dataclass(frozen=True)
class Compared:
    """One audit, as its report says, and what its model scores on the common benchmark."""

    audit: str
    fingerprint: str
    """Of the dataset's version."""
    model: dict[str, Any]
    """provenance.json's: model, name, pretrained, parameters, weights_sha256."""
    metrics: dict[str, Any]
    modes: dict[str, int]
    """Mode → findings that nobody rejected."""
    comparable: bool
    """Whether it is on the version of the dataset that most of the audits are on."""

    common: Measured | None = None
    """On the distractors of all comparable audits; None where it is not one of them."""

    @property
    def accuracy(self) -> float | None:
        """Of BASE; None where there was nothing to measure it on."""
        return self.metrics.get("accuracy", {}).get(BASE)

    @property
    def faithfulness(self) -> dict[str, float | None]:
        """Headline figures of Act×Grad by name, None where they were not measured."""
        found = self.metrics.get("faithfulness", {})
        curves = ("deletion_local", "insertion_local")
        return {
            **{name: found[name]["act_grad"]["auc"] if name in found else None for name in curves},
            "ablation_correlation": found.get("ablation_correlation", {}).get("act_grad"),
        }

    @property
    def own_findings_auc(self) -> float | None:
        """Spurious AUC of BASE on its own findings; None where none was measured."""
        own = forms(self.metrics["robustness"])
        return own[BASE]["spurious_auc"] if BASE in own else None


def audits_of(params: Params, dataset: str) -> list[str]:
    """Audits of a dataset that have a report, in the order of params.yaml.

    Raises:
        FileNotFoundError: there is none.
    """
    params.dataset(dataset)
    named = [name for name, audit in params.audits.items() if audit.dataset == dataset]
    found = [name for name in named if (layout.report(name) / "metrics.json").exists()]
    if not found:
        raise FileNotFoundError(
            f"reports/ holds no report of an audit of {dataset} in params.yaml; it has "
            f"{named or 'none'}: run `dvc repro report@<audit>`"
        )
    return found


def read_compared(audits: Sequence[str]) -> list[Compared]:
    """The reports of some audits of one dataset, in that order.

    Raises:
        FileNotFoundError: a file of a report is missing.
        ValueError: a report lacks a figure, being older than this program.
    """
    provenances = [read_json(layout.report(name) / "provenance.json") for name in audits]
    versions = [provenance["dataset"]["fingerprint"] for provenance in provenances]
    # Of equally frequent ones the first.
    usual = Counter(versions).most_common(1)[0][0]
    return [
        Compared(
            audit=name,
            fingerprint=version,
            model=provenance["model"],
            metrics=_metrics(layout.report(name) / "metrics.json", name),
            modes=_modes(read_table(layout.report(name) / "findings.csv")),
            comparable=version == usual,
        )
        for name, provenance, version in zip(audits, provenances, versions, strict=True)
    ]


def _metrics(path: Path, audit: str) -> dict[str, Any]:
    metrics: dict[str, Any] = read_json(path)
    gaps = metrics.get(KEY, {})
    for section, keys in MEASURED.items():
        known = {*metrics.get(section, {}), *(key for key in keys if f"{section}.{key}" in gaps)}
        missing = [] if section in gaps else [key for key in keys if key not in known]
        if missing:
            raise ValueError(
                f"{path} lacks {section}.{', '.join(missing)}: it is older than this program, run "
                f"`dvc repro report@{audit}`"
            )
    return metrics


def _modes(findings: pd.DataFrame) -> dict[str, int]:
    kept = findings[findings["verdict"] != "reject"]
    return {str(mode): int(count) for mode, count in kept["mode"].value_counts().items()}


def headline_table(audited: Sequence[Compared]) -> pd.DataFrame:
    """The headline figures, a row for each audit; empty cells for what was not measured.

    AUCs are of the common benchmark of `sets` distractor sets; `own_findings_spurious_auc`, of the
    short class name like the two before it, is of the audit's own findings.
    """
    rows = []
    for one in audited:
        row: dict[str, Any] = {
            "audit": one.audit,
            "model": one.model["model"],
            "parameters": one.model["parameters"],
            "weights_sha256": one.model["weights_sha256"],
            "dataset_fingerprint": one.fingerprint,
            "comparable": one.comparable,
            "accuracy": one.accuracy,
            "findings": one.metrics["failures"]["findings"],
            "confirmed": one.metrics["failures"]["confirmed"],
            "explained_variance": one.metrics["sae"].get("explained_variance"),
            "alive_fraction": one.metrics["sae"]["alive_fraction"],
            "stability": one.metrics.get("stability", {}).get("matched_fraction"),
        }
        if one.common is not None:
            for form, figures in sorted(one.common.forms.items()):
                row[f"{form}_spurious_auc"] = figures["spurious_auc"]
                row[f"{form}_valid_auc"] = figures["valid_auc"]
            row["sets"] = one.common.robustness["findings"]
            row["found_with_it_spurious_auc"] = one.common.found_with_it
            row["found_with_others_spurious_auc"] = one.common.found_with_others
        row["own_findings_spurious_auc"] = one.own_findings_auc
        rows.append(row)
    return pd.DataFrame(rows)
