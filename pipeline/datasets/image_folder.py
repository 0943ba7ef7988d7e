"""Image folders as torchvision and Hugging Face have them.

`train/<class>/*` and `val/<class>/*`, whatever `splits.CALLED` allows in place of these names; or
`train/<class>/*` alone, or `<class>/*`, of which splits are drawn. Which it is, the names of the
folders say: where train is among them with val or test, or no other folder is, they are splits;
else every folder is a class, be it called train.
"""

import os
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from PIL import Image

from pipeline.config import DatasetConfig
from pipeline.datasets import Excluded, Listing, Record
from pipeline.datasets.names import NOTE, is_note, is_passed_over
from pipeline.datasets.splits import CALLED, split_named, split_of
from pipeline.places import Entry, Place, entries, is_folder
from pipeline.text_files import nfc

__all__ = [
    "files_below",
    "image_id_of",
    "labels",
    "layout",
    "merged",
    "namesakes_out",
    "records",
    "split_listing",
    "visible",
]


class _Folders(NamedTuple):
    """What the folders in a root are."""

    splits: dict[str, str]
    """Folder by split; empty where the folders are classes."""
    classes: list[str]
    """Empty where the folders are splits."""
    beside: list[str]
    """Folders that are neither."""

    @property
    def drawn(self) -> bool:
        """Whether there is no split for validation, so that splits have to be drawn."""
        return "val" not in self.splits

    @property
    def test_serves(self) -> bool:
        """Whether the split test is taken for validation."""
        return split_named(self.splits.get("val", "val")) == "test"

    def said(self) -> str:
        """In words."""
        if not self.splits:
            return f"<class>/ of {len(self.classes)} classes"
        order = [split for split in CALLED if split in self.splits]
        said = " and ".join(f"{self.splits[split]}/<class>/" for split in order)
        return f"{said}, which serves as val" if self.test_serves else said


def records(root: Place, config: DatasetConfig, seed: int) -> Listing:
    """The files below every class folder, at any depth; a folder's name, in NFC, is the label.

    The image_id is that of `image_id_of`, and the group_id is the image_id. Hidden files and
    folders, and what desktops leave, are skipped. Exclusions: files whose image_id is taken, images
    and folders beside the splits or classes, texts. These folders, texts, and images of a test
    without class folders, are no faults. A class in any split is declared, be it empty. Where there
    is test and no val, test serves as val.

    Args:
        root: the dataset's folder.
        config: `splits`, share of the images in each split, where no folder is for validation.
        seed: of such splits.

    Raises:
        FileNotFoundError: there is no folder for train, or no class folder at all.
        ValueError: `splits` is missing or not needed, a split holds files beside its class folders,
            or it is unclear what are classes.
    """
    folders = _folders(root)
    _check_shares(root, folders, config)
    if folders.splits:
        parts = [split_listing(root, folder, split) for split, folder in folders.splits.items()]
    else:
        parts = [_class_listing(root, "", folders.classes, "train")]
    listing = merged([*parts, _beside(root, folders)])
    if folders.test_serves:
        listing = listing._replace(notes=[*listing.notes, f"read as {folders.said()}"])
    if config.splits is None:
        return listing
    shares = {str(name): share for name, share in config.splits.items()}
    drawn = [r._replace(split=split_of(r.group_id, shares, seed)) for r in listing.records]
    return listing._replace(records=drawn)


def layout(root: Place, config: DatasetConfig) -> str:
    """Name of the layout, where root looks like it; opens no image and lists no class folder.

    Raises:
        FileNotFoundError: as `records`.
        ValueError: likewise.
    """
    folders = _folders(root)
    for folder in folders.splits.values():
        _class_folders(root / folder)
    _check_shares(root, folders, config)
    return f"{folders.said()}, splits drawn" if folders.drawn else folders.said()


def labels(root: Place) -> list[str]:
    """The classes that `records` declares, sorted; opens no image and lists no class folder.

    Raises:
        FileNotFoundError: as `records`.
        ValueError: likewise.
    """
    folders = _folders(root)
    inside = [_class_folders(root / folder) for folder in folders.splits.values()]
    return sorted({nfc(name) for names in [folders.classes, *inside] for name in names})


def split_listing(root: Place, folder: str, split: str, base: str = "") -> Listing:
    """The images of one split, whose class folders lie in `<root>/<base>/<folder>`.

    Raises:
        FileNotFoundError: the split's folder is missing.
        ValueError: it holds files instead of class folders, or no class folder.
    """
    return _class_listing(root / base, folder, _class_folders(root / base / folder), split, base)


def files_below(folder: Place) -> Iterator[tuple[str, bool]]:
    """Path in the folder of everything below it that is no folder, and whether it is a file."""
    for entry in visible(folder):
        if entry.is_dir():
            for path, is_file in files_below(folder / entry.name):
                yield f"{entry.name}/{path}", is_file
        else:
            yield entry.name, entry.is_file()


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
        [note for part in parts for note in part.notes],
    )


def visible(folder: Place) -> list[Entry]:
    """Entries by name, without hidden ones and litter; scandir spares a million stats."""
    found = (entry for entry in entries(folder) if not is_passed_over(entry.name))
    return sorted(found, key=lambda entry: entry.name)


