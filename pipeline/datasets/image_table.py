"""Images of a table: `images.csv` with the columns path and label, perhaps split and group."""

import csv
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TextIO

from pipeline.config import DatasetConfig
from pipeline.datasets import Excluded, Listing, Record
from pipeline.datasets.files import file_of
from pipeline.datasets.image_folder import image_id_of, namesakes_out
from pipeline.datasets.splits import split_of

__all__ = ["TABLE", "layout", "records"]

TABLE = "images.csv"
NEEDED = ("path", "label")
SPLITS = ("train", "val", "test")


class _Row(NamedTuple):
    line: int
    path: str
    label: str | None
    split: str | None
    group: str | None


def records(root: Path, config: DatasetConfig, seed: int) -> Listing:
    """The images of the table.

    The image_id is the path without its suffix, as in an image folder, and a second path of the
    same image_id is an exclusion, as is a path without a file. A blank label is unknown, and the
    group_id is the group or, where that is blank, the image_id. Without a column split, splits are
    drawn for each group.

    Args:
        root: the dataset's folder; paths are relative to it, or in a container as `files` says.
        config: `splits`, fraction of the groups by split, where the table has no column split.
        seed: of the split.

    Raises:
        FileNotFoundError: the table is missing.
        ValueError: a column is missing, a cell is impossible, a path is listed twice, a group is in
            two splits, or `splits` and the column split are both given or both missing.
    """
    rows, has_split = _read(root)
    if has_split == (config.splits is not None):
        raise ValueError(
            f"{root / TABLE} has a column split, and splits is {config.splits}: remove one of them"
            if has_split
            else f"{root / TABLE} has no column split, and splits is null: give the column, or "
            "shares such as {train: 0.8, val: 0.2}"
        )
    shares = {str(name): share for name, share in (config.splits or {}).items()}
    found: list[Record] = []
    excluded: list[Excluded] = []
    for row in rows:
        if not (root / file_of(row.path)).is_file():
            excluded.append(Excluded(row.path, f"no such file, but a row in {TABLE}"))
            continue
        image_id = image_id_of(row.path)
        group_id = row.group or image_id
        split = row.split or split_of(group_id, shares, seed)
        found.append(Record(image_id, row.path, split, row.label, group_id))
    kept, namesakes = namesakes_out(found)
    labels = sorted({row.label for row in rows if row.label is not None})
    return Listing(sorted(kept), labels, sorted([*excluded, *namesakes]))


def layout(root: Path) -> str:
    """Name of the layout, where root has the table and it the columns.

    Raises:
        FileNotFoundError: the table is missing.
        ValueError: a column is missing.
    """
    with _open(root) as file:
        _columns(csv.reader(file), root / TABLE)
    return TABLE


def _open(root: Path) -> TextIO:
    path = root / TABLE
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: kind csv needs it, with the columns path and label, and if you "
            "like split (train, val or test) and group"
        )
    return path.open(encoding="utf-8-sig", newline="")


def _columns(reader: Iterator[list[str]], path: Path) -> list[str]:
    columns = [name.strip() for name in next(reader, [])]
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}"
        )
    return columns


def _read(root: Path) -> tuple[list[_Row], bool]:
    """The rows, and whether they have a split."""
    table = root / TABLE
    rows: list[_Row] = []
    lines: dict[str, int] = {}
    groups: dict[str, _Row] = {}
    with _open(root) as file:
        reader = csv.reader(file)
        columns = _columns(reader, table)
        for cells in reader:
            if not cells:
                continue
            where = f"{table}, line {reader.line_num}"
            if len(cells) != len(columns):
                raise ValueError(f"{where} has {len(cells)} cells, not {len(columns)}: {cells}")
            row = _row(
                dict(zip(columns, map(str.strip, cells), strict=True)), reader.line_num, where
            )
            first = lines.setdefault(row.path, row.line)
            if first != row.line:
                raise ValueError(f"{where} lists the path {row.path!r} again, after line {first}")
            peer = groups.setdefault(row.group, row) if row.group else row
            if peer.split != row.split:
                raise ValueError(
                    f"{where}: the group {row.group!r} is in split {row.split}, and in line "
                    f"{peer.line} in {peer.split}: a group belongs into one split"
                )
            rows.append(row)
    return rows, "split" in columns


def _row(cells: dict[str, str], line: int, where: str) -> _Row:
    path = PurePosixPath(cells["path"])
    if not cells["path"]:
        raise ValueError(f"{where}: path is blank")
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{where}: path {cells['path']!r} leaves the folder of {TABLE}")
    split = cells.get("split")
    if split is not None and split not in SPLITS:
        raise ValueError(f"{where}: split is {split!r}, not one of {', '.join(SPLITS)}")
    return _Row(line, str(path), cells["label"] or None, split, cells.get("group") or None)
