"""Image folders in torchvision's layout, as ImageNet's: `train/<class>/*` and `val/<class>/*`."""

import os
import re
from pathlib import Path, PurePosixPath

from pipeline.config import DatasetConfig
from pipeline.datasets import Excluded, Listing, Record

__all__ = ["SPLITS", "records"]

SPLITS = ("train", "val")


def records(root: Path, config: DatasetConfig, seed: int) -> Listing:
    """The files of every class folder; a folder's name is the label.

    The image_id is the path relative to the root without its extension, white space made `_`, since
    tables list ids with spaces between; the group_id is the image_id. Hidden files and folders are
    skipped. Folders inside a class folder, and files whose image_id is taken, are exclusions. A
    class in either split is declared, be it empty.

    Args:
        root: the dataset's folder.
        config: not read, the folders say everything.
        seed: not read, the folders are the splits.

    Raises:
        FileNotFoundError: a split's folder is missing.
        ValueError: a split holds files instead of class folders, or no class folder.
    """
    found: dict[str, Record] = {}
    labels: set[str] = set()
    excluded: list[Excluded] = []
    for split in SPLITS:
        for label in _class_folders(root, split):
            labels.add(label)
            for entry in _visible(root / split / label):
                path = PurePosixPath(split, label, entry.name)
                image_id = re.sub(r"\s", "_", str(path.with_suffix("")))
                if not entry.is_file():
                    reason = "not a file; images must lie directly in their class folder"
                    excluded.append(Excluded(str(path), reason))
                elif image_id in found:
                    reason = f"its image_id {image_id} is taken by {found[image_id].path}"
                    excluded.append(Excluded(str(path), reason))
                else:
                    found[image_id] = Record(image_id, str(path), split, label, image_id)
    return Listing(sorted(found.values()), sorted(labels), sorted(excluded))


def _class_folders(root: Path, split: str) -> list[str]:
    folder = root / split
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing: an image folder needs {split}/<class>/<image> under its root"
        )
    entries = _visible(folder)
    files = [entry.name for entry in entries if not entry.is_dir()]
    if files:
        raise ValueError(
            f"{folder} holds {len(files)} files beside its class folders, the first {files[0]!r}: "
            f"move each image into the folder of its class, {split}/<class>/<image>"
        )
    if not entries:
        raise ValueError(f"{folder} holds no class folder: expected {split}/<class>/<image>")
    return [entry.name for entry in entries]


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    """Entries by name, without the hidden ones; scandir spares a stat for each of a million."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
