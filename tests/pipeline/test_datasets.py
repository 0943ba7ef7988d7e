"""Adapters: what a folder layout lists, without opening an image."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.config import DatasetConfig, EmbedConfig
from pipeline.datasets import Record, image_folder, isic
from pipeline.datasets.classes import class_names, read_classes, short_name
from pipeline.datasets.splits import split_of, thin

SPLITS = {"train": 0.6, "val": 0.4}
EMBED = EmbedConfig(batch_size=2, workers=0, shard_rows=3, dtype="float32")


def folder_config(root: Path, **changes: object) -> DatasetConfig:
    fields = {
        "kind": "image_folder",
        "root": root,
        "splits": None,
        "every": 1,
        "max_excluded": 0.5,
        "licence": None,
        "labeler": "tiny",
        "vocabulary": Path("terms.txt"),
        "embed": EMBED,
        "templates": ["{}"],
    }
    return DatasetConfig.model_validate({**fields, **changes})


def isic_config(root: Path, **changes: object) -> DatasetConfig:
    return folder_config(root, kind="isic", **{"splits": SPLITS, **changes})


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


# splits


def test_split_of_is_the_hash_of_seed_and_group() -> None:
    # sha256("7:a") begins with 0x82d9, as a fraction 0.511; sha256("7:b") with 0xec2a, 0.923
    for share, splits in [
        (0.50, ["val", "val"]),
        (0.52, ["train", "val"]),
        (0.92, ["train", "val"]),
        (0.93, ["train", "train"]),
    ]:
        fractions = {"train": share, "val": 1 - share}
        assert [split_of(group, fractions, 7) for group in "ab"] == splits


def test_split_of_meets_the_shares_and_follows_the_seed() -> None:
    fractions = {"train": 0.7, "val": 0.2, "test": 0.1}
    drawn = [[split_of(f"lesion-{i}", fractions, seed) for i in range(4000)] for seed in (0, 1)]
    for splits in drawn:
        shares = {name: count / 4000 for name, count in Counter(splits).items()}
        assert shares == pytest.approx(fractions, abs=0.03)
    agree = sum(a == b for a, b in zip(*drawn, strict=True)) / 4000
    assert agree == pytest.approx(0.7**2 + 0.2**2 + 0.1**2, abs=0.03)  # independent seeds


def test_split_of_never_draws_a_share_of_zero() -> None:
    fractions = {"train": 0.0, "val": 0.3, "test": 0.7}
    assert {split_of(f"lesion-{i}", fractions, 0) for i in range(300)} == {"val", "test"}


@pytest.mark.parametrize("fractions", [{"train": 0.5}, {"train": 1.5, "val": -0.5}, {}])
def test_split_of_refuses_fractions_that_are_none(fractions: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        split_of("a", fractions, 0)


def test_thin_keeps_every_third_train_image_of_each_class() -> None:
    listed = [Record(f"{label}{i}", "", "train", label, "") for i in range(7) for label in "ab"]
    listed += [Record(f"v{i}", "", "val", "a", "") for i in range(4)]
    kept = [record.image_id for record in thin(listed, 3)]
    assert kept == ["a0", "b0", "a3", "b3", "a6", "b6", "v0", "v1", "v2", "v3"]
    assert thin(listed, 1) == listed


# image folders


def test_image_folder_lists_records_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "train/hot_dog/b.v2.jpg", "train/bat/a.PNG", "val/bat/a.png", "val/hot_dog/c")
    touch(tmp_path, ".DS_Store", "train/.DS_Store", "train/bat/.hidden.png")
    (tmp_path / "val/empty").mkdir()
    listing = image_folder.records(tmp_path, folder_config(tmp_path), seed=0)
    assert listing.labels == ["bat", "empty", "hot_dog"]
    assert listing.excluded == []
    assert listing.records == [
        Record("train/bat/a", "train/bat/a.PNG", "train", "bat", "train/bat/a"),
        Record(
            "train/hot_dog/b.v2", "train/hot_dog/b.v2.jpg", "train", "hot_dog", "train/hot_dog/b.v2"
        ),
        Record("val/bat/a", "val/bat/a.png", "val", "bat", "val/bat/a"),
        Record("val/hot_dog/c", "val/hot_dog/c", "val", "hot_dog", "val/hot_dog/c"),
    ]


def test_image_folder_leaves_out_namesakes_and_nested_folders(tmp_path: Path) -> None:
    touch(tmp_path, "train/bat/a.jpg", "train/bat/a.png", "train/bat/more/b.png", "val/bat/a.jpg")
    listing = image_folder.records(tmp_path, folder_config(tmp_path), seed=0)
    assert [record.path for record in listing.records] == ["train/bat/a.jpg", "val/bat/a.jpg"]
    assert [item.path for item in listing.excluded] == ["train/bat/a.png", "train/bat/more"]
    assert "train/bat/a.jpg" in listing.excluded[0].reason


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        (["train/bat/a.jpg"], FileNotFoundError, "val is missing"),
        (["val/bat/a.jpg"], FileNotFoundError, "train is missing"),
        (["train/bat/a.jpg", "val/a.jpg"], ValueError, r"val holds 1 files .*'a\.jpg'"),
        (["train/bat/a.jpg", "val/.keep"], ValueError, "val holds no class folder"),
    ],
)
def test_image_folder_refuses_other_layouts(
    tmp_path: Path, paths: list[str], error: type[Exception], message: str
) -> None:
    touch(tmp_path, *paths)
    with pytest.raises(error, match=message):
        image_folder.records(tmp_path, folder_config(tmp_path), seed=0)


# ISIC

HEADER = ["image", "MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]


def row(image: str, *ones: str) -> list[object]:
    return [image, *("1.0" if column in ones else "0.0" for column in HEADER[1:])]


def write_isic(root: Path, truth: list[list[object]], lesions: dict[str, str]) -> None:
    """Tables as given, and a file for each row of truth."""
    write_csv(root / isic.TRUTH, [HEADER, *truth])
    rows = [[image, "45", "torso", lesion, "male"] for image, lesion in lesions.items()]
    header = ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
    write_csv(root / isic.METADATA, [header, *rows])
    touch(root, *(f"{isic.FOLDER}/{line[0]}.jpg" for line in truth))


def test_isic_lists_records_with_lesions_as_groups(tmp_path: Path) -> None:
    truth = [row("I_3", "NV"), row("I_1", "MEL"), row("I_2_downsampled", "MEL")]
    write_isic(tmp_path, truth, {"I_1": "L_1", "I_3": " ", "I_2_downsampled": "L_1"})
    listing = isic.records(tmp_path, isic_config(tmp_path), seed=3)
    lesion, alone = (split_of(group, SPLITS, 3) for group in ("L_1", "I_3"))
    assert listing.records == [
        Record("I_1", f"{isic.FOLDER}/I_1.jpg", lesion, "MEL", "L_1"),
        Record("I_2_downsampled", f"{isic.FOLDER}/I_2_downsampled.jpg", lesion, "MEL", "L_1"),
        Record("I_3", f"{isic.FOLDER}/I_3.jpg", alone, "NV", "I_3"),
    ]
    assert listing.labels == ["AK", "BCC", "BKL", "DF", "MEL", "NV", "SCC", "VASC"]
    assert listing.excluded == []


def test_isic_lesions_never_straddle_splits(tmp_path: Path) -> None:
    truth = [row(f"I_{i:03}", "NV") for i in range(120)]
    write_isic(tmp_path, truth, {f"I_{i:03}": f"L_{i % 40}" for i in range(120)})
    listing = isic.records(tmp_path, isic_config(tmp_path), seed=0)
    splits_of: dict[str, set[str]] = {}
    for record in listing.records:
        splits_of.setdefault(record.group_id, set()).add(record.split)
    assert len(splits_of) == 40
    assert all(len(splits) == 1 for splits in splits_of.values())
    assert {record.split for record in listing.records} == {"train", "val"}


def test_isic_leaves_out_what_it_cannot_use(tmp_path: Path) -> None:
    truth = [
        row("good", "NV"),
        row("unknown", "UNK"),
        row("none"),
        row("both", "MEL", "NV"),
        row("absent", "DF"),
        row("lesionless", "DF"),
    ]
    lesions = {line[0]: "L" for line in truth if line[0] != "lesionless"}
    write_isic(tmp_path, truth, {str(image): lesion for image, lesion in lesions.items()})
    (tmp_path / isic.FOLDER / "absent.jpg").unlink()
    touch(tmp_path, f"{isic.FOLDER}/stray.jpg", f"{isic.FOLDER}/ATTRIBUTION.txt")
    listing = isic.records(tmp_path, isic_config(tmp_path), seed=0)
    assert [record.image_id for record in listing.records] == ["good"]
    reasons = {Path(item.path).stem: item.reason for item in listing.excluded}
    assert reasons.keys() == {"unknown", "none", "both", "absent", "lesionless", "stray"}
    assert "UNK" in reasons["unknown"]
    assert reasons["none"] == reasons["both"]
    assert "not exactly one" in reasons["none"]
    assert "no such file" in reasons["absent"]
    assert isic.METADATA in reasons["lesionless"]
    assert isic.TRUTH in reasons["stray"]


def test_isic_refuses_two_files_of_one_image(tmp_path: Path) -> None:
    write_isic(tmp_path, [row("a", "NV")], {"a": "L1"})
    touch(tmp_path, f"{isic.FOLDER}/a.PNG", f"{isic.FOLDER}/a.txt")
    with pytest.raises(ValueError, match=r"holds a\.PNG and a\.jpg"):
        isic.records(tmp_path, isic_config(tmp_path), seed=0)


def test_isic_takes_its_classes_from_classes_csv(tmp_path: Path) -> None:
    write_isic(tmp_path, [row("a", "NV"), row("b", "DF")], {"a": "", "b": ""})
    write_csv(tmp_path / "classes.csv", [["label", "name"], ["NV", "nevus"], ["MEL", "melanoma"]])
    listing = isic.records(tmp_path, isic_config(tmp_path), seed=0)
    assert listing.labels == ["MEL", "NV"]
    assert [record.label for record in listing.records] == ["NV"]
    assert [item.path for item in listing.excluded] == [f"{isic.FOLDER}/b.jpg"]


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        (isic.TRUTH, "MEL,NV", "mel,nevus", f"{isic.TRUTH} has no column MEL, NV; it has image"),
        (isic.METADATA, "lesion_id", "lesion", f"{isic.METADATA} has no column lesion_id"),
        (isic.TRUTH, "b,0.0", "b,maybe", "image b, column MEL: 'maybe'"),
        (isic.TRUTH, "b,0.0", "a,0.0", "lists 'a' twice"),
    ],
)
def test_isic_names_what_is_wrong_in_a_table(
    tmp_path: Path, table: str, old: str, new: str, message: str
) -> None:
    write_isic(tmp_path, [row("a", "NV"), row("b", "NV")], {"a": "L1", "b": "L2"})
    text = (tmp_path / table).read_text()
    assert old in text
    (tmp_path / table).write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message):
        isic.records(tmp_path, isic_config(tmp_path), seed=0)


@pytest.mark.parametrize("missing", [isic.TRUTH, isic.METADATA, f"{isic.FOLDER}/a.jpg"])
def test_isic_names_a_missing_part(tmp_path: Path, missing: str) -> None:
    write_isic(tmp_path, [row("a", "NV")], {"a": "L1"})
    (tmp_path / missing).unlink()
    if missing.startswith(isic.FOLDER):
        (tmp_path / isic.FOLDER).rmdir()
    with pytest.raises(FileNotFoundError, match=Path(missing).parts[0]):
        isic.records(tmp_path, isic_config(tmp_path), seed=0)


# names of classes


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
        ([["label", "title"], ["a", "b"]], "no column name"),
        ([["label", "name"], ["a", "b"], ["a", "c"]], "'a' twice"),
        ([["label", "name"], ["a", "b"], ["c", " "]], "line 3"),
    ],
)
def test_read_classes_refuses(tmp_path: Path, rows: list[list[object]], message: str) -> None:
    write_csv(tmp_path / "classes.csv", rows)
    with pytest.raises(ValueError, match=message):
        read_classes(tmp_path)


def test_short_name_is_the_text_before_the_first_comma() -> None:
    assert short_name("bat, small animal, with wings") == "bat"
    assert short_name("golf ball") == "golf ball"
