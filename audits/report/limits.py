"""How far a report's findings carry, from the size and the skill of the model and the data."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from audits.report import wording
from audits.report.sections.health import distrusted, trust, weak

SMALLEST_CLIP = 151_277_313
"""Parameters of open_clip's ViT-B-32, the smallest model that Dreyer et al. 2025 audit."""
REFERENCE_IMAGES = 200
"""Train images of a class that the paper's expectations rest on (App. D)."""


def limits(
    manifest: pd.DataFrame,
    classes: int,
    model: Mapping[str, Any],
    accuracy: float | None,
    sae: Mapping[str, float],
    findings: int,
    absent: Sequence[str] = (),
) -> list[str]:
    """What a reader should know before believing the findings, a sentence or two each.

    Args:
        manifest: columns split and label.
        classes: how many classes the prompts name.
        model: `parameters`, their number.
        accuracy: fraction of the labelled validation images that the short class names get right;
            None where it was not measured.
        sae: `explained_variance` and `zero_shot_agreement`, where they were measured.
        findings: how many there are.
        absent: names of the sections in which something could not be measured.
    """
    held_out = manifest[manifest["split"] == "val"]["label"].dropna()
    train = manifest[manifest["split"] == "train"]["label"].dropna()
    skill = ""
    if accuracy is not None and not held_out.empty:
        skill = _skill(held_out, classes, accuracy, findings)
    absence = "" if findings or "failures" in absent else _absence(classes)
    missing = "" if not absent else _missing(absent)
    dictionary = trust(sae, accuracy) if distrusted(sae, accuracy) else weak(sae)
    found = [
        skill,
        dictionary,
        _size(int(model["parameters"]), findings),
        _data(train),
        absence,
        missing,
    ]
    return [text for text in found if text]


def _skill(held_out: pd.Series, classes: int, accuracy: float, findings: int) -> str:
    share = float(held_out.value_counts(normalize=True).max())
    text = (
        f"With the short class name, the model names {wording.percent(accuracy)} of the "
        f"{len(held_out):,} labelled validation images right, among {classes} classes of which the "
        f"most frequent one makes up {wording.percent(share)}."
    )
    # Two standard errors of a share: less is what always naming one class may reach by luck.
    if accuracy <= share + 2 * math.sqrt(share * (1 - share) / len(held_out)):
        return (
            f"{text} That is no better than always naming that class, so "
            f"{'its findings show' if findings else 'a finding would show'} what its prompts "
            "confuse, not what a working prompt relies on."
        )
    if accuracy < 0.5:
        return (
            f"{text} It is wrong more often than right, so many findings "
            f"{'are' if findings else 'would be'} ordinary mistakes rather than hidden dependence."
        )
    return text


def _size(parameters: int, findings: int) -> str:
    if parameters >= 0.9 * SMALLEST_CLIP:
        return ""
    return (
        f"The model has {wording.decimal(parameters / 1e6)} million parameters; the smallest CLIP "
        f"in common use, ViT-B/32, has {wording.decimal(SMALLEST_CLIP / 1e6)} million. "
        f"{'The findings hold' if findings else 'That there is no finding holds'} for this model, "
        f"and {'say' if findings else 'says'} nothing about CLIP models of the usual size."
    )


def _data(train: pd.Series) -> str:
    if train.empty:
        return ""
    typical = int(train.value_counts().median())
    if typical >= REFERENCE_IMAGES / 2:
        return ""
    return (
        f"What is expected of a class rests on {typical:,} of its own train images (median), "
        f"against about {REFERENCE_IMAGES} in the paper: a rare but legitimate component may look "
        "unexpected, and small effects stay unseen."
    )


def _missing(absent: Sequence[str]) -> str:
    return (
        f"This dataset does not allow everything to be measured ({wording.listed(absent)}): each "
        "section says what does not apply to it, and why."
    )


def _absence(classes: int) -> str:
    return (
        f"No finding is not a clean bill: an image is a candidate only where it is of another of "
        f"these {classes} classes and scores nearly as high as the class's own, and a component "
        "has to stand out on several of them. What is not in the dataset cannot be mistaken."
    )
