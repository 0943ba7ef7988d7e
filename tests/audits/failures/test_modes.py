"""Suggested modes, with a small lexicon."""

from dataclasses import replace

import pytest

from audits.failures.lexicon import Lexicon, Sense
from audits.failures.modes import (
    ModeEvidence,
    Shown,
    readings,
    shares,
    suggest_mode,
)

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
    ("n13", "sunflower", "a plant with large flower heads"),
    ("n14", "den", "a lair"),
    ("n15", "garden", "a plot of ground where plants grow"),
    ("n16", "bear", "a heavy mammal with a shaggy coat"),
    ("n17", "b", "the 2nd letter of the alphabet"),
    ("n18", "roach, cockroach", "an insect"),
    ("n19", "bathtub, tub", "a container to wash in"),
    ("n20", "bath", "a vessel of water"),
    ("n21", "pretzel", "baked stick"),
    ("n22", "lemon", "a yellow fruit"),
    ("n12", "ship", "a large vessel"),
)
QUIET = ModeEvidence(
    label="x", name="ship", component_label=None, shown=(), kinds={}, rate_own=0.1,
    rate_others=0.1, writing=None, writing_images=None, reliability=None, own_word=None,
)  # fmt: skip


def suggest(name, shown=(), lexicon=LEXICON, **more):
    """`shown`: full names, each with an equal share of the images."""
    return suggest_mode(evidence(name, shown, **more), lexicon)


def evidence(name, shown=(), **more):
    classes = tuple(Shown(f"label {n}", n, 1 / len(shown), 0.0, 0.0) for n in shown)
    return replace(QUIET, name=name, shown=classes, **more)


def of_class(share, found=0.0, fired=0.0, name="lemon"):
    return Shown(f"label {name}", name, share, found, fired)


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
    ],
)
def test_names_and_senses(name, shown, label, mode, said):
    given = evidence(name, shown, component_label=label)
    found = [r for r in readings(given, LEXICON) if r.mode == mode and said in r.reason]
    assert max(reading.strength for reading in found) >= 0.5
    assert suggest_mode(given, LEXICON).name == mode


@pytest.mark.parametrize(
    ("name", "label"),
    [
        # Of many words and wide things no sense says anything.
        ("nut, dry seed", "lamp, a wide thing"),
        ("crane, wading bird", "lamp"),
        ("ship", "lamp"),
        # The class's own name says nothing of why other images answer to it.
        ("ship", "Ship"),
        ("ship", None),
    ],
)
def test_names_that_say_nothing(name, label):
    found = suggest(name, component_label=label)
    assert found.name == "unclear"
    assert ("1 further senses" in found.reason) == (name != "ship")


@pytest.mark.parametrize(
    ("kind", "mode"), [("writing", "typography"), ("background", "spurious"), ("lesion", "unclear")]
)
def test_kinds_of_terms(kind, mode):
    found = suggest("ship", component_label="Open water, blue", kinds={"open water": kind})
    assert found.name == mode
    assert (found.name == "unclear") or found.reason == f"“open water” is {kind}"


def test_a_class_that_is_a_background_is_no_second_meaning():
    shown = (of_class(1.0, 1.0, 1.0, "Open water, blue"),)
    given = replace(QUIET, shown=shown, kinds={"open water": "background"})
    assert suggest_mode(given, LEXICON)[:2] == ("spurious", pytest.approx(0.95))
    assert suggest_mode(replace(given, kinds={}), LEXICON).name == "polysemy"


def test_the_class_that_images_show_counts_by_its_share():
    half = suggest("dog", ["hot dog", "ship"])
    parts = shares({"compound": 0.5 * 0.95, "polysemy": 0.9 * 0.5 * 0.5})
    assert half[:2] == ("compound", pytest.approx(parts["compound"]))
    most = (of_class(0.7, name="hot dog"), of_class(0.3, name="ship"))
    parts = shares({"compound": 0.7 * 0.95, "polysemy": 0.9 * 0.3 * 0.3})
    found = suggest_mode(replace(QUIET, name="dog", shown=most), LEXICON)
    assert found[:2] == ("compound", pytest.approx(parts["compound"]))


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


