"""ISIC's releases together, and which of them a folder holds."""

from pathlib import Path

import pytest

from pipeline.datasets import isic
from pipeline.datasets.isic_releases import RELEASES
from pipeline.datasets.splits import split_of
from tests.pipeline.datasets.invented_isic import (
    INPUT,
    METADATA,
    NEVUS,
    TRUTH,
    found,
    isic_config,
    read,
    row,
    write_2019,
    write_2020,
    write_2024,
    write_ham,
)
from tests.pipeline.datasets.test_adapters import touch, write_csv


def test_several_releases_are_one_dataset(tmp_path: Path) -> None:
    lesions = {"i1": "BCN_1", "i2": "", "i3": "HAM_3", "i4": "HAM_4"}
    truth = [row("i1", "MEL"), row("i2", "NV"), row("i3", "SCC"), row("i4", "NV")]
    write_2019(tmp_path, truth, lesions)
    (tmp_path / INPUT / "i4.jpg").unlink()
    write_2020(tmp_path / "siim", [("i6", "IP_1", "IL_1", "unknown", "0")])
    write_2024(tmp_path / "any name", [("i7", "IP_1", "IL_2", NEVUS, "0")])
    ham = [("i2", "HAM_2", "nv"), ("i3", "HAM_3", "akiec"), ("i4", "HAM_4", "nv")]
    write_ham(tmp_path / "ham", [*ham, ("i8", "HAM_2", "nv"), ("i6", "", "df")])
    assert isic.releases(tmp_path) == {
        "ISIC 2019": tmp_path,
        "ISIC 2020": tmp_path / "siim",
        "ISIC 2024": tmp_path / "any name",
        "HAM10000": tmp_path / "ham",
    }
    listing = read(tmp_path)
    assert found(listing) == {
        "i1": ("MEL", "BCN_1"),
        "i2": ("NV", "HAM_2"),  # whose lesion only HAM10000 says
        "i3": ("SCC", "HAM_3"),
        "i4": ("NV", "HAM_4"),
        "i6": (None, "IL_1"),
        "i7": ("NV", "IL_1"),  # of one patient with i6
        "i8": ("NV", "HAM_2"),
    }
    assert [record.path for record in listing.records][2:6] == [
        f"{INPUT}/i3.jpg",
        "ham/HAM10000_images_part_1/i4.jpg",
        "siim/train/i6.jpg",
        "any name/train-image/image/i7.jpg",
    ]
    assert [(item.reason, item.fault) for item in listing.excluded] == [
        ("already in ISIC 2019", False),
        ("already in ISIC 2020, which says unknown and not DF", False),
        ("already in ISIC 2019, which says SCC and not AK", False),
    ]
    [note] = listing.notes
    assert note.startswith(f"1 of 4 rows of {TRUTH} have no image in {tmp_path / INPUT} (i4)")


def test_classes_csv_says_which_diagnoses_count(tmp_path: Path) -> None:
    write_2019(tmp_path / "2019", [row("a", "NV"), row("b", "DF")], {"a": "", "b": ""})
    write_ham(tmp_path / "ham", [("c", "L1", "mel"), ("d", "L2", "bcc")])
    write_csv(tmp_path / "classes.csv", [["label", "name"], ["NV", "nevus"], ["MEL", "melanoma"]])
    listing = read(tmp_path)
    assert listing.labels == ["MEL", "NV"]
    assert found(listing) == {"a": ("NV", "a"), "c": ("MEL", "L1")}
    assert [(item.reason, item.fault) for item in listing.excluded] == [
        ("its diagnosis DF is none of MEL, NV", False),
        ("its diagnosis BCC is none of MEL, NV", False),
    ]


def test_group_and_split_follow_from_the_names_alone(tmp_path: Path) -> None:
    truth = [row(f"i{i}", "NV") for i in range(9)]
    write_2019(tmp_path / "2019", truth, {f"i{i}": f"BCN_{i // 2}" for i in range(9)})
    alone = read(tmp_path).records
    write_ham(tmp_path / "ham", [("j1", "HAM_1", "nv"), ("j2", "", "nv")])
    assert read(tmp_path).records[:9] == alone


@pytest.mark.parametrize(
    ("splits", "seed"),
    [
        ({"train": 0.6, "val": 0.4}, 3),
        ({"train": 0.6, "val": 0.4}, 4),
        ({"val": 0.3, "test": 0.7}, 3),
    ],
)
def test_splits_are_drawn_by_the_shares_and_the_seed(
    tmp_path: Path, splits: dict[str, float], seed: int
) -> None:
    write_ham(tmp_path, [(f"i{i}", f"HAM_{i // 2}", "nv") for i in range(40)])
    records = isic.records(tmp_path, isic_config(tmp_path, splits=splits), seed).records
    assert [r.split for r in records] == [split_of(r.group_id, splits, seed) for r in records]


def test_one_release_twice_is_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_ham(tmp_path / folder, [("i", "L", "nv"), ("j", "L", "nv")])
    with pytest.raises(ValueError, match=r"HAM10000 is both in .*/a and in .*/b: keep one"):
        isic.releases(tmp_path)


def test_nothing_there_says_what_each_release_needs(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.jpg", "other/train.csv", "a file")
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(FileNotFoundError, match="holds no release of ISIC") as error:
            isic.releases(root)
        for release in RELEASES:
            assert f"{release.name}: {release.parts[0][0]}" in str(error.value)
            assert release.source in str(error.value)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (TRUTH, f"{INPUT} of ISIC 2019, but lacks {TRUTH}"),
        (METADATA, f"lacks {METADATA}"),
        (INPUT, f"holds {TRUTH}, {METADATA} of ISIC 2019, but lacks {INPUT}"),
        ("train.csv", None),  # a folder called train tells nothing
        ("jpeg", "holds train.csv of ISIC 2020, but lacks jpeg/train or ISIC_2020_Training_JPEG"),
        ("train-metadata.csv", "train-image/image of ISIC 2024, but lacks train-metadata.csv"),
        ("train-image", "lacks train-image.hdf5 or train-image/image"),
        ("HAM10000_images_part_2", "lacks HAM10000_images_part_2 or ham10000_images_part_2"),
    ],
)
def test_half_a_release_is_refused(tmp_path: Path, missing: str, message: str | None) -> None:
    write_2019(tmp_path, [row("a", "NV")], {"a": "L"})
    write_2020(tmp_path / "sub", [("b", "P", "", "nevus", "0")], "train.csv", "jpeg/train")
    write_2024(tmp_path / "sub", [("c", "P", "", NEVUS, "0")])
    write_ham(tmp_path / "sub", [("d", "L", "nv"), ("e", "L", "nv")])
    place = tmp_path if missing in (TRUTH, METADATA, INPUT) else tmp_path / "sub"
    (place / missing).rename(tmp_path.parent / f"{tmp_path.name} away")
    if message is None:
        assert list(isic.releases(tmp_path)) == ["ISIC 2019", "ISIC 2024", "HAM10000"]
        return
    with pytest.raises(FileNotFoundError, match=message):
        isic.releases(tmp_path)
