"""Labels of ImageNet-1k: WordNet ids ("wnids") such as n01440764, and their order.

Nearly everyone numbers the classes 0 to 999 in the order of their wnids. The devkit's ids, 1 to
1000 in `ILSVRC2012_validation_ground_truth.txt`, are in another order.
"""

import re
from functools import cache

__all__ = ["DEVKIT", "WNID", "check_name", "check_names", "wnid_of", "wnids"]

WNID = re.compile(r"(?<![a-zA-Z0-9])n\d{8}(?!\d)")
CLASSES = 1000
AGREEING = 0.9  # share of names with a word in common; open_clip's and WordNet's have 0.96
DEVKIT = (
    "the devkit's ids (1 to 1000, as in ILSVRC2012_validation_ground_truth.txt) are in another "
    "order than the wnids"
)


@cache
def wnids() -> list[str]:
    """The 1000 wnids in order, from timm.

    Raises:
        ValueError: timm's list is not that.
    """
    # imported here, for it takes seconds and few datasets need it
    from timm.data.imagenet_info import ImageNetInfo

    found = list(ImageNetInfo("imagenet-1k").label_names())
    if len(set(found)) != CLASSES or found != sorted(found):
        raise ValueError(f"timm's ImageNet-1k is not {CLASSES} wnids in their order")
    return found


def wnid_of(index: int, where: str) -> str:
    """The wnid of a class's number.

    Args:
        index: from 0 to 999, in the order of wnids.
        where: what has that number, for the message.

    Raises:
        ValueError: the number is another.
    """
    if not 0 <= index < CLASSES:
        raise ValueError(
            f"{where} has the class {index}: expected 0 to {CLASSES - 1} in the order of wnids; "
            f"{DEVKIT}"
        )
    return wnids()[index]


def check_name(wnid: str, name: str, where: str) -> None:
    """Hold a label to a file's name such as `n01440764_18.JPEG`; names without a wnid pass.

    Raises:
        ValueError: the name holds wnids, and the label is none of them.
    """
    named = WNID.findall(name)
    if named and wnid not in named:
        raise ValueError(
            f"{where} has the label {wnid}, but its name {name!r} says {named[0]}: numbers must "
            f"be those of the wnids in order; {DEVKIT}"
        )


def check_names(names: list[str], where: str) -> None:
    """Hold 1000 names of classes, in words, to WordNet's: most share a word, or the order differs.

    Raises:
        ValueError: there are not 1000, or too few share a word.
    """
    from timm.data.imagenet_info import ImageNetInfo

    if len(names) != CLASSES:
        raise ValueError(
            f"{where} names {len(names)} classes, not {CLASSES}, by names that are no wnids: kind "
            "imagenet cannot know which they are; name them by their wnids"
        )
    info = ImageNetInfo("imagenet-1k")
    known = [info.label_name_to_description(wnid) for wnid in wnids()]
    agree = [bool(_words(a) & _words(b)) for a, b in zip(names, known, strict=True)]
    if sum(agree) < AGREEING * CLASSES:
        first = agree.index(False)
        raise ValueError(
            f"{where}: only {sum(agree)} of {CLASSES} classes share a word with WordNet's name, "
            f"the first that does not is {first}, {names[first]!r} against {known[first]!r}: the "
            "classes must be in the order of wnids"
        )


def _words(name: str) -> set[str]:
    return set(re.findall(r"[a-z]+", name.lower()))
