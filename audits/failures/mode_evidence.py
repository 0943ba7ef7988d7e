"""What bears on a finding's mode, from its images, the reference and the probe."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from audits.auroc import auroc
from audits.failures.lexicon import plain, short
from audits.failures.modes import ModeEvidence, Shown
from pipeline.artifacts.store import read_json, read_table


class Rates(NamedTuple):
    """Fractions of train images on which a component fires."""

    own: float
    """Of the class whose prompt is answered."""
    others: float
    """Of all other classes together."""
    of_class: Mapping[str, float]
    """Label → of that class; classes on which it never fires are left out."""


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


@dataclass(frozen=True)
class TrainImages:
    """What modes are told by, of all train images; sorted and grouped once for all findings."""

    labels: pd.Series
    """Label of each image [n], null where unknown, indexed 0 to n − 1."""
    scores: Float[np.ndarray, " n"]
    """How much writing each shows: x · Probe.direction."""

    @cached_property
    def ranked(self) -> Float[np.ndarray, " n"]:
        """The scores, rising."""
        return np.sort(self.scores)

    @cached_property
    def of_class(self) -> Mapping[str, Int[np.ndarray, " o"]]:
        """Label → its images."""
        groups = self.labels.groupby(self.labels).indices
        return {str(label): np.asarray(rows) for label, rows in groups.items()}

    def own_scores(self, label: str) -> Float[np.ndarray, " o"]:
        """Scores of a class's images, rising."""
        return np.sort(self.scores[self.of_class[label]]) if label in self.of_class else np.empty(0)


def kinds_of(vocabulary: pd.DataFrame) -> dict[str, str]:
    """Term → kind of those that have one, terms as `short` has them: "desert" for "Desert, sand".

    Of terms that are the same then, with other kinds, the first counts.

    Args:
        vocabulary: columns term and kind, null where a term has none.
    """
    known = vocabulary.dropna()
    return dict(zip(known["term"].map(short)[::-1], known["kind"][::-1], strict=True))


def shown_classes(
    labels: pd.Series, images: Mapping[str, int], names: Mapping[str, str], rates: Rates
) -> tuple[Shown, ...]:
    """Classes of a finding's images, the most frequent first; images without a label are left out.

    Args:
        labels: label of each image, null where unknown.
        images: label → number of train images, finding or not.
        names: label → full name.
        rates: of the finding's component.
    """
    counts = labels.value_counts().sort_index()
    ranked = counts.sort_values(ascending=False, kind="stable")
    return tuple(
        Shown(
            str(label),
            names[str(label)],
            share=count / int(counts.sum()),
            found=count / images[str(label)],
            fired=rates.of_class.get(str(label), 0.0),
        )
        for label, count in ranked.items()
    )


def firing_rates(
    component: int, label: str, reference: pd.DataFrame, classes: pd.DataFrame
) -> Rates:
    """Fractions of classes' train images on which a component fires.

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
    names = [str(name) for name in found.index]
    fractions = found.to_numpy() / images[names].to_numpy()
    return Rates(
        own=own / int(images[label]),
        others=(int(found.sum()) - own) / others if others else 0.0,
        of_class=dict(zip(names, fractions.tolist(), strict=True)),
    )


def images_auroc(
    mine: Float[np.ndarray, " r"], every: Float[np.ndarray, " n"], own: Float[np.ndarray, " o"]
) -> float:
    """How far a finding's images carry more of something than images usually do, as an AUROC.

    The smaller of two: against all other images, and against the class's own, since what these
    carry themselves is no reason for a failure. 1 is more than each, 0.5 is no more.

    Args:
        mine: how much of it each of the finding's images carries.
        every: the same of all images, the finding's too, rising.
        own: the same of the class's, rising.
    """
    rest = len(every) - len(mine)
    against_all = auroc(mine, every)
    against_rest = (len(every) * against_all - len(mine) / 2) / rest if rest else 0.5
    return min(against_rest, auroc(mine, own) if len(own) else 1.0)


def what_is_shown(
    labels: np.ndarray,
    attacked: str,
    word: str,
    component_label: object,
    names: Mapping[str, str],
) -> str | None:
    """Name of the class that more than half of a finding's images belong to, else the component's.

    None where that is the class attacked, or there is none.

    Args:
        labels: label of each image [r], at least one, null where unknown.
        attacked: the class whose prompt is answered.
        word: its short name.
        component_label: the component's name, null where it has none.
        names: label → name, see `distinct_names`.
    """
    (label, images), *_ = Counter(labels).most_common(1)
    if 2 * images > len(labels) and label in names:
        return names[str(label)] if label != attacked else None
    if not isinstance(component_label, str) or plain(component_label) == plain(word):
        return None
    return component_label


def mode_evidence(
    label: str,
    component: int,
    component_label: object,
    rows: Int[np.ndarray, " r"],
    images: TrainImages,
    names: Mapping[str, str],
    kinds: Mapping[str, str],
    rates: Rates,
    probe: Probe,
) -> ModeEvidence:
    """All that bears on the mode of one finding.

    Args:
        label: the class whose prompt is answered.
        component: the finding's first component.
        component_label: its name, null where it has none.
        rows: the finding's images, as rows of `images`.
        images: all train images.
        names: class label → full name.
        kinds: see `kinds_of`.
        rates: see `firing_rates`.
        probe: the audit's.
    """
    sizes = {name: len(found) for name, found in images.of_class.items()}
    return ModeEvidence(
        label=label,
        name=names[label],
        component_label=component_label if isinstance(component_label, str) else None,
        shown=shown_classes(images.labels.iloc[rows], sizes, names, rates),
        kinds=kinds,
        rate_own=rates.own,
        rate_others=rates.others,
        writing=float(probe.writing[component]),
        writing_images=images_auroc(images.scores[rows], images.ranked, images.own_scores(label)),
        reliability=probe.reliability,
        own_word=probe.own_word.get((component, label)),
    )
