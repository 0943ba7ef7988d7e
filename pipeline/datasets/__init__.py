"""Datasets: which images there are, and the split, class and group each belongs to.

An adapter turns a folder layout into a `Listing` without opening an image. `manifest` opens them.
"""

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Distractor", "Excluded", "Listing", "Record"]


class Record(NamedTuple):
    """One image as its dataset lists it, not yet opened."""

    image_id: str
    """Name of the image, unique within the dataset."""
    path: str
    """Relative to the dataset's root, with forward slashes; inside a container as `files` says."""
    split: str
    """train, val or test."""
    label: str | None
    """Label of the class: a folder's name or a column's; None where it is unknown."""
    group_id: str
    """Images of one group (of one lesion or patient) never straddle splits."""


class Distractor(NamedTuple):
    """An image that is known not to show a class but to look like it to a model."""

    image_id: str
    """One of the records, of split test and without a label."""
    label: str
    """The class that it does not show."""
    set: str
    """Name of the distractor set that it belongs to."""


class Excluded(NamedTuple):
    """An image that is left out."""

    path: str
    """Relative to the dataset's root."""
    reason: str
    """Why, for a person to read."""
    fault: bool = True
    """Whether something is wrong with it, which counts against max_excluded; not so a duplicate."""


class Listing(NamedTuple):
    """What an adapter finds."""

    records: list[Record]
    """The images, sorted by image_id."""
    labels: list[str]
    """Every class that the dataset declares, sorted, also those without an image."""
    excluded: list[Excluded]
    """The images that are known to be unusable before they are opened, sorted by path."""
    distractors: Sequence[Distractor] = ()
    """Ready-made distractor sets, sorted; Spurious ImageNet's where the dataset has them."""
    notes: Sequence[str] = ()
    """What a person should know of how the folder was read, a sentence each."""
