"""Releases of ISIC, each in the layout in which it is published, and what is listed of them."""

from pathlib import Path

from pipeline.config import DatasetConfig
from pipeline.datasets import Listing, isic
from tests.pipeline.datasets.test_adapters import folder_config, touch, write_csv

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
MALIGNANT = "Malignant::Malignant"
BENIGN = "Benign::Benign"
NEVUS = f"{BENIGN} melanocytic proliferations::Nevus"
BASAL = f"{MALIGNANT} adnexal epithelial proliferations - Follicular::Basal cell carcinoma"


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