@pytest.mark.parametrize(
    ("shown", "own", "mode", "strength"),
    [
        # All of one other thing; that the component fires on the class may be the text's doing.
        ([of_class(1.0, found=0.5, fired=0.9)], 0.9, "polysemy", 0.9 * (0.9 + 0.1 * 0.1)),
        # All of several: Egyptian and Siamese cats.
        ([of_class(0.5, 1.0, 1.0), of_class(0.5, 1.0, 1.0, "pretzel")], 0.9, "polysemy", 0.9),
        # Some images of one other thing and none of the class.
        ([of_class(1.0, found=0.1, fired=0.2)], 0.0, "polysemy", 0.9),
        # Some images of several things, each of which the component may know as well.
        (
            [of_class(0.4, 0.2, 0.75), of_class(0.3, 0.1, 0.5, "pretzel"), of_class(0.3, 0.2)],
            0.9,
            "spurious",
            0.9 * 0.9 * (1 - 0.4 * 0.3 - 0.3 * 0.15 - 0.3 * 0.2),
        ),
        # Some images of one other thing, and the class's own as well.
        ([of_class(1.0, found=0.2, fired=0.2)], 0.9, "spurious", 0.9 * 0.9 * 0.8),
    ],
)
def test_whole_things_have_a_name_and_parts_of_things_surroundings(shown, own, mode, strength):
    given = replace(QUIET, shown=tuple(shown), rate_own=own, rate_others=0.0)
    found = suggest_mode(given, LEXICON)
    assert found.name == mode
    (reading,) = (r for r in readings(given, LEXICON) if r.mode == mode)
    assert reading.strength == pytest.approx(strength)


def test_surroundings_are_told_by_whom_they_are_on():
    parts = tuple(of_class(0.25, 0.1, 0.1, name) for name in ("lemon", "pretzel", "den", "garden"))
    given = replace(QUIET, shown=parts, rate_own=0.9, rate_others=0.1)
    found = suggest_mode(given, LEXICON)
    assert found.name == "spurious"
    assert "90%" in found.reason
    assert "10%" in found.reason
    assert suggest_mode(replace(given, rate_others=0.8), LEXICON).name == "unclear"
    # What is written on them, and on the class's own no more than usual, explains them.
    written = replace(given, writing_images=0.95, reliability=1.0)
    assert suggest_mode(written, LEXICON).name == "typography"
    (spurious,) = (r for r in readings(written, LEXICON) if r.mode == "spurious")
    (plainly,) = (r for r in readings(given, LEXICON) if r.mode == "spurious")
    assert spurious.strength == pytest.approx(plainly.strength * 0.1)


@pytest.mark.parametrize("own", [0.9, 0.0])
def test_but_not_where_both_are_kinds_of_one_thing(own):
    lexicon = lexicon_of(
        ("n01", "husky", "a dog"), ("n02", "malamute", "a dog"), ("n03", "sled", "a vehicle"),
        above={"n01": ("n09",), "n02": ("n09",), "n03": ("n08",)},
    )  # fmt: skip

    def found(shown):
        given = evidence("husky", [shown], rate_own=own, rate_others=0.0)
        return suggest_mode(given, lexicon)

    assert found("malamute")[:2] == ("unclear", 1.0)
    assert found("sled").name == ("spurious" if own else "polysemy")


def test_a_label_of_wordnet_tells_the_sense():
    # By its name alone, either sense could be the class's.
    shown = (Shown("n03", "wader", 1.0, 0.0, 0.0),)
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


def test_a_mode_takes_most_of_the_evidence_and_not_most_of_all():
    # Images that carry writing, by 0.4: what says nothing is 0.6.
    little = suggest("ship", writing=0.5, writing_images=0.7, reliability=1.0)
    assert (little.name, little.alternatives[0].strength) == ("unclear", pytest.approx(0.4))
    # By 0.54, and surroundings by 0.9 · 0.46: most speaks, and most of it for writing.
    parts = tuple(of_class(0.25, 0.0, 0.0, name) for name in ("lemon", "pretzel", "den", "garden"))
    given = replace(QUIET, shown=parts, rate_own=1.0, rate_others=0.0)
    found = suggest_mode(replace(given, writing_images=0.77, reliability=1.0), LEXICON)
    expected = shares({"typography": 0.54, "spurious": 0.9 * 0.46})
    assert found[:2] == ("typography", pytest.approx(expected["typography"]))
    assert found.confidence < 0.5


def test_contradicting_evidence_is_unclear_and_shown():
    found = suggest("dog", ["hot dog"], writing=1.0)
    assert found.name == "unclear"
    assert [reading.mode for reading in found.alternatives] == ["compound", "typography"]
    assert "at most, compound" in found.reason
    assert found.confidence + sum(r.strength for r in found.alternatives) == pytest.approx(1.0)
