"""The tables of ISIC's releases, each read into rows of one kind.

A diagnosis that is none of the eight of ISIC 2019, or not known, is the label None.
"""

from collections.abc import Container
from pathlib import Path
from typing import NamedTuple

import pandas as pd

__all__ = ["DIAGNOSES", "Row", "read_2019", "read_2020", "read_2024", "read_duplicates", "read_ham"]

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
"""The classes of ISIC 2019 by label."""

MALIGNANT = {"MEL", "BCC", "SCC"}
BENIGN = {"NV", "BKL", "DF", "VASC"}  # AK is neither

UNKNOWN_2019 = "UNK"
LABELS_2020 = {
    "melanoma": "MEL",
    "nevus": "NV",
    "seborrheic keratosis": "BKL",
    "lentigo nos": "BKL",
    "solar lentigo": "BKL",
    "lichenoid keratosis": "BKL",
}
LABELS_2024 = {
    "melanoma": "MEL",
    "malignant melanocytic proliferations": "MEL",
    "basal cell carcinoma": "BCC",
    "squamous cell carcinoma": "SCC",
    "nevus": "NV",
    "blue nevus": "NV",
    "seborrheic keratosis": "BKL",
    "solar lentigo": "BKL",
    "lentigo nos": "BKL",
    "lichen planus like keratosis": "BKL",
    "pigmented benign keratosis": "BKL",
    "dermatofibroma": "DF",
    "solar or actinic keratosis": "AK",
    "hemangioma": "VASC",
    "benign soft tissue proliferations - vascular": "VASC",
}
"""Label by how a level of the diagnosis begins; "Melanoma in situ" begins with "melanoma"."""

LABELS_HAM = {
    "mel": "MEL",
    "nv": "NV",
    "bcc": "BCC",
    "akiec": "AK",
    "bkl": "BKL",
    "df": "DF",
    "vasc": "VASC",
}


class Row(NamedTuple):
    """One image of a table."""

    image_id: str
    label: str | None
    """One of DIAGNOSES, or of the classes asked for; None where it is unknown or none of these."""
    lesion: str
    """Blank where it is not said."""
    patient: str
    """Blank where it is not said."""
    fault: str | None
    """Why the image cannot be used; None where it can."""


def read_2019(truth: Path, metadata: Path, labels: list[str]) -> list[Row]:
    """ISIC 2019: the column that holds the 1 is the label; faulty are rows that are not one-hot.

    Args:
        truth: one-hot table of diagnoses.
        metadata: the lesion of each image.
        labels: classes that truth must have a column of.

    Raises:
        ValueError: a column is missing or not of numbers, or an image has two rows.
    """
    others = tuple(name for name in [*DIAGNOSES, UNKNOWN_2019] if name not in labels)
    table = _table(truth, "image", labels, others)
    lesions = _table(metadata, "image", ["lesion_id"])["lesion_id"].to_dict()
    columns = [name for name in [*labels, *others] if name in table]
    numbers = table[columns].apply(pd.to_numeric, errors="coerce")
    if numbers.isna().any(axis=None):
        image_id, column = numbers.isna().stack().idxmax()
        _refuse(truth, image_id, column, table.at[image_id, column])
    valid = numbers.isin([0, 1]).all(axis=1) & (numbers.sum(axis=1) == 1)
    rows = []
    for image_id, column, one_hot in zip(table.index, numbers.idxmax(axis=1), valid, strict=True):
        fault = None
        if image_id not in lesions:
            fault = f"no row in {metadata.name}, so its lesion is unknown"
        elif not one_hot:
            fault = f"not exactly one of {', '.join(columns)} is 1 and the others 0"
        label = column if one_hot and column != UNKNOWN_2019 else None
        rows.append(Row(image_id, label, lesions.get(image_id, ""), "", fault))
    return rows


def read_2020(path: Path) -> list[Row]:
    """ISIC 2020: target and diagnosis, which must agree; only the archive's v2 has lesions.

    Raises:
        ValueError: a column is missing, target is not 0 or 1, or an image has two rows.
    """
    table = _table(path, "image_name", ["patient_id", "diagnosis", "target"], ("lesion_id",))
    columns = (table.index, table.diagnosis, _targets(path, table), table.lesion_id)
    rows = []
    for image_id, diagnosis, malignant, lesion, patient in zip(
        *columns, table.patient_id, strict=True
    ):
        label = LABELS_2020.get(diagnosis.lower())
        fault = None
        if label is not None and malignant != (label in MALIGNANT):
            fault = f"target is {int(malignant)}, but diagnosis is {diagnosis!r}"
        rows.append(Row(image_id, "MEL" if malignant else label, lesion, patient, fault))
    return rows


