"""Images of a table: `images.csv` with the columns path and label, perhaps split and group."""

import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pipeline.config import DatasetConfig
from pipeline.datasets import Excluded, Listing, Record
from pipeline.datasets.files import file_of
from pipeline.datasets.image_folder import image_id_of, namesakes_out
from pipeline.datasets.splits import CALLED, split_named, split_of
from pipeline.places import Place, entries, is_file, is_folder
from pipeline.tables import Row, Table, read_rows
from pipeline.text_files import TextError, folded, nfc

__all__ = ["TABLE", "labels", "layout", "records"]

TABLE = "images.csv"
NEEDED = ("path", "label")
OPTIONAL = ("split", "group")
WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")

Form = Callable[[str], str]


class _Row(NamedTuple):
    line: int
    path: str
    label: str | None
    split: str | None
    group: str | None


def records(root: Place, config: DatasetConfig, seed: int) -> Listing:
    """The images of the table.

    The image_id is the path without its suffix, as in an image folder, and a second path of the
    same image_id is an exclusion, as is a path without a file. A path counts whichever way it is
    written: with backslashes, absolute inside the root, in another Unicode form than on disk. A
    blank label is unknown, and the group_id is the group or, where that is blank, the image_id.
    Without a column split, splits are drawn for each group.

    Args:
        root: the dataset's folder; paths are relative to it, or in a container as `files` says.
        config: `splits`, fraction of the groups by split, where the table has no column split.
        seed: of the split.

    Raises:
        FileNotFoundError: the table is missing.
        ValueError: a column is missing, a cell is impossible, a path is listed twice or leaves the
            root, a group is in two splits, or `splits` and the column split are both given or both
            missing; or as `pipeline.tables`.
    """
    rows = _read(root, config)
    shares = {str(name): share for name, share in (config.splits or {}).items()}
    disk = _Disk(root)
    found: list[Record] = []
    excluded: list[Excluded] = []
    lines: dict[str, int] = {}
    for row in rows:
        file = file_of(row.path)
        there = disk.find(file)
        if there is None:
            near = disk.match(file, folded)
            reason = f"no such file, but a row in {TABLE}" + (f"; there is {near}" if near else "")
            excluded.append(Excluded(row.path, reason))
            continue
        path = there + row.path[len(file) :]
        first = lines.setdefault(path, row.line)
        if first != row.line:
            raise TextError(
                f"{root / TABLE}, line {row.line} lists the path {path!r} again, after line "
                f"{first}: keep one row an image"
            )
        image_id = image_id_of(path)
        group_id = row.group or image_id
        split = row.split or split_of(group_id, shares, seed)
        found.append(Record(image_id, path, split, row.label, group_id))
    kept, namesakes = namesakes_out(found)
    return Listing(sorted(kept), _labels(rows), sorted([*excluded, *namesakes]))


def labels(root: Place, config: DatasetConfig) -> list[str]:
    """The classes that the table names, sorted.

    Raises:
        FileNotFoundError: the table is missing.
        ValueError: as `records`, but for what is on disk.
    """
    return _labels(_read(root, config))


def _labels(rows: list[_Row]) -> list[str]:
    return sorted({row.label for row in rows if row.label is not None})


def layout(root: Place, config: DatasetConfig) -> str:
    """Name of the layout, where root has the table and all of it can be used.

    Raises:
        FileNotFoundError: the table is missing.
        ValueError: as `records`, but for what is on disk.
    """
    _read(root, config)
    return TABLE


