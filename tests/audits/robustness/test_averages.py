"""Means over findings, their intervals, and paired differences, on made findings."""

import numpy as np
import pandas as pd
import pytest

from audits.robustness.averages import average, by_mode, differences, summary


def table(gains: dict[str, tuple[str, float, float]]) -> pd.DataFrame:
    """finding_id → mode, short and extended spurious AUC."""
    rows = [
        (finding, mode, form, value, 0.9, 0.4, 0.3)
        for finding, (mode, short, extended) in gains.items()
        for form, value in (("short", short), ("extended", extended))
        if value is not None
    ]
    columns = ["finding_id", "mode", "form", "spurious_auc", "valid_auc", "spurious_ap", "valid_ap"]
    return pd.DataFrame(rows, columns=columns)


FOUND = table(
    {
        "a": ("polysemy", 0.5, 0.8),
        "b": ("polysemy", 0.9, 1.0),
        "c": ("compound", 0.6, 0.5),
        "set": ("ready_made", 0.2, 0.7),
    }
)


def own(mode: str) -> bool:
    return mode != "ready_made"


def test_average_by_hand():
    found = average(np.array([0.6, 0.65, 0.7]), 0.0, 1.0)
    assert found["mean"] == pytest.approx(0.65)
    assert found["sem"] == pytest.approx(0.05 / 3**0.5)
    # Student's t of two degrees of freedom is 4.30265 at 0.975.
    assert found["high"] - 0.65 == pytest.approx(4.30265 * 0.05 / 3**0.5, rel=1e-5)
    assert 0.65 - found["low"] == pytest.approx(found["high"] - 0.65)


def test_an_interval_ends_where_a_mean_can_be_no_more():
    found = average(np.array([0.9, 1.0]), 0.0, 1.0)
    assert (found["high"], found["low"] > 0) == (1, True)
    assert average(np.array([-0.9, 0.9]), -1.0, 1.0)["low"] == -1


def test_a_single_finding_has_no_error():
    assert average(np.array([0.8]), 0.0, 1.0) == {"mean": 0.8}


def test_findings_that_agree_have_no_spread():
    found = average(np.full(7, 0.25), 0.0, 1.0)
    assert found == {"mean": 0.25, "sem": 0.0, "low": 0.25, "high": 0.25}


def test_the_interval_is_that_of_the_normal_where_findings_are_many():
    values = np.random.default_rng(1).normal(0.6, 0.1, 400)
    found = average(values, 0.0, 1.0)
    assert found["low"] == pytest.approx(found["mean"] - 1.966 * found["sem"], abs=1e-5)


@pytest.mark.parametrize("findings", [5, 60])
def test_the_interval_covers_the_truth_as_often_as_it_says(findings):
    rng = np.random.default_rng(2)
    found = [average(rng.normal(0.6, 0.05, findings), 0.0, 1.0) for _ in range(2000)]
    covered = np.mean([entry["low"] <= 0.6 <= entry["high"] for entry in found])
    assert 0.93 <= covered <= 0.97


def test_the_order_of_findings_does_not_matter():
    values = np.random.default_rng(3).uniform(size=11)
    assert average(values, 0.0, 1.0) == average(values[::-1], 0.0, 1.0)


def test_nothing_has_no_average():
    with pytest.raises(ValueError, match="at least one finding"):
        average(np.array([]), 0.0, 1.0)


def test_summary_by_hand():
    found = summary(FOUND[FOUND["mode"] != "ready_made"])
    assert list(found) == ["short", "extended"]
    assert found["short"]["spurious_auc"] == pytest.approx(2 / 3)
    assert found["short"]["spurious_sem"] == pytest.approx(0.2081666 / 3**0.5)
    assert found["extended"]["valid_auc"] == pytest.approx(0.9)
    assert found["extended"]["valid_sem"] == pytest.approx(0)
    assert (found["short"]["spurious_ap"], found["short"]["valid_ap"]) == (
        pytest.approx(0.4),
        pytest.approx(0.3),
    )
    measures = {f"{side}_{key}" for side in ("spurious", "valid") for key in ("auc", "sem")}
    assert measures | {"spurious_low", "spurious_high", "spurious_ap_sem"} <= set(found["short"])


def test_every_mode_has_a_summary_of_its_own():
    found = by_mode(FOUND)
    assert set(found) == {"polysemy", "compound", "ready_made"}
    assert found["polysemy"]["extended"]["spurious_auc"] == pytest.approx(0.9)
    assert "spurious_sem" not in found["compound"]["short"]


def test_differences_are_paired():
    found = differences(FOUND, own)
    assert set(found) == {"extended"}
    # Gains 0.3, 0.1 and −0.1: their deviation is 0.2, far from that of the AUCs themselves.
    everything = found["extended"]["all"]
    assert everything["mean"] == pytest.approx(0.1)
    assert everything["sem"] == pytest.approx(0.2 / 3**0.5)
    assert everything["high"] == pytest.approx(0.1 + 4.30265 * 0.2 / 3**0.5, rel=1e-5)
    assert everything["findings"] == 3
    assert found["extended"]["polysemy"]["mean"] == pytest.approx(0.2)
    assert found["extended"]["polysemy"]["sem"] == pytest.approx(0.1)
    assert found["extended"]["compound"] == {"mean": pytest.approx(-0.1), "findings": 1}
    assert found["extended"]["ready_made"] == {"mean": pytest.approx(0.5), "findings": 1}


def test_an_equal_gain_everywhere_has_no_error():
    equal = table(
        {name: ("polysemy", v, v + 0.125) for name, v in zip("abc", (0.25, 0.5, 0.75), strict=True)}
    )
    found = differences(equal, own)["extended"]["all"]
    assert found == {"mean": 0.125, "sem": 0.0, "low": 0.125, "high": 0.125, "findings": 3}


def test_a_finding_without_a_form_has_no_difference():
    found = differences(table({"a": ("polysemy", 0.5, None), "b": ("polysemy", 0.5, 0.75)}), own)
    assert found["extended"]["all"] == {"mean": 0.25, "findings": 1}


def test_no_findings_have_no_summary():
    empty = table({})
    assert summary(empty) == {}
    assert by_mode(empty) == {}
    assert differences(empty, own) == {}
