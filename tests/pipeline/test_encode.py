"""Sparse codes on disk."""

import numpy as np
import torch

from pipeline.attribution import Codes
from pipeline.encode import codes_table
from pipeline.store import read_code_columns, write_shard
from pipeline.vectors import read_vectors, vector_table, write_vectors


def test_codes_survive_the_disk(tmp_path):
    # Activations that half precision holds exactly, in three images with 3, 1 and 0 active.
    codes = Codes(
        torch.tensor([[5, 0, 2], [11, 0, 0], [0, 0, 0]]),
        torch.tensor([[4.0, 2.5, 0.125], [3.0, 0, 0], [0, 0, 0]]),
    )
    ids = np.array(["a", "b", "c"], dtype=object)
    for number, part in enumerate((slice(0, 2), slice(2, 3))):
        shard = Codes(codes.component[part], codes.activation[part])
        write_shard(tmp_path, number, codes_table(ids[part], shard))
    read_ids, component, activation = read_code_columns(tmp_path, k=3)
    assert read_ids.tolist() == ["a", "b", "c"]
    assert component.tolist() == codes.component.tolist()
    assert activation.tolist() == codes.activation.tolist()


def test_an_activation_that_half_precision_rounds_to_0_is_off():
    table = codes_table(np.array(["a"]), Codes(torch.tensor([[5, 9]]), torch.tensor([[1.0, 1e-9]])))
    assert table.column("component").to_pylist() == [[5]]
    assert table.column("activation").to_pylist() == [[1.0]]


def test_a_shard_is_read_in_its_order(tmp_path):
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float16")
    columns = {"x": x, "spatial": np.zeros((5, 6), "float16")}
    write_vectors(tmp_path / "part-00000.parquet", [vector_table(list("ebcad"), columns)])
    found = read_vectors(tmp_path / "part-00000.parquet", "x")
    assert found.image_ids.tolist() == list("ebcad")
    assert found.values.dtype == np.float32
    np.testing.assert_array_equal(found.values, x.astype(np.float32))
