"""Which numbers of a page lead to what they are, and whether files have what they lead to."""

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import yaml

from pipeline.artifacts.store import read_json, read_table

VOID = {"meta", "img", "br", "input"}
NO_MEASURES = {"title", "style", "script", "svg", "code", "kbd"}
"""Charts have their mark in the caption, and code is names and hashes."""
ELSEWHERE = {"numbers", "review", "provenance", "excluded", "versions"}
"""Sections: this list, controls, and what is given, not measured."""
BLOCKS = {"p", "li", "dt", "dd", "td", "th", "figcaption", "h1", "h3", "button", "summary"}
NAMES = re.compile(r"(component|index)\s\d+|stress at [-\d, and]+|2 AUROC", re.IGNORECASE)

COMPARED = "Models side by side"
"""Section of numbers.yaml that only comparisons have."""


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
    if block.tag in ("td", "th"):
        table = next(one for one in above if one.tag == "table")
        heads = next(one for one in table.all() if one.tag == "tr").elements()
        cells = block.parent.elements()
        # From the right: what spans rows stands on the left.
        return heads[cells.index(block) - len(cells)].leads()
    if block.tag in ("dd", "button", "summary"):
        return block.parent.leads()
    if block.tag == "li":
        return any("limits" in one.classes and one.leads() for one in above)
    # What does not apply says so by its own numbers; a person says what a person says.
    return bool({"none", "said"} & set(block.classes))


def led_to(html: str) -> set[str]:
    """Numbers that a page leads to, which are those that it has."""
    on_page = set(re.findall(r'<div id="n-(\w+)">', html))
    links = re.findall(r'<a class="number[^>]*href="#n-(\w+)"', html)
    marked = " ".join(re.findall(r'data-keys="([^"]*)"', html)).split()
    assert on_page == {*links, *marked}
    return on_page


def leaves(tree: dict[str, Any], before: str = "") -> Iterator[str]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{before}{key}.")
        yield f"{before}{key}"


@cache
def keys_of(path: Path) -> set[str]:
    if path.suffix in (".csv", ".parquet"):
        return set(read_table(path).columns)
    tree = yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else read_json(path)
    if path.name == "evidence.json":  # of each finding
        tree = next(iter(tree.values()))
    return set(leaves(tree))


def holds(path: Path, key: str) -> bool:
    """Whether a file has a key or column, `<…>` for any."""
    pattern = re.sub("<[a-z]+>", "[^.]+", re.escape(key))
    return any(re.fullmatch(pattern, one) for one in keys_of(path))
