"""When a metric counts as changed."""

import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

from audits.diff.figures import PART, interval, moved, moves
from audits.publish.version import flatten
from audits.robustness.averages import MEASURES
from audits.shortcut.metrics import spelled
from audits.shortcut.uncertainty import Interval
from tests.audits.diff.copies import ROOT


def wilson(hits: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    centre, half = hits + z * z / 2, z * math.sqrt(hits * (n - hits) / n + z * z / 4)
    return (centre - half) / (n + z * z), (centre + half) / (n + z * z)


def test_the_interval_of_a_difference_of_shares_is_newcombes():
    """56 of 70 against 48 of 80: Newcombe (1998), Table II, method 10."""
    a, b = {"x": 48 / 80}, {"x": 56 / 70}
    for metrics, (hits, n) in ((a, (48, 80)), (b, (56, 70))):
        metrics["x_low"], metrics["x_high"] = wilson(hits, n)
    low, high = moves("x", a, b, False).interval
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)


def test_of_standard_errors_it_is_the_usual_one():
    found = moves("a.mean", {"a.mean": 1.0, "a.sem": 0.3}, {"a.mean": 2.0, "a.sem": 0.4}, False)
    assert found.interval == pytest.approx((1 - 1.96 * 0.5, 1 + 1.96 * 0.5))
    assert found.verdict == "changed"
    back = moves("a.mean", {"a.mean": 2.0, "a.sem": 0.4}, {"a.mean": 1.0, "a.sem": 0.3}, False)
    assert back.interval == pytest.approx((-1 - 1.96 * 0.5, -1 + 1.96 * 0.5))


@pytest.mark.parametrize(("measure", "stem"), MEASURES.items())
def test_the_measures_of_robustness_have_their_intervals(measure, stem):
    metrics = {f"r.{measure}": 0.5, f"r.{stem}_low": 0.4, f"r.{stem}_high": 0.7}
    assert interval(f"r.{measure}", metrics) == (0.4, 0.7)


def test_the_figures_of_the_shortcut_audit_have_their_intervals():
    fell = [flatten({"auroc": spelled(Interval(at, at - 0.05, at + 0.04))}) for at in (0.9, 0.6)]
    assert interval("auroc.value", fell[0]) == pytest.approx((0.85, 0.94))
    assert moves("auroc.value", *fell, False).verdict == "changed"


@pytest.mark.parametrize("audit", ["scenes-tiny", "lesions-tiny"])
def test_every_interval_of_a_report_is_that_of_a_metric(audit):
    text = (ROOT / "reports" / audit / "metrics.json").read_text()
    metrics = flatten(json.loads(text))
    parts = {match[1] for name in metrics if (match := PART.fullmatch(name))}
    assert parts
    ownerless = {stem for stem in parts if not owners(stem, metrics)}
    assert not ownerless


def owners(stem: str, metrics: Mapping[str, Any]) -> list[str]:
    """Metrics whose interval is made of what begins with a stem, and of nothing else."""
    ends = {name: metrics[name] for name in metrics if (m := PART.fullmatch(name)) and m[1] == stem}
    others = [name for name in metrics if not PART.fullmatch(name)]
    named = [name for name in others if name.startswith(stem.rstrip("._"))]
    return [name for name in named if interval(name, {name: metrics[name], **ends}) is not None]


def test_an_interval_belongs_to_its_own_metric_only():
    metrics = {"r.spurious_ap": 0.5, "r.spurious_low": 0.4, "r.spurious_high": 0.7, "r.n": 3}
    assert interval("r.spurious_ap", metrics) is None
    assert interval("r.n", {**metrics, "r.low": 1, "r.high": 4}) is None


def test_parts_of_intervals_are_no_metrics_of_their_own():
    before = {"a.mean": 1.0, "a.low": 0.5, "a.high": 1.5, "b_sem": 0.1, "b": 2.0, "below": 3.0}
    now = {"a.mean": 1.0, "a.low": 0.6, "a.high": 1.4, "b_sem": 0.2, "b": 2.0, "below": 4.0}
    assert [one.name for one in moved(before, now, False)] == ["below"]


def test_texts_and_flags_have_no_difference():
    (label, flag) = moved({"x": True, "label": "a"}, {"x": False, "label": "b"}, False)
    assert (label.difference, flag.difference) == (None, None)
    assert flag.verdict == "no interval"


def test_an_interval_over_images_says_nothing_of_another_dictionary():
    before = {"faithfulness.auc": 0.5, "faithfulness.sem": 0.01, "r.auc": 0.5, "r.sem": 0.01}
    now = before | {"faithfulness.auc": 0.6, "r.auc": 0.6}
    said = {one.name: one.verdict for one in moved(before, now, other_dictionary=True)}
    assert said == {"faithfulness.auc": "no interval", "r.auc": "changed"}
    assert {one.verdict for one in moved(before, now, False)} == {"changed"}
