"""Which finding is which, from one review to the next, whatever has been trained anew since."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment

PINNED_IMAGES = 200
"""Images, the strongest, by which a finding is known again: nearly always all of them. What another
dictionary finds of a failure need not be what is strongest."""


class Pin(NamedTuple):
    """What a finding is known by."""

    finding_id: str
    label: str
    """Its class."""
    component: int
    """Of the SAE that it was found with."""
    atom: Float[np.ndarray, " d"]
    """Of that component."""
    images: tuple[str, ...]
    """Ids of its images, the strongest first, at most PINNED_IMAGES."""
    mode: str
    """Suggested."""


class Found(NamedTuple):
    """A finding of the present run."""

    pin: Pin
    """As the next review will know it; its id is `<class>-<component_id>`."""
    atoms: Float[np.ndarray, "g d"]
    """Of all its components."""
    images: frozenset[str]
    """All its images."""


class Carried(NamedTuple):
    """The id of a finding of the present run, and where it is from."""

    finding_id: str
    by: Literal["atom", "images"] | None
    """What the finding of the last review was recognised by; None for a new finding."""
    cosine: float | None
    """Largest of its atoms with the pinned one, None for a new finding."""
    shared: float | None
    """Part of the smaller set of images that both have, None likewise."""


def carry(
    pins: Sequence[Pin], found: Sequence[Found], cosine: float, images: float
) -> list[Carried]:
    """Give the findings of the present run the ids of the last review's, one-to-one.

    Findings of the same class are paired so that the cosines of their atoms sum to the most, where
    a pair needs at least `cosine`; those left over likewise by shared images, where it needs at
    least `images`. A finding without a pair keeps its id, with a number behind it if a finding of
    the last review has that id, be it gone or not.

    Args:
        pins: findings of the last review, their ids unique.
        found: findings of the present run.
        cosine: least, of the pinned atom with the nearest of a finding's.
        images: least, the part of the smaller set that is shared.

    Returns:
        One for each of found, in its order. The order of pins does not matter.
    """
    pins = sorted(pins, key=lambda pin: pin.finding_id)
    same_class = np.array([[pin.label == f.pin.label for f in found] for pin in pins], dtype=bool)
    same_class = same_class.reshape(len(pins), len(found))
    cosines, shares = _likeness(pins, found, same_class)
    by_atom = _paired(cosines, cosine, same_class)
    taken = np.array(sorted(by_atom.items()), dtype=np.intp).reshape(-1, 2)
    free = same_class.copy()
    free[taken[:, 1], :] = False
    free[:, taken[:, 0]] = False
    by_images = _paired(shares, images, free)

    ids = {pin.finding_id for pin in pins}
    carried = []
    for column, finding in enumerate(found):
        row = by_atom.get(column, by_images.get(column))
        if row is None:
            finding_id = _unused(finding.pin.finding_id, ids)
            ids.add(finding_id)
            carried.append(Carried(finding_id, None, None, None))
            continue
        by: Literal["atom", "images"] = "atom" if column in by_atom else "images"
        likeness = (float(cosines[row, column]), float(shares[row, column]))
        carried.append(Carried(pins[row].finding_id, by, *likeness))
    return carried


def _likeness(
    pins: Sequence[Pin], found: Sequence[Found], same_class: Bool[np.ndarray, "p f"]
) -> tuple[Float[np.ndarray, "p f"], Float[np.ndarray, "p f"]]:
    """Cosines and shares of images of all pairs of one class, 0 elsewhere."""
    cosines, shares = np.zeros(same_class.shape), np.zeros(same_class.shape)
    for row, column in zip(*np.nonzero(same_class), strict=True):
        pin, finding = pins[row], found[column]
        cosines[row, column] = _largest_cosine(pin.atom, finding.atoms)
        smaller = min(len(pin.images), len(finding.images))
        shares[row, column] = len(finding.images & set(pin.images)) / max(1, smaller)
    return cosines, shares


def _largest_cosine(atom: Float[np.ndarray, " d"], atoms: Float[np.ndarray, "g e"]) -> float:
    """0 where the widths differ: then another model is audited, and atoms say nothing."""
    if len(atom) != atoms.shape[1]:
        return 0.0
    left, right = atom.astype(np.float64), atoms.astype(np.float64)
    lengths = np.linalg.norm(left) * np.linalg.norm(right, axis=1)
    return float((right @ left / lengths).max())


def _paired(
    likeness: Float[np.ndarray, "p f"], least: float, allowed: Bool[np.ndarray, "p f"]
) -> dict[int, int]:
    """Column → row of the allowed pairs of at least `least` whose likenesses sum to the most."""
    allowed = allowed & (likeness >= least)
    pairs = zip(
        *linear_sum_assignment(np.where(allowed, likeness, 0.0), maximize=True), strict=True
    )
    return {int(column): int(row) for row, column in pairs if allowed[row, column]}


def _unused(finding_id: str, taken: set[str]) -> str:
    """finding_id, or with the first number from 2 on behind it that nobody has."""
    unused, number = finding_id, 2
    while unused in taken:
        unused, number = f"{finding_id}-{number}", number + 1
    return unused
