"""Stage: `python -m audits.compare --dataset NAME` writes `reports/NAME.html` and `NAME.csv`."""

import argparse

from audits.compare.page import render
from audits.compare.sources import audits_of, headline_table, read_audited
from pipeline import layout
from pipeline.config import load_params
from pipeline.store import atomic, write_table


def main() -> None:
    """Compare the audits of one dataset that have a report."""
    parser = argparse.ArgumentParser(
        prog="python -m audits.compare",
        description="Write reports/NAME.html and reports/NAME.csv, which put the audits of one "
        "dataset side by side, from their reports.",
    )
    parser.add_argument("--dataset", required=True, metavar="NAME", help="a dataset of params.yaml")
    dataset = parser.parse_args().dataset
    params = load_params()
    write_comparison(dataset, audits_of(params, dataset))


def write_comparison(dataset: str, audits: list[str]) -> None:
    """Write the page and the table of headline figures of some audits of a dataset."""
    audited = read_audited(audits)
    with atomic(layout.comparison(dataset)) as temporary:
        temporary.write_text(render(dataset, audited), encoding="utf-8")
    write_table(layout.comparison(dataset).with_suffix(".csv"), headline_table(audited))


if __name__ == "__main__":
    main()