class _Disk:
    """The files of a root, whose names may be spelt in another way in the table."""

    def __init__(self, root: Place) -> None:
        self.root = root
        self.listed: dict[tuple[str, Form], dict[str, list[str]]] = {}
        self.files: dict[str, set[str]] = {}
        """Names of files by folder, of a store."""

    def find(self, path: str) -> str | None:
        """The path of a file as it is on disk; None where there is none, or there are several."""
        return path if self._is_file(path) else self.match(path, nfc)

    def _is_file(self, path: str) -> bool:
        if isinstance(self.root, Path):
            return is_file(self.root / path)
        folder, _, name = path.rpartition("/")
        if folder not in self.files:  # listed once, for each file that is asked for is a request
            try:
                there = entries(self.root / folder)
            except FileNotFoundError:
                there = []
            self.files[folder] = {entry.name for entry in there if entry.is_file()}
        return name in self.files[folder]

    def match(self, path: str, form: Form) -> str | None:
        """The one file whose path is the same in some form, backslashes taken as slashes."""
        found = ""
        parts = os.path.normpath(path.replace("\\", "/")).split("/")
        for part in parts:
            if (found, form) not in self.listed:
                names: dict[str, list[str]] = defaultdict(list)
                for entry in entries(self.root / found):
                    names[form(entry.name)].append(entry.name)
                self.listed[found, form] = names
            alike = self.listed[found, form].get(form(part), [])
            if len(alike) != 1:
                return None
            found = f"{found}/{alike[0]}" if found else alike[0]
            if not is_folder(self.root / found):
                break
        whole = found.count("/") + 1 == len(parts)
        return found if whole and is_file(self.root / found) else None


def _read(root: Place, config: DatasetConfig) -> list[_Row]:
    """The rows, held to each other and to `splits`."""
    path = root / TABLE
    if not is_file(path):
        raise FileNotFoundError(
            f"{path} is missing: kind csv needs it, with the columns path and label, and if you "
            "like split (train, val or test) and group"
        )
    table = read_rows(path, NEEDED, OPTIONAL, filled=("path",), verbatim=("path",))
    has_split = "split" in table.columns
    if has_split == (config.splits is not None):
        raise ValueError(
            f"{path} has a column split, and splits is {config.splits}: remove the column, or put "
            "the line `splits: null` in its place in the dataset's entry in params.yaml"
            if has_split
            else f"{path} has no column split, and splits is null: give the column (train, val or "
            "test), or put the line `splits: {train: 0.8, val: 0.2}` in its place in the dataset's "
            "entry in params.yaml (--val-share 0.2 of `audit add`)"
        )
    roots: tuple[str, ...] = (str(root),)
    if isinstance(root, Path):
        roots = tuple(dict.fromkeys((os.path.abspath(root), os.path.realpath(root))))
    rows = [_row(roots, table, row, has_split) for row in table.rows]
    groups: dict[str, _Row] = {}
    for row in rows:
        peer = groups.setdefault(row.group, row) if row.group else row
        if peer.split != row.split:
            raise TextError(
                f"{table.at(row.line)}: the group {row.group!r} is in split {row.split}, and in "
                f"line {peer.line} in {peer.split}: a group belongs into one split"
            )
    return rows


def _row(roots: tuple[str, ...], table: Table, row: Row, has_split: bool) -> _Row:
    cells, where = row.cells, table.at(row.line)
    split = split_named(cells["split"])
    if has_split and split is None:
        raise TextError(
            f"{where}: split is {cells['split']!r}, not one of {', '.join(CALLED)}; every row "
            "needs one"
        )
    path = _inside(roots, cells["path"], where)
    return _Row(row.line, path, cells["label"] or None, split, cells["group"] or None)


def _inside(roots: tuple[str, ...], given: str, where: str) -> str:
    """A path relative to the root, without `.` and `..`.

    Args:
        roots: absolute paths of the root, as it is called and as it is without links; or its URL.
        given: the table's cell.
        where: its place, for the message.

    Raises:
        TextError: it leads out of the root.
    """
    file = file_of(given)
    if "://" in roots[0]:
        below = file.removeprefix(f"{roots[0]}/")
        path = posixpath.normpath(below)
        if "://" not in below and path.split("/")[0] not in ("", ".."):
            return path + given[len(file) :]
    elif not WINDOWS.match(given):
        whole = os.path.normpath(os.path.join(roots[0], file))
        for unlinked in (False, True):
            if unlinked:  # an absolute path may lead through another link to the same folder
                folder, name = os.path.split(whole)
                whole = os.path.join(os.path.realpath(folder), name)
            for root in roots:
                if whole.startswith(root + os.sep):
                    return whole[len(root) + 1 :] + given[len(file) :]
    raise TextError(
        f"{where}: path {given!r} leaves the folder of {TABLE}: write it relative to {roots[0]}, "
        f"or name a folder above both as the dataset's root and put {TABLE} there"
    )
