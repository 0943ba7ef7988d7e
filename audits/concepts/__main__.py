"""Audit `concepts`: components that no term of the vocabulary describes, and what all are like."""

import pandas as pd

from audits.concepts.bases import bases, judged, numbered
from audits.concepts.hidden import hidden_concepts, most_relevant, thresholds
from audits.concepts.names import summarise_names
from audits.concepts.summary import check_named, named_limits, summarise
from audits.concepts.table import table_of_components
from audits.inputs import Inputs, load_inputs
from pipeline import layout
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_table, write_table
from pipeline.labels.label import (
    Vocabulary,
    read_labeler_embeddings,
    read_vocabulary_embeddings,
)


def main() -> None:
    """Find an audit's hidden concepts, and measure how interpretable components are."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    inputs = load_inputs(params, name)
    labels = read_table(layout.labels(name)).sort_values("component", ignore_index=True)
    reference = read_table(
        layout.reference(name) / "reference.parquet", ["class", "component", "mean"]
    )
    vocabulary = read_vocabulary_embeddings(
        layout.concepts_embeddings(audit.dataset) / "vocabulary.parquet"
    )
    gaps = Gaps()
    needed, train = audit.label.top_images, inputs.split("train")
    gaps.measured("concepts", lambda: check_named(labels, needed, int(train.sum())))
    directions = read_table(layout.audit(name, "probe") / "direction.parquet", ["on_pictures"])
    direction = directions["on_pictures"].to_numpy()
    components = table_of_components(inputs, audit.dataset, labels, direction, params.seed)
    named = labels.join(most_relevant(reference, audit.concepts.classes), on="component")
    named = named[named["label"].notna()]
    limits = None
    if len(named):
        limits = gaps.measured("concepts.hidden", lambda: thresholds(named, audit.concepts))
    hidden = hidden_concepts(named, audit.concepts, limits)
    others = gaps.measured(
        "concepts.bases", lambda: other_bases(inputs, audit.dataset, needed, vocabulary)
    )
    metrics = summarise(
        labels.merge(components, on="component", suffixes=("", "_bins")),
        hidden,
        named_limits(limits, audit.concepts.by) if limits else None,
        others or {},
        audit.probe.answer,
        gaps,
    )
    metrics["names"] = summarise_names(labels, gaps)
    folder = layout.audit(name, "concepts")
    write_table(folder / "hidden.csv", hidden)
    write_table(folder / "components.parquet", components)
    empty = pd.DataFrame({"basis": [], "label": [], "clarity": []})
    tables = [table.assign(basis=basis) for basis, table in (others or {}).items()]
    write_table(folder / "bases.parquet", pd.concat([*tables]) if tables else empty)
    gaps.write_metrics(folder / "metrics.json", {"concepts": metrics})


def other_bases(
    inputs: Inputs, dataset: str, count: int, vocabulary: Vocabulary
) -> dict[str, pd.DataFrame]:
    """Labels and clarity of principal axes and neurons, see `bases` and `judged`."""
    folder, ids = layout.concepts_embeddings(dataset), inputs.images["image_id"].to_numpy()
    found = {}
    for basis, rows in bases(inputs.x, inputs.split("train"), count).items():
        places, shown = numbered(rows)
        found[basis] = judged(places, read_labeler_embeddings(folder, ids[shown]), vocabulary)
    return found


if __name__ == "__main__":
    main()
