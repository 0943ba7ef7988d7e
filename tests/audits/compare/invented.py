"""Invented reports of audits of one dataset, and figures on a common benchmark."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from audits.compare import page
from audits.compare.benchmark import CommonSet
from audits.compare.measure import Measured
from audits.compare.sources import Compared, read_compared
from audits.robustness import averages
from audits.robustness.distractors import READY_MADE
from pipeline.artifacts.store import write_json, write_table

FORMS = ("short", "templates", "extended", "both", "linear")
SETS = [
    CommonSet("large/f1", "polysemy", "n01", ("a", "b"), ("large",)),
    CommonSet("large/f2", "polysemy", "n01", ("c", "d"), ("large", "small")),
    CommonSet("small/f1", "compound", "n02", ("c", "e"), ("small",)),
]
"""A benchmark that pages are made with; figures do not depend on it."""


def measured(short: float, findings: int, modes: tuple[str, ...] = ("polysemy",)) -> dict[str, Any]:
    """robustness of a model whose every form gains 0.01 more than the one before."""
    rows = [
        (f"f{index}", modes[index % len(modes)], form, short + 0.01 * gain + 0.02 * index)
        for index in range(findings)
        for gain, form in enumerate(FORMS)
    ]
    table = pd.DataFrame(rows, columns=["finding_id", "mode", "form", "spurious_auc"])
    table = table.assign(valid_auc=0.95, spurious_ap=0.5, valid_ap=0.25)
    own = table[table["mode"] != READY_MADE]
    return {
        **averages.summary(own),
        "by_mode": averages.by_mode(table),
        "differences": averages.differences(table, lambda mode: mode != READY_MADE),
        "findings": int(own["finding_id"].nunique()),
        "left_out": 1,
        "classifier": {"c": 1.0, "images": 30, "converged": True},
    }


def write_report(audit: str, robustness: dict[str, Any], fingerprint: str = "aa11" * 16) -> None:
    folder = Path("reports") / audit
    protocol = {"act_grad": {"auc": 0.4, "sem": 0.01}}
    metrics = {
        "accuracy": {"short": 0.75},
        "dataset": {"images": 120},
        "failures": {"findings": 5, "confirmed": 3},
        "sae": {
            "explained_variance": 0.9,
            "alive_fraction": 0.8,
            "cosine": 0.97,
            "l0": 16.0,
            "zero_shot_agreement": 0.95,
        },
        "robustness": robustness,
        "faithfulness": {
            "deletion_local": protocol,
            "insertion_local": protocol,
            "ablation_correlation": {"act_grad": 0.9},
        },
    }
    write_json(folder / "metrics.json", metrics)
    model = {
        "model": audit,
        "name": f"ViT <{audit}>",
        "pretrained": None,
        "parameters": 151_000_000,
    }
    provenance = {
        "dataset": {"fingerprint": fingerprint},
        "model": {**model, "weights_sha256": "cd" * 32},
    }
    write_json(folder / "provenance.json", provenance)
    findings = {"mode": ["polysemy", "polysemy", "compound"], "verdict": ["accept", None, "reject"]}
    write_table(folder / "findings.csv", pd.DataFrame(findings))


def compared(**figures: dict[str, Any]) -> list[Compared]:
    """Audits as their reports say, with such figures on the common benchmark."""
    return [
        replace(one, common=Measured(figures[one.audit], 0.625, None, frozenset(), 90))
        if one.comparable
        else one
        for one in read_compared(list(figures))
    ]


def page_of(audited: Sequence[Compared]) -> str:
    return page.render("birds", audited, SETS)


LARGE = measured(0.8, 4, ("polysemy", "compound"))
SMALL = measured(0.6, 2)
