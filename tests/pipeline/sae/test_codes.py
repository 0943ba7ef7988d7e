"""Sparse codes on disk."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pipeline.artifacts.shards import shards, write_shard
from pipeline.attribution.relevance import Codes
from pipeline.sae.codes import codes_table, read_codes


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
        component, activation = (part[:] for part in read)
        assert component[:, :3].tolist() == codes.component.tolist()
        assert activation[:, :3].tolist() == codes.activation.tolist()
        assert not component[:, 3:].any() and not activation[:, 3:].any()
    with pytest.raises(ValueError, match=r"part-00000\.parquet: .* 3 active components, more than"):
        read_codes(tmp_path, 2)


def test_an_activation_that_half_precision_rounds_to_0_is_off():
    table = codes_table(np.array(["a"]), Codes(torch.tensor([[5, 9]]), torch.tensor([[1.0, 1e-9]])))
    assert table.column("component").to_pylist() == [[5]]
    assert table.column("activation").to_pylist() == [[1.0]]


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**14, 2.0**100])
def test_activations_that_half_precision_cannot_hold_are_kept(tmp_path, scale):
    """One outlier takes its shard to float32; the other stays in half precision."""
    codes = Codes(
        torch.tensor([[5, 0], [11, 0], [3, 2], [7, 2]]),
        torch.tensor([[4.0, 2.5], [3.0, 0.125], [4.0 * scale, 0.75 * scale], [3.0 * scale, 0]]),
    )
    write(tmp_path, codes, np.array(["a", "b", "c", "d"], dtype=object))
    kinds = [str(pq.read_schema(path).field("activation").type) for path in shards(tmp_path)]
    assert kinds == ["list<element: halffloat>", "list<element: float>"]
    _, read = read_codes(tmp_path, 2)
    component, activation = (part[:] for part in read)
    assert activation.tolist() == codes.activation.tolist()
    assert component[codes.activation > 0].tolist() == [5, 0, 11, 0, 3, 2, 7]


def test_no_images_have_codes(tmp_path):
    nothing = Codes(torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, 3))
    write_shard(tmp_path, 0, codes_table(np.array([], dtype=object), nothing))
    ids, read = read_codes(tmp_path, 3)
    assert (len(ids), read.component.shape, read.activation.shape) == (0, (0, 3), (0, 3))
