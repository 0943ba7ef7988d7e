"""Sparse products, held to dense ones that autograd differentiates."""

import pytest
import torch

from pipeline.sae import sparse

M, D, S = 11, 7, 3


def draw(*size):
    generator = torch.Generator().manual_seed(sum(size))
    return torch.randn(*size, generator=generator, dtype=torch.float64)


@pytest.fixture(params=[5, 1, 0])
def index(request):
    """Components of n images, S slots each: the last one is used, some rows repeat one."""
    generator = torch.Generator().manual_seed(2)
    found = torch.randint(M - 1, (request.param, S), generator=generator)
    found[:2, 1:] = M - 1
    return found


def dense(index, weight):
    """Weights [n, m] of every component, those of a repeated one added up."""
    return torch.zeros(len(index), M, dtype=weight.dtype).scatter_add(1, index, weight)


def same(one, other):
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_weighted_sum(index):
    rows, weight = draw(M, D), draw(len(index), S)
    same(sparse.weighted_sum(rows, index, weight), dense(index, weight) @ rows)


def test_slot_products(index):
    rows, vectors = draw(M, D), draw(len(index), D)
    same(sparse.slot_products(rows, index, vectors), (vectors @ rows.T).gather(1, index))


def test_slot_products_where_gradients_are_off(index):
    rows, vectors = draw(M, D), draw(len(index), D)
    with torch.no_grad():
        found = sparse.slot_products(rows, index, vectors)
    assert not found.requires_grad
    same(found, (vectors @ rows.T).gather(1, index))


def test_transposed_sum(index):
    vectors, weight = draw(len(index), D), draw(len(index), S)
    by = sparse.grouped(index, M)
    same(sparse.transposed_sum(vectors, by, weight), dense(index, weight).T @ vectors)


def test_slot_sum(index):
    weight = draw(len(index), S)
    same(sparse.slot_sum(sparse.grouped(index, M), weight), dense(index, weight).sum(dim=0))


def gradients(outputs, upstream, *inputs):
    return torch.autograd.grad((outputs * upstream).sum(), inputs)


def test_decode_and_its_gradients(index):
    n = len(index)
    activation, atoms = draw(n, S).requires_grad_(), draw(M, D).requires_grad_()
    found = sparse.decode(activation, atoms, index, sparse.grouped(index, M))
    expected = dense(index, activation) @ atoms
    same(found, expected)
    upstream = draw(n, D)
    for one, other in zip(
        gradients(found, upstream, activation, atoms),
        gradients(expected, upstream, activation, atoms),
        strict=True,
    ):
        same(one, other)


def test_decode_by_parts_and_its_gradients(index):
    n, parts = len(index), 4
    # Parts 0, 2 and 2; of every second token 1, 1 and 3.
    part = torch.tensor([[0, 2, 2], [1, 1, 3]])[torch.arange(n) % 2]
    within = sparse.bags(part, parts)
    assert within.bounds[[0, -1]].tolist() == [0, n * S]
    activation, atoms = draw(n, S).requires_grad_(), draw(M, D).requires_grad_()
    found = sparse.decode(activation, atoms, index, sparse.grouped(index, M), within)
    each = [dense(index, torch.where(part == p, activation, 0.0)) @ atoms for p in range(parts)]
    expected = torch.stack(each, dim=1).flatten(0, 1)
    same(found, expected)
    upstream = draw(n * parts, D)
    for one, other in zip(
        gradients(found, upstream, activation, atoms),
        gradients(expected, upstream, activation, atoms),
        strict=True,
    ):
        same(one, other)


def test_selected_has_the_gradients_of_the_product_it_was_picked_from(index):
    n = len(index)
    x, weight, bias = draw(n, D), draw(M, D).requires_grad_(), draw(M).requires_grad_()
    expected = (x @ weight.T + bias).gather(1, index)
    found = sparse.selected(x, weight, bias, expected.detach(), sparse.grouped(index, M))
    same(found, expected)
    upstream = draw(n, S)
    for one, other in zip(
        gradients(found, upstream, weight, bias),
        gradients(expected, upstream, weight, bias),
        strict=True,
    ):
        same(one, other)


def test_float32_gradients_stay_float32():
    index = torch.tensor([[1, 4, 1], [10, 0, 1]])
    x, weight, bias = draw(2, D).float(), draw(M, D).float(), draw(M).float()
    weight.requires_grad_(), bias.requires_grad_()
    by = sparse.grouped(index, M)
    picked = sparse.selected(x, weight, bias, torch.ones(2, S), by)
    found = sparse.decode(picked, weight, index, by).sum()
    assert {g.dtype for g in torch.autograd.grad(found, (weight, bias))} == {torch.float32}
