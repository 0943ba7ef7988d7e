"""Audit `faithfulness`: do relevances say what removing a component does? (paper, Sec. 5.1, B.2)"""

import pandas as pd

from audits.faithfulness.curves import CURVES, STEPS, measure
from audits.inputs import load_inputs
from pipeline import layout
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import write_table


def main() -> None:
    """Measure how faithful each attribution method is on an audit's validation images."""
    name, params = begin(__doc__)
    config, inputs, gaps = params.audit(name).faithfulness, load_inputs(params, name), Gaps()
    found = gaps.measured("faithfulness", lambda: measure(inputs, config, params.seed, gaps))
    metrics, tables = found or (None, dict.fromkeys(CURVES, pd.DataFrame(columns=STEPS)))
    folder = layout.audit(name, "faithfulness")
    for error, path in CURVES.items():
        write_table(folder / path, tables[error])
    gaps.write_metrics(folder / "metrics.json", {"faithfulness": metrics})


if __name__ == "__main__":
    main()
