"""Audit `shortcut`: what a linear classifier on image embeddings leans on (paper, Sec. 5.4, E).

Which components it may take for a shortcut, whether it does so under shifts, and what helps.
"""

import pandas as pd
from threadpoolctl import threadpool_limits

from audits.inputs import load_inputs
from audits.shortcut.acquisition import read_acquisition
from audits.shortcut.audit import Results, audit_shortcut
from audits.shortcut.candidates import check_kinds
from audits.shortcut.columns import COLUMNS
from audits.shortcut.images import parts, read_shifted, read_shifts
from pipeline import layout
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_table, write_table
from pipeline.config import Params, ShortcutConfig
from pipeline.sae import files


def main() -> None:
    """Train linear classifiers on an audit's embeddings and find what they lean on."""
    name, params = begin(__doc__)
    config, gaps = params.audit(name).shortcut, Gaps()
    found = None
    if config is not None:
        asked = config
        found = gaps.measured("shortcut", lambda: measure(params, name, asked, gaps))
    folder = layout.audit(name, "shortcut")
    for table, columns in COLUMNS.items():
        rows = pd.DataFrame() if found is None else found.tables[table]
        write_table(folder / f"{table}.csv", rows.reindex(columns=columns))
    gaps.write_metrics(
        folder / "metrics.json", {"shortcut": None if found is None else found.metrics}
    )


def measure(params: Params, name: str, config: ShortcutConfig, gaps: Gaps) -> Results:
    """`audit_shortcut` on an audit's artifacts."""
    audit, inputs = params.audit(name), load_inputs(params, name)
    train, held_out = parts(inputs, config)
    folder = layout.perturbed(name)
    shifts, masks = read_shifts(folder), config.mask is not None
    ids = inputs.images["image_id"].to_numpy()
    shifted = [
        read_shifted(folder, shifts, masks, ids[part.rows], part, inputs.head)
        for part in (train, held_out)
    ]
    acquisition = pd.DataFrame(index=range(len(ids)))
    if config.acquisition is not None:
        root = params.dataset(audit.dataset).root
        acquisition = read_acquisition(root, config.acquisition, ids, inputs.split("train").numpy())
    # Products are small: threads of linear algebra wait for one another longer than they work.
    with threadpool_limits(1):
        results = audit_shortcut(
            inputs,
            files.load(layout.sae(name)),
            read_table(layout.labels(name)),
            read_table(layout.audit(name, "review") / "findings.csv"),
            acquisition,
            train,
            held_out,
            (shifted[0], shifted[1]),
            shifts,
            config,
            params.seed,
            gaps,
        )
    vocabulary = read_table(
        layout.concepts_embeddings(audit.dataset) / "vocabulary.parquet", ["term", "kind"]
    )
    table = results.tables["components"]
    gaps.measured("shortcut.suspect", lambda: check_kinds(table, vocabulary[vocabulary.term != ""]))
    return results


if __name__ == "__main__":
    main()
