"""What a version of a report holds, as MLflow takes it."""

import pandas as pd
import pytest

from audits.publish import version as versions


def test_flatten_joins_with_dots_and_maps_what_mlflow_refuses() -> None:
    tree = {"a": {"b c": 1, "hot/dog (bun)": {"x-1": None}}, "list": [1, 2]}
    expected = {"a.b c": 1, "a.hot_dog _bun_.x-1": None, "list": [1, 2]}
    assert versions.flatten(tree) == expected


@pytest.mark.parametrize("tree", [{"a/b": 1, "a_b": 2}, {"a": {"b": 1}, "a.b": 2}])
def test_flatten_refuses_two_leaves_of_one_name(tree: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="two keys have the MLflow name"):
        versions.flatten(tree)


def test_split_metrics_refuses_a_list() -> None:
    with pytest.raises(ValueError, match=r"metric a\.b is \[1, 2\]"):
        versions.split_metrics({"a.b": [1, 2]})


def test_curve_points_skip_empty_cells() -> None:
    curves = pd.DataFrame({"epoch": [1, 2], "loss": [0.5, None], "l0": [4, 3]})
    points = [("train.loss", 1, 0.5), ("train.l0", 1, 4.0), ("train.l0", 2, 3.0)]
    assert versions.curve_points(curves) == points


def test_fingerprint_depends_on_each_part() -> None:
    base = ("a", {"k": "4"}, "d", {"report.md": b"x", "metrics.json": b"y"})
    others = [
        ("b", *base[1:]),
        (base[0], {"k": "5"}, *base[2:]),
        (*base[:2], "e", base[3]),
        (*base[:3], {"report.md": b"y", "metrics.json": b"x"}),
    ]
    assert len({versions.fingerprint(*version) for version in [base, *others]}) == 5
    assert versions.fingerprint(*base) == versions.fingerprint(*base)
