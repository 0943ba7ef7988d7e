"""Suggested modes, with a small lexicon."""

from dataclasses import replace

import pytest

from audits.failures.lexicon import Lexicon, Sense
from audits.failures.modes import ModeEvidence, Shown, contains_word, shares, suggest_mode

FILLER = [Sense(f"n1{i:07}", frozenset({f"filler {i}"}), "small wide thing") for i in range(300)]


def lexicon_of(*senses, above=None):
    keyed = (
        Sense(key, frozenset(words.split(", ")), definition, (above or {}).get(key, ()))
        for key, words, definition in senses
    )
    return Lexicon.of([*keyed, *FILLER])


LEXICON = lexicon_of(
    ("n01", "bat, chiropteran", "nocturnal mouselike mammal with wings"),
    ("n02", "cricket bat, bat", "a club used in playing cricket"),
    ("n03", "crane", "large wading bird"),
    ("n04", "crane", "machine that lifts heavy objects by a hook"),
    ("n05", "palm", "tropical tree with leaves at the top"),
    ("n06", "palm, thenar", "the inner surface of the hand"),
    ("n07", "nut", "a dry seed in a shell"),
    ("n08", "nut", "a metal block with a thread, a wide thing"),
    ("n09", "dog, domestic dog", "an animal that barks"),
    ("n10", "hot dog, red hot", "a sausage in a bun"),
    ("n11", "flower", "a blossom"),
    ("n12", "ship", "a large vessel"),
)
QUIET = ModeEvidence(
    label="x", name="ship", component_label=None, shown=(), kinds={}, rate_own=0.1,
    rate_others=0.1, writing=None, writing_images=None, reliability=None, own_word=None,
)  # fmt: skip


def suggest(name, shown=(), lexicon=LEXICON, **more):
    """`shown`: full names, each with an equal share of the images."""
    classes = tuple(Shown(f"label {n}", n, 1 / len(shown)) for n in shown)
    return suggest_mode(replace(QUIET, name=name, shown=classes, **more), lexicon)


@pytest.mark.parametrize(
    ("name", "shown", "label", "mode", "said"),
    [
        ("bat, small animal with wings", ["Cricket bat"], None, "polysemy", "is also called “bat”"),
        ("bat, small animal with wings", [], "cricket bat", "polysemy", "is also called “bat”"),
        ("crane, wading bird", ["crane, lifting machine"], None, "polysemy", "another class is"),
        ("palm, tree", ["hand, open"], None, "polysemy", "fits “hand, open” by “hand”"),
        ("nut, dry seed", ["screw, with a thread"], None, "polysemy", "by “thread”"),
        ("dog", ["hot dog, sausage in a bun"], None, "compound", "“hot dog” holds the word “dog”"),
        ("dog", [], "hot dog", "compound", "“hot dog” holds the word “dog”"),
        ("sun", ["sunflower"], None, "compound", "sunflower"),
        # Of many words and wide things no sense says anything.
        ("nut, dry seed", ["lamp, a wide thing"], None, "unclear", "1 further senses"),
        ("crane, wading bird", ["lamp"], None, "unclear", "1 further senses"),
        ("ship", ["lamp"], "lamp", "unclear", ""),
        # The class's own name says nothing of why other images answer to it.
        ("ship", [], "Ship", "unclear", ""),
        ("ship", [], None, "unclear", ""),
    ],
)
def test_names_and_senses(name, shown, label, mode, said):
    found = suggest(name, shown, component_label=label)
    assert found.name == mode
    assert said in found.reason


@pytest.mark.parametrize(
    ("kind", "mode"), [("writing", "typography"), ("background", "spurious"), ("lesion", "unclear")]
)
def test_kinds_of_terms(kind, mode):
    found = suggest("ship", ["Open water, blue"], kinds={"open water": kind})
    assert found.name == mode
    assert (found.name == "unclear") or found.reason == f"“open water” is {kind}"


