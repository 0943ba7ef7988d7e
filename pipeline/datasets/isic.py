"""ISIC 2019: one folder of images, a table of one-hot diagnoses, a table with the lesion of each.

Layout: `ISIC_2019_Training_Input/*.jpg`, `ISIC_2019_Training_GroundTruth.csv` and
`ISIC_2019_Training_Metadata.csv`, as published at https://challenge.isic-archive.com/data/#2019.
"""

import os
from pathlib import Path

import pandas as pd

from pipeline.config import DatasetConfig
from pipeline.datasets import Excluded, Listing, Record
from pipeline.datasets.classes import read_classes
from pipeline.datasets.splits import split_of

__all__ = ["DIAGNOSES", "records"]

FOLDER = "ISIC_2019_Training_Input"
TRUTH = "ISIC_2019_Training_GroundTruth.csv"
METADATA = "ISIC_2019_Training_Metadata.csv"
UNKNOWN = "UNK"
SUFFIXES = (".jpg", ".jpeg", ".png")

DIAGNOSES = {
    "MEL": "melanoma",
    "NV": "melanocytic nevus",
    "BCC": "basal cell carcinoma",
    "AK": "actinic keratosis",
    "BKL": "benign keratosis, solar lentigo, seborrheic keratosis, lichen planus-like keratosis",
    "DF": "dermatofibroma",
    "VASC": "vascular lesion",
    "SCC": "squamous cell carcinoma",
}


def records(root: Path, config: DatasetConfig, seed: int) -> Listing:
    """The images of the table of diagnoses; the column that holds the 1 is the label.

    The classes are those of `classes.csv` where the root has one, else the eight of ISIC 2019.
    The group_id is the lesion_id, or the image's own id where that is blank, and the split is
    drawn for each group. Exclusions: unknown diagnosis, a row that is not one-hot, an image
    without a file or without metadata, a file without a diagnosis.

    Args:
        root: the dataset's folder.
        config: `splits`, fraction of the groups by split.
        seed: of the split.

    Raises:
        FileNotFoundError: the folder or a table is missing.
        ValueError: `splits` is null, a column is missing or not of numbers, or an image has
            two rows or two files.
    """
    if config.splits is None:
        raise ValueError("splits is null: kind isic needs shares such as {train: 0.8, val: 0.2}")
    splits = {str(name): share for name, share in config.splits.items()}
    labels = sorted(read_classes(root) or DIAGNOSES)
    files = _files(root / FOLDER)
    truth = _table(root / TRUTH, labels)
    lesions = _table(root / METADATA, ["lesion_id"])["lesion_id"].str.strip()
    diagnoses = _one_hot(truth, labels, root / TRUTH)

    found: list[Record] = []
    excluded = [
        Excluded(f"{FOLDER}/{name}", f"no row in {TRUTH}")
        for image_id, name in files.items()
        if image_id not in diagnoses
    ]
    for image_id, diagnosis in diagnoses.items():
        path = f"{FOLDER}/{files.get(image_id, image_id)}"
        if image_id not in files:
            excluded.append(Excluded(path, f"no such file, but a row in {TRUTH}"))
        elif image_id not in lesions.index:
            excluded.append(Excluded(path, f"no row in {METADATA}, so its lesion is unknown"))
        elif diagnosis == UNKNOWN:
            excluded.append(Excluded(path, f"diagnosis unknown ({UNKNOWN})"))
        elif diagnosis is None:
            columns = ", ".join(labels)
            excluded.append(Excluded(path, f"not exactly one of {columns} is 1 and the others 0"))
        else:
            group_id = lesions[image_id] or image_id
            split = split_of(group_id, splits, seed)
            found.append(Record(image_id, path, split, diagnosis, group_id))
    return Listing(sorted(found), labels, sorted(excluded))


def _files(folder: Path) -> dict[str, str]:
    """Name of the image file by image_id; texts that lie beside the images are no images."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: unpack the images of ISIC 2019 there")
    files: dict[str, str] = {}
    for name in sorted(path.name for path in folder.iterdir()):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in SUFFIXES or name.startswith("."):
            continue
        if stem in files:
            raise ValueError(f"{folder} holds {files[stem]} and {name}: keep one file an image")
        files[stem] = name
    return files


def _table(path: Path, columns: list[str]) -> pd.DataFrame:
    """A table of strings, indexed by image; blank cells are empty strings."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: ISIC 2019 publishes it beside the images")
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    missing = [name for name in ["image", *columns] if name not in table.columns]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(table.columns)}"
        )
    twice = table["image"][table["image"].duplicated()]
    if len(twice):
        raise ValueError(f"{path} lists {twice.iloc[0]!r} twice: keep one row an image")
    return table.set_index("image")


def _one_hot(truth: pd.DataFrame, labels: list[str], path: Path) -> dict[str, str | None]:
    """The column that holds the 1, by image; None where a row is not one-hot."""
    columns = [*labels, UNKNOWN] if UNKNOWN in truth.columns else labels
    numbers = truth[columns].apply(pd.to_numeric, errors="coerce")
    if numbers.isna().any(axis=None):
        image_id, column = numbers.isna().stack().idxmax()
        value = truth.at[image_id, column]
        raise ValueError(f"{path}, image {image_id}, column {column}: {value!r} is not 0 or 1")
    valid = numbers.isin([0, 1]).all(axis=1) & (numbers.sum(axis=1) == 1)
    return {
        image_id: column if ok else None
        for image_id, column, ok in zip(truth.index, numbers.idxmax(axis=1), valid, strict=True)
    }
