"""The common benchmark: which sets of several audits are one."""

import pyarrow as pa
import pytest

from audits.compare.benchmark import FoundSet, common_sets, read_sets
from audits.robustness.forms import SETS
from pipeline import layout
from pipeline.artifacts.store import write_table


def found(audit: str, images: str, mode: str = "compound", label: str = "bat") -> FoundSet:
    """A set of an audit; each letter is an image."""
    return FoundSet(audit, f"{label}-{images}", mode, label, frozenset(images))


def gathered(*sets: FoundSet) -> list[tuple[str, str, tuple[str, ...]]]:
    """Name, images and audits of the common sets."""
    return [(one.name, "".join(one.image_ids), one.audits) for one in common_sets(sets, 0.5)]


def test_sets_of_one_audit_stay_apart():
    sets = [found("a", "pq"), found("a", "pqr"), found("a", "pqr", label="cat")]
    assert gathered(*sets) == [
        ("a/bat-pq", "pq", ("a",)),
        ("a/bat-pqr", "pqr", ("a",)),
        ("a/cat-pqr", "pqr", ("a",)),
    ]


def test_a_set_that_two_audits_found_is_one_with_the_images_of_both():
    small, large = found("a", "pqrs", "polysemy"), found("b", "rstuvw", "spurious")
    (one,) = common_sets([small, large], 0.5)
    assert one.name == "b/bat-rstuvw"
    assert (one.mode, one.label) == ("spurious", "bat")
    assert one.image_ids == tuple("pqrstuvw")
    assert one.audits == ("a", "b")


@pytest.mark.parametrize(
    "other",
    [
        found("b", "stuvw"),  # one of four is less than half
        found("b", "pqrs", label="cat"),
    ],
)
def test_other_images_or_another_class_are_another_set(other):
    assert len(common_sets([found("a", "pqrs"), other], 0.5)) == 2


def test_the_most_alike_are_joined_and_one_of_each_audit():
    sets = [found("a", "pq"), found("a", "pqrstu"), found("b", "pqrstuv"), found("c", "pqx")]
    assert gathered(*sets) == [
        ("c/bat-pqx", "pqx", ("a", "c")),
        ("b/bat-pqrstuv", "pqrstuv", ("a", "b")),
    ]


def test_three_audits_are_joined_through_the_one_between():
    sets = [found("a", "pqrs"), found("b", "rstu"), found("c", "tuvw")]
    assert gathered(*sets) == [("a/bat-pqrs", "pqrstuvw", ("a", "b", "c"))]


def test_a_copy_of_an_audit_changes_no_set():
    first = [found("a", "pq"), found("a", "pqr"), found("a", "pqrstu"), found("a", "xyz")]
    copy = [one._replace(audit="b") for one in first]
    together = gathered(*first, *copy)
    assert [images for _, images, _ in together] == ["pq", "pqr", "pqrstu", "xyz"]
    assert {audits for *_, audits in together} == {("a", "b")}


def test_sets_are_read_from_every_audit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    columns = {"finding_id": ["f1"], "mode": ["typography"], "class": ["n01"]}
    for name in ("b", "a"):
        table = pa.table(columns | {"image_ids": [["p", "q"]]})
        write_table(layout.audit(name, "robustness") / SETS, table)
    assert read_sets(["b", "a"]) == [
        FoundSet(name, "f1", "typography", "n01", frozenset("pq")) for name in ("b", "a")
    ]
