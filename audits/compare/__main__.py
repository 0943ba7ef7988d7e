"""Stage: `python -m audits.compare --dataset NAME` writes `reports/NAME.html` and `NAME.csv`."""

import argparse
from dataclasses import replace

from audits.compare.measure import measure_all
from audits.compare.page import render
from audits.compare.sources import audits_of, headline_table, read_compared
from pipeline import layout
from pipeline.artifacts.stage import set_threads
from pipeline.artifacts.store import atomic, write_table
from pipeline.config import Params, load_params


def main() -> None:
    """Compare the audits of one dataset that have a report."""
    parser = argparse.ArgumentParser(
        prog="python -m audits.compare",
        description="Write reports/NAME.html and reports/NAME.csv, which put the audits of one "
        "dataset side by side: their reports, and all models measured on the same distractors.",
    )
    parser.add_argument("--dataset", required=True, metavar="NAME", help="a dataset of params.yaml")
    dataset = parser.parse_args().dataset
    params = load_params()
    set_threads(params.threads, params.seed)
    write_comparison(params, dataset, audits_of(params, dataset))


def write_comparison(params: Params, dataset: str, audits: list[str]) -> None:
    """Write the page and the table of headline figures of some audits of a dataset."""
    reports = read_compared(audits)
    comparable = [one.audit for one in reports if one.comparable]
    sets, measured = measure_all(params, dataset, comparable)
    audited = [replace(one, common=measured.get(one.audit)) for one in reports]
    with atomic(layout.comparison(dataset)) as temporary:
        temporary.write_text(render(dataset, audited, sets), encoding="utf-8")
    write_table(layout.comparison(dataset).with_suffix(".csv"), headline_table(audited))


if __name__ == "__main__":
    main()