def test_the_class_that_images_show_counts_by_its_share():
    half = suggest("dog", ["hot dog", "ship"])
    assert half.name == "unclear"
    assert half.alternatives[0] == ("compound", pytest.approx(0.475), half.alternatives[0].reason)
    most = tuple(Shown(n, n, s) for n, s in (("hot dog", 0.7), ("ship", 0.3)))
    assert suggest_mode(replace(QUIET, name="dog", shown=most), LEXICON).confidence == (
        pytest.approx(0.7 * 0.95)
    )


def test_compounds_that_share_the_images_count_together():
    found = suggest("cat", ["Egyptian cat", "Siamese cat"])
    assert found.name == "compound"
    assert found.confidence == pytest.approx(0.95)
    assert "“egyptian cat”, “siamese cat” hold" in found.reason


def test_a_label_counts_less_than_images():
    label = suggest("dog", component_label="hot dog")
    assert label.confidence == pytest.approx(0.7 * 0.95)
    assert label.confidence < suggest("dog", ["hot dog"]).confidence


def test_writing_of_the_component_or_of_its_images():
    by_component = suggest("ship", writing=0.95)
    assert (by_component.name, by_component.confidence) == ("typography", pytest.approx(0.9))
    by_word = suggest("ship", writing=0.5, own_word=0.9)
    assert (by_word.name, by_word.confidence) == ("typography", pytest.approx(0.8))
    assert "the written word “ship”" in by_word.reason
    by_images = suggest("ship", writing=0.5, writing_images=0.95, reliability=0.8)
    assert (by_images.name, by_images.confidence) == ("typography", pytest.approx(0.72))
    assert suggest("ship", writing_images=0.95, reliability=0.3).name == "unclear"
    assert suggest("ship", writing=0.5, writing_images=0.2, reliability=0.9).alternatives == ()


def test_a_component_that_fires_on_the_class_too_is_spurious():
    found = suggest("ship", ["sea"], rate_own=0.9, rate_others=0.1)
    assert (found.name, found.confidence) == ("spurious", pytest.approx(0.75 * 0.8))
    assert "90%" in found.reason
    assert "10%" in found.reason
    assert suggest("ship", ["sea"], rate_own=0.9, rate_others=0.8).name == "unclear"


def test_but_not_where_both_are_kinds_of_one_thing():
    lexicon = lexicon_of(
        ("n01", "husky", "a dog"), ("n02", "malamute", "a dog"), ("n03", "sled", "a vehicle"),
        above={"n01": ("n09",), "n02": ("n09",), "n03": ("n08",)},
    )  # fmt: skip
    rates = {"rate_own": 0.9, "rate_others": 0.0, "lexicon": lexicon}
    assert suggest("husky", ["malamute"], **rates).name == "unclear"
    assert suggest("husky", ["sled"], **rates).name == "spurious"


def test_a_label_of_wordnet_tells_the_sense():
    # By its name alone, either sense could be the class's.
    shown = (Shown("n03", "wader", 1.0),)
    evidence = replace(QUIET, label="n04", name="crane", shown=shown)
    lexicon = lexicon_of(("n03", "crane, wader", "a bird"), ("n04", "crane", "a machine"))
    assert suggest_mode(evidence, lexicon).name == "polysemy"
    assert suggest_mode(replace(evidence, label="n03"), lexicon).name == "unclear"


def test_confidence_divides_the_evidence():
    parts = shares({"a": 0.8, "b": 0.5})
    assert parts == {
        "a": pytest.approx(4 / 6),
        "b": pytest.approx(1 / 6),
        "unclear": pytest.approx(1 / 6),
    }
    assert shares({"a": 0.8})["a"] == pytest.approx(0.8)
    assert shares({}) == {"unclear": 1.0}
    assert shares({"a": 1.0})["a"] == pytest.approx(0.95)


def test_contradicting_evidence_is_unclear_and_shown():
    found = suggest("dog", ["hot dog"], writing=1.0)
    assert found.name == "unclear"
    assert [reading.mode for reading in found.alternatives] == ["compound", "typography"]
    assert "at most, compound" in found.reason
    assert found.confidence + sum(r.strength for r in found.alternatives) == pytest.approx(1.0)


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
