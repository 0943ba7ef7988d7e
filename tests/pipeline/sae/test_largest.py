"""The largest numbers of rows, held to torch.topk."""

import pytest
import torch

from pipeline.sae.largest import CHUNK, largest


def values(rows, places):
    return rows.gather(1, places).sort(dim=1).values


@pytest.mark.parametrize("m", [CHUNK * 40, 8 * 83, 331, 2, 1])
@pytest.mark.parametrize("count", [1, 7, 64, CHUNK * 40])
def test_they_are_those_of_topk(m, count):
    rows = torch.randn(50, m, generator=torch.Generator().manual_seed(m))
    count = min(count, m)
    places = largest(rows, count)
    assert all(len(row.unique()) == count for row in places)
    assert torch.equal(values(rows, places), values(rows, rows.topk(count).indices))


def test_neighbours_are_found_all():
    rows = torch.zeros(2, 64)
    rows[0, 16:26] = torch.arange(1.0, 11)
    rows[1, [0, 15, 16, 63]] = 5.0
    found = largest(rows, 3)
    assert found[0].sort().values.tolist() == [23, 24, 25]
    assert (rows[1, found[1]] == 5).all()


def test_equal_numbers_are_each_taken_once():
    found = largest(torch.zeros(3, 64), 2)
    assert all(len(row.unique()) == 2 for row in found)


def test_rows_are_looked_through_once(monkeypatch):
    asked, topk = [], torch.Tensor.topk
    monkeypatch.setattr(
        torch.Tensor,
        "topk",
        lambda rows, *args, **how: asked.append(rows) or topk(rows, *args, **how),
    )
    largest(torch.randn(4, 4800), 8)
    assert [rows.shape[1] for rows in asked] == [300, 8 * CHUNK]
