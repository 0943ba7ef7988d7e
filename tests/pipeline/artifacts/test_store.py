"""Files are whole or not there, and come back as they were written."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from pipeline.artifacts.shards import shards
from pipeline.artifacts.store import (
    atomic,
    json_text,
    read_json,
    read_table,
    write_json,
    write_table,
)


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), atomic(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    for name in ("part-00000.parquet", "part-00001.parquet", "index"):
        (folder / name).touch()
    with atomic(folder) as temporary:
        temporary.mkdir()
        for name in ("part-00000.parquet", "index", "fresh"):
            (temporary / name).touch()
    assert sorted(p.name for p in folder.iterdir()) == ["fresh", "index", "part-00000.parquet"]
    assert [p.name for p in tmp_path.iterdir()] == ["shards"]


@pytest.mark.parametrize("infinite", [math.inf, np.float32(-np.inf)])
def test_json_refuses_what_json_cannot_say(tmp_path, infinite):
    with pytest.raises(ValueError, match=r"^data\.auc\.bat\[1\] is -?inf, which JSON cannot say"):
        write_json(tmp_path / "a.json", {"auc": {"bat": [1.0, infinite]}})
    assert not list(tmp_path.iterdir())


def test_json_takes_numbers_of_tables():
    table = pd.DataFrame({"a": np.float32([0.5, np.nan]), "b": pd.array([1, None], "Int64")})
    table["c"] = pd.to_datetime(["2026-01-31", None])
    first, second = table.to_dict("records")
    data = {
        np.int32(7): [np.float16(0.25), np.int64(3), np.bool_(True), np.str_("x")],
        "array": np.array([[1.5, np.nan]]),
        "scalars": (first["a"], first["b"], float("nan"), None, False, 2),
        "none": [second["a"], second["b"], second["c"]],
    }
    assert json.loads(json_text(data)) == {
        "7": [0.25, 3, True, "x"],
        "array": [[1.5, None]],
        "scalars": [0.5, 1, None, None, False, 2],
        "none": [None, None, None],
    }


def test_json_round_trip(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, "ü"], "a": None})
    assert read_json(tmp_path / "a.json") == {"a": None, "b": [1, "ü"]}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_table_round_trip(tmp_path, suffix):
    table = pd.DataFrame({"name": ["NA", "b"], "value": [0.25, 3.0]})
    write_table(tmp_path / f"t{suffix}", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / f"t{suffix}"), table, check_dtype=False)


@pytest.mark.parametrize(
    "column", ["image_id", "component_label", "finding_ids", "example_ids", "top_images"]
)
def test_an_id_that_looks_like_a_number_stays_a_text(tmp_path, column):
    """A finding may have one example, and a folder of images number them."""
    write_table(
        tmp_path / "t.csv", pd.DataFrame({column: ["007", None, "1e3"], "images": [1, 1, 1]})
    )
    read = read_table(tmp_path / "t.csv")
    assert [read[column][0], read[column][2]] == ["007", "1e3"]
    assert pd.isna(read[column][1]) and read["images"].tolist() == [1, 1, 1]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.json does not exist"):
        read_json(tmp_path / "gone.json")


@pytest.mark.parametrize("name", ["thesis.txt", "deep/thesis.txt", "part-1.parquet"])
def test_a_folder_with_files_of_somebody_else_s_is_not_replaced(tmp_path, name):
    folder = tmp_path / "mine"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("years of work")
    with (
        pytest.raises(FileExistsError, match=r"mine holds 1 files .*such as .*: move them"),
        atomic(folder) as temporary,
    ):
        temporary.mkdir()
        (temporary / "fresh").touch()
    assert (folder / name).read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_link_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "fresh").write_text("old")
    (tmp_path / "link").symlink_to("disk")
    with (
        pytest.raises(FileExistsError, match="link is to be a folder"),
        atomic(tmp_path / "link") as temporary,
    ):
        temporary.mkdir()
        (temporary / "fresh").touch()
    assert (tmp_path / "disk" / "fresh").read_text() == "old"


def test_what_systems_leave_in_folders_keeps_none_from_being_replaced(tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._part-00000.parquet"):
        (folder / name).touch()
    with atomic(folder) as temporary:
        temporary.mkdir()
        (temporary / "part-00000.parquet").touch()
    assert [path.name for path in folder.iterdir()] == ["part-00000.parquet"]
    (folder / "._part-00001.parquet").touch()
    (folder / "part-00001 copy.parquet").touch()
    assert [path.name for path in shards(folder)] == ["part-00000.parquet"]
