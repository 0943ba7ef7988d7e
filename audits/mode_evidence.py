"""What bears on a finding's mode, from its images, the reference and the probe."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from audits.modes import ModeEvidence, Shown
from pipeline.store import read_json, read_table


@dataclass(frozen=True)
class Probe:
    """What the stage `probe` found out."""

    writing: np.ndarray
    """AUROC [m] of each component's activation on written grounds against others."""
    own_word: Mapping[tuple[int, str], float]
    """Component and class label → answer to the class's word, of the pairs that answer."""
    direction: np.ndarray
    """Unit vector [d] in which writing moves x."""
    reliability: float
    """How far other grounds would give the same direction, 0 to 1."""

    @classmethod
    def read(cls, folder: Path) -> "Probe":
        """The probe of an audit.

        Raises:
            FileNotFoundError: one of its files is missing; the message names it.
        """
        words = read_table(folder / "words.parquet")
        return cls(
            read_table(folder / "components.parquet")["writing"].to_numpy(),
            {(int(c), str(label)): float(a) for c, label, a in words.itertuples(index=False)},
            read_table(folder / "direction.parquet")["writing"].to_numpy(),
            float(read_json(folder / "metrics.json")["probe"]["reliability"]),
        )


def shown_classes(labels: pd.Series, names: Mapping[str, str]) -> tuple[Shown, ...]:
    """Classes of a finding's images, the most frequent first; images without a label are left out.

    Args:
        labels: label of each image, null where unknown.
        names: label → full name.
    """
    shares = labels.value_counts(normalize=True).sort_index()
    ranked = shares.sort_values(ascending=False, kind="stable")
    return tuple(Shown(str(label), names[str(label)], float(s)) for label, s in ranked.items())


def firing_rates(
    component: int, label: str, reference: pd.DataFrame, classes: pd.DataFrame
) -> tuple[float, float]:
    """Fraction of a class's train images, and of all other classes', on which a component fires.

    Args:
        component: which.
        label: the class.
        reference: `reference.parquet`: class, component, count of images with it.
        classes: `classes.parquet`: class, images.
    """
    images = classes.set_index("class")["images"]
    found = reference[reference["component"] == component].set_index("class")["count"]
    own, total = int(found.get(label, 0)), int(images.sum())
    others = total - int(images[label])
    return own / int(images[label]), (int(found.sum()) - own) / others if others else 0.0


def images_auroc(
    scores: Float[np.ndarray, " n"], found: Int[np.ndarray, " r"], own: Int[np.ndarray, " o"]
) -> float:
    """How far a finding's images carry more of something than images usually do, as an AUROC.

    The smaller of two: against all other images, and against the class's own, since what these
    carry themselves is no reason for a failure. 1 is more than each, 0.5 is no more.

    Args:
        scores: how much of it each of n images carries.
        found: rows of the finding's images.
        own: rows of the class's images.
    """
    mine, size = scores[found], len(scores)
    against_all = _auroc(mine, np.sort(scores))
    rest = size - len(found)
    against_rest = (size * against_all - len(found) / 2) / rest if rest else 0.5
    return min(against_rest, _auroc(mine, np.sort(scores[own])) if len(own) else 1.0)


def _auroc(values: np.ndarray, others: np.ndarray) -> float:
    """AUROC of values against sorted others, ties counting half."""
    below = np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")
    return float(below.mean()) / (2 * len(others))


def mode_evidence(
    label: str,
    component: int,
    component_label: object,
    images: Int[np.ndarray, " r"],
    labels: pd.Series,
    names: Mapping[str, str],
    kinds: Mapping[str, str],
    rates: tuple[float, float],
    probe: Probe,
    scores: Float[np.ndarray, " n"],
) -> ModeEvidence:
    """All that bears on the mode of one finding.

    Args:
        label: the class whose prompt is answered.
        component: the finding's first component.
        component_label: its name, null where it has none.
        images: rows of the finding's images.
        labels: label of each of n train images, null where unknown.
        names: class label → full name.
        kinds: term → kind, of the vocabulary's terms that have one.
        rates: see `firing_rates`.
        probe: the audit's.
        scores: x · probe.direction of each train image.
    """
    return ModeEvidence(
        label=label,
        name=names[label],
        component_label=component_label if isinstance(component_label, str) else None,
        shown=shown_classes(labels.iloc[images], names),
        kinds=kinds,
        rate_own=rates[0],
        rate_others=rates[1],
        writing=float(probe.writing[component]),
        writing_images=images_auroc(scores, images, np.flatnonzero(labels == label)),
        reliability=probe.reliability,
        own_word=probe.own_word.get((component, label)),
    )
