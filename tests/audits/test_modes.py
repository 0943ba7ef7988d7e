"""Suggested modes, with a small lexicon."""

import pandas as pd
import pytest

from audits.modes import Lexicon, contains_word, shown_by, suggest_mode

LEXICON = Lexicon.of(
    [
        "bat, chiropteran",
        "cricket bat, Bat",
        "crane",
        "crane",
        "dog, domestic dog",
        "hot dog, red hot",
        "flower",
        "ship",
    ]
)


def mode(word, label=None, kind=None, own=("other", "another")):
    kinds = {} if kind is None else {label: kind}
    own_class = shown_by(pd.Series(list(own), dtype=object))
    return suggest_mode(word, label, own_class, kinds, LEXICON)


@pytest.mark.parametrize(
    ("word", "label", "kind", "own", "name", "said"),
    [
        ("bat", "cricket bat", None, ("x", "y"), "polysemy", "“cricket bat” is also called “bat”"),
        ("Bat", None, None, ("Cricket bat",) * 3 + ("x",), "polysemy", "cricket bat"),
        ("dog", "hot dog", None, ("x", "y"), "compound", "“hot dog” holds the word “dog”"),
        ("dog", "sausage", None, ("hot dog", "hot dog", "x"), "compound", "hot dog"),
        ("sun", "sunflower", None, ("x", "y"), "compound", "sunflower"),
        ("ship", "the word ship", "writing", ("bag", "bag"), "typography", "writing"),
        ("ship", "open water", "background", ("sea", "sea"), "spurious", "background"),
        ("ship", "ruler", "context", ("x", "y"), "spurious", "context"),
        ("crane", "tall bird", None, ("x", "y"), "polysemy", "2 senses; these images show “tall"),
        ("ship", "lamp", "lesion", ("lamp", "lamp"), "unclear", ""),
        # The class's own name says nothing of why other images answer to it.
        ("crane", "crane", None, ("x", "y"), "unclear", ""),
        ("crane", None, None, ("x", "y"), "unclear", ""),
    ],
)
def test_suggestions(word, label, kind, own, name, said):
    found = mode(word, label, kind, own)
    assert found.name == name
    assert said in found.reason


def test_a_class_speaks_only_with_more_than_half_of_the_images():
    # At exactly half the order of images would choose.
    for own in (("hot dog", "ship"), ("ship", "hot dog")):
        assert mode("dog", own=own).name == "unclear"
    assert mode("dog", own=("ship", "hot dog", "hot dog")).name == "compound"


def test_the_kind_of_the_images_own_class_comes_before_the_label():
    kinds = {"meadow": "background", "crane": "writing"}
    found = suggest_mode("cow", "crane", "meadow", kinds, LEXICON)
    assert found == ("spurious", "“meadow” is background")


def test_images_without_a_label_do_not_count():
    assert mode("dog", own=(None, None, "hot dog")).name == "compound"
    assert mode("dog", own=(None, None)).name == "unclear"


@pytest.mark.parametrize(
    ("phrase", "word", "holds"),
    [
        ("hot dog", "dog", True),
        ("fire engine", "fire", True),
        ("big hot dog stand", "hot dog", True),
        ("sunflower", "sun", True),
        ("flowerbat", "bat", True),
        ("dog", "dog", False),
        ("elephant", "ant", False),
        ("acrobat", "bat", False),
        ("dogs", "dog", False),
    ],
)
def test_a_phrase_holds_a_word(phrase, word, holds):
    assert contains_word(phrase, word, LEXICON) is holds


def test_synonyms_share_a_sense():
    assert LEXICON.synonyms("bat", "chiropteran")
    assert not LEXICON.synonyms("chiropteran", "cricket bat")
    assert len(LEXICON.senses["bat"]) == 2


def test_the_shipped_lexicon_knows_both_bats():
    lexicon = Lexicon.read()
    assert lexicon.synonyms("bat", "cricket bat")
    assert lexicon.synonyms("bat", "chiropteran")
    assert len(lexicon.senses["crane"]) == 2
