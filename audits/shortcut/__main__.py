"""Audit `shortcut`: what a linear classifier on image embeddings leans on (paper, Sec. 5.4, E)."""

import pandas as pd

from audits.shortcut.classifiers import measure
from audits.shortcut.suspects import COLUMNS
from pipeline import layout
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import write_table


def main() -> None:
    """Train a linear classifier on an audit's embeddings and find what it leans on."""
    name, params = begin(__doc__)
    config, gaps = params.audit(name).shortcut, Gaps()
    found = None
    if config is not None:
        asked = config
        found = gaps.measured("shortcut", lambda: measure(params, name, asked, gaps))
    metrics, table = found or (None, pd.DataFrame(columns=COLUMNS))
    folder = layout.audit(name, "shortcut")
    write_table(folder / "components.csv", table)
    gaps.write_metrics(folder / "metrics.json", {"shortcut": metrics})


if __name__ == "__main__":
    main()
