"""ISIC's releases, each in the layout in which it is published, alone and together."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from pipeline.config import DatasetConfig
from pipeline.datasets import Excluded, Listing, Record, isic
from pipeline.datasets.files import read_bytes
from pipeline.datasets.isic_releases import RELEASES
from pipeline.datasets.splits import split_of
from tests.pipeline.test_datasets import folder_config, touch, write_csv

SPLITS = {"train": 0.6, "val": 0.4}
LABELS = ["AK", "BCC", "BKL", "DF", "MEL", "NV", "SCC", "VASC"]

TRUTH = "ISIC_2019_Training_GroundTruth.csv"
METADATA = "ISIC_2019_Training_Metadata.csv"
INPUT = "ISIC_2019_Training_Input"
HEADER = ["image", "MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]

HEADER_2020 = [
    "image_name",
    "patient_id",
    "lesion_id",
    "sex",
    "age_approx",
    "anatom_site_general_challenge",
    "diagnosis",
    "benign_malignant",
    "target",
]
HEADER_2024 = ["isic_id", "target", "age_approx", "sex", "patient_id", "lesion_id", "iddx_full"]
HEADER_HAM = ["lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization"]


def isic_config(root: Path, **changes: object) -> DatasetConfig:
    return folder_config(root, kind="isic", **{"splits": SPLITS, **changes})


def read(root: Path) -> Listing:
    return isic.records(root, isic_config(root), seed=3)


def found(listing: Listing) -> dict[str, tuple[str | None, str]]:
    """Label and group by image_id."""
    return {record.image_id: (record.label, record.group_id) for record in listing.records}


def reasons(listing: Listing) -> dict[str, str]:
    return {Path(item.path).stem: item.reason for item in listing.excluded}


def row(image: str, *ones: str) -> list[object]:
    return [image, *("1.0" if column in ones else "0.0" for column in HEADER[1:])]


def write_2019(root: Path, truth: list[list[object]], lesions: dict[str, str]) -> None:
    """Tables as given, and a file for each row of truth."""
    write_csv(root / TRUTH, [HEADER, *truth])
    rows = [[image, "45", "torso", lesion, "male"] for image, lesion in lesions.items()]
    header = ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
    write_csv(root / METADATA, [header, *rows])
    touch(root, *(f"{INPUT}/{line[0]}.jpg" for line in truth))


def write_2020(
    root: Path,
    rows: list[tuple[str, str, str, str, str]],
    table: str = "ISIC_2020_Training_GroundTruth_v2.csv",
    folder: str = "train",
) -> None:
    """Rows of image, patient, lesion, diagnosis, target; Kaggle's table has no lesions."""
    lines = [
        [image, patient, lesion, "female", "", "torso", diagnosis, "", target]
        for image, patient, lesion, diagnosis, target in rows
    ]
    dropped = 2 if table == "train.csv" else len(HEADER_2020)
    lines = [[*line[:dropped], *line[dropped + 1 :]] for line in [HEADER_2020, *lines]]
    write_csv(root / table, lines)
    touch(root, *(f"{folder}/{image}.jpg" for image, *_ in rows))


def write_2024(root: Path, rows: list[tuple[str, str, str, str, str]]) -> None:
    """Rows of image, patient, lesion, iddx_full, target; the images in train-image/image."""
    lines = [
        [image, target, "50.0", "", patient, lesion, diagnosis]
        for image, patient, lesion, diagnosis, target in rows
    ]
    write_csv(root / "train-metadata.csv", [HEADER_2024, *lines])
    touch(root, *(f"train-image/image/{image}.jpg" for image, *_ in rows))


def write_ham(root: Path, rows: list[tuple[str, str, str]], name: str = "HAM10000") -> None:
    """Rows of image, lesion, dx; every other image in the second folder."""
    lines = [[lesion, image, dx, "histo", "60.0", "male", "back"] for image, lesion, dx in rows]
    write_csv(root / "HAM10000_metadata.csv", [HEADER_HAM, *lines])
    for part in (1, 2):
        (root / f"{name}_images_part_{part}").mkdir(parents=True)
        touch(root, *(f"{name}_images_part_{part}/{r[0]}.jpg" for r in rows[part - 1 :: 2]))


