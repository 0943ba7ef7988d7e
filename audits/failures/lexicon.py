"""Nouns, their senses and what the senses mean: ImageNet-21k's part of WordNet, or all of it."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from timm.data import ImageNetInfo

NOUNS = "data.noun"
"""WordNet's file of noun senses, in the format of wndb(5WN)."""

ENDINGS = (
    *(("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("ses", "s"), ("xes", "x"), ("zes", "z")),
    *(("men", "man"), ("s", "")),
)
"""Plural endings and what stands for them in the singular, as WordNet's morphy(7WN) has them."""

SUFFIXES = ("ings", "ing", "ed", "s")
"""What `stem` takes off a word."""

TELLING = 0.01
"""A word says something where it is in the texts of fewer senses than this share."""

KIN = 2
"""Steps to a hypernym that two kinds of one thing have in common, as two breeds of dog have."""


class Sense(NamedTuple):
    """One meaning of some words."""

    key: str
    """WordNet id, n and 8 digits."""
    words: frozenset[str]
    """Lower-case words that have this meaning."""
    definition: str
    above: tuple[str, ...] = ()
    """Keys of its hypernyms, where they are known."""


def singulars(word: str) -> set[str]:
    """The word and what it may be the plural of: "glasses", "glasse", "glass"."""
    words = word.rpartition(" ")
    found = {
        words[2].removesuffix(plural) + singular
        for plural, singular in ENDINGS
        if words[2].endswith(plural) and len(words[2]) > len(plural) + 1
    }
    return {word} | {words[0] + words[1] + last for last in found}


def stem(word: str) -> str:
    """The word without a common ending: "knot" of "knots", "knotted" and "knotting"."""
    for suffix in SUFFIXES:
        if word.endswith(suffix) and len(word) > len(suffix) + 2:
            word = word.removesuffix(suffix)
            if suffix != "s" and word[-1] == word[-2] and word[-1] not in "ls":
                word = word[:-1]
            break
    return word


def stems(text: str) -> set[str]:
    """Stems of the words of a text."""
    return {stem(word) for word in re.findall(r"[^\W\d_]+", text.lower())}


def plain(phrase: str) -> str:
    """A name as the lexicon has it: lower case, single spaces, no underscores."""
    return " ".join(phrase.replace("_", " ").lower().split())


@dataclass(frozen=True)
class Lexicon:
    """Senses of nouns."""

    by_key: Mapping[str, Sense]

    @classmethod
    def of(cls, found: Iterable[Sense]) -> "Lexicon":
        """A lexicon of some senses."""
        return cls({sense.key: sense for sense in found})

    @classmethod
    def read(cls, wordnet: Path | None) -> "Lexicon":
        """All nouns of WordNet where its folder is given, else ImageNet-21k's, as timm ships them.

        Raises:
            FileNotFoundError: the folder holds no data.noun.
            ValueError: the file is not in WordNet's format.
        """
        if wordnet is not None:
            return cls.of(wordnet_senses(wordnet))
        info = ImageNetInfo("imagenet21k")
        return cls.of(
            _shipped(key, info.label_name_to_description(key, detailed=True))
            for key in info.label_names()
        )

    @cached_property
    def by_word(self) -> dict[str, list[Sense]]:
        """Word → its senses."""
        index: dict[str, list[Sense]] = defaultdict(list)
        for sense in self.by_key.values():
            for word in sorted(sense.words):
                index[word].append(sense)
        return dict(index)

    @cached_property
    def share(self) -> dict[str, float]:
        """Stem → share of the senses whose words or definition have it."""
        found = Counter(s for sense in self.by_key.values() for s in self._own_stems(sense))
        return {s: count / len(self.by_key) for s, count in found.items()}

    def senses(self, word: str) -> list[Sense]:
        """The senses of a word, and of what it may be the plural of."""
        found = {
            sense.key: sense
            for form in sorted(singulars(word), key=lambda form: (form != word, form))
            for sense in self.by_word.get(form, ())
        }
        return list(found.values())

    def is_noun(self, word: str) -> bool:
        """Whether it has a sense as it stands."""
        return word in self.by_word

    def stems_of(self, sense: Sense) -> set[str]:
        """Stems of a sense's words, its definition, and the words of its hypernyms."""
        higher = [self.by_key[key] for key in sense.above if key in self.by_key]
        return self._own_stems(sense) | stems(" ".join(w for s in higher for w in sorted(s.words)))

    def telling(self, found: set[str]) -> set[str]:
        """Those of some stems that are in the texts of few senses, or of none."""
        return {s for s in found if self.share.get(s, 0.0) < TELLING}

    def kin(self, one: Sense | None, other: Sense | None) -> bool:
        """Whether two senses are of one kind of thing.

        They have a hypernym in common, at most KIN steps above both; where hypernyms are not known,
        as of ImageNet-21k, a telling word ("antelope" of two gazelles).
        """
        if one is None or other is None:
            return False
        if one.above and other.above:
            return bool(self._above(one) & self._above(other))
        return bool(self.telling(self._own_stems(one) & self._own_stems(other)))

    def _above(self, sense: Sense) -> set[str]:
        found: set[str] = set()
        level = [sense]
        for _ in range(KIN):
            keys = {key for s in level for key in s.above}
            found |= keys
            level = [self.by_key[key] for key in sorted(keys) if key in self.by_key]
        return found

    def _own_stems(self, sense: Sense) -> set[str]:
        return stems(" ".join([*sorted(sense.words), sense.definition]))


def _shipped(key: str, description: str) -> Sense:
    """A sense from "cricket bat, bat: the club used in playing cricket"."""
    words, _, definition = description.partition(": ")
    return Sense(key, frozenset(plain(word) for word in words.split(",")), definition)


def wordnet_senses(folder: Path) -> Iterable[Sense]:
    """The noun senses of WordNet's own data.noun.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not in its format.
    """
    path = folder / NOUNS
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: modes.wordnet is a folder with {NOUNS}")
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.startswith("  ") or not line.strip():  # the licence
                continue
            try:
                yield _wordnet_sense(line)
            except (ValueError, IndexError) as error:
                raise ValueError(f"{path}, line {number}: not in WordNet's format") from error


def _wordnet_sense(line: str) -> Sense:
    """offset file n count(hex) (word id)… count (symbol offset part source)… | definition."""
    fields, bar, gloss = line.partition(" | ")
    parts = fields.split()
    if not bar or parts[2] != "n" or not re.fullmatch(r"\d{8}", parts[0]):
        raise ValueError(line)
    words = int(parts[3], 16)
    pointers = 4 + 2 * words
    above = tuple(
        f"n{parts[at + 1]}"
        for at in range(pointers + 1, pointers + 1 + 4 * int(parts[pointers]), 4)
        if parts[at] == "@"
    )
    definition = gloss.partition('; "')[0].strip()  # examples follow in quotes
    names = frozenset(plain(word) for word in parts[4:pointers:2])
    return Sense(f"n{parts[0]}", names, definition, above)


def short(name: str) -> str:
    """A name up to its first comma, as the lexicon has it."""
    return plain(name.partition(",")[0])
