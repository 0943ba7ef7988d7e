"""The explanation of one image for one prompt: effects, with what the audit knows of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from audits.explain.effects import Effect, Outputs, outputs
from audits.explain.sources import Asked, Audited, Picture, present
from audits.maps.parts import component_parts
from audits.maps.veil import Veil, seen_part, veil
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.attribution.head import cosine_outputs


class Map(NamedTuple):
    """Where in the image a component fires."""

    parts: np.ndarray
    """What each patch adds to its activation [h, w], see `audits.maps.parts.Parts`."""
    rest: float
    """What no patch adds."""
    veil: Veil
    """The same over the picture, and in words."""


class Finding(NamedTuple):
    """A finding of the audit that a component is part of."""

    finding_id: str
    label: str
    """The class it is about."""
    mode: str
    confirmed: bool
    of_class: bool
    """Whether it is about the class that is asked for; False for a free prompt."""


@dataclass(frozen=True)
class Component:
    """An active component: its effect, and what the audit knows of it."""

    effect: Effect
    label: str | None
    """None where it fires on too few train images to be named."""
    kind: str | None
    """What the vocabulary says of its label, see `pipeline.embeddings.texts.Term`."""
    alignment: float | None
    """How well the label fits; None where there is none."""
    name_auroc: float | None
    """How well the label tells the images on which it fires; None where it is not measured."""
    name_fits: bool | None
    """Whether that is better than names of other components do; None likewise."""
    clarity: float | None
    """How alike its top images are: 1 the same, about 0 unrelated."""
    stability: float | None
    """Whether another SAE finds it too; None where the audit has not measured it."""
    findings: tuple[Finding, ...]
    """Those about the class that is asked for first."""
    top_images: tuple[str, ...]
    """Train images on which it fires most, the strongest first."""


@dataclass(frozen=True)
class Explanation:
    """One image and one prompt."""

    maps: dict[int, Map]
    """Of the components that are shown; of none where the model cannot be mapped."""

    asked: Asked
    outputs: Outputs
    components: dict[int, Component]
    """All active components."""
    usual: dict[str, float] | None
    """Output of the class's own train images (images, y_mean, y_std); None for a free prompt, and
    for a class with fewer than 2 of them."""

    def supporting(self, count: int) -> list[Component]:
        """Up to `count` components that speak for the prompt, the strongest first."""
        return [self.components[e.component] for e in self.outputs.supporting(count)]

    def opposing(self, count: int) -> list[Component]:
        """Up to `count` components that speak against the prompt, the strongest first."""
        return [self.components[e.component] for e in self.outputs.opposing(count)]


def explain(picture: Picture, asked: Asked, audited: Audited, top: int) -> Explanation:
    """What speaks for a prompt in an image, and what against.

    Args:
        picture: the image.
        asked: the prompt.
        audited: the audit.
        top: components for, and components against, that are mapped.

    Raises:
        ValueError: the output is undefined, see `outputs`.
    """
    found = outputs(picture.x, asked.t, audited.head, audited.sae)
    components = {e.component: _component(e, asked, audited) for e in found.effects}
    shown = [e.component for e in (*found.supporting(top), *found.opposing(top))]
    maps = _maps(picture, shown, audited)
    return Explanation(maps, asked, found, components, _usual(asked.label, audited.usual))


def _maps(picture: Picture, components: list[int], audited: Audited) -> dict[int, Map]:
    if not components:
        return {}
    pixels = picture.pixels.expand(len(components), -1, -1, -1)
    try:
        found = component_parts(audited.clip.model, pixels, audited.sae, components)
    except DoesNotApply:
        return {}
    seen = seen_part(picture.size, audited.about["preprocessing"])
    return {
        component: Map(parts, rest, veil(parts, component, seen))
        for component, parts, rest in zip(
            components, found.patches.numpy(), found.rest.tolist(), strict=True
        )
    }


def class_scores(picture: Picture, audited: Audited) -> list[tuple[str, float]]:
    """Labels of the dataset's classes and the outputs of their short names, by falling output."""
    y = cosine_outputs(picture.x[None], audited.t, audited.head)[0].tolist()
    return sorted(zip(audited.short, y, strict=True), key=lambda pair: -pair[1])


def _usual(label: str | None, classes: pd.DataFrame) -> dict[str, float] | None:
    if label not in classes.index:
        return None
    row = classes.loc[[label], ["images", "y_mean", "y_std"]].iloc[0]
    return {str(key): float(value) for key, value in row.items()}


def _component(effect: Effect, asked: Asked, audited: Audited) -> Component:
    row = audited.labels.loc[effect.component]
    own = audited.findings[audited.findings["component"] == effect.component]
    stability = [present(value) for value in (row.get("stability"), *own["stability"])]
    return Component(
        effect=effect,
        label=present(row["label"]),
        kind=present(row["kind"]),
        alignment=present(row["alignment"]),
        name_auroc=present(row["name_auroc"]),
        name_fits=None if pd.isna(row["name_fits"]) else bool(row["name_fits"]),
        clarity=present(row["clarity"]),
        stability=next((value for value in stability if value is not None), None),
        findings=tuple(_findings(effect.component, asked, audited)),
        top_images=tuple(row["top_images"]),
    )


def _findings(component: int, asked: Asked, audited: Audited) -> Sequence[Finding]:
    found = [
        Finding(
            finding_id=row["finding_id"],
            label=row["class"],
            mode=row["mode"],
            confirmed=bool(row["confirmed"]),
            of_class=row["class"] == asked.label,
        )
        for row in audited.findings.to_dict("records")
        if component in audited.evidence[row["finding_id"]]["components"]
    ]
    return sorted(found, key=lambda finding: not finding.of_class)
