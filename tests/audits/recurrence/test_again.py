"""Findings looked for in other runs, with figures worked out by hand."""

import numpy as np
import pytest

from audits.recurrence.again import (
    COLUMNS,
    FOUND,
    Finding,
    Run,
    by_finding,
    compare,
    found_by,
    metrics,
)

EVERY = np.ones(40, dtype=bool)
POOL = [np.arange(20), np.arange(20, 40), np.arange(5)]


def finding(position, *rows):
    return Finding(position, np.array(rows))


ON_ALL = np.array([True, True, False])


def test_found_again_is_of_the_class_and_shares_the_smaller_set():
    own = [finding(0, 1, 2, 3, 4), finding(0, 8, 9), finding(1, 21, 22, 23), finding(2, 1, 2)]
    found = [finding(0, 3, 4, 5, 6, 7, 10), finding(1, 21, 30, 31), finding(0, 9, 17, 18)]
    run = compare(own, found, EVERY, POOL, overlap=0.5, number=3)
    # 2 of 4; 1 of 2; 1 of 3 is less than half; of class 2 the run has nothing.
    assert run.again.tolist() == [True, True, False, False]
    assert run.number == 3


def test_only_images_that_the_run_has_seen_count():
    seen = EVERY.copy()
    seen[[1, 2, 21, 22, 23]] = False
    own = [finding(0, 1, 2, 3, 4), finding(1, 21, 22, 23)]
    found = [finding(0, 4, 5, 6), finding(1, 24, 25)]
    # Of the first, 3 and 4 are left, and one of two is half; of the second, nothing.
    assert compare(own, found, seen, POOL, 0.5, 1).again.tolist() == [True, False]
    assert compare(own, found, EVERY, POOL, 0.5, 1).again.tolist() == [False, False]


def test_chance_by_hand():
    own = [finding(2, 0, 1), finding(0, 1, 2, 3, 4)]
    # Of 5 candidates, 2 drawn at random meet one of two given ones with 1 − C(3,2)/C(5,2).
    run = compare(own, [finding(2, 3, 4)], EVERY, POOL, 0.5, 1)
    assert run.random == pytest.approx([0.7, 0.0])
    # Of three classes, a run that has findings of one alone is met there only; five of five meet.
    assert run.random_class == pytest.approx([0.7 / 3, 1 / 3])
    # With a second finding they have two chances.
    both = compare(own, [finding(2, 3, 4), finding(2, 0, 1)], EVERY, POOL, 0.5, 1)
    assert both.random[0] == pytest.approx(1 - 0.3**2)


def test_chance_grows_with_what_is_found_where_candidates_are_few():
    own = [finding(2, 0, 1, 2, 3)]
    run = compare(own, [finding(2, 1, 2, 3, 4)], EVERY, POOL, 0.5, 1)
    assert run.random == pytest.approx([1.0])


def test_figures_by_hand():
    runs = [
        Run(
            1,
            np.array([True, True, False]),
            np.array([0.0, 0.5, 0.1]),
            np.full(3, 0.2),
            ON_ALL,
            [],
        ),
        Run(
            2,
            np.array([True, False, False]),
            np.array([0.2, 0.1, 0.3]),
            np.full(3, 0.1),
            ~ON_ALL | ON_ALL,
            [],
        ),
    ]
    table = by_finding(["a", "b", "c"], runs)
    assert list(table) == COLUMNS
    assert table["runs"].tolist() == [2, 2, 2]
    assert table["found_in"].tolist() == [2, 1, 0]
    assert table["recurrence"].tolist() == [1, 0.5, 0]
    assert table["recurrence_all_images"].tolist() == [1, 1, 0.5]
    assert table["recurrence_random"].tolist() == pytest.approx([0.1, 0.3, 0.2])
    # Wilson: (p + z²/2n ± z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n), z = 1.96.
    assert table.loc[1, "recurrence_low"] == pytest.approx(0.0945, abs=1e-3)
    assert table.loc[1, "recurrence_high"] == pytest.approx(0.9055, abs=1e-3)
    figures = metrics(table, np.array([True, True, False]), runs)
    assert figures == {
        "runs": 2,
        "findings": 3,
        "found_again": pytest.approx(0.5),
        "random": pytest.approx(0.2),
        "random_class": pytest.approx(0.15),
        "in_all": pytest.approx(1 / 3),
        "in_all_low": pytest.approx(0.0615, abs=1e-3),
        "in_all_high": pytest.approx(0.7923, abs=1e-3),
        "in_none": pytest.approx(1 / 3),
        "held": pytest.approx(0.75),
        "all_images": pytest.approx(5 / 6),
        "all_images_held": pytest.approx(1),
    }


def test_what_dictionaries_find_is_kept_by_class_and_image():
    runs = [compare([], [finding(1, 0, 2), finding(0, 3)], EVERY, POOL, 0.5, n) for n in (1, 2)]
    table = found_by(runs, ["cat", "dog", "owl"], [f"i{n}" for n in range(len(EVERY))])
    assert list(table) == FOUND
    assert table["dictionary"].tolist() == [1, 1, 2, 2]
    assert table["class"].tolist() == ["dog", "cat"] * 2
    assert table["image_ids"].tolist() == [["i0", "i2"], ["i3"]] * 2
    assert list(found_by([], [], [])) == FOUND


def test_without_runs_nothing_is_said():
    table = by_finding(["a", "b"], [])
    assert table["recurrence"].isna().all()
    assert table["runs"].tolist() == [0, 0]
    assert metrics(table, np.array([True, False]), []) == {"runs": 0, "findings": 2}


def test_without_findings_there_are_counts_only():
    run = Run(1, np.zeros(0, dtype=bool), np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool), [])
    table = by_finding([], [run])
    assert list(table) == COLUMNS
    assert metrics(table, np.zeros(0, dtype=bool), [run]) == {"runs": 1, "findings": 0}
