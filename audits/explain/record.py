"""Explanations as JSON says them."""

from collections.abc import Sequence
from typing import Any

from audits.explain.explanation import Component, Explanation, Map, class_scores
from audits.explain.sources import Audited, Picture


def record(
    picture: Picture, explanations: Sequence[Explanation], audited: Audited
) -> dict[str, Any]:
    """All that is known: of the audit, the image, and of each prompt with all active components.

    Components are ordered by falling effect: those for the prompt first, those against it last.
    """
    model = ("model", "name", "pretrained", "weights_sha256", "note")
    return {
        "audit": audited.name,
        "dataset": {key: audited.dataset[key] for key in ("name", "fingerprint")},
        "model": {key: audited.about[key] for key in model},
        "image": {
            "path": str(picture.path),
            "sha256": picture.sha256,
            "in_dataset": picture.entry,
        },
        "explanations": [_explanation(explanation) for explanation in explanations],
        "class_scores": [{"class": label, "y": y} for label, y in class_scores(picture, audited)],
    }


def _explanation(explanation: Explanation) -> dict[str, Any]:
    outputs = explanation.outputs
    return {
        "prompt": explanation.asked.prompt,
        "class": explanation.asked.label,
        "y": outputs.y,
        "y_reconstruction": outputs.y_reconstruction,
        "unexplained": outputs.unexplained,
        "y_components_off": outputs.y_components_off,
        "usual": explanation.usual,
        "components": [
            {
                **_component(explanation.components[effect.component]),
                "map": _map(explanation.maps.get(effect.component)),
            }
            for effect in outputs.effects
        ],
    }


def _component(component: Component) -> dict[str, Any]:
    return {
        **component.effect._asdict(),
        "label": component.label,
        "kind": component.kind,
        "alignment": component.alignment,
        "name_auroc": component.name_auroc,
        "name_fits": component.name_fits,
        "clarity": component.clarity,
        "stability": component.stability,
        "findings": [
            {
                "finding_id": finding.finding_id,
                "class": finding.label,
                "mode": finding.mode,
                "confirmed": finding.confirmed,
                "of_class": finding.of_class,
            }
            for finding in component.findings
        ],
        "top_images": list(component.top_images),
    }


def _map(found: Map | None) -> dict[str, Any] | None:
    return None if found is None else {"parts": found.parts.tolist(), "rest": found.rest}
