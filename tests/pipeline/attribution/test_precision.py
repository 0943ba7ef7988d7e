"""Relevance does not hang on precision, threads or how many images are worked on at once."""

import pytest
import torch
from torch import Tensor

from pipeline.attribution import relevance as attribution
from pipeline.attribution.relevance import Codes, act_grad, gradient, slot_dots
from tests.pipeline.attribution.invented import Case, every_method, relative_error


def test_float32_codes_and_float64_gradient_keep_the_gradients_precision() -> None:
    case = Case()
    codes = Codes(case.codes.component, case.codes.activation.float())
    found = act_grad(gradient(case.x, case.t, case.head), codes, case.atoms)
    assert found.dtype == torch.float64
    same = Codes(codes.component, codes.activation.double())
    true = act_grad(gradient(case.x, case.t, case.head), same, case.atoms)
    torch.testing.assert_close(found, true)


def test_dots_in_single_precision_are_the_products_and_do_not_depend_on_threads() -> None:
    g = torch.Generator().manual_seed(0)
    n, d, k, m = 70, 48, 6, 90
    component = torch.randint(m, (n, k), generator=g)
    component[3] = 0  # as empty slots have it
    atoms, vectors = torch.randn(m, d, generator=g), torch.randn(n, d, generator=g)
    found = slot_dots(vectors, component, atoms)
    true = (vectors.double() @ atoms.double().T).gather(1, component)
    assert found.dtype == torch.float32
    assert relative_error(found.double(), true) < 1e-6
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert slot_dots(vectors, component, atoms).equal(found)
    finally:
        torch.set_num_threads(threads)
    few = component % 4  # fewer atoms than slots
    expected = (vectors @ atoms[:4].T).gather(1, few)
    torch.testing.assert_close(slot_dots(vectors, few, atoms[:4]), expected)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_blocks_join(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many images are worked on at once, results are those of all at once."""
    case = Case(n=5)

    def everything() -> dict[str, Tensor]:
        return every_method(case)

    whole = everything()
    monkeypatch.setattr(attribution, "CACHED_ROWS", rows)
    monkeypatch.setattr(attribution, "ORDERED_ROWS", rows)
    for name, found in everything().items():
        torch.testing.assert_close(found, whole[name], rtol=1e-11, atol=1e-14, msg=name)
