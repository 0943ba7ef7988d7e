"""ISIC 2018, task 3: HAM10000's diagnoses as columns, lesions in a table that may be missing."""

from pathlib import Path

import pytest

from pipeline.datasets import isic
from tests.pipeline.datasets.invented_isic import (
    HEADER_HAM,
    found,
    isic_config,
    read,
    reasons,
    write_ham,
)
from tests.pipeline.datasets.test_adapters import touch, write_csv

PREFIX = "ISIC2018_Task3_"
HEADER = ["image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
GROUPINGS = f"{PREFIX}Training_LesionGroupings.csv"


def write_2018(root: Path, part: str, labels: dict[str, str], folder: str = "") -> None:
    """The table, in a folder as it unpacks where one is given, and a file for each row."""
    rows = [[i, *(f"{float(name == label)}" for name in HEADER[1:])] for i, label in labels.items()]
    write_csv(root / folder / f"{PREFIX}{part}_GroundTruth.csv", [HEADER, *rows])
    touch(root, *(f"{PREFIX}{part}_Input/{i}.jpg" for i in labels))


def test_2018_reads_diagnoses_and_lesions(tmp_path: Path) -> None:
    labels = {f"i{i}": name for i, name in enumerate([*HEADER[1:], ""])}
    write_2018(tmp_path, "Training", labels)
    rows = [[image, f"HAM_{int(image[1]) // 2}", "histopathology"] for image in labels]
    write_csv(tmp_path / GROUPINGS, [["image", "lesion_id", "diagnosis_confirm_type"], *rows])
    assert isic.releases(tmp_path) == {"ISIC 2018": tmp_path}
    listing = read(tmp_path)
    expected = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC"]
    assert found(listing) == {f"i{i}": (x, f"HAM_{i // 2}") for i, x in enumerate(expected)}
    assert listing.records[0].path == f"{PREFIX}Training_Input/i0.jpg"
    assert "not exactly one of MEL, NV, BCC, AKIEC" in reasons(listing)["i7"]
    assert listing.notes == []


def test_2018_without_groupings_says_that_lesions_are_unknown(tmp_path: Path) -> None:
    write_2018(tmp_path, "Training", {"a": "NV", "b": "MEL"})
    listing = read(tmp_path)
    assert found(listing) == {"a": ("NV", "a"), "b": ("MEL", "b")}
    [note] = listing.notes
    assert note.startswith("ISIC 2018: lesions are unknown")
    assert GROUPINGS in note


def test_2018_has_three_parts_as_their_archives_unpack(tmp_path: Path) -> None:
    for i, part in enumerate(("Training", "Validation", "Test")):
        folder = f"{PREFIX}{part}_GroundTruth"
        write_2018(tmp_path, part, {f"i{i}": "NV"}, folder=folder if i else f"{folder}/{folder}")
    assert list(isic.releases(tmp_path)) == ["ISIC 2018", "ISIC 2018 validation", "ISIC 2018 test"]
    assert found(read(tmp_path)) == {f"i{i}": ("NV", f"i{i}") for i in range(3)}


def test_the_test_as_hams_page_has_it(tmp_path: Path) -> None:
    write_ham(tmp_path, [("a", "L1", "mel"), ("b", "L2", "nv")])
    table = tmp_path / f"{PREFIX}Test_GroundTruth.csv"
    write_csv(table, [HEADER_HAM, ["L3", "c", "df", "histo", "60.0", "male", "back"]])
    assert list(isic.releases(tmp_path)) == ["HAM10000"]  # a table alone does not tell a release
    touch(tmp_path, f"{PREFIX}Test_Images/c.jpg")
    assert list(isic.releases(tmp_path)) == ["HAM10000", "ISIC 2018 test"]
    assert found(read(tmp_path))["c"] == ("DF", "L3")


def test_images_that_ham_has_too_are_taken_once(tmp_path: Path) -> None:
    write_ham(tmp_path / "ham", [("a", "L1", "mel"), ("b", "L1", "nv")])
    write_2018(tmp_path / "2018", "Training", {"a": "MEL", "c": "NV"})
    listing = read(tmp_path)
    assert found(listing) == {"a": ("MEL", "L1"), "b": ("NV", "L1"), "c": ("NV", "c")}
    assert reasons(listing) == {"a": "already in HAM10000"}


@pytest.mark.parametrize("missing", ["Input", "GroundTruth.csv"])
def test_half_of_2018_is_refused(tmp_path: Path, missing: str) -> None:
    write_2018(tmp_path, "Training", {"a": "NV"})
    name = f"{PREFIX}Training_{missing}"
    (tmp_path / name).rename(tmp_path.parent / f"{tmp_path.name} away")
    with pytest.raises(FileNotFoundError, match=rf"of ISIC 2018, but lacks {name}: .*data/#2018"):
        isic.records(tmp_path, isic_config(tmp_path), 0)
