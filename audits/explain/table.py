"""Explanations as a table in the terminal."""

from collections.abc import Sequence

from audits.explain.explanation import Component, Explanation, Map, class_scores
from audits.explain.sources import Audited, Picture
from audits.report import wording

HEAD = ("component", "label", "effect", "share", "relevance", "activation", "stability")
LEFT = {"label", "finding", "fires most on", "where in the image"}
LONGEST = 24
"""Characters of a label."""
IMAGES = 2
NOTE = """\
effect: y less y with the component switched off, exact. share: effect / |y|. relevance: first-order
estimate of the effect. Neither effects nor shares add up, since the output is a cosine.
where in the image: the ninth of it that adds most to the activation; --html shows it by patches."""


def table(picture: Picture, explanations: Sequence[Explanation], audited: Audited, top: int) -> str:
    """The strongest components for and against each prompt, in columns."""
    scores = class_scores(picture, audited)
    best = ", ".join(f"{audited.names[label]} {y:.3f}" for label, y in scores[:3])
    lines = [
        f"{picture.path}, audit {audited.name}" + _origin(picture, audited),
        f"class names with the highest output, of {len(scores)}: {best}",
    ]
    if audited.about["note"]:
        lines.append(f"model: {audited.about['note']}")
    for explanation in explanations:
        lines += ["", *_block(explanation, top)]
    return "\n".join([*lines, "", NOTE])


def _origin(picture: Picture, audited: Audited) -> str:
    if picture.entry is None:
        return ": not an image of the dataset"
    label = picture.entry["label"]
    named = "without a label" if label is None else f"labelled {audited.names.get(label, label)}"
    return f": {picture.entry['image_id']} of the dataset's {picture.entry['split']} set, {named}"


def _block(explanation: Explanation, top: int) -> list[str]:
    found = explanation.outputs
    lines = [f"prompt “{explanation.asked.prompt}”: output y = {found.y:.4f}"]
    if explanation.usual is not None:
        usual = explanation.usual
        lines.append(
            f"  the class's own {usual['images']:.0f} train images: {usual['y_mean']:.4f} ± "
            f"{usual['y_std']:.4f} (mean, standard deviation)"
        )
    part = "" if not found.y else f" ({wording.percent(abs(found.unexplained / found.y))} of y)"
    lines += [
        f"  of the SAE's reconstruction: {found.y_reconstruction:.4f}, so {found.unexplained:+.4f}"
        f"{part} is not explained",
        f"  with all {len(found.effects)} active components off: {found.y_components_off:.4f}",
    ]
    rows = [["", *HEAD, "finding", "where in the image", "fires most on"]]
    for side, components in (
        ("for", explanation.supporting(top)),
        ("against", explanation.opposing(top)),
    ):
        rows += [
            [side, *_cells(component, explanation.maps.get(component.effect.component))]
            for component in components
        ]
    return lines + _aligned(rows)


def _cells(component: Component, found: Map | None) -> list[str]:
    effect = component.effect
    label = component.label or "(no label)"
    return [
        str(effect.component),
        label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…",
        f"{effect.effect:+.4f}",
        "n/a" if effect.share is None else f"{100 * effect.share:+.1f}%",
        f"{effect.relevance:+.4f}",
        f"{effect.activation:.3g}",
        "not measured" if component.stability is None else f"{component.stability:.2f}",
        " ".join(finding.finding_id for finding in component.findings if finding.of_class) or "-",
        "-" if found is None else found.veil.place,
        " ".join(component.top_images[:IMAGES]) or "-",
    ]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = [not name or name in LEFT for name in rows[0]]
    return [
        "  ".join(
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in rows
    ]
