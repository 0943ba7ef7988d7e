"""Every number of the page leads to what it is, and to where it is from."""

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from audits.report import numbers
from audits.report.numbers import Number, Numbers, known
from pipeline.artifacts.store import read_json, read_table
from tests.audits.report.invented import AUDIT, DATASET, EMBEDDINGS

Render = Callable[..., Path]
VOID = {"meta", "img", "br", "input"}
NO_MEASURES = {"title", "style", "script", "svg", "code", "kbd"}
"""Charts have their mark in the caption, and code is names and hashes."""
ELSEWHERE = {"numbers", "review", "provenance", "excluded"}
"""Sections: this list, controls, and what is given, not measured."""
BLOCKS = {"p", "li", "dt", "dd", "td", "th", "figcaption", "h1", "h3", "button", "summary"}
NAMES = re.compile(r"(component|index)\s\d+|stress at [-\d, and]+|2 AUROC", re.IGNORECASE)


class Node:
    """An element and what it holds."""

    def __init__(self, tag: str, attributes: dict[str, Any], parent: "Node | None") -> None:
        self.tag, self.parent = tag, parent
        self.classes = (attributes.get("class") or "").split()
        self.attributes = attributes
        self.children: list[Node | str] = []

    def up(self) -> "Iterator[Node]":
        at: Node | None = self
        while at is not None:
            yield at
            at = at.parent

    def all(self) -> "Iterator[Node]":
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.all()

    def leads(self) -> bool:
        return any("number" in node.classes for node in self.all())

    def elements(self) -> "list[Node]":
        return [child for child in self.children if isinstance(child, Node)]


class Tree(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.root = self.at = Node("", {}, None)
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs), self.at)
        self.at.children.append(node)
        if tag not in VOID:
            self.at = node

    def handle_endtag(self, tag: str) -> None:
        if self.at.tag == tag and self.at.parent is not None:
            self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        self.at.children.append(data)


def unexplained(html: str) -> list[str]:
    """Texts with a number that no link beside them says anything of."""
    found = []
    for node in Tree(html).root.all():
        above = list(node.up())
        if any(one.tag in NO_MEASURES for one in above):
            continue
        if any(one.attributes.get("id") in ELSEWHERE for one in above):
            continue
        for text in node.children:
            has = isinstance(text, str) and re.search(r"\d", NAMES.sub("", text))
            if has and not explained(above):
                found.append(f"{'>'.join(one.tag for one in above[2::-1])}: {text}")
    return found


def explained(above: list[Node]) -> bool:
    block = next(one for one in above if one.tag in BLOCKS)
    if block.leads():
        return True
    assert block.parent is not None
    if block.tag == "h3":  # of a card, whose names are the data's
        return block.parent.parent is not None and block.parent.parent.tag == "article"
    if block.tag == "h1":  # the sentence below it says it at more length
        return next(one for one in block.parent.elements() if "lede" in one.classes).leads()
    if block.tag == "td":
        table = next(one for one in above if one.tag == "table")
        heads = next(one for one in table.all() if one.tag == "tr").elements()
        return heads[block.parent.elements().index(block)].leads()
    if block.tag in ("dd", "button", "summary"):
        return block.parent.leads()
    if block.tag == "li":
        return any("limits" in one.classes and one.leads() for one in above)
    # What does not apply says so by its own numbers; a person says what a person says.
    return bool({"none", "said"} & set(block.classes))


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
        on_page = set(re.findall(r'<div id="n-(\w+)">', html))
        links = re.findall(r'<a class="number[^>]*href="#n-(\w+)"', html)
        marked = " ".join(re.findall(r'data-keys="([^"]*)"', html)).split()
        # A page has the numbers that it leads to, and no others.
        assert on_page == {*links, *marked}
        led |= on_page
    assert led == {key for part in known().values() for key in part}


def leaves(tree: dict[str, Any], before: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{before}{key}.")
        yield f"{before}{key}"


def keys_of(path: Path) -> set[str]:
    if path.suffix in (".csv", ".parquet"):
        return set(read_table(path).columns)
    tree = yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else read_json(path)
    if path.name == "evidence.json":  # of each finding
        tree = next(iter(tree.values()))
    return set(leaves(tree))


def test_every_number_is_where_the_list_says(report: Render, tmp_path: Path) -> None:
    folder = report()
    params = yaml.safe_load((Path(__file__).parents[3] / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump({"audits": {AUDIT: params["audits"]["scenes-tiny"]}})
    )
    named = {"NAME": AUDIT, "DATASET": DATASET, "EMBEDDINGS": EMBEDDINGS}
    found = {}
    for part in known().values():
        for entry in part.values():
            for origin in entry.origin:
                for name, value in named.items():
                    origin = re.sub(rf"\b{name}\b", value, origin)
                file, _, key = origin.partition(": ")
                if file.startswith("data/embeddings/"):
                    continue  # shards, which no report reads
                path = (tmp_path if "/" in file or file == "params.yaml" else folder) / file
                if file not in found:
                    found[file] = keys_of(path)
                pattern = re.sub("<[a-z]+>", "[^.]+", re.escape(key))
                assert any(re.fullmatch(pattern, one) for one in found[file]), origin
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


def test_the_markdown_has_no_links(report: Render) -> None:
    assert "n-flags" not in (report() / "report.md").read_text()
