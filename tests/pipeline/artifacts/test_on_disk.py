"""Rows in a file are those of a tensor, whichever are asked for."""

import gc
import os
from itertools import pairwise

import numpy as np
import pytest
import torch

from pipeline.artifacts.on_disk import OnDisk

KINDS = (np.float16, np.float32, np.int32)


def both(tmp_path, kind=np.float32) -> tuple[OnDisk, torch.Tensor]:
    values = torch.from_numpy(np.arange(21).reshape(7, 3).astype(kind))
    stored = OnDisk(tmp_path, (7, 3), np.dtype(kind))
    for begin, end in pairwise((0, 2, 7)):
        stored[begin:end] = values[begin:end]
    return stored, values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "rows",
    [
        slice(None),
        slice(1, 99),
        slice(3, 3),
        torch.tensor([5, 0, 1, 2, 6, 5]),
        torch.tensor([], dtype=torch.long),
        torch.tensor([True, True, False, True, False, False, True]),
        np.array([4, 3]),
    ],
    ids=["all", "beyond the end", "none of a slice", "in any order", "none", "mask", "falling"],
)
def test_rows_are_those_of_a_tensor(tmp_path, rows, kind):
    stored, values = both(tmp_path, kind)
    assert (len(stored), stored.shape) == (7, (7, 3))
    found = stored[rows]
    assert found.dtype == values.dtype
    assert torch.equal(found, values[rows])


def test_rows_are_zero_until_they_are_set_and_may_be_set_in_any_order(tmp_path):
    stored, expected = OnDisk(tmp_path, (5, 2), np.dtype(np.int32)), torch.zeros(5, 2)
    stored[torch.tensor([4, 1, 2])] = expected[[4, 1, 2]] = torch.tensor([[1.0, 2], [3, 4], [5, 6]])
    assert stored[:].tolist() == expected.tolist()


@pytest.mark.parametrize("rows", [[7], [-1], [0, 8]])
def test_what_is_not_there_is_refused(tmp_path, rows):
    stored, _ = both(tmp_path)
    with pytest.raises(IndexError, match="of 7"):
        stored[torch.tensor(rows)]
    with pytest.raises(IndexError, match="a mask of 3 rows of 7"):
        stored[torch.tensor([True, False, True])]


def test_the_file_has_no_name_and_goes_with_the_array(tmp_path):
    before = set(os.listdir("/proc/self/fd"))
    stored, _ = both(tmp_path)
    assert not list(tmp_path.iterdir())
    assert len(set(os.listdir("/proc/self/fd")) - before) == 1
    del stored
    gc.collect()
    assert not set(os.listdir("/proc/self/fd")) - before


def test_a_full_disk_is_said(tmp_path):
    """Beyond any disk: the file system refuses the size."""
    with pytest.raises(OSError, match=r"free some space|raise `ulimit -f`"):
        OnDisk(tmp_path, (2**60, 7), np.dtype(np.int8))
