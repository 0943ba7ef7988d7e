"""Relevance where an image, a prompt or the codes are degenerate."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.attribution.relevance import (
    Codes,
    act_grad,
    decode,
    gradient,
    integrated_gradients,
)
from tests.pipeline.attribution.invented import Case, every_method, shapes


def test_empty_slots_have_no_relevance_and_add_nothing() -> None:
    case = Case()
    activation = case.codes.activation.clone()
    activation[1] = 0
    activation[2, 1:] = 0
    codes = Codes(case.codes.component.masked_fill(activation == 0, 0), activation)
    found = act_grad(gradient(case.x, case.t, case.head), codes, case.atoms)
    assert found[activation == 0].eq(0).all()
    assert found[activation > 0].ne(0).all()
    assert decode(codes, case.atoms)[1].eq(0).all()
    spread = integrated_gradients(case.x, case.t, codes, case.atoms, case.head, 3)
    assert spread[activation == 0].eq(0).all()


@settings(max_examples=25, deadline=None)
@given(
    what=st.sampled_from(["constant x", "nothing active", "zero text", "one component"]),
    row=st.integers(0, 4),
    **shapes,
)
def test_every_method_is_finite_and_leaves_the_other_rows_alone(
    what: str, row: int, **sizes: Any
) -> None:
    case = Case(**sizes)
    row %= len(case.x)
    before = every_method(case)
    t, x, activation = case.t.clone(), case.x.clone(), case.codes.activation.clone()
    if what == "constant x":
        x[row] = 4.0
    elif what == "zero text":
        t[row] = 0.0
    else:
        activation[row, what == "one component" :] = 0.0
    case.t, case.x = t, x
    component = case.codes.component.masked_fill(activation == 0, 0)
    case.codes = Codes(component, activation)
    methods = every_method(case)
    others = torch.arange(len(x)) != row
    for name, found in methods.items():
        assert torch.isfinite(found).all(), name
        assert found[activation == 0].eq(0).all(), name
        if name != "random":
            expected = before[name][others]
            torch.testing.assert_close(found[others], expected, rtol=1e-8, atol=1e-13)
    if what == "zero text":
        for name in ("act_grad", "integrated_gradients", "ablation"):
            assert methods[name][row].eq(0).all(), name


def test_no_points_are_refused() -> None:
    case = Case()
    with pytest.raises(ValueError, match="points is 0"):
        integrated_gradients(case.x, case.t, case.codes, case.atoms, case.head, 0)
