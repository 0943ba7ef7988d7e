"""Datasets: which images there are, and the split, class and group each belongs to.

An adapter turns a folder layout into a `Listing` without opening an image. `manifest` opens them.
"""

from typing import NamedTuple

__all__ = ["Excluded", "Listing", "Record"]


class Record(NamedTuple):
    """One image as its dataset lists it, not yet opened."""

    image_id: str
    """Name of the image, unique within the dataset."""
    path: str
    """Relative to the dataset's root, with forward slashes."""
    split: str
    """train, val or test."""
    label: str
    """Label of the class: a folder's name or a column's."""
    group_id: str
    """Images of one group (of one lesion) never straddle splits."""


class Excluded(NamedTuple):
    """An image that is left out."""

    path: str
    """Relative to the dataset's root."""
    reason: str
    """Why, for a person to read."""


class Listing(NamedTuple):
    """What an adapter finds."""

    records: list[Record]
    """The images, sorted by image_id."""
    labels: list[str]
    """Every class that the dataset declares, sorted, also those without an image."""
    excluded: list[Excluded]
    """The images that are known to be unusable before they are opened, sorted by path."""
