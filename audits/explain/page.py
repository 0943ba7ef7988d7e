"""Explanations as one self-contained page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audits.explain.explanation import Component, Explanation, Finding, class_scores
from audits.explain.sources import Audited, Picture
from audits.report import wording
from audits.report.gallery import Gallery, jpeg_uri, thumbnail
from audits.report.templating import environment

TEMPLATES = Path(__file__).parent / "templates"
PICTURE = 480
"""Longest side of the explained image on the page, pixels."""
SMALL = 112
"""Longest side of it beside a component."""
SCORES = 5
"""Classes of the dataset that are shown with their outputs."""


def page(
    picture: Picture,
    explanations: Sequence[Explanation],
    audited: Audited,
    gallery: Gallery,
    top: int,
    images: int,
) -> str:
    """The page.

    Args:
        picture: the image.
        explanations: of it, one a prompt.
        audited: the audit.
        gallery: pictures of its dataset.
        top: components for, and components against, that are shown.
        images: pictures of each of them.

    Raises:
        FileNotFoundError: an image of the dataset is not on the disk any more.
    """
    made = environment(TEMPLATES)
    made.filters |= {
        "output": output,
        "signed_percent": signed_percent,
        "weaker": lambda count: wording.counted(count, "weaker one"),
    }
    prompts = [f"“{explanation.asked.prompt}”" for explanation in explanations]
    scores = class_scores(picture, audited)
    return made.get_template("explain.html.j2").render(
        title=f"What speaks for {wording.listed(prompts)} in this image",
        audited=audited,
        picture=picture,
        picture_uri=jpeg_uri(thumbnail(picture.content, audited.reading, PICTURE)),
        small_uri=jpeg_uri(thumbnail(picture.content, audited.reading, SMALL)),
        sections=[_section(explanation, gallery, top, images) for explanation in explanations],
        scores=scores[:SCORES],
        classes=len(scores),
        names=audited.names,
        modes=wording.MODES,
    )


def output(value: float) -> str:
    """An output, to three decimals."""
    return f"{value:.3f}".replace("-", "−")


def signed_percent(fraction: float) -> str:
    """A fraction as percent with its sign."""
    return f"{'+' if fraction > 0 else '−' if fraction < 0 else ''}{wording.percent(abs(fraction))}"


def _section(explanation: Explanation, gallery: Gallery, top: int, images: int) -> dict[str, Any]:
    sides = {"for": explanation.supporting(top), "against": explanation.opposing(top)}
    effects = explanation.outputs.effects
    widest = max((abs(effect.effect) for effect in effects), default=0.0)
    return {
        "asked": explanation.asked,
        "outputs": explanation.outputs,
        "usual": explanation.usual,
        "strongest": {side: _reading(found[0]) for side, found in sides.items() if found},
        "sides": {
            side: [
                {
                    **_row(one, widest, gallery, images),
                    "map": explanation.maps.get(one.effect.component),
                }
                for one in found
            ]
            for side, found in sides.items()
        },
        "totals": {
            "for": sum(effect.effect > 0 for effect in effects),
            "against": sum(effect.effect < 0 for effect in effects),
            "effect": sum(effect.effect for effect in effects),
            "relevance": sum(effect.relevance for effect in effects),
        },
        "known": _known([component for side in sides.values() for component in side]),
    }


def _known(shown: Sequence[Component]) -> list[tuple[Finding, str]]:
    """Findings about the class that is asked for, and the names of their components among these."""
    named: dict[Finding, list[str]] = {}
    for component in shown:
        for finding in component.findings:
            if finding.of_class:
                named.setdefault(finding, []).append(_name(component))
    return [(finding, wording.listed(names)) for finding, names in named.items()]


def _name(component: Component) -> str:
    number = f"component {component.effect.component}"
    return f"“{component.label}” ({number})" if component.label else f"{number} (no label)"


def _reading(component: Component) -> dict[str, Any]:
    return {"name": _name(component), "effect": component.effect}


def _row(component: Component, widest: float, gallery: Gallery, images: int) -> dict[str, Any]:
    effect = component.effect
    return {
        "component": component,
        "effect": effect,
        "width": 100 * abs(effect.effect) / widest,
        # Half or double: too far from the truth to be read as the effect.
        "misleading": not 0.5 <= effect.relevance / effect.effect <= 2,
        "images": gallery.images(component.top_images, images),
    }