def _folders(root: Place) -> _Folders:
    there = visible(root) if is_folder(root) else []
    names = [entry.name for entry in there if entry.is_dir()]
    splits: dict[str, str] = {}
    for name in names:
        split = split_named(name)
        if split is None or (split == "test" and not _holds_folders(root / name)):
            continue
        if split in splits:
            raise ValueError(
                f"{root} holds both {splits[split]} and {name}, which both name the split {split}: "
                "keep one of them"
            )
        splits[split] = name
    beside = [name for name in names if name not in splits.values()]
    if "train" in splits and (splits.keys() - {"train"} or not any(map(_is_class, beside))):
        if "val" not in splits and "test" in splits:
            splits["val"] = splits.pop("test")
        return _Folders(splits, [], beside)
    if not any(map(_is_class, names)):
        raise FileNotFoundError(
            f"{root} holds {', '.join(names) or 'no folder'}: expected train/<class>/<image> and "
            "val/<class>/<image>, or <class>/<image> to draw splits from, with `splits: {train: "
            "0.8, val: 0.2}`"
        )
    for name in splits.values():
        if _holds_folders(root / name, only=True):
            raise ValueError(
                f"{root} holds {name}, which holds folders only, beside {', '.join(beside[:3])}: "
                f"if {name} is a split, move the others away; if it is a class, put its images "
                "directly into it"
            )
    if len(names) == 1 and _holds_folders(root / names[0], only=True):
        raise ValueError(
            f"{root} holds the folder {names[0]} alone, which holds folders only: name "
            f"{root / names[0]} as root"
        )
    for name in names:
        inside = {split_named(entry.name) for entry in visible(root / name) if entry.is_dir()}
        if {"train", "val"} <= inside or {"train", "test"} <= inside:
            raise ValueError(
                f"{root / name} holds splits, and not {root} itself: put the split first, "
                f"train/{name}/<image>"
            )
    return _Folders({}, names, [])


def _is_class(name: str) -> bool:
    return split_named(name) is None


def _holds_folders(folder: Place, only: bool = False) -> bool:
    """Whether a folder holds folders, or nothing but folders."""
    kinds = {entry.is_dir() for entry in visible(folder)}
    return kinds == {True} if only else True in kinds


def _check_shares(root: Place, folders: _Folders, config: DatasetConfig) -> None:
    if folders.drawn and config.splits is None:
        raise ValueError(
            f"{root} has {folders.said()} and no folder for validation, and splits is null: put "
            "the line `splits: {train: 0.8, val: 0.2}` in its place in the dataset's entry in "
            "params.yaml (--val-share 0.2 of `audit add`), and splits are drawn; or make "
            "train/<class>/ and val/<class>/"
        )
    if not folders.drawn and config.splits is not None:
        raise ValueError(
            f"{root} has {folders.said()}, and splits is {config.splits}: put the line `splits: "
            "null` in its place in the dataset's entry in params.yaml to take the folders as "
            "splits, or "
            f"leave {folders.splits['train']}/ alone there to draw splits from it"
        )


def _class_folders(folder: Place) -> list[str]:
    if not is_folder(folder):
        raise FileNotFoundError(
            f"{folder} is missing: an image folder needs {folder.name}/<class>/<image> there"
        )
    there = visible(folder)
    files = [e.name for e in there if not (e.is_dir() or is_note(e.name))]
    expected = f"{folder.name}/<class>/<image>"
    if files:
        raise ValueError(
            f"{folder} holds {len(files)} files beside its class folders, the first {files[0]!r}: "
            f"move each image into the folder of its class, {expected}, or list the images in a "
            "table (kind csv)"
        )
    if not there:
        raise ValueError(f"{folder} holds no class folder: expected {expected}")
    return [entry.name for entry in there if entry.is_dir()]


def _class_listing(
    top: Place, folder: str, classes: list[str], split: str, base: str = ""
) -> Listing:
    """The images below class folders in `<top>/<folder>`; base leads from the root to top."""
    found: list[Record] = []
    excluded: list[Excluded] = []
    for name in classes:
        inside = f"{folder}/{name}" if folder else name
        for below, is_file in files_below(top / inside):
            path = f"{inside}/{below}"
            full = f"{base}/{path}" if base else path
            if is_file and is_note(below):
                excluded.append(Excluded(full, NOTE, fault=False))
            elif is_file:
                image_id = image_id_of(path)
                found.append(Record(image_id, full, split, nfc(name), image_id))
            else:
                excluded.append(Excluded(full, "not a file"))
    kept, namesakes = namesakes_out(found)
    return Listing(kept, sorted({nfc(name) for name in classes}), [*excluded, *namesakes])


def _beside(root: Place, folders: _Folders) -> Listing:
    """What lies in the root itself and is not read."""
    formats = Image.registered_extensions()
    suffixes = {suffix for suffix, name in formats.items() if name in Image.OPEN}
    excluded = [
        Excluded(entry.name, "not in the folder of a class")
        for entry in visible(root)
        if entry.is_file() and os.path.splitext(entry.name)[1].lower() in suffixes
    ]
    for name in folders.beside:
        if _is_class(name):
            count = sum(1 for _ in files_below(root / name))
            reason = f"its {count} files are of no split, for it lies beside the splits"
            excluded.append(Excluded(name, reason, fault=False))
            continue
        reason = f"{name} has no class folders, so its class is unknown"
        excluded += [
            Excluded(f"{name}/{path}", reason, fault=False) for path, _ in files_below(root / name)
        ]
    return Listing([], [], excluded)
