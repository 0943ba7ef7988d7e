"""Prompts of classes, and vocabularies."""

import pytest
import torch

from pipeline.texts import FORMS, Term, class_texts, prompts_of, read_vocabulary

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
    found = class_texts(
        names,
        described,
        form,
        TEMPLATES,
        lambda prompts: torch.tensor([VECTORS[prompt] for prompt in prompts]),
    )
    expected = [[1 / FIVE, 2 / FIVE, 0, 0], [0, 0, 2 / FIVE, 1 / FIVE]]
    assert torch.allclose(found, torch.tensor(expected))


def test_a_vocabulary_of_lines(tmp_path):
    path = tmp_path / "terms.txt"
    path.write_text("red skin\n\n  hair \nnaïve term\n", encoding="utf-8")
    assert read_vocabulary(path) == [Term(t, None) for t in ("red skin", "hair", "naïve term")]


def test_a_vocabulary_with_kinds(tmp_path):
    path = tmp_path / "terms.csv"
    path.write_text('term,kind\n"globules, brown",lesion\nruler , context\nhair,\nskin\n')
    assert read_vocabulary(path) == [
        Term("globules, brown", "lesion"),
        Term("ruler", "context"),
        Term("hair", None),
        Term("skin", None),
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("v.txt", "\n \n", "no term"),
        ("v.txt", "hair\nskin\n hair\n", "'hair' 2 times"),
        ("v.csv", "term\nhair\n", r"lacks the columns \['kind'\]"),
        ("v.csv", "term,kind\n,lesion\n", "term is empty"),
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
