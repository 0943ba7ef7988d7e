"""Names of classes, and what the tests of adapters share."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.config import DatasetConfig
from pipeline.datasets import isic
from pipeline.datasets.classes import class_names, read_classes, short_name


def folder_config(root: Path, **changes: object) -> DatasetConfig:
    fields = {
        "kind": "image_folder",
        "root": root,
        "splits": None,
        "every": 1,
        "near_duplicates": None,
        "pixels": "shown",
        "max_excluded": 0.5,
        "licence": None,
        "labeler": "tiny",
        "vocabulary": Path("terms.txt"),
        "embeddings": "tiny",
        "templates": ["{}"],
        "descriptions": "class_name",
    }
    return DatasetConfig.model_validate({**fields, **changes})


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_class_names_prefer_classes_csv(tmp_path: Path) -> None:
    names = [["label", "name"], ["bat", "bat, small animal with wings"], ["other", "x"]]
    write_csv(tmp_path / "classes.csv", names)
    known = {"bat": "built in"}
    assert class_names(tmp_path, ["bat"], known) == {"bat": "bat, small animal with wings"}
    with pytest.raises(ValueError, match=r"no name for hot_dog .*classes\.csv"):
        class_names(tmp_path, ["bat", "hot_dog"], known)


def test_class_names_without_classes_csv(tmp_path: Path) -> None:
    assert class_names(tmp_path, ["MEL", "BKL"], isic.DIAGNOSES)["MEL"] == "melanoma"
    assert class_names(tmp_path, ["hot_dog"], {}) == {"hot_dog": "hot dog"}
    # a wnid among labels that are none is a name like any other
    assert class_names(tmp_path, ["n01440764", "a_b"], {})["n01440764"] == "n01440764"


def test_class_names_of_wordnet_ids(tmp_path: Path) -> None:
    names = class_names(tmp_path, ["n01440764", "n02012849"], {})
    assert names == {"n01440764": "tench, Tinca tinca", "n02012849": "crane"}
    with pytest.raises(ValueError, match="no name for n99999999"):
        class_names(tmp_path, ["n01440764", "n99999999"], {})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["label", "title"], ["a", "b"]], "line 1: no column name.* is 'title' meant"),
        ([["label", "name"], ["a", "b"], ["a", "c"]], "line 3, lists the label 'a' twice"),
        ([["label", "name"], ["a", "b"], ["c", " "]], "line 3: name is blank"),
        ([["label", "name"]], "names no class: give each a row"),
        ([["label", "name", "note"], ["a", "b", "c", "d"]], "line 2: has 4 cells, not 3"),
    ],
)
def test_read_classes_refuses(tmp_path: Path, rows: list[list[object]], message: str) -> None:
    write_csv(tmp_path / "classes.csv", rows)
    with pytest.raises(ValueError, match=message):
        read_classes(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "label,name\nn01,tench\nn02,English springer, springer spaniel\n",
        'label,name\nn01,tench\nn02,"English springer, springer spaniel"\n',
        'label, name\nn01, tench\nn02, "English springer, springer spaniel"\n',
        "label,name,\nn01,tench,\nn02,English springer,springer spaniel\n",  # as Excel pads it
        "Label;Name\nn01;tench\nn02;English springer, springer spaniel\n",
        "\ufefflabel\tname\r\n\r\nn01\ttench\r\nn02\tEnglish springer, springer spaniel\r\n",
    ],
)
def test_synonyms_need_no_quotes(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.csv").write_bytes(text.encode())
    names = {"n01": "tench", "n02": "English springer, springer spaniel"}
    assert read_classes(tmp_path) == names


def test_short_name_is_the_text_before_the_first_comma() -> None:
    assert short_name("bat, small animal, with wings") == "bat"
    assert short_name("golf ball") == "golf ball"
