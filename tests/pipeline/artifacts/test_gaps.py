"""Figures that do not apply are left out with their reason; faults are not."""

import pytest

from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.artifacts.store import read_json


def undefined() -> float:
    raise DoesNotApply("of 0 images there is none")


def broken() -> float:
    raise ValueError("a fault")


def test_a_reason_is_kept_and_a_fault_is_not_hidden():
    gaps = Gaps()
    assert gaps.measured("a.b", lambda: 0.5) == 0.5
    assert gaps.measured("a.c", undefined) is None
    with pytest.raises(ValueError, match="a fault"):
        gaps.measured("a.d", broken)
    assert gaps.reasons == {"a.c": "of 0 images there is none"}


def test_metrics_are_written_without_what_does_not_apply(tmp_path):
    gaps, path = Gaps(), tmp_path / "metrics.json"
    metrics = {"a": {"b": 0, "c": gaps.measured("a.c", undefined), "e": {"f": None}, "g": {}}}
    gaps.write_metrics(path, metrics | {"h": None})
    assert read_json(path) == {
        "a": {"b": 0, "g": {}},
        "does_not_apply": {"a.c": "of 0 images there is none"},
    }


def test_where_everything_applies_nothing_is_said_of_it(tmp_path):
    Gaps().write_metrics(tmp_path / "metrics.json", {"a": 1})
    assert read_json(tmp_path / "metrics.json") == {"a": 1}
