"""HAM10000: images in two folders."""

from pathlib import Path

import pytest

from tests.pipeline.datasets.invented_isic import found, read, reasons, write_ham


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
