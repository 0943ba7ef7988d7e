"""Components with their ids on disk: round trips, and what is wrong is said where it is."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from audits.review.component_files import (
    PINNED,
    Components,
    read_components,
    read_next_id,
    read_pinned,
    write_components,
)
from audits.review.verdict_files import ReviewError
from pipeline.artifacts.store import vector_column, write_table

ATOMS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float16)
IDS = np.array([2, 11, 0, 5], dtype=np.int32)


def table(ids: np.ndarray, atoms: np.ndarray = ATOMS, about: dict[str, str] | None = None):
    columns = {"component_id": pa.array(ids, pa.int32()), "atom": vector_column(atoms)}
    return pa.table(columns).replace_schema_metadata(about or {"next_id": "12"})


def test_components_come_back_and_the_same_bytes(tmp_path):
    first, second = tmp_path / PINNED, tmp_path / "other.parquet"
    write_components(first, Components(IDS, ATOMS, 14))
    found = read_components(first)
    assert np.array_equal(found.ids, IDS) and np.array_equal(found.atoms, ATOMS)
    assert found.atoms.dtype == np.float16
    assert found.next_id == read_next_id(first) == 14
    write_components(second, found)
    assert first.read_bytes() == second.read_bytes()
    pinned = read_pinned(tmp_path)
    assert pinned is not None and pinned.next_id == 14


def test_never_pinned_is_none_and_kept_by_dvc_is_to_be_pulled(tmp_path):
    assert read_pinned(tmp_path) is None
    (tmp_path / f"{PINNED}.dvc").touch()
    with pytest.raises(ReviewError, match=r"does not exist: .*`dvc pull .*components.parquet.dvc`"):
        read_pinned(tmp_path)
    (tmp_path / PINNED).write_text("half of it")
    with pytest.raises(ReviewError, match=r"is not Parquet.*`dvc pull --force .*.dvc`"):
        read_pinned(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (table(IDS, about={"width": "3"}), r"next_id ''"),
        (table(IDS, about={"next_id": "-1"}), r"next_id '-1'"),
        (table(IDS, ATOMS.astype(np.float32)), r"atom \(fixed-size list of float16\)"),
        (pd.DataFrame({"component_id": IDS}), r"columns \{'component_id': .*not component_id"),
        (table(IDS - 1), r"not unique from 0 to 11"),
        (table(IDS + 1), r"not unique from 0 to 11"),
        (table(IDS // 3), r"not unique from 0 to 11"),
    ],
)
def test_components_of_another_layout_are_refused(tmp_path, content, said):
    write_table(tmp_path / PINNED, content)
    with pytest.raises(ReviewError, match=rf"{PINNED}.*{said}.*`git checkout .*{PINNED}`"):
        read_pinned(tmp_path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / PINNED).write_text("version https://git-lfs")
    with pytest.raises(ReviewError, match=r"is not Parquet.*git checkout"):
        read_pinned(tmp_path)
