"""What the page of components holds, against the tables of the invented audit."""

import base64
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from audits.report import sources as report_sources
from audits.report.__main__ import write_report
from audits.report.components.measures import MEASURES, findings_of, strongest
from pipeline.artifacts.store import write_table
from tests.audits.report.components.held import Held, held
from tests.audits.report.conftest import settings
from tests.audits.report.invented import AUDIT, FINDINGS, image_ids

Render = Callable[..., Path]


def page(folder: Path) -> str:
    return (folder / "components.html").read_text(encoding="utf-8")


@pytest.fixture
def known(report: Render) -> Held:
    return held(page(report()))


def test_measures_are_those_of_the_tables(known: Held) -> None:
    labels = pd.read_parquet(f"data/labels/{AUDIT}.parquet").set_index("component").sort_index()
    assert known.data["components"] == labels.index.tolist()
    columns = {"images": "activations", "strength": "mean_top20"}
    for key in ("name_auroc", "alignment", "clarity", "polysemanticity", "images", "strength"):
        own = labels[columns.get(key, key)].to_dict()
        found = known.values(key)
        assert found == {one: None if np.isnan(value) else value for one, value in own.items()}
    of_12 = {key: known.values(key)[12] for key in MEASURES}
    assert of_12["margin"] == 0.0625 and of_12["stability"] == 0.25
    assert of_12["redundancy"] == 0.75 and of_12["writing"] == 0.5
    assert of_12["plain"] == 0.97 and of_12["share"] == 0.061
    assert of_12["relevance"] == -0.03125 and of_12["monosemanticity"] == 0.6
    assert of_12["strongest"] == 7.5 and of_12["activation"] == 0.4
    assert of_12["written"] == 0.95
    of_8 = {key: known.values(key)[8] for key in MEASURES}
    assert {key for key, value in of_8.items() if value is None} == {
        *("class_auroc", "stability", "redundancy", "relevance", "writing", "plain", "share"),
        *("monosemanticity", "strongest", "activation", "written"),
    }


def test_names_runners_up_and_parts(known: Held) -> None:
    names, row = known.data["names"], known.row(12)
    assert names[known.data["label"][row]] == "cricket bat"
    assert [names[one] for one in known.data["runners"][row]] == ["stick", "x"]
    assert known.data["kinds"][known.data["kind"][row]] == "object"
    unnamed = known.row(5)
    assert known.data["label"][unnamed] == known.data["kind"][unnamed] == -1
    assert known.data["fits"] == [None, False, True, True, True, None]
    assert known.data["findings"] == {str(known.row(row[2])): [row[0]] for row in FINDINGS}
    assert known.data["about_findings"]["f-0001"] == "bat: Two meanings"
    assert known.data["candidate"] == [known.row(5), known.row(12)]
    assert known.data["hidden"] == [known.row(8), known.row(9)]
    assert known.data["plain"] == {str(row): "red"}
    told = {
        row: known.data["classes"][one] for row, one in enumerate(known.data["told"]) if one >= 0
    }
    assert told == {row: "club|stick"} and known.values("class_auroc")[12] == 0.97


def test_details_are_those_of_the_tables(known: Held) -> None:
    leads, counts, largest, classes, near, pictures = known.details[known.row(12)]
    assert leads == [0.0625, 0.25] and counts == [0, 30, 20] and largest == 8
    named = [(known.data["classes"][label], mean) for label, mean in classes]
    # 0.015625 and 0.0078125 at four digits.
    assert named == [("club|stick", -0.03125), ("<b>", 0.01562), ("bat", 0.007812)]
    assert near == [[31, 0.75], [8, 0.5]]
    assert [image for image, *_ in pictures] == image_ids("bat")[:3]
    # The first two are mapped for this component.
    assert [len(picture) for picture in pictures] == [3, 3, 2]
    assert known.data["places"][pictures[0][2]] == "40% at the bottom right"
    assert known.details[known.row(8)] == [[0.2], [], None, [], [], [["val/club/0", 2]]]
    assert known.data["sheet"][known.row(31)] == 0 and known.data["row"][known.row(31)] == 1
    assert known.data["sheet"][known.row(5)] == -1
    assert known.data["sheets"]["rows"] == [2, 1] and known.data["sheets"]["columns"] == 3


