"""Names that hold other names, with a small lexicon and with ImageNet's."""

import numpy as np
import pytest
from timm.data import ImageNetInfo

from audits.failures.compounds import compounds_of, contains_word
from audits.failures.lexicon import Lexicon, short
from tests.audits.failures.test_modes import LEXICON


@pytest.mark.parametrize(
    ("phrase", "word", "holds"),
    [
        ("dog-ear", "dog", True),
        ("bathtub", "tub", True),
        ("lemonpretzel", "lemon", True),  # no lexicon has it, and both halves are nouns
        ("garden", "gar", False),
        ("garden den", "gar", False),
        ("bear", "ear", False),
        ("cockroach", "cock", False),
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


def test_joined_names_of_imagenet_are_compounds():
    info = ImageNetInfo("imagenet-1k")
    lexicon = Lexicon.read(None)
    names = sorted({short(info.label_name_to_description(one)) for one in info.label_names()})
    pairs = [(names[i], names[j]) for i, j in np.argwhere(compounds_of(names, lexicon))]
    found = {
        (word, phrase)
        for word, phrase in pairs
        if f" {word} " not in f" {phrase.replace('-', ' ')} "
    }
    assert {("jeep", "jeep"), ("drum", "steel drum")} & set(pairs) == {("drum", "steel drum")}
    assert found == {
        *(("tub", "bathtub"), ("chain", "chainlink fence"), ("pot", "coffeepot")),
        *(("screw", "corkscrew"), ("desk", "desktop computer"), ("washer", "dishwasher")),
        *(("drum", "drumstick"), ("pole", "flagpole"), ("mask", "gasmask")),
        *(("hammer", "hammerhead"), ("wing", "lacewing"), ("lion", "lionfish")),
        *(("mouse", "mousetrap"), ("otter", "otterhound"), ("ox", "oxcart")),
        *(("paddle", "paddlewheel"), ("screw", "screwdriver"), ("plow", "snowplow")),
        ("pot", "teapot"),
    }


def test_a_class_is_a_compound_of_another_whose_word_it_holds():
    names = ["dog, domestic dog", "hot dog, red hot", "dog-ear", "wolf", "Dog, a boat", "dog ear"]
    found = compounds_of(names, LEXICON)
    assert sorted(zip(*np.nonzero(found), strict=True)) == [
        *((0, 1), (0, 2), (0, 5)),
        *((4, 1), (4, 2), (4, 5)),
    ]