# ISIC 2019


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
        row("absent", "DF"),
        row("lesionless", "DF"),
    ]
    lesions = {str(line[0]): "L" for line in truth if line[0] != "lesionless"}
    write_2019(tmp_path, truth, lesions)
    (tmp_path / INPUT / "absent.jpg").unlink()
    touch(tmp_path, f"{INPUT}/stray.jpg", f"{INPUT}/ATTRIBUTION.txt", f"{INPUT}/.hidden.jpg")
    listing = read(tmp_path)
    assert found(listing) == {"good": ("NV", "L"), "unknown": (None, "L")}
    why = reasons(listing)
    assert why.keys() == {"none", "both", "absent", "lesionless", "stray"}
    assert why["none"] == why["both"]
    assert "not exactly one" in why["none"]
    assert why["absent"] == f"no such file, but a row in {TRUTH}"
    assert METADATA in why["lesionless"]
    assert why["stray"] == f"no row in {TRUTH}"
    assert all(item.fault for item in listing.excluded)


def test_two_files_of_one_image_are_refused(tmp_path: Path) -> None:
    write_2019(tmp_path, [row("a", "NV")], {"a": "L1"})
    touch(tmp_path, f"{INPUT}/a.PNG", f"{INPUT}/a.txt")
    with pytest.raises(ValueError, match=r"Input/a\.PNG and .*Input/a\.jpg"):
        read(tmp_path)


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


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        (TRUTH, "MEL,NV", "mel,nevus", f"{TRUTH} has no column MEL, NV; it has image"),
        (METADATA, "lesion_id", "lesion", f"{METADATA} has no column lesion_id"),
        (TRUTH, "b,0.0", "b,maybe", "image b, column MEL: 'maybe' is not 0 or 1"),
        (TRUTH, "b,0.0", "a,0.0", "lists 'a' twice"),
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
    with pytest.raises(ValueError, match=f"{TRUTH} (is no CSV|has no column)"):
        read(tmp_path)


# ISIC 2020


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("ISIC_2020_Training_GroundTruth_v2.csv", "train"),
        ("ISIC_2020_Training_GroundTruth_v2.csv", "ISIC_2020_Training_JPEG/train"),
        ("ISIC_2020_Training_GroundTruth.csv", "ISIC_2020_Training_JPEG"),
        ("train.csv", "jpeg/train"),
        ("train.csv", "train"),
    ],
)
def test_2020_reads_diagnoses_and_targets(tmp_path: Path, table: str, folder: str) -> None:
    rows = [
        ("i1", "P1", "", "melanoma", "1"),
        ("i2", "P2", "", "nevus", "0"),
        ("i3", "P3", "", "seborrheic keratosis", "0"),
        ("i4", "P4", "", "lentigo NOS", "0"),
        ("i5", "P5", "", "solar lentigo", "0"),
        ("i6", "P6", "", "lichenoid keratosis", "0"),
        ("i7", "P7", "", "unknown", "0"),
        ("i8", "P8", "", "cafe-au-lait macule", "0"),
        ("i9", "", "", "atypical melanocytic proliferation", "0"),
    ]
    write_2020(tmp_path, rows, table, folder)
    listing = read(tmp_path)
    labels = ["MEL", "NV", "BKL", "BKL", "BKL", "BKL", None, None, None]
    assert found(listing) == {
        f"i{i}": (label, f"P{i}" if i < 9 else "i9") for i, label in enumerate(labels, start=1)
    }
    assert listing.records[0].path == f"{folder}/i1.jpg"
    assert listing.excluded == []


def test_2020_leaves_out_copies_and_contradictions(tmp_path: Path) -> None:
    rows = [
        ("a", "P1", "L1", "nevus", "0"),
        ("b", "P2", "L2", "nevus", "0"),
        ("c", "P3", "L3", "nevus", "0"),
        ("d", "P4", "L4", "nevus", "1"),
        ("e", "P5", "L5", "melanoma", "0.0"),
        ("f", "P6", "L6", "unknown", "0"),
    ]
    write_2020(tmp_path, rows)
    pairs = [["a", "b"], ["b", "c"], ["b", "a"], ["gone", "f"]]
    table = tmp_path / "ISIC_2020_Training_Duplicates.csv"
    write_csv(table, [["image_name_1", "image_name_2"], *pairs])
    listing = read(tmp_path)
    assert found(listing) == {"a": ("NV", "L1"), "f": (None, "L6")}
    copy = f"a copy of a, as {table.name} says"
    assert listing.excluded == [
        Excluded("train/b.jpg", copy, fault=False),
        Excluded("train/c.jpg", copy, fault=False),
        Excluded("train/d.jpg", "target is 1, but diagnosis is 'nevus'"),
        Excluded("train/e.jpg", "target is 0, but diagnosis is 'melanoma'"),
    ]
    table.write_text("one,two\na,b\n")
    with pytest.raises(ValueError, match=r"Duplicates\.csv has no column image_name_1, image"):
        read(tmp_path)


