"""Whether findings are mistakes that a model makes, on images that no finding was made of.

    python -m benchmarks.mistaken --audit NAME      # in a workflow where NAME was audited

A finding's distractors are validation images of other classes on which its component is as strong
as on its own (stage `robustness`), which had no part in finding it. The table has which share of
them the model takes for the class by its short name, beside that of all others, with Fisher's exact
test; and which share is still taken for it with the component switched off, beside another one of
each image that is as strong there. No truth is read, so that a finding of no plant is judged as any
other. How often as small a p-value comes by chance is told by random pairs of a class and a
component, the component strong where it is in its upper quartile on train images of other classes.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from scipy.stats import fisher_exact
from torch import Tensor

from audits.inputs import Inputs, load_inputs
from audits.robustness.distractors import Distractors
from audits.robustness.forms import component_activation, labelled, measured_rows, own_sets
from pipeline import layout
from pipeline.artifacts.store import read_json, read_table
from pipeline.attribution.head import cosine_outputs
from pipeline.attribution.relevance import blocks
from pipeline.config import load_params

BLOCK = 8192
COMPONENTS = 100
"""Of random pairs, each with every class."""


def taken_for(inputs: Inputs, x: Tensor) -> Int[Tensor, " n"]:
    """Class whose short name scores highest, for tokens [n, d]."""
    return cosine_outputs(x, inputs.texts["short"], inputs.head).argmax(dim=1)


def switched_off(
    inputs: Inputs, rows: Int[Tensor, " n"], component: int, other: bool
) -> Int[Tensor, " n"]:
    """Class for which images are taken without a component, or, with `other`, without the one of
    each image whose activation is nearest to the component's."""
    codes = inputs.coded(rows)
    own = codes.component == component
    strength = (codes.activation * own).sum(dim=1, keepdim=True)
    slot = own.float().argmax(dim=1)
    if other:
        away = (codes.activation - strength).abs()
        slot = away.masked_fill(own | (codes.activation <= 0), float("inf")).argmin(dim=1)
    at = torch.arange(len(rows)), slot
    part = codes.activation[at][:, None] * inputs.atoms[codes.component[at].long()]
    return taken_for(inputs, inputs.tokens(rows) - part)


def of_rows(inputs: Inputs, rows: np.ndarray) -> np.ndarray:
    """Class for which each of some images [v] is taken."""
    parts = blocks(len(rows), BLOCK)
    found = [taken_for(inputs, inputs.tokens(torch.from_numpy(rows[part]))) for part in parts]
    return torch.cat(found).numpy()


def by_chance(inputs: Inputs, findings: pd.DataFrame, least: int) -> np.ndarray:
    """p-values of pairs of a class and a component that no finding is of.

    Args:
        inputs: the audit's artifacts.
        findings: of the stage `review`.
        least: validation images on which a component has to be strong.
    """
    rng = np.random.default_rng(0)
    classes, labels = inputs.class_index.numpy(), inputs.classes["label"].tolist()
    train, val = (labelled(inputs, split).numpy() for split in ("train", "val"))
    taken = np.full(len(classes), -1)
    taken[val] = of_rows(inputs, np.flatnonzero(val))
    known = set(findings[["class", "component"]].itertuples(index=False, name=None))
    found = []
    for component in rng.permutation(len(inputs.atoms))[:COMPONENTS]:
        activation = component_activation(inputs, int(component))
        for position, label in enumerate(labels):
            active = activation[train & (classes != position) & (activation > 0)]
            others = val & (classes != position)
            strong = others & (activation >= (np.quantile(active, 0.75) if len(active) else np.inf))
            if (label, component) not in known and strong.sum() >= least:
                found.append(tested(strong, others & ~strong, taken == position)[1])
    return np.array(found)


def tested(strong: np.ndarray, others: np.ndarray, hits: np.ndarray) -> tuple[list[float], float]:
    """Shares of both that are hits, and how probable the first is by chance (Fisher)."""
    counts = [[int((side & hits).sum()), int((side & ~hits).sum())] for side in (strong, others)]
    shares = [hit / max(1, hit + miss) for hit, miss in counts]
    return shares, float(fisher_exact(counts, alternative="greater").pvalue)


def mistaken(
    inputs: Inputs, findings: pd.DataFrame, evidence: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """A row a finding: finding_id, distractors, taken, others_taken, p, off, other_off.

    Args:
        inputs: the audit's artifacts.
        findings: of the stage `review`.
        evidence: likewise.
    """
    sets = own_sets(inputs, findings, evidence)
    rows, classes = measured_rows(inputs, sets)
    taken = of_rows(inputs, rows)
    components = dict(zip(findings["finding_id"], findings["component"], strict=True))
    return pd.DataFrame(
        [
            {"finding_id": one.finding_id}
            | _row(inputs, one, int(components[one.finding_id]), rows, taken, classes)
            for one in sets
        ]
    )


def _row(
    inputs: Inputs,
    of: Distractors,
    component: int,
    rows: np.ndarray,
    taken: np.ndarray,
    classes: np.ndarray,
) -> dict[str, Any]:
    strong = np.isin(rows, of.rows)
    others = ~strong & (classes != of.position)
    hits = taken == of.position
    shares, p = tested(strong, others, hits)
    asked = torch.from_numpy(rows[strong & hits])
    kept = {
        name: float((switched_off(inputs, asked, component, other) == of.position).sum())
        / max(1, len(of.rows))
        for name, other in (("off", False), ("other_off", True))
    }
    found = {"distractors": len(of.rows), "taken": shares[0], "others_taken": shares[1], "p": p}
    return found | kept


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--audit", required=True)
    name = parser.parse_args().audit
    folder = layout.audit(name, "review")
    findings = read_table(folder / "findings.csv")
    evidence = read_json(folder / "evidence.json")
    params = load_params()
    inputs = load_inputs(params, name)
    table = findings[["finding_id", "class", "component_label", "confirmed"]].merge(
        mistaken(inputs, findings, evidence), on="finding_id"
    )
    print(table.to_string(index=False, float_format=lambda value: f"{value:.2g}"))
    chance = by_chance(inputs, findings, params.audit(name).robustness.min_images)
    shares = ", ".join(f"{(chance <= p).mean():.1%} at most {p:g}" for p in (0.05, 0.01, 0.001))
    print(f"p-values of {len(chance)} random pairs of a class and a component: {shares}")


if __name__ == "__main__":
    main()
