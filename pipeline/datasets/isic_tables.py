"""The tables of ISIC's releases, each read into rows of one kind.

A diagnosis that is none of the eight of ISIC 2019, or not known, is the label None.
"""

import math
from collections.abc import Container, Iterator
from typing import NamedTuple, NoReturn

from pipeline import tables
from pipeline.places import Place, is_file
from pipeline.tables import Table, has_columns, read_rows
from pipeline.text_files import TextError

__all__ = [
    "DIAGNOSES",
    "Row",
    "read_2018",
    "read_2019",
    "read_2020",
    "read_2024",
    "read_duplicates",
    "read_ham",
]

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


def read_2018(truth: Place, groupings: Place | None) -> list[Row]:
    """ISIC 2018, task 3: as ISIC 2019, of HAM10000's seven diagnoses.

    Args:
        truth: one-hot table of diagnoses; or a table as HAM10000's, which the images of the test
            have on Dataverse under the same name.
        groupings: the lesion of each image; None where there is no such table, as for the images
            of validation and test.

    Raises:
        TextError: a column is missing or not of numbers, or an image has two rows.
    """
    if has_columns(truth, ["dx"]):
        return read_ham(truth)
    columns = {name.upper(): label for name, label in LABELS_HAM.items()}
    return [
        row._replace(label=row.label and columns[row.label])
        for row in _one_hot(truth, list(columns), (), groupings)
    ]


def read_2019(truth: Place, metadata: Place, labels: list[str]) -> list[Row]:
    """ISIC 2019: the column that holds the 1 is the label; faulty are rows that are not one-hot.

    Args:
        truth: one-hot table of diagnoses.
        metadata: the lesion of each image.
        labels: classes that truth must have a column of.

    Raises:
        TextError: a column is missing or not of numbers, or an image has two rows.
    """
    others = tuple(name for name in [*DIAGNOSES, UNKNOWN_2019] if name not in labels)
    return _one_hot(truth, labels, others, metadata)


def read_2020(path: Place) -> list[Row]:
    """ISIC 2020: target and diagnosis, which must agree; only the archive's v2 has lesions.

    Raises:
        TextError: a column is missing, target is not 0 or 1, or an image has two rows.
    """
    columns = ("image_name", "patient_id", "diagnosis", "target")
    rows = []
    for image_id, cells, malignant in _targets(
        read_rows(path, columns, ("lesion_id",), filled=columns[:1])
    ):
        label = LABELS_2020.get(cells["diagnosis"].lower())
        fault = None
        if label is not None and malignant != (label in MALIGNANT):
            fault = f"target is {int(malignant)}, but diagnosis is {cells['diagnosis']!r}"
        label = "MEL" if malignant else label
        rows.append(Row(image_id, label, cells["lesion_id"], cells["patient_id"], fault))
    return rows


def read_2024(path: Place) -> list[Row]:
    """ISIC 2024: the diagnosis in full, level by level, which must agree with target.

    Without the column iddx_full, no label is known.

    Raises:
        TextError: another column is missing, target is not 0 or 1, or an image has two rows.
    """
    columns = ("isic_id", "target", "patient_id", "lesion_id")
    rows = []
    for image_id, cells, malignant in _targets(
        read_rows(path, columns, ("iddx_full",), filled=columns[:1])
    ):
        diagnosis = cells["iddx_full"]
        levels = [level.strip().lower() for level in diagnosis.split("::")]
        label = next(filter(None, map(_label_2024, levels)), None)
        said = {levels[0], label} & {"malignant", "benign", *MALIGNANT, *BENIGN}
        fault = None
        if any((word in {"malignant", *MALIGNANT}) != malignant for word in said):
            fault = f"target is {int(malignant)}, but iddx_full is {diagnosis!r}"
        rows.append(Row(image_id, label, cells["lesion_id"], cells["patient_id"], fault))
    return rows


def read_ham(path: Place) -> list[Row]:
    """HAM10000: the column dx; faulty are rows with another than its seven diagnoses.

    Raises:
        TextError: a column is missing, or an image has two rows.
    """
    table = read_rows(path, ("image_id", "lesion_id", "dx"), filled=("image_id",))
    rows = []
    for image_id, row in table.by("image_id").items():
        label = LABELS_HAM.get(row.cells["dx"].lower())
        fault = None if label else f"dx is {row.cells['dx']!r}, none of {', '.join(LABELS_HAM)}"
        rows.append(Row(image_id, label, row.cells["lesion_id"], "", fault))
    return rows


def read_duplicates(path: Place, there: Container[str]) -> dict[str, str]:
    """ISIC 2020's own list of duplicates: the image that is kept, by one that is its copy.

    The second of a listed pair is the copy. A copy counts only where an image that it is a copy of
    is there too.

    Args:
        path: table of image_name_1 and image_name_2; where it is missing, there are none.
        there: the images whose files are there.

    Raises:
        TextError: a column is missing.
    """
    if not is_file(path):
        return {}
    originals: dict[str, str] = {}
    for row in read_rows(path, ("image_name_1", "image_name_2")).rows:
        first, second = row.cells["image_name_1"], row.cells["image_name_2"]
        original = originals.get(first, first)
        if original in there and original != second:
            originals[second] = original
    return originals


def _one_hot(
    truth: Place, columns: list[str], others: tuple[str, ...], metadata: Place | None
) -> list[Row]:
    """Rows labelled by the column that holds the 1, with the lesion that metadata says."""
    table = read_rows(truth, ("image", *columns), others, filled=("image",))
    known = None
    if metadata is not None:
        lesions = read_rows(metadata, ("image", "lesion_id"), filled=("image",)).by("image")
        known = {image_id: row.cells["lesion_id"] for image_id, row in lesions.items()}
    there = [name for name in table.columns if name != "image"]
    rows = []
    for image_id, row in table.by("image").items():
        numbers = [_number(table, row, image_id, name) for name in there]
        label: str | None = there[numbers.index(max(numbers))]
        fault = None
        if known is not None and metadata is not None and image_id not in known:
            fault = f"no row in {metadata.name}, so its lesion is unknown"
        elif sorted(numbers) != [*[0.0] * (len(there) - 1), 1.0]:
            fault = f"not exactly one of {', '.join(there)} is 1 and the others 0"
        label = None if fault or label == UNKNOWN_2019 else label
        rows.append(Row(image_id, label, (known or {}).get(image_id, ""), "", fault))
    return rows


def _label_2024(level: str) -> str | None:
    return next((label for start, label in LABELS_2024.items() if level.startswith(start)), None)


def _targets(table: Table) -> Iterator[tuple[str, dict[str, str], bool]]:
    """Image, cells, and whether target is 1, of each row."""
    for image_id, row in table.by(table.columns[0]).items():
        number = _number(table, row, image_id, "target")
        if number not in (0, 1):
            _refuse(table, row, image_id, "target")
        yield image_id, row.cells, number == 1


def _number(table: Table, row: tables.Row, image_id: str, column: str) -> float:
    try:
        number = float(row.cells[column])
    except ValueError:
        _refuse(table, row, image_id, column)
    if not math.isfinite(number):
        _refuse(table, row, image_id, column)
    return number


def _refuse(table: Table, row: tables.Row, image_id: str, column: str) -> NoReturn:
    raise TextError(
        f"{table.at(row.line)}, image {image_id}, column {column}: {row.cells[column]!r} is not 0 "
        "or 1"
    )
