"""Prompts of classes, and vocabularies."""

import pytest
import torch

from audits.failures.modes import KIND_MODES
from pipeline.embeddings.texts import FORMS, KINDS, Term, class_texts, prompts_of, read_vocabulary

TEMPLATES = ["{}", "an image of a {}", "a {}"]
VECTORS = {
    "bat": [1.0, 0.0, 0.0, 0.0],
    "an image of a bat": [0.0, 1.0, 0.0, 0.0],
    "a bat": [0.0, 1.0, 0.0, 0.0],
    "ship": [0.0, 0.0, 1.0, 0.0],
    "an image of a ship": [0.0, 0.0, 0.0, 1.0],
    "a ship": [0.0, 0.0, 1.0, 0.0],
}


@pytest.mark.parametrize(
    ("form", "prompts"),
    [
        ("short", ["bat"]),
        ("templates", ["bat", "an image of a bat", "a bat"]),
        ("extended", ["bat: it flies, at night"]),
        (
            "both",
            [
                "bat: it flies, at night",
                "an image of a bat: it flies, at night",
                "a bat: it flies, at night",
            ],
        ),
    ],
)
def test_prompts_of_each_form(form, prompts):
    found = prompts_of("bat, an animal", "bat: it flies, at night", form, TEMPLATES)
    assert found == prompts


def test_every_form_is_tested():
    assert set(FORMS) == {"short", "templates", "extended", "both"}


FIVE = 5**0.5


@pytest.mark.parametrize(
    ("names", "described", "form"),
    [
        (["bat, animal", "ship, vessel"], ["x", "y"], "templates"),
        (["x", "y"], ["bat", "ship"], "both"),
    ],
)
def test_texts_are_the_unit_mean_of_each_class_s_own_prompts(names, described, form):
    prompts = [
        prompts_of(name, description, form, TEMPLATES)
        for name, description in zip(names, described, strict=True)
    ]
    found = class_texts(prompts, lambda flat: torch.tensor([VECTORS[prompt] for prompt in flat]))
    expected = [[1 / FIVE, 2 / FIVE, 0, 0], [0, 0, 2 / FIVE, 1 / FIVE]]
    assert torch.allclose(found, torch.tensor(expected))


def test_a_vocabulary_of_lines(tmp_path):
    path = tmp_path / "terms.txt"
    path.write_text("red skin\n\n  hair \nnaïve term\n", encoding="utf-8")
    assert read_vocabulary(path) == [Term(t, None) for t in ("red skin", "hair", "naïve term")]


def test_a_vocabulary_with_kinds(tmp_path):
    path = tmp_path / "terms.csv"
    path.write_text('term,kind\n"globules, brown",lesion\nruler , Context\nhair,\nHAIR,\n')
    assert read_vocabulary(path) == [
        Term("globules, brown", "lesion"),
        Term("ruler", "context"),
        Term("hair", None),
        Term("HAIR", None),
    ]


def test_kinds_that_modes_rest_on_are_kinds_of_terms():
    assert set(KIND_MODES) <= set(KINDS)


@pytest.mark.parametrize("name", ["v.txt", "v.csv", "v.TSV"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_vocabulary_as_spreadsheets_and_editors_save_it(tmp_path, name, encoding, end):
    kind = None if name == "v.txt" else "background"
    lines = ["Schnee", "Grünfläche"] if kind is None else ["term;kind", "Schnee;background"]
    lines += [] if kind is None else ["Gru\u0308nfläche;Background"]
    (tmp_path / name).write_bytes(end.join([*lines, ""]).encode(encoding))
    expected = [Term("Schnee", kind), Term("Grünfläche", kind)]
    assert read_vocabulary(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("v.txt", "\n \n", "no term"),
        ("v.txt", "hair\nskin\n hair\n", "line 3: 'hair' is in line 1 already: keep one"),
        ("v.txt", "term,kind\nhair,lesion\n", r"line 1: 'term,kind' is the header .* in \.csv"),
        ("v.txt", "# words\nhair\n", "line 1: '# words' looks like a comment"),
        ("v.csv", "term\nhair\n", "line 1: no column kind; it has term"),
        ("v.csv", "term,kind\n,lesion\n", "line 2: term is blank"),
        (
            "v.csv",
            "term,kind\nsnow,background\ngrass,backgroud\n",
            "line 3: kind 'backgroud' is unknown; is background meant[?] Allowed: object, lesion, "
            "background, context, writing, or nothing",
        ),
        ("v.csv", "term,kind\nmouse, computer,object\n", "line 2: has 3 cells.* in double quotes"),
        (
            "v.csv",
            "term,kind,\nmouse, computer,object\n",
            "line 2: has 'object' in a column without",
        ),
        (
            "v.csv",
            "term,kind\nsnow, background,\n",
            "line 2: has 3 cells.*remove the comma at the e",
        ),
        ("v.csv", "term,kind,note\nmouse, computer,object\n", "line 2: kind 'computer' is unknown"),
        ("v.csv", "kind,term\nobject,dog\nbackground\n", "line 3: has 1 cell, not 2"),
        (
            "v.csv",
            "term,kind\nDesert,object\ndesert,background\n",
            "line 3: 'desert' is of kind background, and in line 2, in another spelling, of kind",
        ),
    ],
)
def test_a_bad_vocabulary_is_named(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_vocabulary(tmp_path / name)
    assert name in str(caught.value)


def test_a_missing_vocabulary_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt does not exist"):
        read_vocabulary(tmp_path / "none.txt")
