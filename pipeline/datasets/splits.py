"""Which images belong to which split, and how many of the train images are used."""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.datasets import Record
from pipeline.text_files import folded

__all__ = ["CALLED", "check_shares", "split_named", "split_of", "thin"]

CALLED = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""What folders and cells call each split; the names are those of Hugging Face's imagefolder."""
SHARE_OFF = 0.1
"""Part of the images by which a split may miss its share, however unlikely."""
CHANCE_OFF = 5.0
"""Standard deviations, of as many groups of one size, by which it may miss its share by chance."""


def split_named(text: str) -> str | None:
    """The split that a text names, whatever its case; None where it names none."""
    return next((split for split, names in CALLED.items() if folded(text) in names), None)


def split_of(group_id: str, fractions: dict[str, float], seed: int) -> str:
    """The split that a group (a lesion, a patient, or an image of its own) belongs to.

    sha256 of "seed:group_id" read as a fraction in [0, 1) and cut by the cumulated fractions, in
    the order of the dict. All images of a group share a split, and adding or removing groups
    moves no other group. Only the expected shares are met: with few groups, the actual ones vary.

    Args:
        group_id: name of the group.
        fractions: fraction of the groups by split, each in [0, 1], summing to 1.
        seed: another seed gives another, independent cut.

    Raises:
        ValueError: a fraction is negative or they do not sum to 1.
    """
    if any(share < 0 for share in fractions.values()) or not math.isclose(
        sum(fractions.values()), 1.0, abs_tol=1e-9
    ):
        raise ValueError(f"splits: {fractions} must be fractions that sum to 1")
    digest = hashlib.sha256(f"{seed}:{group_id}".encode(errors="surrogateescape")).digest()
    # 53 bits, so that the quotient is exact and stays below 1
    position = (int.from_bytes(digest[:8], "big") >> 11) / 2**53
    shares = {name: share for name, share in fractions.items() if share > 0}
    edge = 0.0
    for name, share in shares.items():
        edge += share
        if position < edge:
            return name
    return list(shares)[-1]  # the sum may round to just below 1


def check_shares(
    splits: Sequence[str], groups: Sequence[str], fractions: Mapping[str, float], every: int
) -> None:
    """Make sure that drawn splits got about the shares of images that were asked for.

    Groups differ in size and are few, so shares vary; a split that misses its share by more than
    SHARE_OFF of all images, and by more than CHANCE_OFF standard deviations of what as many groups
    of one size would give, was decided by a few huge groups.

    Args:
        splits: of each image.
        groups: of each image.
        fractions: what was asked for, by split.
        every: one of how many train images was kept; those left out count.

    Raises:
        ValueError: a split misses its share.
    """
    images = Counter(splits)
    images["train"] *= every
    total, sizes = images.total(), Counter(groups)
    largest, size = max(sizes.items(), key=lambda item: (item[1], item[0]))
    for split, share in fractions.items():
        chance = CHANCE_OFF * math.sqrt(share * (1 - share) / len(sizes))
        got = images[split] / total
        if abs(got - share) > max(SHARE_OFF, chance):
            raise ValueError(
                f"splits asks for {share:g} of the images in {split}, which gets {got:.2f}: of "
                f"{len(sizes)} groups the largest, {largest!r}, holds {size} of {len(splits)} "
                "images. Take a split column or folders of your own, smaller groups, or another "
                "seed"
            )


def thin(records: list[Record], every: int) -> list[Record]:
    """Every n-th train image of each class, from the first one on, and all other images.

    The order of the records decides which; 5 gives the reference set of Dreyer et al. 2025,
    App. D. Images without a label count as a class of their own. Each class that has train images
    keeps at least one.
    """
    seen: Counter[str | None] = Counter()
    kept = []
    for record in records:
        if record.split != "train":
            kept.append(record)
            continue
        if seen[record.label] % every == 0:
            kept.append(record)
        seen[record.label] += 1
    return kept
