"""Files are whole or not there, and come back as they were written."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.store import (
    atomic,
    read_code_columns,
    read_embeddings,
    read_json,
    read_table,
    vector_column,
    write_json,
    write_shard,
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
    (folder / "stale").touch()
    with atomic(folder) as temporary:
        temporary.mkdir()
        (temporary / "fresh").touch()
    assert [p.name for p in folder.iterdir()] == ["fresh"]
    assert [p.name for p in tmp_path.iterdir()] == ["shards"]


def test_json_refuses_what_json_cannot_say(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"auc": float("nan")})
    assert not list(tmp_path.iterdir())


def test_json_round_trip(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, "ü"], "a": None})
    assert read_json(tmp_path / "a.json") == {"a": None, "b": [1, "ü"]}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_table_round_trip(tmp_path, suffix):
    table = pd.DataFrame({"name": ["NA", "b"], "value": [0.25, 3.0]})
    write_table(tmp_path / f"t{suffix}", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / f"t{suffix}"), table, check_dtype=False)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.json does not exist"):
        read_json(tmp_path / "gone.json")


def test_embeddings_come_back_in_the_order_of_shards(tmp_path):
    values = np.arange(15, dtype=np.float32).reshape(5, 3)
    for number, part in enumerate((slice(0, 3), slice(3, 5))):
        ids = [f"i{row}" for row in range(5)][part]
        write_shard(tmp_path, number, pa.table({"image_id": ids, "x": vector_column(values[part])}))
    found = read_embeddings(tmp_path, "x")
    assert found.image_ids.tolist() == ["i0", "i1", "i2", "i3", "i4"]
    np.testing.assert_array_equal(found.values, values)


def test_codes_of_unequal_length_are_padded(tmp_path):
    rows = {"image_id": ["a", "b", "c"], "component": [[7, 2], [], [5]]}
    rows["activation"] = [np.array(v, np.float16) for v in ([2.0, 0.5], [], [1.5])]
    table = pa.table(rows, pa.schema(
        [("image_id", pa.string()), ("component", pa.list_(pa.int32())),
         ("activation", pa.list_(pa.float16()))]
    ))  # fmt: skip
    write_shard(tmp_path, 0, table.slice(0, 2))
    write_shard(tmp_path, 1, table.slice(2))
    ids, component, activation = read_code_columns(tmp_path, k=4)
    assert ids.tolist() == ["a", "b", "c"]
    assert component.tolist() == [[7, 2, 0, 0], [0, 0, 0, 0], [5, 0, 0, 0]]
    assert activation.tolist() == [[2.0, 0.5, 0, 0], [0, 0, 0, 0], [1.5, 0, 0, 0]]
    with pytest.raises(ValueError, match="2 active components, more than 1"):
        read_code_columns(tmp_path, k=1)
