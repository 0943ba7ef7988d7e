"""Image folders in torchvision's layout, as ImageNet's: `train/<class>/*` and `val/<class>/*`."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from pipeline.config import DatasetConfig
from pipeline.datasets import Excluded, Listing, Record
from pipeline.datasets.names import NOTE, is_litter, is_note

__all__ = [
    "SPLITS",
    "image_id_of",
    "layout",
    "merged",
    "namesakes_out",
    "records",
    "split_listing",
    "visible",
]

SPLITS = ("train", "val")


def records(root: Path, config: DatasetConfig, seed: int) -> Listing:
    """The files of every class folder; a folder's name is the label.

    The image_id is that of `image_id_of`, and the group_id is the image_id. Hidden files and
    folders and what desktops leave are skipped. Folders inside a class folder, and files whose
    image_id is taken, are exclusions, and so are texts, which are no faults. A
    class in either split is declared, be it empty.

    Args:
        root: the dataset's folder.
        config: not read, the folders say everything.
        seed: not read, the folders are the splits.

    Raises:
        FileNotFoundError: a split's folder is missing.
        ValueError: a split holds files instead of class folders, or no class folder.
    """
    return merged(split_listing(root, split) for split in SPLITS)


def layout(root: Path) -> str:
    """Name of the layout, where root looks like it; opens no image and lists no class folder.

    Raises:
        FileNotFoundError: a split's folder is missing.
        ValueError: a split holds files instead of class folders, or no class folder.
    """
    for split in SPLITS:
        _class_folders(root, split, "")
    return "train/<class>/ and val/<class>/"


def split_listing(root: Path, split: str, base: str = "") -> Listing:
    """The images of one split, whose class folders lie in `<root>/<base>/<split>`.

    Raises:
        FileNotFoundError: the split's folder is missing.
        ValueError: it holds files instead of class folders, or no class folder.
    """
    labels = _class_folders(root, split, base)
    prefix = f"{base}/" if base else ""
    found: list[Record] = []
    excluded: list[Excluded] = []
    for label in labels:
        for entry in visible(root / base / split / label):
            path = f"{split}/{label}/{entry.name}"
            if entry.is_file() and is_note(entry.name):
                excluded.append(Excluded(prefix + path, NOTE, fault=False))
            elif entry.is_file():
                image_id = image_id_of(path)
                found.append(Record(image_id, prefix + path, split, label, image_id))
            else:
                reason = "not a file; images must lie directly in their class folder"
                excluded.append(Excluded(prefix + path, reason))
    kept, namesakes = namesakes_out(found)
    return Listing(kept, labels, [*excluded, *namesakes])


def image_id_of(path: str) -> str:
    """The path without its suffix, white space made `_`, since tables list ids with spaces between.

    "train/hot dog/1.v2.jpg" becomes "train/hot_dog/1.v2".
    """
    return re.sub(r"\s", "_", os.path.splitext(path)[0])


def namesakes_out(found: Iterable[Record]) -> tuple[list[Record], list[Excluded]]:
    """The records without those whose image_id an earlier one has, and these as exclusions."""
    kept: dict[str, Record] = {}
    excluded = []
    for record in found:
        first = kept.setdefault(record.image_id, record)
        if first is not record:
            reason = f"its image_id {record.image_id} is taken by {first.path}"
            excluded.append(Excluded(record.path, reason))
    return list(kept.values()), excluded


def merged(listings: Iterable[Listing]) -> Listing:
    """One listing of several without a common image_id."""
    parts = list(listings)
    return Listing(
        sorted(record for part in parts for record in part.records),
        sorted({label for part in parts for label in part.labels}),
        sorted(item for part in parts for item in part.excluded),
        sorted(item for part in parts for item in part.distractors),
    )


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """Entries by name, without hidden ones and litter; scandir spares a million stats."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not is_litter(e.name)), key=lambda e: e.name)


def _class_folders(root: Path, split: str, base: str) -> list[str]:
    folder = root / base / split
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing: an image folder needs {split}/<class>/<image> under its root"
        )
    labels, files = [], []
    for entry in visible(folder):
        if entry.is_dir():
            labels.append(entry.name)
        elif not is_note(entry.name):
            files.append(entry.name)
    if files:
        raise ValueError(
            f"{folder} holds {len(files)} files beside its class folders, the first {files[0]!r}: "
            f"move each image into the folder of its class, {split}/<class>/<image>"
        )
    if not labels:
        raise ValueError(f"{folder} holds no class folder: expected {split}/<class>/<image>")
    return labels
