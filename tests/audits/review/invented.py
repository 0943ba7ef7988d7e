"""Three findings of an invented audit, before and after its SAE was trained anew."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from audits.review.component_files import PRESENT, Components, read_pinned, write_components
from audits.review.components import CarriedComponents, carry_components
from audits.review.identity import Found, Pin, carry
from audits.review.reviewed import Reviewed, by_component_id, found_now, review
from audits.review.verdict_files import (
    PINNED_FINDINGS,
    Verdict,
    read_pins,
    read_verdicts,
    start,
    write_pins,
)
from pipeline import layout
from pipeline.artifacts.store import write_json, write_table

AUDIT = "scenes-tiny"
"""Its name, which params.yaml has."""
COSINE, IMAGES = 0.7, 0.5
M, D = 12, 9
COLUMNS = [
    "finding_id",
    "class",
    "component",
    "component_label",
    "mode",
    "score",
    "images",
    "max_z",
    "q_value",
    "held",
    "stability",
    "verdict",
    "example_ids",
    "confidence",
]
"""What is read of `failures`; further columns pass through."""


def atoms(seed: int = 0) -> np.ndarray:
    """Atoms of one SAE [m, d], random."""
    drawn = np.random.default_rng(seed).normal(size=(M, D)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def pictures(start_at: int, stop: int) -> list[str]:
    return [f"train/{i:03d}" for i in range(start_at, stop)]


def table(rows: list[dict[str, Any]]) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Findings and evidence, as the stage `failures` leaves them.

    Each row says class, components, images and mode.
    """
    found, evidence = [], {}
    for row in rows:
        finding_id = f"{row['class']}-{row['components'][0]}"
        found.append(
            {
                "finding_id": finding_id,
                "class": row["class"],
                "component": row["components"][0],
                "component_label": "tarmac",
                "mode": row["mode"],
                "score": 0.05,
                "images": len(row["images"]),
                "max_z": 12.25,
                "q_value": 1e-9,
                "held": True,
                "stability": 0.91,
                "verdict": None,
                "example_ids": " ".join(row["images"][::-1][:3]),
                "confidence": 0.75,
            }
        )
        evidence[finding_id] = {
            "components": row["components"],
            "images": row["images"],
            "shows": "aeroplane",
            "mode_reason": "“tarmac” is background",
            "confirmation_p": 0.001,
        }
    return pd.DataFrame(found, columns=COLUMNS), evidence


FIRST = [
    {"class": "bat", "components": [3, 5], "images": pictures(0, 60), "mode": "polysemy"},
    {"class": "bat", "components": [7], "images": pictures(90, 99), "mode": "unclear"},
    {"class": "cat", "components": [4], "images": pictures(10, 30), "mode": "spurious"},
]


def joined(
    rows: list[dict[str, Any]],
    pins: list[Pin],
    verdicts: dict[str, Verdict],
    sae: np.ndarray | None = None,
    pinned: Components | None = None,
) -> Reviewed:
    """What the stage makes of findings and a last review."""
    sae = atoms() if sae is None else sae
    ids = carry_components(pinned, sae, COSINE).components.ids
    findings, evidence = by_component_id(*table(rows), ids)
    findings["confirmed"] = True
    found: list[Found] = found_now(findings, evidence, sae)
    carried = carry(pins, found, COSINE, IMAGES)
    return review(findings, evidence, found, carried, pins, verdicts, IMAGES)


def write_stage(audit: str, rows: list[dict[str, Any]], sae: np.ndarray | None = None) -> Reviewed:
    """Run the stage in the current directory, with the files of the review that are there."""
    start(audit)
    sae = atoms() if sae is None else sae
    pins = read_pins(layout.reviewed(audit) / PINNED_FINDINGS)
    pinned = read_pinned(layout.reviewed(audit))
    carried: CarriedComponents = carry_components(pinned, sae, COSINE)
    ids = carried.components.ids
    known = {f"{row['class']}-{ids[row['components'][0]]}" for row in rows}
    verdicts = read_verdicts(layout.reviews(audit), known | {pin.finding_id for pin in pins})
    result = joined(rows, pins, verdicts, sae, pinned)
    folder: Path = layout.audit(audit, "review")
    write_components(folder / PRESENT, carried.components)
    write_table(folder / "findings.csv", result.findings)
    write_json(folder / "evidence.json", result.evidence)
    write_pins(folder / "present.parquet", result.present)
    return result
