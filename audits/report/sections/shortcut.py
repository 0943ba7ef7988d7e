"""Shortcuts of a linear classifier: its components, and what red does to it."""

from collections.abc import Mapping, Sequence
from typing import Any

from audits.report import cards, charts, wording
from audits.report.gallery import Gallery
from audits.report.sources import Sources

WIDTH = 470
SHIFTS = {"plain": "Plain", "added": "Red added", "removed": "Red removed"}


def shortcut(
    sources: Sources, positive: str | None, gallery: Gallery, count: int
) -> dict[str, Any] | None:
    """Everything the section shows, None where the audit has no classifier.

    Without a test of red, `accuracy`, `red_name` and `charts` are empty.

    Args:
        sources: the audit's results.
        positive: label of the class that is told from the rest.
        gallery: where thumbnails come from.
        count: of thumbnails a component.

    Raises:
        ValueError: there are results, but params.yaml has no such class.
    """
    if sources.components.empty:
        return None
    if positive is None:
        raise ValueError(
            f"data/audits/{sources.audit}/shortcut holds results, but params.yaml sets "
            f"audits.{sources.audit}.shortcut to null: run `dvc repro shortcut@{sources.audit}`"
        )
    name = sources.short(positive)
    metrics = sources.metrics["shortcut"]
    accuracy = metrics.get("accuracy", {})
    components = cards.shortcut_components(sources, gallery, count)
    suspects = [row for row in components if row["suspect"]]
    sides = {"positive": wording.sentence(name), "negative": "All others"}
    share = sum(float(row["share"]) for row in suspects)
    return {
        "name": name,
        "components": components,
        "suspects": suspects,
        "title": headline(name, components, sources.gaps.get("shortcut.suspect")),
        "summary": summary(name, accuracy, share, len(suspects), metrics["auroc"]),
        "accuracy": accuracy,
        "auroc": metrics["auroc"],
        "red_name": _red_name(components, metrics.get("red")),
        "shifts": SHIFTS,
        "sides": sides,
        "charts": _charts(sides, accuracy) if accuracy else [],
    }


def _red_name(components: Sequence[Mapping[str, Any]], red: Mapping[str, Any] | None) -> str:
    if red is None:
        return ""
    (row,) = [row for row in components if row["component"] == red["component"]]
    return f"component {row['component']} ({row['label'] or 'no label'})"


def headline(name: str, components: Sequence[Mapping[str, Any]], unjudged: str | None) -> str:
    """The main sentence of a classifier's audit: the first suspect component and its rank.

    Args:
        name: of the class.
        components: by rank, each with suspect, kind (empty where unknown), label and component.
        unjudged: why nothing tells which are suspect; None where something does.
    """
    if unjudged is not None:
        why = unjudged.partition(":")[0]
        return (
            f"Whether the components that decide on {name} should cannot be judged, because {why}"
        )
    suspects = [row for row in components if row["suspect"]]
    if not suspects:
        known, count = sum(bool(row["kind"]) for row in components), len(components)
        which = "the" if known == count else f"{known} of the {count}"
        rest = "" if known == count else ", and nothing says of what kind the others are"
        return f"Nothing suspect among {which} components that decide on {name}{rest}"
    top = suspects[0]
    label = f"“{top['label']}”" if top["label"] else f"component {top['component']}"
    rank = "its strongest component" if top["rank"] == 1 else f"its component number {top['rank']}"
    return f"The {name} classifier leans on {label}, {rank}"


def summary(name: str, accuracy: Mapping[str, Any], share: float, count: int, auroc: float) -> str:
    """What red does to the classifier, before and after robust training.

    How good it is, where there was no test of red.
    """
    suspects = (
        f"{wording.sentence(wording.counted(count, 'suspect component'))} "
        f"{'carries' if count == 1 else 'carry'} {wording.percent(share)} of the relevance. "
        if count
        else ""
    )
    if not accuracy:
        return f"{suspects}The classifier has an AUC of {wording.decimal(auroc)}."

    def mean(shift: str, side: str, model: str) -> str:
        return wording.percent(float(accuracy[shift][side][model]["mean"]))

    sides = (("positive", f"accuracy on {name}"), ("negative", "accuracy on the rest"))
    standard = [
        f"{label} from {mean('plain', side, 'standard')} to {mean('added', side, 'standard')}"
        for side, label in sides
    ]
    robust = [
        f"from {mean('plain', side, 'robust')} to {mean('added', side, 'robust')}"
        for side, _ in sides
    ]
    return (
        f"{suspects}Adding red to the images takes {wording.listed(standard)}; after training with "
        f"latent augmentation, {wording.listed(robust)}."
    )


def _charts(sides: Mapping[str, str], accuracy: Mapping[str, Any]) -> list[tuple[str, str]]:
    panels = {
        label: [
            charts.Row(
                text,
                tuple(
                    charts.Interval.of_error(
                        accuracy[shift][side][model]["mean"], accuracy[shift][side][model]["sem"]
                    )
                    for model in ("robust", "standard")
                ),
            )
            for shift, text in SHIFTS.items()
        ]
        for side, label in sides.items()
    }
    low = charts.axis_start([row for rows in panels.values() for row in rows])
    return [
        (label, charts.intervals(rows, ("robust", "standard"), f"Accuracy: {label}", low, WIDTH))
        for label, rows in panels.items()
    ]
