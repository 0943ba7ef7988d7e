"""How interpretable components are: clarity, labels, what goes with them, and other bases' beside.

After Figures 4 and 9 of the paper.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from audits.report import charts, wording
from audits.report.sections.health import Figure
from audits.report.sources import Sources

BASES = {"sae": "Components", "neuron": "Neurons", "pca": "PCA"}
"""What may be compared, the SAE first."""
OTHERS = {"neuron": "neurons", "pca": "principal axes"}
CORRELATIONS = {
    "mean_top5": "mean activation of the 5 strongest images",
    "mean_top20": "that of the top images",
    "mean_activation": "that of all images",
    "log_mean_activation": "its logarithm",
    "firing_rate": "firing rate",
    "log_firing_rate": "its logarithm",
    "monosemanticity": "monosemanticity",
    "polysemanticity": "polysemanticity",
    "redundancy": "redundancy",
}
"""What clarity is correlated with, and what the report calls it in this order."""
RANKS = 101
"""Points of a curve."""
DECADES = 2
"""Of a logarithmic axis from which on only powers of ten are marked."""


def interpretability(sources: Sources) -> dict[str, Any]:
    """Figures and charts of the section, none of what was not measured."""
    concepts = sources.metrics["concepts"]
    named = sources.labels[sources.labels["label"].notna()]
    named = named.merge(sources.about, on="component", suffixes=("", "_bins"))
    r = correlated(concepts)
    return {
        "figures": figures(concepts),
        "correlations": [(CORRELATIONS[key], value) for key, value in r.items()],
        "charts": [
            *_by_basis(named["clarity"], sources.bases),
            *_labels(concepts["unique_labels"]),
            *_clouds(named, r),
        ],
    }


def correlated(concepts: dict[str, Any]) -> dict[str, str]:
    """The correlations of clarity that were measured, in the order of CORRELATIONS."""
    measured = concepts.get("clarity_correlation", {})
    if "clarity_activation_correlation" in concepts:
        measured = measured | {"mean_top5": concepts["clarity_activation_correlation"]}
    return {
        key: f"{measured[key]:.2f}".replace("-", "−") for key in CORRELATIONS if key in measured
    }


def figures(concepts: dict[str, Any]) -> list[Figure]:
    """All figures of the section, each with what its ends mean.

    Args:
        concepts: metrics, see `audits.concepts.summary`; those that were measured.
    """
    clear, labels = concepts.get("clarity", {}), concepts["unique_labels"]
    return [
        Figure(
            "components_measured",
            "components measured",
            f"{concepts['components']:,}",
            f"a count; {concepts['left_out']:,} fire on too few train images, and are left out",
        ),
        Figure(
            "clarity_median",
            "clarity",
            wording.decimal(clear.get("sae"), 2),
            "the median; 1: a component's top images are the same; 0: unrelated"
            + _beside({key: wording.decimal(value, 2) for key, value in clear.items()}),
        ),
        Figure(
            "monosemanticity",
            "monosemanticity",
            wording.decimal(concepts.get("monosemanticity"), 2),
            "the median; the same of all images that fire a component, by how strongly they do",
        ),
        Figure(
            "written",
            "components of writing",
            f"{concepts.get('written', 0):,}",
            "a count; words are on their top images, by the direction in which words move x",
        ),
        Figure(
            "labels",
            "different labels",
            f"{labels['sae']:,}",
            "a count" + _beside({key: f"{value:,}" for key, value in labels.items()}),
        ),
    ]


def _beside(values: dict[str, str]) -> str:
    others = [f"{values[key]} of {name}" for key, name in OTHERS.items() if key in values]
    return f"; {wording.listed(others)}" if others else ""


def _by_basis(clarity: pd.Series, bases: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Clarity by rank, a curve a basis."""
    of_basis = {"sae": clarity} | {key: table["clarity"] for key, table in bases.groupby("basis")}
    shares = np.linspace(0, 1, RANKS)
    curves = []
    for key, name in BASES.items():
        known = of_basis.get(key, pd.Series(dtype=float)).dropna()
        if len(known):
            y = np.quantile(known.to_numpy(dtype=np.float64), 1 - shares)
            zeros = tuple(0.0 for _ in y)
            curves.append(charts.Line(name, tuple(100 * shares), tuple(map(float, y)), zeros))
    if not curves:
        return []
    chart = charts.lines(curves, "Clarity by basis", "% of directions, the clearest first")
    return [("clarity_median", "Clarity, of components and of other bases", chart)]


def _labels(unique: dict[str, int]) -> list[tuple[str, str, str]]:
    rows = [(name, unique[key]) for key, name in BASES.items() if key in unique]
    if len(rows) < 2 or not any(count for _, count in rows):
        return []
    chart = charts.bars(rows, "Different labels by basis")
    return [("labels", "Different labels, of components and of other bases", chart)]


def _clouds(named: pd.DataFrame, r: dict[str, str]) -> list[tuple[str, str, str]]:
    """Clarity against how strongly and how often components fire (paper, Fig. 9)."""
    if named.empty:
        return []
    drawn = []
    for column, said, correlation in (
        ("mean_top5", "mean activation of the 5 strongest images", "mean_top5"),
        ("mean_activation", "mean activation of all images, logarithmic", "log_mean_activation"),
        ("firing_rate", "share of images that fire it, logarithmic", "log_firing_rate"),
    ):
        x = named[column].to_numpy(dtype=np.float64)
        ticks = None
        if correlation.startswith("log"):
            x = np.log10(x)
            ticks = logarithmic(float(x.min()), float(x.max()), percent=column == "firing_rate")
        chart = charts.cloud(
            x, named["clarity"].to_numpy(), f"Clarity by {said}", (said, "clarity"), ticks
        )
        beside = f", r = {r[correlation]}" if correlation in r else ""
        drawn.append(("correlations", f"Clarity and {said}{beside}", chart))
    return drawn


def logarithmic(low: float, high: float, percent: bool) -> list[tuple[float, str]]:
    """Ticks of an axis of log10, at powers of ten, and at 2 and 5 times them on a short axis."""
    steps = (1,) if high - low >= DECADES else (1, 2, 5)
    values = [step * 10.0**power for power in range(math.floor(low), 2) for step in steps]
    unit = (100, "%") if percent else (1, "")
    return [(math.log10(value), f"{unit[0] * value:g}{unit[1]}") for value in values]
