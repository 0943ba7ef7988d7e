"""Stage `validate`: the audit's findings against the planted truth of a sample dataset.

The only stage that reads `truth.csv`. A dataset without that file leaves an empty result.
"""

import pandas as pd

from audits.inputs import load_inputs
from audits.validate.truth import PLANT_COLUMNS, check_findings, metrics, plants, read_truth
from pipeline import layout
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_json, read_table, write_json, write_table


def main() -> None:
    """Measure how much of what was planted an audit found."""
    name, params = begin(__doc__)
    folder = layout.audit(name, "validate")
    truth = read_truth(params.dataset(params.audit(name).dataset).root)
    if truth.empty:
        write_table(folder / "plants.csv", pd.DataFrame(columns=PLANT_COLUMNS))
        write_json(folder / "metrics.json", {})
        return
    inputs = load_inputs(params, name)
    evidence = read_json(layout.audit(name, "review") / "evidence.json")
    findings = read_table(layout.audit(name, "review") / "findings.csv")
    right = check_findings(
        findings,
        {finding_id: found["images"] for finding_id, found in evidence.items()},
        truth,
    )
    shortcuts = read_table(layout.audit(name, "shortcut") / "components.csv")
    gaps = Gaps()
    table = plants(inputs, truth, right, shortcuts, gaps)
    write_table(folder / "plants.csv", table)
    modes = dict(zip(findings["finding_id"], findings["mode"], strict=True))
    gaps.write_metrics(folder / "metrics.json", metrics(table, right, modes))


if __name__ == "__main__":
    main()
