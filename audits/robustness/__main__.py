"""Stage `robustness`: how well a class is told from its distractors, by prompt form.

For each finding that nobody rejected the validation images of other classes on which its component
fires strongly are its distractors; a dataset may bring distractor sets of its own (Spurious
ImageNet). Spurious AUC is the AUROC of the class's own validation images against them, valid AUC
against all other images but these (paper, Sec. 5.3).
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from audits.inputs import load_inputs
from audits.robustness import linear
from audits.robustness.distractors import read_ready_made, sets_table
from audits.robustness.forms import (
    CLASSIFIER,
    SETS,
    accuracy,
    fit_linear,
    form_scores,
    measured_rows,
    metrics,
    own_sets,
    robustness,
)
from pipeline import layout
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_json, read_table, write_table


def main() -> None:
    """Measure an audit's robustness against the distractors of its findings."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    config = audit.robustness
    review = layout.audit(name, "review")
    findings = read_table(review / "findings.csv")
    evidence = read_json(review / "evidence.json")
    inputs = load_inputs(params, name)
    names = (inputs.images["image_id"], inputs.classes["label"])
    own = own_sets(inputs, findings, evidence)
    sets = own + read_ready_made(layout.manifest(audit.dataset), *names)
    rows, classes = measured_rows(inputs, sets)
    gaps = Gaps()
    classifier = gaps.measured("robustness.linear", lambda: fit_linear(inputs, config, params.seed))
    known = classes >= 0
    accuracies: dict[str, float | None] = {}

    def scores() -> Iterator[tuple[str, np.ndarray]]:
        for form, values in form_scores(inputs, torch.from_numpy(rows), classifier):
            right = partial(accuracy, values[known], classes[known])
            accuracies[form] = gaps.measured("accuracy", right)
            yield form, values

    table, left_out = robustness(sets, scores(), rows, classes, config.min_images)
    found = metrics(table)
    found["left_out"] = len(left_out)
    folder = layout.audit(name, "robustness")
    if classifier is None:
        (folder / CLASSIFIER).unlink(missing_ok=True)
    else:
        linear.save(folder / CLASSIFIER, classifier)
        found["classifier"] = {
            "c": classifier.c,
            "images": classifier.images,
            "converged": classifier.steps < linear.STEPS,
        }
    write_table(folder / "findings.csv", table)
    write_table(folder / "left_out.csv", left_out)
    write_table(folder / SETS, sets_table(own, *names, config.min_images))
    gaps.write_metrics(folder / "metrics.json", {"robustness": found, "accuracy": accuracies})


if __name__ == "__main__":
    main()
