"""Senses of nouns, from timm's list and from WordNet's own format."""

import pytest

from audits.failures.lexicon import Lexicon, Sense, plain, singulars, stem, wordnet_senses

LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by  \n"
HAND = (
    "05564590 08 n 04 hand 0 manus 0 mitt 0 paw 1 002 @ 05563770 n 0000 + 01440139 a 0101 "
    '| the (prehensile) extremity of the superior limb; "he had the hands of a surgeon"  \n'
)
PALM = (
    "05565696 08 n 02 palm 0 thenar 0 003 @ 05221895 n 0000 #p 05564590 n 0000 @ 05564590 n 0000 "
    "| the inner surface of the hand  \n"
)
TREE = "12582231 20 n 02 palm 0 palm_tree 0 001 @ 13103136 n 0000 | any plant of the Palmae  \n"


@pytest.fixture
def wordnet(tmp_path):
    (tmp_path / "data.noun").write_text(LICENCE + HAND + PALM + TREE, encoding="utf-8")
    return tmp_path


def test_wordnets_format(wordnet):
    hand, palm, tree = wordnet_senses(wordnet)
    assert hand.words == {"hand", "manus", "mitt", "paw"}
    assert hand.definition == "the (prehensile) extremity of the superior limb"
    assert palm == Sense(
        "n05565696",
        frozenset({"palm", "thenar"}),
        "the inner surface of the hand",
        ("n05221895", "n05564590"),
    )
    assert tree.words == {"palm", "palm tree"}


def test_words_are_counted_in_sixteens(tmp_path):
    words = [f"word_{i}" for i in range(11)]
    fields = " ".join(f"{word} 0" for word in words)
    (tmp_path / "data.noun").write_text(f"00000001 03 n 0b {fields} 000 | many  \n")
    (sense,) = wordnet_senses(tmp_path)
    assert sense.words == {plain(word) for word in words}


def test_a_folder_without_wordnet_names_the_key(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"data\.noun does not exist: modes\.wordnet"):
        Lexicon.read(tmp_path)


@pytest.mark.parametrize(
    "line", [PALM.replace(" | ", " "), "bat\n", PALM.replace(" n 02", " v 02")]
)
def test_a_line_in_another_format_is_named(wordnet, line):
    with (wordnet / "data.noun").open("a", encoding="utf-8") as file:
        file.write(line)
    with pytest.raises(ValueError, match=r"data\.noun, line 5"):
        Lexicon.read(wordnet)


def test_senses_of_a_word_and_of_its_singular(wordnet):
    lexicon = Lexicon.read(wordnet)
    assert [sense.key for sense in lexicon.senses("palm")] == ["n05565696", "n12582231"]
    assert lexicon.senses("palms") == lexicon.senses("palm")
    assert lexicon.senses("ball") == []
    assert lexicon.is_noun("palm")
    assert not lexicon.is_noun("palms")


def test_a_hypernyms_words_belong_to_a_sense(wordnet):
    lexicon = Lexicon.read(wordnet)
    assert "mitt" in lexicon.stems_of(lexicon.by_key["n05565696"])
    assert "mitt" not in lexicon.stems_of(lexicon.by_key["n12582231"])


def test_telling_words_are_in_few_senses():
    senses = [Sense(f"n{i:08}", frozenset({f"thing {i}"}), "small knot") for i in range(3)]
    senses += [Sense(f"n{i:08}", frozenset({"stone"}), "small") for i in range(3, 301)]
    lexicon = Lexicon.of(senses)
    assert lexicon.share["knot"] == 3 / 301
    assert lexicon.telling({"knot", "small", "unheard"}) == {"knot", "unheard"}


def test_kin_have_a_hypernym_within_two_steps_of_both():
    names = {"husky": "sled", "sled": "dog", "pug": "dog", "dog": "animal", "cat": "feline"}
    names |= {"feline": "carnivore", "animal": "carnivore"}
    lexicon = Lexicon.of(Sense(key, frozenset({key}), "", (above,)) for key, above in names.items())
    husky, pug, cat = (lexicon.by_key[key] for key in ("husky", "pug", "cat"))
    assert lexicon.kin(husky, pug)
    assert not lexicon.kin(husky, cat)
    assert not lexicon.kin(husky, None)


@pytest.mark.parametrize(
    ("word", "found"),
    [("glasses", "glass"), ("bats", "bat"), ("berries", "berry"), ("field boxes", "field box")],
)
def test_singulars(word, found):
    assert {word, found} <= singulars(word)


def test_singulars_leave_short_words_alone():
    assert singulars("is") == {"is"}


@pytest.mark.parametrize(
    ("word", "root"),
    [("knotted", "knot"), ("drinking", "drink"), ("rolling", "roll"), ("dresses", "dresse"),
     ("hands", "hand"), ("bed", "bed"), ("ring", "ring")],
)  # fmt: skip
def test_stems(word, root):
    assert stem(word) == root


def test_names_are_compared_in_one_spelling():
    assert plain("Hot_Dog  ") == "hot dog"


def test_the_shipped_lexicon_has_both_cranes_with_their_meanings():
    lexicon = Lexicon.read(None)
    bird, machine = lexicon.senses("crane")
    assert (bird.key, machine.key) == ("n02012849", "n03126707")
    assert "wading bird" in bird.definition
    assert {"cricket bat", "bat"} <= lexicon.by_key["n03132076"].words
    assert "n03438257" in {sense.key for sense in lexicon.senses("glasses")}  # drinking glass


def test_kin_share_a_hypernym_or_without_any_a_telling_word():
    filler = [Sense(f"n1{i:07}", frozenset({f"filler {i}"}), "a small thing") for i in range(300)]
    impala = Sense("n1", frozenset({"impala"}), "an antelope with curved horns")
    gazelle = Sense("n2", frozenset({"gazelle"}), "a small swift antelope")
    lamp = Sense("n3", frozenset({"lamp"}), "a small thing")
    lexicon = Lexicon.of([impala, gazelle, lamp, *filler])
    assert lexicon.kin(impala, gazelle)
    assert not lexicon.kin(gazelle, lamp)  # both are small, as is everything
    assert not lexicon.kin(gazelle, None)
    # Hypernyms know better.
    apart = (impala._replace(above=("n7",)), gazelle._replace(above=("n8",)))
    assert not lexicon.kin(*apart)
    assert lexicon.kin(apart[0], lamp._replace(above=("n7",)))
