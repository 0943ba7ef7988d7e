"""What a report says of names."""

from collections.abc import Callable
from html import unescape
from pathlib import Path

import pandas as pd

from audits.report.sections import names
from tests.audits.report.conftest import unlinked


def test_a_name_is_worth_its_auroc() -> None:
    assert names.worth({"name_auroc": 0.9123, "name_fits": True}) == "0.91"
    assert names.worth({"name_auroc": 0.55, "name_fits": False}) == "0.55, no name fits"
    # Of one component alone there is no chance to compare with.
    assert names.worth({"name_auroc": 0.9, "name_fits": None}) == "0.9"
    assert names.worth({"name_auroc": float("nan"), "name_fits": pd.NA}) == "n/a"


def test_nothing_is_said_of_what_was_not_measured() -> None:
    assert names.sentences({"components": 0, "names": {"measured": 0, "halves": 0}}) == []


def test_both_renderings_count_names_that_fit_nothing(report: Callable[..., Path]) -> None:
    folder = report()
    for name in ("report.html", "report.md"):
        text = unescape((folder / name).read_text())
        assert "51 of 58 names tell those that fire their component" in text
        assert "For 7 components no name fits." in text
        assert "Of 56 names, 75% are given by each of two halves" in text
    html = unlinked((folder / "report.html").read_text())
    assert "AUROC of the label 0.55, no name fits ·" in html
    assert "AUROC of the label</dt><dd>0.88</dd>" in html
