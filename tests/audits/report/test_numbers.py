"""Every number of the page leads to what it is, and to where it is from."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from audits.report import numbers
from audits.report.numbers import Number, Numbers, known
from tests.audits.report.invented import AUDIT, DATASET, EMBEDDINGS
from tests.audits.report.leading import COMPARED, holds, led_to, unexplained

Render = Callable[..., Path]


@pytest.mark.parametrize("kinds", [{}, {"shortcut": False}, {"findings": False}], ids=str)
def test_every_number_leads_to_what_it_is(report: Render, kinds: dict[str, bool]) -> None:
    html = (report(**kinds) / "report.html").read_text()
    assert len(re.findall('<a class="number', html)) > 60
    assert "\n".join(unexplained(html)) == ""


def test_a_number_without_a_link_is_seen() -> None:
    table = "<table><tr><th>{}</th><th>Drop</th></tr><tr><td>3</td><td>4</td></tr></table>"
    linked = table.format('<a class="number" href="#n-x">Images</a>')
    assert unexplained(linked) == ["table>tr>td: 4"]
    assert len(unexplained(table.format("Images"))) == 2
    assert unexplained("<p>of component 12</p>") == []
    assert unexplained("<ul><li>7 of 9</li></ul>") != []


def test_no_number_of_the_list_is_orphaned(report: Render) -> None:
    led: set[str] = set()
    for shortcut in (True, False):
        html = (report(shortcut=shortcut) / "report.html").read_text()
        led |= led_to(html)
    assert led == {key for title, part in known().items() if title != COMPARED for key in part}


def test_every_number_is_where_the_list_says(report: Render, tmp_path: Path) -> None:
    folder = report()
    params = yaml.safe_load((Path(__file__).parents[3] / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump({"audits": {AUDIT: params["audits"]["scenes-tiny"]}})
    )
    named = {"NAME": AUDIT, "DATASET": DATASET, "EMBEDDINGS": EMBEDDINGS}
    found = set()
    for title, part in known().items():
        if title == COMPARED:
            continue
        for entry in part.values():
            for origin in entry.origin:
                for name, value in named.items():
                    origin = re.sub(rf"\b{name}\b", value, origin)
                file, _, key = origin.partition(": ")
                if file.startswith("data/embeddings/"):
                    continue  # shards, which no report reads
                path = (tmp_path if "/" in file or file == "params.yaml" else folder) / file
                found.add(file)
                assert holds(path, key), origin
    assert len(found) > 20


def test_the_list_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"name": "n", "is": "x", "from": ["metrics.json: a"]}
    monkeypatch.setattr(numbers, "LIST", tmp_path / "numbers.yaml")
    (tmp_path / "numbers.yaml").write_text(yaml.safe_dump({"A": {"k": entry}, "B": {"k": entry}}))
    known.cache_clear()
    try:
        with pytest.raises(ValueError, match="several numbers of one key: k"):
            known()
    finally:
        known.cache_clear()
    with pytest.raises(ValueError, match="at least 1 item"):
        Number.model_validate({"name": "n", "is": "x", "from": []})


def test_a_link_to_nothing_is_an_error() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        Numbers().link("nowhere", "nothing")


def test_a_mark_is_called_after_a_few_numbers_and_counts_many() -> None:
    said = 'aria-label="about: {}"'
    assert said.format("flags, findings, images") in Numbers().mark("flags", "findings", "images")
    four = Numbers().mark("flags", "findings", "images", "classes")
    assert said.format("these 4 numbers") in four
    named = Numbers().mark("flags", "findings", "images", "classes", said="this card")
    assert said.format("this card") in named


def test_the_markdown_has_no_links(report: Render) -> None:
    assert "n-flags" not in (report() / "report.md").read_text()
