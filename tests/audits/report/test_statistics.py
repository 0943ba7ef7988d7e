"""Counts of findings, chance and verdicts in words."""

import pandas as pd
import pytest

from audits.report.sections import statistics

COUNTS = {"flags": 40, "findings": 3, "confirmed": 2, "rejected": 0}
COUNTS |= {"expected_false_flags": 0.5, "expected_false_flags_analytic": 0.75}
CHANGES = {"accepted": 2, "rejected": 1, "new": 0, "persisting": 0, "gone": 0, "review_again": 0}


def test_chance_is_a_share_of_the_flags() -> None:
    said = statistics.chance(COUNTS)
    assert (
        "0.5 flags would be expected (at most 0.75 by the tests' own distribution), against" in said
    )
    assert said.endswith("against 40 found: 1.2% of them.")
    assert statistics.chance(COUNTS | {"flags": 0}).endswith("there are none.")


def test_review_says_whose_modes_they_are_and_what_changed() -> None:
    findings = pd.DataFrame(
        {"mode_source": ["person", "suggested", "suggested", "person", "person"]}
    )
    (said,) = statistics.review(CHANGES, findings)
    assert "a verdict on 3 of 5 findings" in said
    assert "a person's on 3 and suggested by rule on 2" in said
    changed = CHANGES | {"new": 1, "persisting": 4, "gone": 2, "review_again": 3}
    assert statistics.review(changed, findings)[1] == (
        "Since the last review: 1 new, 4 persisting, 2 gone; 3 with a verdict that is to be given "
        "again."
    )
    assert statistics.review(CHANGES, findings[:0]) == []


def test_how_often_findings_are_found_again() -> None:
    figures = {"runs": 2, "findings": 25, "found_again": 0.94, "in_all": 0.92}
    figures |= {"random": 0.5, "random_class": 0.125, "all_images": 0.98}
    chance = (
        "As many candidates of the same class drawn at random would count as found again in 50%; "
        "as many of any class in 12%, which is mostly the share of classes in which a further "
        "dictionary finds anything."
    )
    assert statistics.recurrence(figures) == (
        "Two further dictionaries, each trained from its own start on half of the images, find 94% "
        "of the findings again in these halves on average, and both find 23 of 25; searching all "
        f"images they find 98% on average. {chance}"
    )
    assert "all three find 23 of 25" in statistics.recurrence(figures | {"runs": 3})
    assert statistics.recurrence(figures | {"runs": 1}) == (
        "A further dictionary, trained from its own start on half of the images, finds 94% of the "
        f"findings again in that half; searching all images it finds 98%. {chance}"
    )
    more = {"in_all_low": 0.75, "in_all_high": 0.98}
    assert statistics.controls(figures | more) == (
        "Every further dictionary finds 92% of the findings (interval of 95 %: 75% to 98%). As "
        "many images drawn at random would be called the same in 50% if they were candidates of "
        "the same class, of which one failure often has most, and in 12% if of any class."
    )
    assert statistics.controls({"runs": 0, "findings": 25}) == ""
    assert "not measured" in statistics.recurrence({"runs": 0, "findings": 25})
    assert statistics.recurrence({"runs": 2, "findings": 0}) == ""


@pytest.mark.parametrize(
    ("findings", "rate", "random", "apart"),
    [
        (1, 1.0, 1.0, False),
        (23, 1.0, 0.999, False),
        (100, 0.5, 0.75, False),  # above the rate's interval
        (20, 0.5, 0.25, True),  # which starts at 0.299
        (20, 0.5, 0.375, False),
        (25, 0.0, 0.0, False),
        (20, 1.0, 0.8, True),  # and here at 0.839
    ],
)
def test_what_random_candidates_reach_tells_the_class_only(
    findings: int, rate: float, random: float, apart: bool
) -> None:
    figures = {"runs": 2, "findings": findings, "found_again": rate, "in_all": rate}
    said = statistics.recurrence(
        figures | {"random": random, "random_class": 0.125, "all_images": 1.0}
    )
    assert ("being found again tells the class and not the images; as many" in said) != apart


def test_summary_counts_in_words() -> None:
    one = {"flags": 1, "findings": 1, "confirmed": 0, "expected_false_flags": 0.254, "rejected": 0}
    assert statistics.summary(one, [], 0, 0) == (
        "The one finding is not confirmed. "
        "Behind it is one flag, where chance alone would give 0.25."
    )
    said = statistics.summary(COUNTS, ["spurious", "typography"], 2, 2)
    assert said.startswith(
        "Two of three findings held up on images not used to find them, and a dictionary trained "
        "on other images finds them again: one case of surroundings taken for the object and one "
        "written word. Behind them are 40 flags"
    )


def test_summary_says_what_it_is_held_against() -> None:
    none = COUNTS | {"confirmed": 0}
    assert statistics.summary(none, [], 0, 1).startswith("None of three findings is confirmed. ")
    alone = statistics.summary(COUNTS, ["typography"], 1, 0)
    assert alone.startswith(
        "Two of three findings held up on images not used to find them: one written word. "
    )


def test_summary_says_which_kinds_are_suggested() -> None:
    modes = ["spurious", "typography", "typography"]
    kinds = ": two written words and one case of surroundings taken for the object"
    assert f"{kinds}, as suggested by rule. " in statistics.summary(COUNTS, modes, 0, 0)
    some = statistics.summary(COUNTS, modes, 1, 0)
    assert f"{kinds}, two of them as suggested by rule. " in some
    assert f"{kinds}. " in statistics.summary(COUNTS, modes, 3, 0)


def test_summary_leaves_out_what_persons_rejected() -> None:
    said = statistics.summary(COUNTS | {"rejected": 1}, ["typography"], 1, 2)
    assert "; persons rejected one, and left are: one written word." in said
    said = statistics.summary(COUNTS | {"rejected": 3}, [], 0, 2)
    assert "; persons rejected three, and left are none." in said


def test_headline_counts_classes_with_a_finding_that_holds() -> None:
    assert statistics.headline(3, 2, 9, 5).startswith("On 2 of 9 classes")
    assert statistics.headline(0, 0, 9, 1).endswith("one finding is a hint")
    assert statistics.headline(0, 0, 9, 0) == "No failure was found on 9 classes"
