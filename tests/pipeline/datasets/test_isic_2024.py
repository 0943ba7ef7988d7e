"""ISIC 2024: diagnoses in levels, images in a folder or in HDF5."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from pipeline.datasets import Excluded
from pipeline.datasets.files import read_bytes
from tests.pipeline.datasets.invented_isic import (
    BASAL,
    BENIGN,
    MALIGNANT,
    NEVUS,
    found,
    read,
    reasons,
    write_2024,
)


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
    ]
    [note] = listing.notes
    assert note.startswith("1 of 2 rows of train-metadata.csv have no image in ")


def test_a_broken_hdf5_is_named(tmp_path: Path) -> None:
    write_2024(tmp_path, [("a", "P1", "", NEVUS, "0")])
    (tmp_path / "train-image.hdf5").write_bytes(b"none")
    with pytest.raises(OSError, match=r"train-image\.hdf5"):
        read(tmp_path)
