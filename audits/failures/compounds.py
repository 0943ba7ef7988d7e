"""Compounds: names that hold another name, as "hot dog" holds "dog"."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from audits.failures.lexicon import Lexicon, short, stem, stems

HALF = 3
"""Letters that the noun a word is joined to has at least: no bear is a "b" with an ear."""


Compounds = Bool[np.ndarray, "c c"]
"""Classes (columns) whose names are compounds of a class's (row) word."""


def compounds_of(names: Sequence[str], lexicon: Lexicon) -> Compounds:
    """Which of c classes' names are compounds of which, see `contains_word`."""
    words = [short(name) for name in names]
    spaced = [word.replace("-", " ") for word in words]
    found = np.zeros((len(names), len(names)), dtype=bool)
    for row, word in enumerate(spaced):
        for column, phrase in enumerate(spaced):
            if len(word) < len(phrase) and word in phrase:  # a million pairs of ImageNet
                found[row, column] = contains_word(words[column], words[row], lexicon)
    return found


def contains_word(phrase: str, word: str, lexicon: Lexicon) -> bool:
    """Whether a longer phrase holds the word, on its own or joined to a noun.

    "hot dog" and "dog-ear" hold "dog". A word of the phrase holds it, as "sunflower" holds "sun",
    where the rest is a noun too, of HALF letters at least, and what the lexicon says of the whole
    names the word, or is defined by the rest: a sunflower is a plant with "large flower heads", but
    no garden has to do with gars or dens. Of a whole that the lexicon lacks only nouns are asked.
    """
    parts = re.split(r"[\s-]+", phrase)
    if phrase == word or len(word) > len(phrase):
        return False
    if f" {word} " in f" {phrase} " or f" {word} " in f" {' '.join(parts)} ":
        return True
    return any(_joined(part, word, lexicon) for part in parts)


def _joined(whole: str, word: str, lexicon: Lexicon) -> bool:
    """Whether a word is joined of the other one and a noun."""
    rests = {whole.removeprefix(word)} if whole.startswith(word) else set()
    rests |= {whole.removesuffix(word)} if whole.endswith(word) else set()
    nouns = {rest for rest in rests if len(rest) >= HALF and lexicon.is_noun(rest)}
    if not nouns:
        return False
    senses = lexicon.senses(whole)
    said = set().union(*(lexicon.stems_of(sense) for sense in senses))
    defined = stems(" ".join(sense.definition for sense in senses))
    return not senses or bool({stem(word)} & said) or bool({stem(rest) for rest in nouns} & defined)