def test_patients_and_lesions_span_one_group(tmp_path: Path) -> None:
    rows = [
        ("a", "P2", "L5", "nevus", "0"),
        ("b", "P2", "L4", "nevus", "0"),
        ("c", "P1", "L4", "nevus", "0"),  # to a through b
        ("d", "L5", "", "nevus", "0"),  # a patient that is called as a lesion is
        ("e", "", "L9", "nevus", "0"),
    ]
    write_2020(tmp_path, rows)
    (tmp_path / "train/b.jpg").unlink()
    expected = {"a": "L4", "c": "L4", "d": "L5", "e": "L9"}
    assert {name: group for name, (_, group) in found(read(tmp_path)).items()} == expected
    write_2020(tmp_path, rows[::-1])
    assert found(read(tmp_path))["c"] == ("NV", "L4")


@pytest.mark.parametrize(
    ("target", "message"),
    [("2", "image a, column target: '2' is not 0 or 1"), ("", "column target: '' is not")],
)
def test_2020_names_a_wrong_target(tmp_path: Path, target: str, message: str) -> None:
    write_2020(tmp_path, [("a", "P", "", "nevus", target)])
    with pytest.raises(ValueError, match=message):
        read(tmp_path)


# ISIC 2024

MALIGNANT = "Malignant::Malignant"
BENIGN = "Benign::Benign"
NEVUS = f"{BENIGN} melanocytic proliferations::Nevus"
BASAL = f"{MALIGNANT} adnexal epithelial proliferations - Follicular::Basal cell carcinoma"


@pytest.mark.parametrize(
    ("diagnosis", "target", "label"),
    [
        (f"{MALIGNANT} melanocytic proliferations (Melanoma)::Melanoma Invasive", "1", "MEL"),
        (
            f"{MALIGNANT} melanocytic proliferations (Melanoma)::Melanoma in situ::Melanoma in "
            "situ, associated with a nevus",
            "1",
            "MEL",
        ),
        (f"{BASAL}::Basal cell carcinoma, Nodular", "1", "BCC"),
        (f"{MALIGNANT} epidermal proliferations::Squamous cell carcinoma in situ", "1", "SCC"),
        (NEVUS, "0", "NV"),
        (f"{NEVUS}::Blue nevus::Blue nevus, Cellular", "0", "NV"),
        (f"{BENIGN} epidermal proliferations::Seborrheic keratosis", "0", "BKL"),
        (f"{BENIGN} epidermal proliferations::Solar lentigo", "0", "BKL"),
        (f"{BENIGN} epidermal proliferations::Lichen planus like keratosis", "0", "BKL"),
        (f"{BENIGN} epidermal proliferations::Pigmented benign keratosis", "0", "BKL"),
        (
            "Benign::Flat melanotic pigmentations - not melanocytic nevus::Lentigo NOS",
            "0",
            "BKL",
        ),
        (
            f"{BENIGN} soft tissue proliferations - Fibro-histiocytic::Dermatofibroma",
            "0",
            "DF",
        ),
        (f"{BENIGN} soft tissue proliferations - Fibro-histiocytic::Scar", "0", None),
        (f"{BENIGN} soft tissue proliferations - Vascular::Hemangioma", "0", "VASC"),
        (
            "Indeterminate::Indeterminate epidermal proliferations::Solar or actinic keratosis::"
            "Actinic keratosis, Bowenoid",
            "0",
            "AK",
        ),
        (
            "Indeterminate::Indeterminate melanocytic proliferations::Atypical melanocytic "
            "neoplasm",
            "0",
            None,
        ),
        ("Benign", "0", None),
        ("", "1", None),
    ],
)
def test_2024_reads_diagnoses(
    tmp_path: Path, diagnosis: str, target: str, label: str | None
) -> None:
    write_2024(tmp_path, [("i1", "P1", "", diagnosis, target)])
    listing = read(tmp_path)
    assert found(listing) == {"i1": (label, "P1")}
    assert listing.records[0].path == "train-image/image/i1.jpg"


