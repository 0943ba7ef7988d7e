"""Stage `review`: findings with the verdicts of persons, and the ids that they had before.

A verdict is a line of `reviews/<audit>.csv`. It belongs to a finding, not to a component of one
SAE: the findings that were reviewed and the components that there were then are pinned in
`reviews/<audit>/`, and what is found now takes their ids where it is the same.
"""

import sys

from audits.review.component_files import PRESENT, read_pinned, write_components
from audits.review.components import carry_components, component_table
from audits.review.identity import carry
from audits.review.reviewed import by_component_id, found_now, review, with_recurrence
from audits.review.verdict_files import (
    PINNED_FINDINGS,
    read_pins,
    read_verdicts,
    write_pins,
)
from pipeline import layout
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_json, read_table, write_json, write_table
from pipeline.sae import files


def main() -> None:
    """Carry ids over and apply verdicts."""
    name, params = begin(__doc__)
    config = params.audit(name).review
    atoms = files.load(layout.sae(name)).atoms.numpy()
    known_again = carry_components(read_pinned(layout.reviewed(name)), atoms, config.cosine)
    folder = layout.audit(name, "failures")
    again = read_table(layout.audit(name, "recurrence") / "findings.csv")
    findings, evidence = by_component_id(
        with_recurrence(read_table(folder / "findings.csv"), again),
        read_json(folder / "evidence.json"),
        known_again.components.ids,
    )
    pins = read_pins(layout.reviewed(name) / PINNED_FINDINGS)
    found = found_now(findings, evidence, atoms)
    carried = carry(pins, found, config.cosine, config.images)
    pinned = {pin.finding_id for pin in pins}
    known = pinned | {one.finding_id for one in carried}
    verdicts = read_verdicts(layout.reviews(name), known)
    if loose := sorted(set(verdicts) - pinned):
        print(
            f"{layout.reviews(name)}: {len(loose)} verdicts ({', '.join(loose[:3])}, …) would be "
            f"lost if the SAE were trained anew; `audit review {name} --pin` "
            "keeps them",
            file=sys.stderr,
        )
    result = review(findings, evidence, found, carried, pins, verdicts, config.images)
    folder = layout.audit(name, "review")
    write_table(folder / "findings.csv", result.findings)
    write_json(folder / "evidence.json", result.evidence)
    write_table(folder / "gone.csv", result.gone)
    write_pins(folder / "present.parquet", result.present)
    write_table(folder / "components.parquet", component_table(known_again))
    write_components(folder / PRESENT, known_again.components)
    metrics = {"failures": result.metrics}
    if known_again.carried_over is not None:
        metrics["stability"] = {"components_carried_over": known_again.carried_over}
    write_json(folder / "metrics.json", metrics)


if __name__ == "__main__":
    main()
