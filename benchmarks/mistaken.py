"""Whether findings are mistakes that a model makes, on images that no finding was made of.

    python -m benchmarks.mistaken --audit NAME      # in a workflow where NAME was audited

A finding says that images of other classes come close to a class where a component fires. Held-out
images have no part in finding it. Of those of other classes on which the component is as strong as
on most of the finding's own images, the table has how many the model takes for the class by its
short name, beside how many of the rest, with Fisher's exact test; and how many are still taken for
it with the component switched off, beside another one of each image that is as strong there. No
truth is read, so that a finding of no plant is judged as any other.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Int
from scipy.stats import fisher_exact
from torch import Tensor

from audits.inputs import Inputs, load_inputs
from audits.robustness.forms import component_activation, labelled
from pipeline import layout
from pipeline.artifacts.store import read_json, read_table
from pipeline.attribution.head import cosine_outputs
from pipeline.attribution.relevance import blocks
from pipeline.config import load_params

BLOCK = 8192
STRONG = 0.25
"""Quantile of the activations on a finding's own images from which a held-out image counts."""


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


def mistaken(
    inputs: Inputs, findings: pd.DataFrame, images: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """A row a finding: finding_id, strong (images), taken, taken_of_rest, p, off, other_off.

    Args:
        inputs: the audit's artifacts.
        findings: finding_id, class and component.
        images: finding → ids of its images.
    """
    place = pd.Series(range(len(inputs.images)), index=inputs.images["image_id"])
    labels = inputs.classes["label"].tolist()
    held_out = labelled(inputs, "val")
    parts = blocks(len(inputs.images), BLOCK)
    found = torch.cat([taken_for(inputs, inputs.tokens(rows)) for rows in parts])
    return pd.DataFrame(
        [
            {"finding_id": row["finding_id"]}
            | _row(
                inputs,
                held_out & (inputs.class_index != labels.index(row["class"])),
                found == labels.index(row["class"]),
                int(row["component"]),
                torch.tensor(place[list(images[row["finding_id"]])].to_numpy()),
            )
            for row in findings.to_dict("records")
        ]
    )


def _row(
    inputs: Inputs,
    others: Bool[Tensor, " n"],
    taken: Bool[Tensor, " n"],
    component: int,
    own: Int[Tensor, " s"],
) -> dict[str, Any]:
    activation = torch.from_numpy(component_activation(inputs, component))
    least = torch.quantile(activation[own].float(), STRONG)
    strong = others & (activation >= least) & (activation > 0)
    rest = others & ~strong
    counts = [[int((side & taken).sum()), int((side & ~taken).sum())] for side in (strong, rest)]
    rows = torch.nonzero(strong & taken).flatten()
    asked = int(strong.sum())
    label = taken_for(inputs, inputs.tokens(rows))
    kept = {
        name: int((switched_off(inputs, rows, component, other) == label).sum()) / max(1, asked)
        for name, other in (("off", False), ("other_off", True))
    }
    shares = [hits / max(1, hits + misses) for hits, misses in counts]
    p = float(fisher_exact(counts, alternative="greater").pvalue)
    return {"strong": asked, "taken": shares[0], "taken_of_rest": shares[1], "p": p, **kept}


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--audit", required=True)
    name = parser.parse_args().audit
    folder = layout.audit(name, "review")
    findings = read_table(folder / "findings.csv")
    images = {key: found["images"] for key, found in read_json(folder / "evidence.json").items()}
    table = findings[["finding_id", "class", "component_label", "confirmed"]].merge(
        mistaken(load_inputs(load_params(), name), findings, images), on="finding_id"
    )
    print(table.round(4).to_string(index=False))


if __name__ == "__main__":
    main()
