"""What is known of each component, in columns."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from audits.report.sources import Sources


class Measure(NamedTuple):
    """A number that components have and can be sorted by."""

    name: str
    meaning: str


MEASURES = {
    "name_auroc": Measure(
        "AUROC of the name",
        "how well the name tells images that fire the component from others, on images that had no "
        "say in it: 1 tells them apart, 0.5 is chance",
    ),
    "class_auroc": Measure(
        "AUROC of its class",
        "how well its activation tells images of the class that it tells best from others, on "
        "images that had no say in which class that is",
    ),
    "alignment": Measure(
        "Fit of the name",
        "cosine of the name with the component's top images, less that of the empty text",
    ),
    "margin": Measure(
        "Lead of the name", "how much better it fits than the next name, a difference of cosines"
    ),
    "clarity": Measure("Clarity", "how alike its top images are: 1 the same, 0 unrelated"),
    "polysemanticity": Measure(
        "Polysemanticity", "how far its top images fall into two groups: 0 one, 1 two unrelated"
    ),
    "monosemanticity": Measure(
        "Monosemanticity",
        "how alike all train images are that fire it, by how strongly they do: 1 the same, 0 "
        "unrelated",
    ),
    "stability": Measure(
        "Stability",
        "cosine with its match in dictionaries of other seeds: 1 the same, 0 not found again",
    ),
    "redundancy": Measure("Redundancy", "cosine with the component that is nearest to it"),
    "images": Measure("Images", "train images that fire it"),
    "strength": Measure("Strength", "mean activation of the top images that name it"),
    "strongest": Measure("Strength of the strongest", "mean activation of its 5 strongest images"),
    "activation": Measure("Activation", "mean over all train images, 0 where it is silent"),
    "relevance": Measure(
        "Relevance",
        "largest mean relevance for a class's name on the class's own images, in units of the "
        "output; below 0 it speaks against the class",
    ),
    "written": Measure(
        "Writing on its images",
        "AUROC of its top images against all train images, along the direction in which written "
        "words move the model's embedding: 0.5 is chance",
    ),
    "writing": Measure(
        "Answer to writing", "AUROC of its activation for pictures of words: 0.5 is chance"
    ),
    "plain": Measure(
        "Answer to plain pictures", "AUROC for the plain colour or texture that fires it most"
    ),
    "share": Measure("Share of the shortcut", "of the linear classifier's decision"),
}
"""In the order in which a person reads them; those that no component has are said to be not
measured."""


def columns(sources: Sources) -> pd.DataFrame:
    """One row a component, by number: MEASURES, NaN where not measured, and what it is part of.

    Also component, label, kind and name_fits (null where unsaid), class (the label of the one it
    tells best, or null), runners_up (texts), findings (ids), candidate and hidden (whether it is a
    candidate for a shortcut, or a hidden concept), and picture (the plain picture it answers to, or
    null).
    """
    table = sources.labels.sort_values("component").reset_index(drop=True)
    component = table["component"]

    def of(other: pd.DataFrame, column: str) -> pd.Series:
        return component.map(other.drop_duplicates("component").set_index("component")[column])

    plain = sources.plain.sort_values("answer", ascending=False, kind="stable")
    measures: dict[str, Any] = {
        "class_auroc": of(sources.about, "class_auroc"),
        "margin": [_first(margins) for margins in table["margins"]],
        "monosemanticity": of(sources.about, "monosemanticity"),
        "stability": of(sources.stability, "stability"),
        "redundancy": of(sources.about, "redundancy"),
        "images": table["activations"],
        "strength": table["mean_top20"],
        "strongest": of(sources.about, "mean_top5"),
        "activation": of(sources.about, "mean_activation"),
        "relevance": of(strongest(sources.relevance, 1), "mean"),
        "written": of(sources.about, "written"),
        "writing": of(sources.writing, "writing"),
        "plain": of(plain, "answer"),
        "share": of(sources.components, "share"),
    }
    known = table[["component", "label", "kind", "name_fits", "runners_up"]]
    numbers = table.assign(**measures)[list(MEASURES)].astype(np.float64)
    parts = findings_of(sources.evidence)
    named: list[Any] = [parts.get(int(number), []) for number in component]
    return known.join(numbers).assign(
        findings=named,
        **{"class": of(sources.about, "class")},
        candidate=component.isin(sources.components["component"]),
        hidden=component.isin(sources.hidden["component"]),
        picture=of(plain, "picture"),
    )


def strongest(relevance: pd.DataFrame, count: int) -> pd.DataFrame:
    """The rows of each component's `count` classes of the largest mean relevance, by its size."""
    order = np.lexsort((-relevance["mean"].abs(), relevance["component"]))
    ordered = relevance.iloc[order]
    return ordered[ordered.groupby("component").cumcount() < count]


def findings_of(evidence: dict[str, Any]) -> dict[int, list[str]]:
    """Component → the findings that it is part of."""
    found: dict[int, list[str]] = {}
    for finding, about in evidence.items():
        for component in about["components"]:
            found.setdefault(component, []).append(finding)
    return found


def _first(values: Any) -> float:
    """The first of a list, NaN of an empty or missing one."""
    return float(values[0]) if isinstance(values, list | np.ndarray) and len(values) else np.nan
