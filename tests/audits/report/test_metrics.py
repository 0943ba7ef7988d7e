"""Metrics of all stages in one tree."""

import pytest

from audits.report.metrics import merge, rounded


def test_merge_joins_branches_and_refuses_a_leaf_twice() -> None:
    assert merge([{"a": {"b": 1}}, {"a": {"c": 2}, "d": 3}]) == {"a": {"b": 1, "c": 2}, "d": 3}
    for second in ({"a": {"b": 1}}, {"a": 2}):
        with pytest.raises(ValueError, match=r"a"):
            merge([{"a": {"b": 1}}, second])
    with pytest.raises(ValueError, match=r"a\.b"):
        merge([{"a": {"b": 1}}, {"a": {"b": {"c": 2}}}])


def test_rounded_keeps_six_digits_of_floats_only() -> None:
    tree = {"a": 0.123456789, "b": [12345678.9, 1234567], "c": "0.123456789", "d": True}
    assert rounded(tree) == {
        "a": 0.123457,
        "b": [12345700.0, 1234567],
        "c": "0.123456789",
        "d": True,
    }
