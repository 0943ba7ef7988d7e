"""ISIC 2019: a column a diagnosis, and lesions in a table of their own."""

from pathlib import Path

import pytest

from pipeline.datasets import Record
from pipeline.datasets.adapters import layout
from pipeline.datasets.splits import split_of
from tests.pipeline.datasets.invented_isic import (
    INPUT,
    LABELS,
    METADATA,
    SPLITS,
    TRUTH,
    found,
    isic_config,
    read,
    reasons,
    row,
    write_2019,
)
from tests.pipeline.datasets.test_adapters import touch


def test_2019_lists_records_with_lesions_as_groups(tmp_path: Path) -> None:
    truth = [row("I_3", "NV"), row("I_1", "MEL"), row("I_2_downsampled", "MEL")]
    write_2019(tmp_path, truth, {"I_1": "L_1", "I_3": " ", "I_2_downsampled": "L_1"})
    listing = read(tmp_path)
    lesion, alone = (split_of(group, SPLITS, 3) for group in ("L_1", "I_3"))
    assert listing.records == [
        Record("I_1", f"{INPUT}/I_1.jpg", lesion, "MEL", "L_1"),
        Record("I_2_downsampled", f"{INPUT}/I_2_downsampled.jpg", lesion, "MEL", "L_1"),
        Record("I_3", f"{INPUT}/I_3.jpg", alone, "NV", "I_3"),
    ]
    assert listing.labels == LABELS
    assert listing.excluded == []


def test_lesions_never_straddle_splits(tmp_path: Path) -> None:
    truth = [row(f"I_{i:03}", "NV") for i in range(120)]
    write_2019(tmp_path, truth, {f"I_{i:03}": f"L_{i % 40}" for i in range(120)})
    splits_of: dict[str, set[str]] = {}
    for record in read(tmp_path).records:
        splits_of.setdefault(record.group_id, set()).add(record.split)
    assert len(splits_of) == 40
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert set.union(*splits_of.values()) == {"train", "val"}


def test_2019_leaves_out_what_it_cannot_use(tmp_path: Path) -> None:
    truth = [
        row("good", "NV"),
        row("unknown", "UNK"),
        row("none"),
        row("both", "MEL", "NV"),
        row("lesionless", "DF"),
    ]
    lesions = {str(line[0]): "L" for line in truth if line[0] != "lesionless"}
    write_2019(tmp_path, truth, lesions)
    touch(tmp_path, f"{INPUT}/stray.jpg", f"{INPUT}/ATTRIBUTION.txt", f"{INPUT}/.hidden.jpg")
    listing = read(tmp_path)
    assert found(listing) == {"good": ("NV", "L"), "unknown": (None, "L")}
    why = reasons(listing)
    assert why.keys() == {"none", "both", "lesionless", "stray"}
    assert why["none"] == why["both"]
    assert "not exactly one" in why["none"]
    assert METADATA in why["lesionless"]
    assert why["stray"] == f"no row in {TRUTH}"
    assert all(item.fault for item in listing.excluded)


def test_two_files_of_one_image_are_refused(tmp_path: Path) -> None:
    write_2019(tmp_path, [row("a", "NV")], {"a": "L1"})
    touch(tmp_path, f"{INPUT}/a.PNG", f"{INPUT}/a.txt")
    with pytest.raises(ValueError, match=r"Input/a\.PNG and .*Input/a\.jpg"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        (TRUTH, "MEL,NV", "mel,nevus", f"{TRUTH}, line 1: no column NV; it has image, mel"),
        (
            METADATA,
            "lesion_id",
            "lesion",
            f"{METADATA}, line 1: no column lesion_id.* is 'lesion' meant",
        ),
        (TRUTH, "b,0.0", "b,maybe", "line 3, image b, column MEL: 'maybe' is not 0 or 1"),
        (TRUTH, "b,0.0", "a,0.0", "line 3, lists the image 'a' twice, first in line 2"),
    ],
)
def test_2019_names_what_is_wrong_in_a_table(
    tmp_path: Path, table: str, old: str, new: str, message: str
) -> None:
    write_2019(tmp_path, [row("a", "NV"), row("b", "NV")], {"a": "L1", "b": "L2"})
    text = (tmp_path / table).read_text()
    assert old in text
    (tmp_path / table).write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"image,MEL\n\xff\xfe,0\n"])
def test_what_is_no_table_is_named(tmp_path: Path, content: bytes) -> None:
    write_2019(tmp_path, [row("a", "NV")], {"a": "L1"})
    (tmp_path / TRUTH).write_bytes(content)
    with pytest.raises(ValueError, match=f"{TRUTH}, line (1: no column|2: byte 0xff)"):
        read(tmp_path)


def test_2019_may_hold_a_part_of_its_images(tmp_path: Path) -> None:
    names = [f"I_{i}" for i in range(1500)]
    write_2019(tmp_path, [row(name, "NV") for name in names], dict.fromkeys(names, ""))
    for name in names[5:]:
        (tmp_path / INPUT / f"{name}.jpg").unlink()
    listing = read(tmp_path)
    assert [record.image_id for record in listing.records] == names[:5]
    assert listing.excluded == []
    [note] = listing.notes
    assert note == (
        f"1,495 of 1,500 rows of {TRUTH} have no image in {tmp_path / INPUT} (I_5, I_6, I_7 and "
        "others): it is taken for a part of the release; if it should be whole, fetch the images "
        "again"
    )
    for name in names[:5]:
        (tmp_path / INPUT / f"{name}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=f"{INPUT} holds none of the 1,500 images of"):
        read(tmp_path)


@pytest.mark.parametrize("folder", ["", "ISIC2019/", "ISIC2019/ISIC2019/"])
def test_archives_may_unpack_into_doubled_folders(tmp_path: Path, folder: str) -> None:
    place = tmp_path / folder
    write_2019(place, [row("a", "NV"), row("b", "MEL")], {"a": "L1", "b": "L2"})
    (place / INPUT).rename(tmp_path / "images")
    (place / INPUT).mkdir()
    (tmp_path / "images").rename(place / INPUT / INPUT)
    listing = read(tmp_path)
    assert [record.path for record in listing.records] == [
        f"{folder}{INPUT}/{INPUT}/{name}.jpg" for name in ("a", "b")
    ]
    assert listing.notes == []


def test_a_release_deeper_down_is_named(tmp_path: Path) -> None:
    write_2019(tmp_path / "archive/data", [row("a", "NV")], {"a": "L1"})
    with pytest.raises(ValueError, match=f"name {tmp_path / 'archive'} as root") as caught:
        layout(isic_config(tmp_path))
    assert "holds no release of ISIC" in str(caught.value)


def test_2019_in_tables_that_a_spreadsheet_saved(tmp_path: Path) -> None:
    write_2019(tmp_path, [row("a", "NV")], {"a": "L1"})
    for table in (TRUTH, METADATA):
        text = (tmp_path / table).read_text().replace(",", ";")
        (tmp_path / table).write_text(text, encoding="utf-8-sig")
    assert found(read(tmp_path)) == {"a": ("NV", "L1")}
