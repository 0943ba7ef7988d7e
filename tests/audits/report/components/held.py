"""What a page of components holds."""

import json
import re
from typing import Any, NamedTuple

SCRIPT = re.compile(r'<script type="[^"]*" (?:id|class)="(\w+)">(.*?)</script>', re.DOTALL)


class Held(NamedTuple):
    """The data of a page."""

    data: dict[str, Any]
    details: list[Any]
    """An entry a component."""
    sheets: list[str]
    """Base64 of the JPEGs that are in it."""
    veils: list[str]
    """Of the PNGs over them, "" where there is none."""

    def row(self, component: int) -> int:
        return int(self.data["components"].index(component))

    def values(self, key: str) -> dict[int, Any]:
        """A measure by component."""
        (found,) = [one["values"] for one in self.data["measures"] if one["key"] == key]
        return dict(zip(self.data["components"], found, strict=True))


def held(html: str) -> Held:
    """Read a page."""
    found: dict[str, list[str]] = {"data": [], "details": [], "sheet": [], "veils": []}
    for name, text in SCRIPT.findall(html):
        found[name].append(text)
    lines = found["details"][0].split("\n")
    details = [json.loads(line) for line in lines if line]
    return Held(json.loads(found["data"][0]), details, found["sheet"], found["veils"])
