"""Stage `failures`: components on which a class's prompt depends more than it should.

For each class, images of other classes that come close to it are candidates; components are tested
on them against chance and against the class's own images (paper, Sec. 4.2b and App. D;
`audits.failures.flags`). Flags
are held to a false discovery rate, gathered into findings and tested on images not used to find
them (`audits.failures.findings`).
"""

import numpy as np
import pandas as pd
import torch

from audits.failures.closeness import come_close
from audits.failures.compounds import compounds_of
from audits.failures.findings import Suggest, confirmations, gather, report_findings, taken_by
from audits.failures.flags import ByChance, Search, find_flags
from audits.failures.lexicon import Lexicon
from audits.failures.mode_evidence import Probe, TrainImages, firing_rates, kinds_of, mode_evidence
from audits.failures.modes import Mode, suggest_mode
from audits.failures.strikes import prepare
from audits.inputs import Inputs, load_inputs
from pipeline import layout
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_table, write_json, write_table
from pipeline.attribution.relevance import blocks

BLOCK_ROWS = 8192
"""Images held in single precision at once."""
NAMED = 5
"""Classes that a reason names."""


def along(inputs: Inputs, direction: np.ndarray) -> np.ndarray:
    """x · direction of every image [n]."""
    w = torch.tensor(direction).float()
    # One tensor for all: small ones of each block, kept between large ones, cut up the heap.
    found = torch.empty(len(inputs.x))
    for rows in blocks(len(inputs.x), BLOCK_ROWS):
        found[rows] = inputs.tokens(rows) @ w
    return found.numpy()


def suggester(
    inputs: Inputs,
    table: pd.DataFrame,
    classes: pd.DataFrame,
    probe: Probe,
    kinds: dict[str, str],
    lexicon: Lexicon,
) -> Suggest:
    """What suggests the mode of a finding on train images, see `audits.failures.modes`.

    Args:
        inputs: the audit's artifacts.
        table: the reference's components, at least those of the findings.
        classes: the reference's classes.
        probe: the audit's.
        kinds: term of the vocabulary → its kind.
        lexicon: senses of nouns.
    """
    train = inputs.split("train").numpy()
    place = train.cumsum() - 1
    names = dict(zip(inputs.classes["label"], inputs.classes["name"], strict=True))
    images = TrainImages(
        inputs.images["label"][train].reset_index(drop=True),
        along(inputs, probe.direction)[train],
    )

    def suggest(label: str, component: int, component_label: object, rows: np.ndarray) -> Mode:
        rates = firing_rates(component, label, table, classes)
        about = (label, component, component_label, place[rows])
        return suggest_mode(mode_evidence(*about, images, names, kinds, rates, probe), lexicon)

    return suggest


def check_classes(inputs: Inputs, classes: pd.DataFrame) -> None:
    """Make sure that the reference has some classes, and all of them.

    Raises:
        DoesNotApply: it has some only.
    """
    missing = sorted(set(inputs.classes["label"]) - set(classes["class"]))
    if missing and len(classes):
        raise DoesNotApply(
            f"{len(missing)} of {len(inputs.classes)} classes ({_shown(missing)}) lack 2 train "
            "images on which a component is relevant"
        )


def check_known(inputs: Inputs, unknown: list[str], share: float) -> None:
    """Make sure that every class was searched.

    Args:
        inputs: the audit's artifacts.
        unknown: labels of those whose names the model does not know.
        share: `failures.class_share`.

    Raises:
        DoesNotApply: some were not.
    """
    if unknown:
        raise DoesNotApply(
            f"the model does not know the names of {len(unknown)} of {len(inputs.classes)} classes "
            f"({_shown(unknown)}): more than half of the other classes come close to each, with "
            f"over {share:.0%} of their images"
        )


def _shown(labels: list[str]) -> str:
    return ", ".join(labels[:NAMED]) + (", …" if len(labels) > NAMED else "")


def check_fresh(inputs: Inputs) -> None:
    """Make sure that there are images to confirm findings on.

    Raises:
        DoesNotApply: there are none.
    """
    if not bool((inputs.split("val") & (inputs.class_index >= 0)).any()):
        raise DoesNotApply("there is no validation image with a label to confirm findings on")


def main() -> None:
    """Find an audit's failure modes."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    config = audit.failures
    inputs = load_inputs(params, name)
    table, classes = (
        read_table(layout.reference(name) / file)
        for file in ("reference.parquet", "classes.parquet")
    )
    gaps = Gaps()
    lexicon = Lexicon.read(audit.modes.wordnet)
    compounds = compounds_of(inputs.classes["short"].tolist(), lexicon)
    tests = prepare(inputs, "train", compounds, config)
    flags, by_chance, unknown = gaps.measured(
        "failures", lambda: find_flags(inputs, table, classes, tests, config, params.seed)
    ) or Search([], ByChance(None, None), [])
    gaps.measured("failures.classes", lambda: check_classes(inputs, classes))
    gaps.measured("failures.unknown", lambda: check_known(inputs, unknown, config.class_share))
    if flags:
        gaps.measured("failures.confirmed", lambda: check_fresh(inputs))
    groups = gather(flags, config.overlap)
    vocabulary = read_table(
        layout.concepts_embeddings(audit.dataset) / "vocabulary.parquet", ["term", "kind"]
    )
    stability = read_table(layout.audit(name, "stability") / "components.parquet")
    findings, evidence = report_findings(
        inputs,
        groups,
        confirmations(inputs, flags, table, classes, compounds, config),
        read_table(layout.labels(name)),
        dict(stability[["component", "stability"]].itertuples(index=False)),
        suggester(
            inputs,
            table[table["component"].isin({group[0].component for group in groups})],
            classes,
            Probe.read(layout.audit(name, "probe")),
            kinds_of(vocabulary),
            lexicon,
        ),
        tests.close,
        config,
    )
    folder = layout.audit(name, "failures")
    write_table(folder / "findings.csv", findings)
    write_json(folder / "evidence.json", evidence)
    write_table(folder / "close.parquet", come_close(inputs, tests.close))
    metrics = {
        "flags": len(flags),
        "findings": len(findings),
        "held": int(findings["held"].sum()),
        "mistaken": sum(map(len, tests.close.taken)),
        "mistaken_found": taken_by(tests.close, groups),
        "expected_false_flags": by_chance.permuted,
        "expected_false_flags_analytic": by_chance.analytic,
    }
    gaps.write_metrics(folder / "metrics.json", {"failures": metrics})


if __name__ == "__main__":
    main()