def test_pictures_are_in_the_page_as_far_as_the_budget_goes(
    report: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = held(page(report()))
    pictures = Path("data/audits") / AUDIT / "maps" / "pictures"
    files = [path.read_bytes() for path in sorted(pictures.glob("*.jpg"))]
    assert [base64.b64decode(sheet) for sheet in whole.sheets] == files
    over = (pictures / "00000.png").read_bytes()
    assert [base64.b64decode(veils) for veils in whole.veils] == [over, b""]
    monkeypatch.setattr(report_sources, "SHEETS_BYTES", len(files[0]) + len(over) - 1)
    assert held(page(report())).sheets == []
    monkeypatch.setattr(report_sources, "SHEETS_BYTES", len(files[0]) + len(over))
    folder = report()
    some = held(page(folder))
    assert some.sheets == whole.sheets[:1] and some.veils == whole.veils[:1]
    # The others are where the page looks for them.
    assert (folder / some.data["sheets"]["folder"]).resolve() == pictures.resolve()


class Scripts(HTMLParser):
    """Tags of a page, as a browser sees them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


def test_texts_of_the_data_stay_texts(report: Render) -> None:
    nasty = [
        "</script><script>alert(1)</script>",
        "<!--",
        "quote \" ' \\",
        "line\nfeed\u2028",
        "ß漢🦇",
    ]
    folder = report()
    before = Scripts(page(folder)).tags
    labels = pd.read_parquet(f"data/labels/{AUDIT}.parquet")
    labels["label"], labels["kind"] = [*nasty, "x"], nasty[0]
    labels["runners_up"] = [nasty] * len(labels)
    write_table(Path(f"data/labels/{AUDIT}.parquet"), labels)
    write_report(AUDIT, settings(Path()), seed=7)
    html = page(folder)
    assert Scripts(html).tags == before and "alert(1)</script>" not in html
    found = held(html)
    rows = [found.row(component) for component in labels["component"]]
    assert [found.data["names"][found.data["label"][row]] for row in rows] == [*nasty, "x"]


def test_it_asks_for_nothing_but_its_pictures(report: Render) -> None:
    html = page(report())
    links = re.findall(r"""(?:src|href|action|data)=["']([^"'$]*)""", html)
    assert set(links) == {"report.html"}
    outside = set(re.findall(r"\w+://[^\"' ]+", html)) - {"http://www.w3.org/2000/svg"}
    assert not outside and "@import" not in html and "fetch(" not in html


def test_the_report_leads_to_components_that_are_there(report: Render) -> None:
    folder = report()
    led = re.findall(r'href="components\.html#(\d+)"', (folder / "report.html").read_text())
    assert {int(one) for one in led} == {5, 8, 9, 12, 31}
    assert {int(one) for one in led} <= set(held(page(folder)).data["components"])


def test_the_same_results_give_the_same_bytes(report: Render) -> None:
    assert page(report()) == page(report())


def test_what_is_not_measured_is_said(report: Render) -> None:
    folder = report(shortcut=False)
    tables = {
        f"data/audits/{AUDIT}/stability/components.parquet": ["component", "stability"],
        f"data/audits/{AUDIT}/probe/components.parquet": ["component", "writing"],
        f"data/audits/{AUDIT}/probe/plain.parquet": ["component", "picture", "answer"],
        f"data/references/{AUDIT}/reference.parquet": ["class", "component", "mean"],
    }
    for path, columns in tables.items():
        write_table(Path(path), pd.DataFrame({column: [] for column in columns}))
    write_report(AUDIT, settings(Path(), None), seed=7)
    found = held(page(folder))
    absent = ("stability", "relevance", "writing", "plain", "share")
    assert found.data["absent"] == [MEASURES[key].name for key in absent]
    assert not {one["key"] for one in found.data["measures"]} & set(absent)
    assert found.data["candidate"] == []


def test_an_audit_without_components_has_a_page(report: Render) -> None:
    folder = report(findings=False, shortcut=False)
    maps = Path("data/audits") / AUDIT / "maps"
    for path in (
        Path(f"data/labels/{AUDIT}.parquet"),
        maps / "pictures.parquet",
        maps.with_name("concepts") / "components.parquet",
        maps.with_name("concepts") / "hidden.csv",
    ):
        read = pd.read_csv if path.suffix == ".csv" else pd.read_parquet
        write_table(path, read(path).iloc[:0])
    for sheet in (maps / "pictures").iterdir():
        sheet.unlink()
    write_report(AUDIT, settings(Path(), None), seed=7)
    html = page(folder)
    assert "<h1>0 components</h1>" in html
    assert held(html).details == [] and held(html).sheets == []


def test_strongest_are_by_size_whatever_their_sign() -> None:
    means = {"mean": [0.1, -0.3, 0.2, 0.5], "component": [4, 4, 4, 2], "class": list("abca")}
    found = strongest(pd.DataFrame(means), 2)
    assert found[["component", "class"]].to_numpy().tolist() == [[2, "a"], [4, "b"], [4, "c"]]


def test_a_component_may_be_part_of_several_findings() -> None:
    evidence = {"one": {"components": [3, 5]}, "two": {"components": [5]}}
    assert findings_of(evidence) == {3: ["one"], 5: ["one", "two"]}
