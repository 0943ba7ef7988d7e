"""Sparse codes on disk."""

import numpy as np
import pytest
import torch

from pipeline.attribution import Codes
from pipeline.codes import codes_table, read_codes
from pipeline.store import write_shard


def write(folder, codes, ids):
    """Two shards: the first two images, and the others."""
    for number, part in enumerate((slice(0, 2), slice(2, None))):
        shard = Codes(codes.component[part], codes.activation[part])
        write_shard(folder, number, codes_table(ids[part], shard))


def test_codes_survive_the_disk(tmp_path):
    # Activations that half precision holds exactly, in four images with 3, 1, 0 and 2 active.
    codes = Codes(
        torch.tensor([[5, 0, 2], [11, 0, 0], [0, 0, 0], [7, 2, 0]]),
        torch.tensor([[4.0, 2.5, 0.125], [3.0, 0, 0], [0, 0, 0], [2.0, 0.5, 0]]),
    )
    write(tmp_path, codes, np.array(["a", "b", "c", "d"], dtype=object))
    for k in (3, 4):
        ids, read = read_codes(tmp_path, k)
        assert ids.tolist() == ["a", "b", "c", "d"]
        assert read.component[:, :3].tolist() == codes.component.tolist()
        assert read.activation[:, :3].tolist() == codes.activation.tolist()
        assert not read.component[:, 3:].any() and not read.activation[:, 3:].any()
    with pytest.raises(ValueError, match=r"part-00000\.parquet: .* 3 active components, more than"):
        read_codes(tmp_path, 2)


def test_an_activation_that_half_precision_rounds_to_0_is_off():
    table = codes_table(np.array(["a"]), Codes(torch.tensor([[5, 9]]), torch.tensor([[1.0, 1e-9]])))
    assert table.column("component").to_pylist() == [[5]]
    assert table.column("activation").to_pylist() == [[1.0]]
