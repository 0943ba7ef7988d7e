"""Every number of a comparison leads to what it is, and to where it is from."""

import re
from pathlib import Path

import pytest

from audits.compare.sources import headline_table
from audits.report.numbers import known
from audits.robustness.distractors import READY_MADE
from pipeline.artifacts.store import write_table
from tests.audits.compare.invented import LARGE, SMALL, compared, measured, page_of, write_report
from tests.audits.report.leading import COMPARED, holds, led_to, unexplained
from tests.small_repository import ROOT

OLD, BARE = measured(0.1, 2), measured(0.5, 0)
OWN = measured(0.7, 4, ("polysemy", READY_MADE))


@pytest.fixture(autouse=True)
def _reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("large", "small", "own", "bare"):
        write_report(name, measured(0.4, 3))
    write_report("old", OLD, fingerprint="bb22" * 16)


@pytest.mark.parametrize(
    "audits",
    [{"large": LARGE, "small": SMALL, "own": OWN, "old": OLD}, {"small": SMALL}, {"bare": BARE}],
    ids=list,
)
def test_every_number_leads_to_what_it_is(audits: dict) -> None:
    html = page_of(compared(**audits))
    assert len(re.findall('<a class="number', html)) > 20
    assert "\n".join(unexplained(html)) == ""
    assert led_to(html)


def test_no_number_of_a_comparison_is_orphaned() -> None:
    led = led_to(page_of(compared(large=LARGE, small=SMALL, old=OLD)))
    assert led >= set(known()[COMPARED])


def test_every_number_is_where_the_list_says(tmp_path: Path) -> None:
    write_table(Path("reports/birds.csv"), headline_table(compared(large=LARGE, small=SMALL)))
    places = {origin for entry in known()[COMPARED].values() for origin in entry.origin}
    for origin in places:
        file, _, key = origin.replace("NAME", "large").replace("DATASET", "birds").partition(": ")
        if file.startswith("data/"):
            continue  # `SETS`, which the stage `robustness` writes
        if file == "params.yaml":
            path, key = ROOT / file, key.replace("large", "scenes-tiny")
        else:
            path = tmp_path / file if "/" in file else tmp_path / "reports" / "large" / file
        assert holds(path, key), origin
