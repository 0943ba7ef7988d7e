"""Health of the sparse autoencoder: its figures, their charts, and what they allow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from audits.report import charts, wording
from audits.report.sources import Sources

STABILITY_BINS = 20
AGREEMENT = 0.9
"""Zero-shot agreement below which a report warns."""


@dataclass(frozen=True)
class Figure:
    """One number and what its ends mean."""

    key: str
    """Of numbers.yaml."""
    name: str
    value: str
    meaning: str


def health(sources: Sources, k: int) -> dict[str, Any]:
    """Figures, sentences and charts of the section; k is how many components an image may use."""
    metrics = sources.metrics
    return {
        "figures": figures(
            metrics["sae"],
            float(sources.curves["dead_fraction"].iloc[-1]),
            metrics["stability"],
            k,
        ),
        "sentences": sentences(
            metrics["sae"],
            metrics["stability"],
            metrics.get("accuracy", {}).get("short"),
            sources.stability,
            sources.findings,
        ),
        "charts": [
            *_curves(sources.curves),
            *_density(sources.density),
            *_stability(sources.stability, sources.findings),
        ],
    }


def figures(
    sae: Mapping[str, float], dead: float, stability: Mapping[str, Any], k: int
) -> list[Figure]:
    """All figures of the section, each with what 0 and 1 mean.

    Args:
        sae: the SAE's metrics, those that were measured.
        dead: fraction of components dead at the end of training.
        stability: matched_fraction and mean_cosine, none where they were not measured.
        k: components asked for an image.
    """
    return [
        Figure(
            "explained_variance",
            "explained variance",
            wording.decimal(sae.get("explained_variance")),
            "1: x is rebuilt exactly; 0: no better than the mean image; it can be negative",
        ),
        Figure(
            "cosine",
            "cosine to the input",
            wording.decimal(sae.get("cosine")),
            "1: x and its reconstruction point the same way; 0: unrelated",
        ),
        Figure(
            "agreement",
            "zero-shot agreement",
            wording.decimal(sae.get("zero_shot_agreement")),
            "1: no image changes its predicted class when x is replaced by its reconstruction; "
            "0: every image does",
        ),
        Figure(
            "l0",
            "active an image (L0)",
            wording.decimal(sae.get("l0")),
            f"a count; k = {k:,} was asked for",
        ),
        Figure(
            "alive",
            "alive",
            wording.decimal(sae["alive_fraction"]),
            "1: every component fires on some image of the dataset; 0: none does",
        ),
        Figure(
            "dead",
            "dead at the end of training",
            wording.decimal(dead),
            "0: every component still fired in the last epochs; 1: none did",
        ),
        Figure(
            "matched",
            "found again from other seeds",
            wording.decimal(stability.get("matched_fraction")),
            "1: every component is found again from another seed and half of the images; 0: none",
        ),
        Figure(
            "matched_apart",
            "found again with no image in common",
            wording.decimal(stability.get("matched_fraction_apart")),
            "of two seeds on different halves, 1: one finds all of the other; 0: none",
        ),
        Figure(
            "matched_images",
            "among random images",
            wording.decimal(stability.get("image_fraction")),
            "random images in place of the other seed, 1: each component is near one; 0: none is",
        ),
        Figure(
            "mean_cosine",
            "cosine over seeds",
            wording.decimal(stability.get("mean_cosine")),
            "1: matched components are the same direction; 0: unrelated",
        ),
    ]


def sentences(
    sae: Mapping[str, float],
    stability: Mapping[str, Any],
    accuracy: float | None,
    components: pd.DataFrame,
    findings: pd.DataFrame,
) -> list[str]:
    """What the figures allow, in relative facts instead of thresholds.

    Args:
        sae: the SAE's metrics, those that were measured.
        stability: seeds and, where it was measured, matched_fraction.
        accuracy: fraction of the labelled validation images that the model names right;
            None where it was not measured.
        components: columns component and stability.
        findings: column component.
    """
    explained = sae.get("explained_variance", 0.0)
    said = [text] if (text := trust(sae, accuracy)) else []
    if explained > 0:
        said.append(
            f"The reconstruction leaves {wording.percent(1 - explained)} of the variance of x "
            "out, and what is in there the audit cannot find."
        )
    if stability["seeds"] == 1:
        said.append(
            "It was trained from one seed only, so how much of it another seed would find again "
            "is not known."
        )
    elif "matched_fraction" in stability:
        said.append(
            "Trained from another seed on half of the images, "
            f"{wording.percent(stability['matched_fraction'])} of the components are found again; "
            f"the others are one way of many to split the same embeddings."
            f"{_unstable(components, findings)}"
        )
    return said


def distrusted(sae: Mapping[str, float], accuracy: float | None) -> bool:
    """Whether the dictionary says little about the model's decisions.

    So it is where it rebuilds x no better than the mean image does, and where more predictions
    change with the reconstruction than the model gets wrong.
    """
    explained, agreement = sae.get("explained_variance"), sae.get("zero_shot_agreement")
    rebuilds_nothing = explained is not None and explained <= 0
    changes_much = accuracy is not None and agreement is not None and agreement < accuracy
    return rebuilds_nothing or changes_much


def weak(sae: Mapping[str, float]) -> str:
    """A warning where too many predictions change with the reconstruction; else empty."""
    agreement = sae.get("zero_shot_agreement")
    if agreement is None or agreement >= AGREEMENT:
        return ""
    return (
        f"With the autoencoder's reconstruction in place of x, {wording.percent(agreement)} of the "
        f"images keep their class; below {wording.percent(AGREEMENT)} much of what the model "
        "decides by is in no component, and failures may be missed: raise sae.k, or "
        "sae.components."
    )


def trust(sae: Mapping[str, float], accuracy: float | None) -> str:
    """Whether the dictionary may be trusted, from what it does to the model's predictions.

    Empty where that was not measured.
    """
    if sae.get("explained_variance", 1.0) <= 0:
        return (
            "The autoencoder rebuilds x no better than the mean image does: nothing that this "
            "report says through its components is to be trusted."
        )
    if "zero_shot_agreement" not in sae:
        return ""
    changed = changes_class(1 - sae["zero_shot_agreement"])
    text = f"{changed} when x is replaced by its reconstruction."
    if accuracy is None:
        return text
    wrong = wording.percent(1 - accuracy)
    if distrusted(sae, accuracy):
        return (
            f"{text} That is more than the model itself names wrong ({wrong}): as a picture of "
            "this model's decisions the dictionary is not to be trusted."
        )
    return f"{text} The model itself names {wrong} of them wrong."


def changes_class(fraction: float) -> str:
    """A fraction of images as the start of a sentence: "1 in 20 images changes its …"."""
    if fraction <= 0:
        return "No validation image changes its predicted class"
    if fraction > 0.4:
        return f"{wording.percent(fraction)} of the validation images change their predicted class"
    return f"1 in {round(1 / fraction):,} validation images changes its predicted class"


def _unstable(components: pd.DataFrame, findings: pd.DataFrame) -> str:
    known = components.dropna().set_index("component")["stability"]
    own = known.reindex(findings["component"]).dropna()
    if own.empty:
        return ""
    below = int((own < known.median()).sum())
    return (
        f" Of {wording.counted(len(own), 'finding')}, {wording.number(below)} "
        f"{'rests' if below == 1 else 'rest'} on a component less stable than half of all."
    )


def _curves(curves: pd.DataFrame) -> list[tuple[str, str, str]]:
    def line(name: str, column: str) -> charts.Line:
        known = curves.dropna(subset=column)
        values = tuple(map(float, known[column]))
        return charts.Line(
            name, tuple(map(float, known["epoch"])), values, tuple(0.0 for _ in values)
        )

    shares = [
        line("Explained var.", "explained_variance"),
        line("Alive", "alive_fraction"),
        line("Cosine", "cosine"),
    ]
    measured = [one for one in shares if one.x]
    label = "Reconstruction on validation images, fractions"
    return [
        *([("curves", label, charts.lines(measured, "SAE by epoch", "epoch"))] if measured else []),
        (
            "curves",
            "Training loss",
            charts.lines([line("Loss", "loss")], "SAE loss by epoch", "epoch", 3),
        ),
    ]


def _density(density: pd.DataFrame) -> list[tuple[str, str, str]]:
    if not density["count"].sum():
        return []
    ticks = [(power, f"{100 * 10.0**power:g}%") for power in range(-8, 1)]
    epochs = [(int(str(epoch)), _bins(table)) for epoch, table in density.groupby("epoch")]
    chart = charts.course(epochs, "Components by firing rate and epoch", "epoch", ticks)
    label = "Components by the share of validation images on which they fire"
    return [("density", label, chart)]


def _stability(components: pd.DataFrame, findings: pd.DataFrame) -> list[tuple[str, str, str]]:
    known = components.dropna().set_index("component")["stability"].astype(float)
    if known.empty:
        return []
    low = min(0.0, float(np.floor(known.min() * 10) / 10))
    counts, edges = np.histogram(known, bins=STABILITY_BINS, range=(low, 1.0))
    table = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts})
    chart = charts.histogram(
        _bins(table),
        "Components by stability",
        "mean cosine to the matched component of other seeds",
        [(tick / 4, f"{tick / 4:g}") for tick in range(-4, 5)],
        marked=known.reindex(findings["component"]).dropna().tolist(),
    )
    note = " (marks: those of findings)" if len(findings) else ""
    return [("stabilities", f"Components by stability{note}", chart)]


def _bins(table: pd.DataFrame) -> Sequence[charts.Bin]:
    return [
        charts.Bin(low, high, int(count))
        for low, high, count in zip(table["low"], table["high"], table["count"], strict=True)
    ]
