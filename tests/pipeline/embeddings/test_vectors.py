"""Shards of vectors: row groups of bounded size, columns that are read apart, damage noticed."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.embeddings import vectors
from pipeline.embeddings.vectors import read_embeddings, read_vectors, vector_table, write_vectors


def tables(n=23, size=4, dtype="float16"):
    """Tables of up to `size` images, x [n, 3] and spatial [n, 10], and the arrays in them."""
    rng = np.random.default_rng(0)
    columns = {"x": rng.normal(size=(n, 3)), "spatial": rng.normal(size=(n, 10))}
    columns = {name: values.astype(dtype) for name, values in columns.items()}
    found = []
    for first in range(0, n, size):
        part = slice(first, first + size)
        ids = [f"i{row}" for row in range(n)][part]
        found.append(vector_table(ids, {name: values[part] for name, values in columns.items()}))
    return found, columns


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_columns_come_back(tmp_path, dtype):
    made, columns = tables(dtype=dtype)
    write_vectors(tmp_path, 0, made)
    for name, values in columns.items():
        found = read_embeddings(tmp_path, name)
        assert found.image_ids.tolist() == [f"i{row}" for row in range(23)]
        assert found.values.dtype == dtype
        np.testing.assert_array_equal(found.values, values)
    kind = pq.read_schema(tmp_path / "part-00000.parquet").field("spatial").type
    assert (kind.list_size, kind.value_type.bit_width) == (10, 16 if dtype == "float16" else 32)


@pytest.mark.parametrize("size", [1, 4, 20])
def test_row_groups_do_not_depend_on_batches(tmp_path, monkeypatch, size):
    monkeypatch.setattr(vectors, "ROW_GROUP_BYTES", 7 * 26 + 5)
    write_vectors(tmp_path, 0, tables(size=size)[0])
    groups = pq.read_metadata(tmp_path / "part-00000.parquet")
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [7, 7, 7, 2]
    np.testing.assert_array_equal(read_embeddings(tmp_path, "x").values, tables()[1]["x"])


def test_no_more_than_a_row_group_and_a_batch_is_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(vectors, "ROW_GROUP_BYTES", 7 * 26)
    taken, written = [0], [0]
    write = pq.ParquetWriter.write_table

    def counted(self, table, **settings):
        written[0] += len(table)
        write(self, table, **settings)

    def stream():
        for table in tables(n=60)[0]:
            assert taken[0] - written[0] <= 7 + 4
            taken[0] += len(table)
            yield table

    monkeypatch.setattr(pq.ParquetWriter, "write_table", counted)
    write_vectors(tmp_path, 0, stream())
    assert taken == written == [60]


def test_an_error_on_the_way_leaves_nothing(tmp_path):
    def stream():
        yield tables()[0][0]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_vectors(tmp_path, 0, stream())
    assert not list(tmp_path.iterdir())


def test_one_column_is_read_without_the_other(tmp_path):
    path = tmp_path / "part-00000.parquet"
    made, columns = tables()
    write_vectors(tmp_path, 0, made)
    chunk = pq.read_metadata(path).row_group(0).column(2)
    assert chunk.path_in_schema == "spatial.list.element"
    content = bytearray(path.read_bytes())
    first = chunk.data_page_offset
    content[first : first + chunk.total_compressed_size] = bytes(chunk.total_compressed_size)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_embeddings(tmp_path, "x").values, columns["x"])
    with pytest.raises(OSError, match="page header"):
        read_embeddings(tmp_path, "spatial")


def test_nothing_can_be_null(tmp_path):
    schema = tables()[0][0].schema
    assert not schema.field("x").nullable
    assert not schema.field("x").type.value_field.nullable
    assert schema.field("x").type.value_type == pa.float16()


def test_embeddings_come_back_in_the_order_of_shards(tmp_path):
    made, columns = tables()
    for number, tables_of_shard in enumerate((made[:2], made[2:])):
        write_vectors(tmp_path, number, tables_of_shard)
    found = read_embeddings(tmp_path, "x")
    assert found.image_ids.tolist() == [f"i{row}" for row in range(23)]
    np.testing.assert_array_equal(found.values, columns["x"])
    second = read_vectors(tmp_path / "part-00001.parquet", "x")
    assert second.image_ids.tolist() == [f"i{row}" for row in range(8, 23)]
    np.testing.assert_array_equal(second.values, columns["x"][8:])


def test_a_file_of_no_images_is_read(tmp_path):
    nothing = vector_table([], {"x": np.zeros((0, 4), np.float32)})
    write_vectors(tmp_path, 0, [nothing])
    assert read_embeddings(tmp_path, "x").values.shape == (0, 4)
