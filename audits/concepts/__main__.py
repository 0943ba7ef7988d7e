"""Audit `concepts`: components that no term of the vocabulary describes, and what all are like."""

import pandas as pd
import torch

from audits.concepts.classes import Coded, tell_classes
from audits.concepts.components import about_components
from audits.concepts.hidden import (
    BLOCK,
    STRONGEST,
    bases,
    check_named,
    hidden_concepts,
    numbered,
    summarise,
    unique_labels,
)
from audits.concepts.names import summarise_names
from audits.inputs import Inputs, load_inputs
from pipeline import layout
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_table, write_table
from pipeline.attribution.relevance import blocks
from pipeline.labels.label import read_labeler_embeddings, read_vocabulary_embeddings
from pipeline.labels.tops import top_images
from pipeline.sae.halves import half


def told_classes(inputs: Inputs, seed: int) -> pd.DataFrame:
    """`tell_classes` by half of the train images, measured on the other; none without halves."""
    try:
        halves = [torch.from_numpy(half(inputs.images, seed, number)) for number in (1, 2)]
    except DoesNotApply:
        halves = [torch.zeros(len(inputs.images), dtype=torch.bool)] * 2
    chosen, measured = (Coded(inputs.codes, mask, inputs.class_index) for mask in halves)
    return tell_classes(chosen, measured, len(inputs.atoms), inputs.classes["label"])


def main() -> None:
    """Find an audit's hidden concepts and compare the SAE's terms with other bases'."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    inputs = load_inputs(params, name)
    train = inputs.split("train")
    labels = read_table(layout.labels(name))
    labeler = layout.concepts_embeddings(audit.dataset)
    vocabulary = read_vocabulary_embeddings(labeler / "vocabulary.parquet")
    gaps = Gaps()
    needed = audit.label.top_images
    gaps.measured("concepts", lambda: check_named(labels, needed, int(train.sum())))
    rows_of = gaps.measured("concepts.bases", lambda: bases(inputs.x, train, needed)) or {}
    ids = inputs.images["image_id"].to_numpy()
    unique = {
        basis: unique_labels(rows, read_labeler_embeddings(labeler, ids[shown]), vocabulary)
        for basis, (rows, shown) in ((basis, numbered(rows)) for basis, rows in rows_of.items())
    }
    count = min(STRONGEST, needed)
    parts = ((inputs.coded(rows), train[rows]) for rows in blocks(len(train), BLOCK))
    strongest = top_images(parts, audit.sae.components, count).activation
    hidden = hidden_concepts(labels, audit.concepts)
    metrics = summarise(labels, hidden, strongest.mean(dim=1).numpy(), unique, gaps)
    metrics["names"] = summarise_names(labels, gaps)
    folder = layout.audit(name, "concepts")
    write_table(folder / "hidden.csv", hidden)
    about = about_components(inputs.codes, train, inputs.atoms)
    write_table(folder / "components.parquet", about.join(told_classes(inputs, params.seed)))
    gaps.write_metrics(folder / "metrics.json", {"concepts": metrics})


if __name__ == "__main__":
    main()
