"""What the models of a dataset's audits score on the common benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from audits.compare.benchmark import CommonSet, common_sets, read_sets
from audits.inputs import Inputs, load_inputs
from audits.robustness import linear
from audits.robustness.averages import ALL, BASE
from audits.robustness.distractors import READY_MADE, Distractors, read_ready_made
from audits.robustness.forms import CLASSIFIER, form_scores, measured_rows, metrics, robustness
from audits.robustness.linear import LinearClassifier
from pipeline import layout
from pipeline.artifacts import gaps
from pipeline.artifacts.store import read_json
from pipeline.config import Params

Number = float | int


@dataclass(frozen=True)
class Measured:
    """Figures of one model on the common benchmark."""

    robustness: dict[str, Any]
    """As `audits.robustness.forms.metrics` has them, a set in the place of a finding."""
    found_with_it: float | None
    """Mean spurious AUC of BASE on the sets that this audit found, alone or with others; None
    where there is none."""
    found_with_others: float | None
    """The same on the sets that only others found."""
    left_out: frozenset[str]
    """Sets that cannot be measured, those of the dataset's own among them."""
    images: int
    """Images scored."""

    @property
    def forms(self) -> dict[str, dict[str, Number]]:
        """Prompt form → figures over all sets of findings; empty where none was measured."""
        return forms(self.robustness)

    def figures(self, mode: str) -> dict[str, dict[str, Number]]:
        """Prompt form → figures over the sets of a mode, or of ALL; empty where none was
        measured."""
        return self.forms if mode == ALL else dict(self.robustness["by_mode"].get(mode, {}))

    def gain(self, form: str, mode: str) -> dict[str, Number] | None:
        """Paired gain of a form over BASE; None where there is no such set."""
        found = self.robustness["differences"].get(form, {}).get(mode)
        return None if found is None else dict(found)


def forms(figures: dict[str, Any]) -> dict[str, dict[str, Number]]:
    """Those of the figures of section robustness that are of a prompt form, over all findings."""
    return {
        form: found
        for form, found in figures.items()
        if isinstance(found, dict) and "spurious_auc" in found
    }


def measure_all(
    params: Params, dataset: str, audits: Sequence[str]
) -> tuple[list[CommonSet], dict[str, Measured]]:
    """The common benchmark of some audits of one version of a dataset, and each one on it.

    The benchmark comes without the sets that cannot be measured.

    Where settings differ between audits, the largest `failures.overlap` and
    `robustness.min_images` hold for all. One audit is in memory at a time.

    Raises:
        FileNotFoundError: something of an audit's data is missing.
        ValueError: an audit lacks an image or a class of the benchmark, or embeddings are of
            different numbers of images.
    """
    configs = [params.audit(name) for name in audits]
    min_images = max(config.robustness.min_images for config in configs)
    try:
        sets = common_sets(read_sets(audits), max(config.failures.overlap for config in configs))
        measured = {
            name: _measure_audit(params, dataset, name, sets, min_images) for name in audits
        }
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}; all models of {dataset} are measured anew from data/: run `dvc pull` in a "
            f"clone, or `dvc repro publish@<audit>` for each of {', '.join(audits)}"
        ) from error
    counts = {name: found.images for name, found in measured.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(
            f"audits of {dataset} have embeddings of different images ({counts} of the benchmark): "
            "run `dvc repro`"
        )
    # Whether a set can be measured depends on its images and their classes, not on a model.
    left_out = measured[audits[0]].left_out
    return [found for found in sets if found.name not in left_out], measured


def _measure_audit(
    params: Params,
    dataset: str,
    audit: str,
    sets: Sequence[CommonSet],
    min_images: int,
) -> Measured:
    inputs = load_inputs(params, audit)
    own = read_ready_made(
        layout.manifest(dataset), inputs.images["image_id"], inputs.classes["label"]
    )
    folder = layout.audit(audit, "robustness")
    without = "robustness.linear" in read_json(folder / "metrics.json").get(gaps.KEY, {})
    classifier = None if without else linear.read(folder / CLASSIFIER)
    return measure(audit, inputs, classifier, sets, own, min_images)


def placed(sets: Sequence[CommonSet], inputs: Inputs, audit: str) -> list[Distractors]:
    """The sets as rows and classes of one audit's inputs.

    Raises:
        ValueError: it lacks an image or a class.
    """
    images, classes = pd.Index(inputs.images["image_id"]), pd.Index(inputs.classes["label"])
    found = []
    for one in sets:
        rows = images.get_indexer(list(one.image_ids))
        if (rows < 0).any():
            missing = f"image {one.image_ids[int(np.argmin(rows))]}"
        elif one.label not in classes:
            missing = f"class {one.label}"
        else:
            position = int(classes.get_loc(one.label))
            found.append(Distractors(one.name, one.mode, position, np.sort(rows)))
            continue
        raise ValueError(
            f"{audit} lacks {missing} of the distractors {one.name}: "
            f"run `dvc repro publish@{audit}`"
        )
    return found


def measure(
    audit: str,
    inputs: Inputs,
    classifier: LinearClassifier | None,
    sets: Sequence[CommonSet],
    own: Sequence[Distractors],
    min_images: int,
) -> Measured:
    """One model on the common sets and on the distractors of the dataset's own.

    Args:
        audit: its name, by which sets know who found them.
        inputs: its artifacts.
        classifier: its linear classifier, None where it has none.
        sets: the common benchmark.
        own: sets that the dataset brings.
        min_images: that a set needs.

    Raises:
        ValueError: as `placed` does.
    """
    distractors = [*placed(sets, inputs, audit), *own]
    rows, classes = measured_rows(inputs, distractors)
    scores = form_scores(inputs, torch.from_numpy(rows), classifier)
    table, left_out = robustness(distractors, scores, rows, classes, min_images)
    base = table[(table["form"] == BASE) & (table["mode"] != READY_MADE)]
    itself = base["finding_id"].isin({one.name for one in sets if audit in one.audits})
    return Measured(
        robustness=metrics(table),
        found_with_it=_mean(base["spurious_auc"][itself]),
        found_with_others=_mean(base["spurious_auc"][~itself]),
        left_out=frozenset(left_out["finding_id"]),
        images=len(rows),
    )


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if len(values) else None
