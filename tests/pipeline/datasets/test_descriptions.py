"""Descriptions of classes for extended prompts: full names, WordNet, a file."""

from pathlib import Path

import pytest
import yaml

from pipeline.config import DatasetConfig
from pipeline.datasets.descriptions import descriptions, read_descriptions

ROOT = Path(__file__).parents[3]
LABELS = ["n02012849", "n03126707"]
NAMES = ["crane, bird", "crane, machine"]


def test_full_names():
    assert descriptions("class_name", LABELS, NAMES) == NAMES


def test_wordnet_tells_a_bird_from_a_machine():
    bird, machine = descriptions("wordnet", LABELS, NAMES)
    assert bird.startswith("crane, bird: large long-necked wading bird of marshes")
    assert machine.startswith("crane, machine: lifts and moves heavy objects")


def test_a_label_that_wordnet_does_not_have_is_listed():
    with pytest.raises(ValueError, match=r"no description of 2 of 3 classes: MEL, NV; give them"):
        descriptions("wordnet", ["MEL", LABELS[0], "NV"], ["melanoma", "crane", "naevus"])


def test_a_file_is_taken_as_it_is(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text('label,note,description\n002,x," a bat, that flies"\n001,,cat\nmore,,x\n')
    assert descriptions(path, ["001", "002"], ["a", "b"]) == ["cat", "a bat, that flies"]


def test_classes_that_a_file_lacks_are_listed_up_to_ten(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("label,description\nc03,x\n")
    labels = [f"c{i:02d}" for i in range(13)]
    with pytest.raises(ValueError) as caught:
        descriptions(path, labels, labels)
    said = str(caught.value)
    assert f"{path} has no description of 12 of 13 classes: c00, c01, c02, c04" in said
    assert "c10 and 2 more; give each a row label,description, or set" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("label,text\na,b\n", "line 1: no column description; it has label, text; is .text. meant"),
        ("label,description\na,b\nc, \n", "line 3: description is blank"),
        ("label,description\na,b\na,c\n", "line 3, lists the label 'a' twice"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, said):
    path = tmp_path / "d.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_descriptions(path)
    assert "d.csv" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv does not exist"):
        read_descriptions(tmp_path / "none.csv")


def with_source(source: str) -> DatasetConfig:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    return DatasetConfig.model_validate(raw["datasets"]["scenes"] | {"descriptions": source})


@pytest.mark.parametrize("source", ["class_name", "wordnet", "table"])
def test_a_source_is_one_of_three_words(source):
    assert with_source(source).descriptions == source


@pytest.mark.parametrize("source", ["WordNet", "birds.csv", "vocabularies/x.csv", ""])
def test_any_other_source_is_refused(source):
    with pytest.raises(ValueError, match="'class_name', 'wordnet' or 'table'"):
        with_source(source)