def read_2024(path: Path) -> list[Row]:
    """ISIC 2024: the diagnosis in full, level by level, which must agree with target.

    Without the column iddx_full, no label is known.

    Raises:
        ValueError: another column is missing, target is not 0 or 1, or an image has two rows.
    """
    table = _table(path, "isic_id", ["target", "patient_id", "lesion_id"], ("iddx_full",))
    columns = (table.index, table.iddx_full, _targets(path, table), table.lesion_id)
    rows = []
    for image_id, diagnosis, malignant, lesion, patient in zip(
        *columns, table.patient_id, strict=True
    ):
        levels = [level.strip().lower() for level in diagnosis.split("::")]
        label = next(filter(None, map(_label_2024, levels)), None)
        said = {levels[0], label} & {"malignant", "benign", *MALIGNANT, *BENIGN}
        fault = None
        if any((word in {"malignant", *MALIGNANT}) != malignant for word in said):
            fault = f"target is {int(malignant)}, but iddx_full is {diagnosis!r}"
        rows.append(Row(image_id, label, lesion, patient, fault))
    return rows


def read_ham(path: Path) -> list[Row]:
    """HAM10000: the column dx; faulty are rows with another than its seven diagnoses.

    Raises:
        ValueError: a column is missing, or an image has two rows.
    """
    table = _table(path, "image_id", ["lesion_id", "dx"])
    rows = []
    for image_id, lesion, diagnosis in zip(table.index, table.lesion_id, table.dx, strict=True):
        label = LABELS_HAM.get(diagnosis)
        fault = None if label else f"dx is {diagnosis!r}, none of {', '.join(LABELS_HAM)}"
        rows.append(Row(image_id, label, lesion, "", fault))
    return rows


def read_duplicates(path: Path, there: Container[str]) -> dict[str, str]:
    """ISIC 2020's own list of duplicates: the image that is kept, by one that is its copy.

    The second of a listed pair is the copy. A copy counts only where an image that it is a copy of
    is there too.

    Args:
        path: table of image_name_1 and image_name_2; where it is missing, there are none.
        there: the images whose files are there.

    Raises:
        ValueError: a column is missing.
    """
    if not path.is_file():
        return {}
    table = _read(path, ["image_name_1", "image_name_2"])
    originals: dict[str, str] = {}
    for first, second in zip(table["image_name_1"], table["image_name_2"], strict=True):
        original = originals.get(first, first)
        if original in there and original != second:
            originals[second] = original
    return originals


def _label_2024(level: str) -> str | None:
    return next((label for start, label in LABELS_2024.items() if level.startswith(start)), None)


def _targets(path: Path, table: pd.DataFrame) -> pd.Series:
    """The column target as booleans."""
    numbers = pd.to_numeric(table["target"], errors="coerce")
    wrong = ~numbers.isin([0, 1])
    if wrong.any():
        image_id = wrong.idxmax()
        _refuse(path, image_id, "target", table.at[image_id, "target"])
    return numbers == 1


def _refuse(path: Path, image_id: object, column: object, value: object) -> None:
    raise ValueError(f"{path}, image {image_id}, column {column}: {value!r} is not 0 or 1")


def _table(
    path: Path, index: str, columns: list[str], optional: tuple[str, ...] = ()
) -> pd.DataFrame:
    """`_read`, with the images as index.

    Raises:
        ValueError: an image has two rows, or as `_read`.
    """
    table = _read(path, [index, *columns], optional)
    twice = table[index][table[index].duplicated()]
    if len(twice):
        raise ValueError(f"{path} lists {twice.iloc[0]!r} twice: keep one row an image")
    return table.set_index(index)


def _read(path: Path, columns: list[str], optional: tuple[str, ...] = ()) -> pd.DataFrame:
    """Columns of a CSV as texts without white space around them; a blank cell is an empty text.

    An optional column that is missing is blank throughout; other columns are not read.

    Raises:
        ValueError: a column is missing, or the file is no CSV.
    """
    try:
        header = pd.read_csv(path, nrows=0, encoding="utf-8-sig").columns
        missing = [name for name in columns if name not in header]
        if missing:
            raise ValueError(
                f"{path} has no column {', '.join(missing)}; it has {', '.join(header)}"
            )
        table = pd.read_csv(
            path,
            usecols=[*columns, *(name for name in optional if name in header)],
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
        )
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no CSV table in UTF-8: {error}") from error
    return table.reindex(columns=[*columns, *optional], fill_value="").apply(
        lambda column: column.str.strip()
    )
