"""A suggestion of what kind of failure a finding is, with its reason; a person decides.

The modes are those of the paper (Sec. 5.3): polysemy, compound, typography, spurious; "unclear"
where the evidence says none of them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
from timm.data import ImageNetInfo

KIND_MODES = {"writing": "typography", "background": "spurious", "context": "spurious"}
"""Kind of a term in the vocabulary, and the mode it speaks for."""


class Mode(NamedTuple):
    """A suggested mode and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Lexicon:
    """Nouns and their senses: each sense is a set of words that mean the same."""

    senses: dict[str, tuple[frozenset[str], ...]]
    """Word → its senses."""

    @classmethod
    def of(cls, synonyms: Iterable[str]) -> "Lexicon":
        """A lexicon from senses given as comma-separated synonyms, "cricket bat, bat"."""
        senses: dict[str, list[frozenset[str]]] = defaultdict(list)
        for line in synonyms:
            words = frozenset(word.strip().lower() for word in line.split(","))
            for word in sorted(words):
                senses[word].append(words)
        return cls({word: tuple(found) for word, found in senses.items()})

    @classmethod
    def read(cls) -> "Lexicon":
        """The nouns of WordNet that ImageNet-21k covers, as timm ships them."""
        info = ImageNetInfo("imagenet21k")
        return cls.of(info.label_name_to_description(name) for name in info.label_names())

    def synonyms(self, word: str, other: str) -> bool:
        """Whether some sense holds both words."""
        return any(other in sense for sense in self.senses.get(word, ()))


def contains_word(phrase: str, word: str, lexicon: Lexicon) -> bool:
    """Whether a longer phrase holds the word, on its own or joined to a noun.

    "hot dog" holds "dog", "sunflower" holds "sun" since "flower" is a noun, but "elephant" does
    not hold "ant".
    """
    if phrase == word:
        return False
    if f" {word} " in f" {phrase} ":
        return True
    rests = {part.removeprefix(word) for part in phrase.split() if part.startswith(word)}
    rests |= {part.removesuffix(word) for part in phrase.split() if part.endswith(word)}
    return any(rest in lexicon.senses for rest in rests)


def shown_by(own_classes: pd.Series) -> str | None:
    """The class that more than half of some images belong to, None where there is none."""
    share = own_classes.value_counts(normalize=True)
    return str(share.index[0]) if len(share) and share.iloc[0] > 0.5 else None


def suggest_mode(
    word: str, label: object, own_class: str | None, kinds: Mapping[str, str], lexicon: Lexicon
) -> Mode:
    """Suggest the mode of a finding.

    Args:
        word: short name of the class whose prompt is answered.
        label: the component's label, null where it has none.
        own_class: short name of the class that most of the finding's images belong to, if any.
        kinds: term → kind, of the vocabulary's terms that have one.
        lexicon: senses of nouns.
    """
    word = word.lower()
    # What the images are says more than what the component is named after.
    others = [other.lower() for other in (own_class, label) if isinstance(other, str)]
    others = [other for other in others if other != word]
    for other in others:
        if kinds.get(other) in KIND_MODES:
            return Mode(KIND_MODES[kinds[other]], f"“{other}” is {kinds[other]}")
    for other in others:
        if lexicon.synonyms(word, other):
            return Mode("polysemy", f"“{other}” is also called “{word}”")
        if contains_word(other, word, lexicon):
            return Mode("compound", f"“{other}” holds the word “{word}”")
    senses = len(lexicon.senses.get(word, ()))
    if senses > 1 and others:
        return Mode("polysemy", f"“{word}” has {senses} senses; these images show “{others[0]}”")
    return Mode("unclear", "neither the label nor the images' own classes say why")
