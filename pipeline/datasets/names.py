"""Names of files: which are no images of anyone's, and which no later stage could write down."""

import os
from pathlib import Path

from pipeline.artifacts.litter import is_litter
from pipeline.datasets import Excluded, Listing, Record
from pipeline.places import Place

__all__ = ["NOTE", "check_utf8", "is_note", "is_passed_over", "printable", "utf8_only"]

NOTES = {
    ".aae",
    ".csv",
    ".htm",
    ".html",
    ".json",
    ".jsonl",
    ".log",
    ".md",
    ".tsv",
    ".txt",
    ".xml",
    ".xmp",
    ".yaml",
    ".yml",
}
"""Suffixes of what people and programs write about images."""
SHOWN = 5  # names that an error lists
NOTE = "a text by its suffix, not an image"
NOT_UTF8 = "its name is not UTF-8, which tables and reports need: rename it"


def is_passed_over(name: str) -> bool:
    """Whether a file or folder is hidden, or left by a desktop (Thumbs.db, __MACOSX)."""
    return name.startswith(".") or is_litter(name)


def is_note(name: str) -> bool:
    """Whether a file is text about images by its suffix, not one that should be an image."""
    return os.path.splitext(name)[1].casefold() in NOTES


def printable(text: str) -> str:
    """A name as it can be written anywhere: bytes that are not UTF-8 as \\xe9."""
    return text if _is_utf8(text) else os.fsencode(text).decode("utf-8", "backslashreplace")


def utf8_only(listing: Listing) -> Listing:
    """The listing without the images and classes whose names are not UTF-8, as exclusions."""
    kept = [record for record in listing.records if _writable(record)]
    lost = [record for record in listing.records if not _writable(record)]
    excluded = [
        *(item._replace(path=printable(item.path)) for item in listing.excluded),
        *(Excluded(printable(record.path), NOT_UTF8) for record in lost),
    ]
    gone = {record.image_id for record in lost}
    return listing._replace(
        records=kept,
        labels=[label for label in listing.labels if _is_utf8(label)],
        excluded=sorted(item._replace(reason=printable(item.reason)) for item in excluded),
        distractors=[item for item in listing.distractors if item.image_id not in gone],
        notes=tuple(map(printable, listing.notes)),
    )


def check_utf8(root: Place) -> None:
    """Make sure that DVC can take the version of a folder, which it cannot where names are odd.

    A store has no other names than DVC can take.

    Raises:
        ValueError: a file or folder below root has a name that is not UTF-8.
    """
    if not isinstance(root, Path):
        return
    found = sorted(
        printable(os.path.join(folder, name))
        for folder, folders, files in os.walk(root)
        for name in [*folders, *files]
        if not _is_utf8(name)
    )
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ValueError(
            f"{', '.join(found[:SHOWN])}{more}: DVC takes no file whose name is not UTF-8; rename "
            f"what is (convmv -r -f latin1 -t utf8 --notest {root})"
        )


def _writable(record: Record) -> bool:
    return _is_utf8(f"{record.path}{record.image_id}{record.label}{record.group_id}")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