def test_2024_leaves_out_contradictions(tmp_path: Path) -> None:
    rows = [
        ("a", "P1", "", NEVUS, "1"),
        ("b", "P2", "", BASAL, "0"),
        ("c", "P3", "", "Benign", "1"),
    ]
    write_2024(tmp_path, rows)
    listing = read(tmp_path)
    assert listing.records == []
    assert reasons(listing) == {
        "a": f"target is 1, but iddx_full is {NEVUS!r}",
        "b": f"target is 0, but iddx_full is {BASAL!r}",
        "c": "target is 1, but iddx_full is 'Benign'",
    }
    assert all(item.fault for item in listing.excluded)


def test_2024_without_diagnoses_has_no_labels(tmp_path: Path) -> None:
    write_2024(tmp_path, [("a", "P1", "L2", NEVUS, "0"), ("b", "P3", "", BASAL, "1")])
    table = tmp_path / "train-metadata.csv"
    table.write_text(table.read_text().replace("iddx_full", "other"))
    assert found(read(tmp_path)) == {"a": (None, "L2"), "b": (None, "P3")}


def test_2024_takes_its_images_from_hdf5(tmp_path: Path) -> None:
    write_2024(tmp_path / "d", [("a", "P1", "", NEVUS, "0"), ("b", "P2", "", BASAL, "1")])
    (tmp_path / "d/train-image/image/b.jpg").unlink()  # which hdf5 has
    Image.new("RGB", (6, 5)).save(tmp_path / "b.jpg")
    content = (tmp_path / "b.jpg").read_bytes()
    with h5py.File(tmp_path / "d/train-image.hdf5", "w") as file:
        for name in ("b", "stray"):
            file[name] = np.void(content)
    listing = read(tmp_path)
    assert [record.path for record in listing.records] == ["d/train-image.hdf5#b"]
    assert read_bytes(tmp_path, listing.records[0].path) == content
    assert listing.excluded == [
        Excluded("d/train-image.hdf5#stray", "no row in train-metadata.csv"),
        Excluded("d/train-image.hdf5/a", "no such file, but a row in train-metadata.csv"),
    ]


def test_a_broken_hdf5_is_named(tmp_path: Path) -> None:
    write_2024(tmp_path, [("a", "P1", "", NEVUS, "0")])
    (tmp_path / "train-image.hdf5").write_bytes(b"none")
    with pytest.raises(OSError, match=r"train-image\.hdf5"):
        read(tmp_path)


# HAM10000


@pytest.mark.parametrize("name", ["HAM10000", "ham10000"])
def test_ham10000_reads_both_folders(tmp_path: Path, name: str) -> None:
    diagnoses = ["mel", "nv", "bcc", "akiec", "bkl", "df", "vasc", "scar"]
    rows = [(f"i{i}", f"HAM_{i // 2}", dx) for i, dx in enumerate(diagnoses)]
    write_ham(tmp_path, rows, name)
    listing = read(tmp_path)
    labels = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC"]
    assert found(listing) == {f"i{i}": (x, f"HAM_{i // 2}") for i, x in enumerate(labels)}
    assert [record.path for record in listing.records[:2]] == [
        f"{name}_images_part_1/i0.jpg",
        f"{name}_images_part_2/i1.jpg",
    ]
    reason = "dx is 'scar', none of mel, nv, bcc, akiec, bkl, df, vasc"
    assert reasons(listing) == {"i7": reason}


def test_ham10000_as_the_dataverse_names_its_table(tmp_path: Path) -> None:
    write_ham(tmp_path, [("a", "HAM_1", "nv"), ("b", "HAM_2", "df")])
    (tmp_path / "HAM10000_metadata.csv").rename(tmp_path / "HAM10000_metadata")
    assert found(read(tmp_path)) == {"a": ("NV", "HAM_1"), "b": ("DF", "HAM_2")}


# several together


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
        (f"no such file, but a row in {TRUTH}", True),
        ("already in ISIC 2019", False),
        ("already in ISIC 2020, which says unknown and not DF", False),
        ("already in ISIC 2019, which says SCC and not AK", False),
    ]


def test_group_and_split_follow_from_the_names_alone(tmp_path: Path) -> None:
    truth = [row(f"i{i}", "NV") for i in range(9)]
    write_2019(tmp_path / "2019", truth, {f"i{i}": f"BCN_{i // 2}" for i in range(9)})
    alone = read(tmp_path).records
    write_ham(tmp_path / "ham", [("j1", "HAM_1", "nv"), ("j2", "", "nv")])
    assert read(tmp_path).records[:9] == alone


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
