"""The common benchmark of a dataset's audits: the distractor sets of the findings of all of them.

A set that several audits found counts once, so that a failure that all models share weighs no more
than one of a single model.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from audits.robustness.forms import SETS
from pipeline import layout
from pipeline.artifacts.store import read_table


class FoundSet(NamedTuple):
    """Distractors of one finding of one audit."""

    audit: str
    finding_id: str
    mode: str
    label: str
    """Class that they are confused with."""
    image_ids: frozenset[str]


class CommonSet(NamedTuple):
    """Distractors that every model is measured on."""

    name: str
    """Audit and finding of the largest set that went into it."""
    mode: str
    """Likewise."""
    label: str
    image_ids: tuple[str, ...]
    """Of all sets that went into it, rising."""
    audits: tuple[str, ...]
    """Those that found it, one or more."""


def read_sets(audits: Sequence[str]) -> list[FoundSet]:
    """The sets of some audits, in the order of audits and of their findings.

    Raises:
        FileNotFoundError: an audit's are missing.
    """
    return [
        FoundSet(name, row["finding_id"], row["mode"], row["class"], frozenset(row["image_ids"]))
        for name in audits
        for row in read_table(layout.audit(name, "robustness") / SETS).to_dict("records")
    ]


def common_sets(sets: Sequence[FoundSet], overlap: float) -> list[CommonSet]:
    """Sets of several audits as one benchmark.

    Two sets are the same where they are of one class and of two audits, and the images they share
    are at least `overlap` of the smaller one, as with flags of one finding. The most alike (by
    shared over all images) are joined first, and of each audit at most one set goes into a joint
    one: findings that an audit holds apart stay apart, and a copy of an audit changes nothing.

    Args:
        sets: of non-empty sets of images. Of pairs that are equally alike the first are joined.
        overlap: fraction.

    Returns:
        In the order of the first set that went into each; those of one audit alone as they are.
    """
    groups = [[index] for index in range(len(sets))]
    for _, one, other in sorted(_pairs(sets, overlap)):
        left, right = groups[one], groups[other]
        if {sets[index].audit for index in left}.isdisjoint(sets[index].audit for index in right):
            left.extend(right)
            for index in right:
                groups[index] = left
    return [
        _joined([sets[member] for member in sorted(group)])
        for index, group in enumerate(groups)
        if index == min(group)
    ]


def _pairs(sets: Sequence[FoundSet], overlap: float) -> Iterator[tuple[float, int, int]]:
    """Unlikeness and positions of two sets that are the same."""
    by_class: dict[str, list[int]] = {}
    for index, found in enumerate(sets):
        by_class.setdefault(found.label, []).append(index)
    for members in by_class.values():
        for one, other in combinations(members, 2):
            left, right = sets[one].image_ids, sets[other].image_ids
            shared = len(left & right)
            smaller = min(len(left), len(right))
            if shared >= overlap * smaller:
                yield 1 - shared / len(left | right), one, other


def _joined(members: Sequence[FoundSet]) -> CommonSet:
    largest = max(members, key=lambda found: len(found.image_ids))  # of equals the first
    return CommonSet(
        name=f"{largest.audit}/{largest.finding_id}",
        mode=largest.mode,
        label=largest.label,
        image_ids=tuple(sorted(frozenset().union(*(found.image_ids for found in members)))),
        audits=tuple(found.audit for found in members),
    )
