"""Rows at a time, halved where they do not fit."""

import pytest
import torch

from pipeline.models.memory import Fitting, out_of_memory


def hungry(most, error=torch.OutOfMemoryError("too much")):  # noqa: B008
    """Work that fails on more rows than `most`, and the sizes it was asked for."""
    sizes = []

    def work(rows):
        sizes.append(rows.stop - rows.start)
        if sizes[-1] > most:
            raise error
        return list(range(rows.start, rows.stop))

    return work, sizes


def test_rows_are_halved_until_they_fit_and_stay_so():
    work, sizes = hungry(most=2)
    fitting = Fitting(8)
    assert [row for part in fitting.parts(work, 9) for row in part] == list(range(9))
    assert sizes == [8, 4, 2, 2, 2, 2, 1]
    sizes.clear()
    assert fitting.parts(work, 3) == [[0, 1], [2]]
    assert sizes == [2, 1]


def test_of_nothing_there_is_nothing():
    work, sizes = hungry(most=2)
    assert Fitting(8).parts(work, 0) == sizes == []


def test_one_row_that_does_not_fit_is_an_error():
    work, sizes = hungry(most=0)
    with pytest.raises(torch.OutOfMemoryError):
        Fitting(4).parts(work, 4)
    assert sizes == [4, 2, 1]


def test_another_error_is_no_reason_to_halve():
    work, sizes = hungry(most=0, error=RuntimeError("no such operation"))
    with pytest.raises(RuntimeError, match="no such operation"):
        Fitting(4).parts(work, 4)
    assert sizes == [4]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_what_is_out_of_memory(error, expected):
    assert out_of_memory(error) is expected
