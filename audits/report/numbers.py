"""What the numbers of a report are, and the links by which the page says so.

`numbers.yaml` is the one place that has it: a number's formula, the file and key that it was taken
from, and where the paper has it.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml
from markupsafe import Markup
from pydantic import BaseModel, ConfigDict, Field

LIST = Path(__file__).with_suffix(".yaml")
NAMED = 3
"""Numbers at most that a mark is called after: a screen reader says all of them."""


class Number(BaseModel):
    """One kind of number."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """As the page calls it."""
    meaning: str = Field(alias="is")
    """Formula or definition."""
    origin: tuple[str, ...] = Field(alias="from", min_length=1)
    """`FILE: key` each, a column of a table."""
    paper: str = ""
    """Equation or section, empty where it is not the paper's."""


@cache
def known() -> Mapping[str, Mapping[str, Number]]:
    """Section → key → number, in the order of the page.

    Raises:
        ValueError: two numbers have one key, or one lacks what it has to say.
    """
    sections = yaml.safe_load(LIST.read_text(encoding="utf-8"))
    keys = [key for section in sections.values() for key in section]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"{LIST.name} has several numbers of one key: {', '.join(twice)}")
    return {
        title: {key: Number.model_validate(entry) for key, entry in section.items()}
        for title, section in sections.items()
    }


class Numbers:
    """The links of one page, and the numbers that they lead to."""

    def __init__(self) -> None:
        self._all = {key: entry for part in known().values() for key, entry in part.items()}
        self._asked: set[str] = set()

    def link(self, key: str, text: str, stop: bool = True) -> Markup:
        """The text as a link to what its number is.

        Args:
            key: of numbers.yaml.
            text: what the page calls it there.
            stop: whether the Tab key stops at it. Where the same links come with each of many
                cards, it does not, and a mark leads to them.

        Raises:
            KeyError: numbers.yaml has no such number.
        """
        self._ask(key)
        skipped = Markup("") if stop else Markup(' tabindex="-1"')
        return Markup('<a class="number" href="#n-{}"{}>{}</a>').format(key, skipped, text)

    def mark(self, *keys: str, said: str = "") -> Markup:
        """A small mark behind a sentence, which leads to what its numbers are.

        Without scripts it leads to the first.

        Args:
            keys: of numbers.yaml.
            said: what a screen reader says that it is about; where it is empty the numbers' names,
                or how many they are where they are more than NAMED.

        Raises:
            KeyError: numbers.yaml has no such number.
        """
        names = [self._ask(key).name for key in keys]
        about = ", ".join(names) if len(names) <= NAMED else f"these {len(names)} numbers"
        return Markup(
            '<a class="number mark" href="#n-{}" data-keys="{}" aria-label="about: {}">i</a>'
        ).format(keys[0], " ".join(keys), said or about)

    def asked(self) -> dict[str, dict[str, Number]]:
        """What links of the page have led to so far: section → key → number."""
        found = {
            title: {key: entry for key, entry in part.items() if key in self._asked}
            for title, part in known().items()
        }
        return {title: part for title, part in found.items() if part}

    def _ask(self, key: str) -> Number:
        entry = self._all[key]
        self._asked.add(key)
        return entry
