"""Reading and writing files so that a file that exists is whole."""

import errno
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from pipeline.artifacts.litter import is_litter

ROW_GROUP_BYTES = 64 * 2**20
ELSEWHERE = ".url"
SHARD = re.compile(rf"part-(?P<number>\d{{5}})\.parquet({re.escape(ELSEWHERE)})?")
"""Name of a shard, or of the line that says where it lies; see `pipeline.artifacts.shards`."""
LOCK = "lock"
"""File that a process holds locked while it works in a folder."""
WRITE = re.compile(r"\.(.+)-[0-9a-f]{8}")
TEXTS = dict.fromkeys(
    (
        *("image_id", "label", "class", "finding_id", "finding_ids", "plant"),
        *("component_label", "example_ids", "top_images"),
    ),
    str,
)
"""CSV columns that are texts even where all of them look like numbers ("001"), or where one id that
does stands alone."""
FULL = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the quota on this disk is used up: free some space",
    errno.EFBIG: "no file may become that large here: raise `ulimit -f`, or take another disk",
}
"""Why a file cannot be written any further, and what to do."""
CLOSED = {
    errno.EROFS: "this disk can only be read: mount it writable",
    errno.EACCES: "you may not write there: change the rights of the folder",
    errno.EPERM: "you may not write there: change the rights of the folder",
}
"""Why none can be begun or put into its place."""
CODE = re.compile(r"\b(?:os error|errno) (\d+)\b")
"""How libraries that are not Python's name a fault of the system in their messages."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path (of a file or folder), renamed to path when the block succeeds.

    What stood at path before is replaced. On an error the temporary is removed and path is
    left as it was. It lies in a hidden folder beside path, under its own name, and beside it a lock
    that is held as long as the process lives: `half_written` finds what killed processes have left.

    Raises:
        FileExistsError: a folder stands at path with files that the new one does not replace.
        OSError: the disk is full, or may not be written; the message says what to do.
    """
    place = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
    with remedied(path, FULL | CLOSED):
        place.mkdir(parents=True)
    try:
        with FileLock(place / LOCK):
            temporary = place / path.name
            # Rights are not asked about here: the block may read elsewhere.
            with remedied(path, FULL):
                yield temporary
            with remedied(path, FULL | CLOSED):
                if temporary.is_dir():
                    put_folder(temporary, path)
                else:
                    os.replace(temporary, path)
    finally:
        shutil.rmtree(place)


@contextmanager
def remedied(path: Path, known: Mapping[int, str]) -> Iterator[None]:
    """Say of a fault of the disk which file it hit, what is left and what to do.

    Args:
        path: the file or folder that is written.
        known: number of a fault → what to do, such as FULL and CLOSED.
    """
    try:
        yield
    except Exception as error:
        found = CODE.search(str(error))
        code = error.errno if isinstance(error, OSError) else None
        code = code or (int(found[1]) if found else 0)
        if code not in known:
            raise
        raise OSError(
            code, f"{known[code]}, and run this again. Nothing there was changed", str(path)
        ) from error


def half_written(folder: Path) -> list[Path]:
    """The hidden folders of `atomic` in a folder and in those below it, in order.

    Of writes that are going on and of those that were killed; it follows no link and looks into no
    other hidden folder.
    """
    found = []
    for at, folders, _ in os.walk(folder):
        found += [Path(at, name) for name in folders if is_write(Path(at, name))]
        folders[:] = [name for name in folders if not name.startswith(".")]
    return sorted(found)


def is_write(folder: Path) -> bool:
    """Whether a folder is one of `atomic`'s, by its name and by what lies in it."""
    named = WRITE.fullmatch(folder.name)
    if not named or folder.is_symlink():
        return False
    held = {name for name in os.listdir(folder) if not is_litter(name)}
    return LOCK in held and held <= {LOCK, named[1]}


def put_folder(new: Path, path: Path) -> None:
    """Rename a folder to path, in place of one that an earlier run has put there.

    Raises:
        FileExistsError: what stands at path holds files that are neither shards nor replaced by
            files of the same name: they are not an earlier run's.
    """
    # Of a link, what it leads to would have to be deleted.
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise FileExistsError(f"{path} is to be a folder: move away what stands there")
    kept = [file for file in files_in(path) if not _replaced(file.relative_to(path), new)]
    if kept:
        raise FileExistsError(
            f"{path} holds {len(kept)} files that no stage has written, such as {kept[0]}: move "
            "them elsewhere, or remove them if nobody needs them, and run this again"
        )
    if path.exists():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(new, path)


def _replaced(file: Path, new: Path) -> bool:
    return bool(SHARD.fullmatch(file.name)) or os.path.lexists(new / file)


def files_in(folder: Path) -> list[Path]:
    """The files in a folder and its folders, in order, but for what systems leave everywhere."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(path for path in found if not is_litter(path.name))


def json_text(data: Any, *, sort_keys: bool = False) -> str:
    """Data as JSON, its numbers Python's, NumPy's or those of tables.

    NaN and the like, by which tables say that there is no value, become null.

    Raises:
        ValueError: a number is infinite, which JSON cannot say; the message names its place.
    """
    return json.dumps(_plain(data, "data"), indent=2, sort_keys=sort_keys, ensure_ascii=False)


def _plain(value: Any, place: str) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {_plain(key, place): _plain(one, f"{place}.{key}") for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, f"{place}[{index}]") for index, one in enumerate(value)]
    if value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, float) and math.isinf(value):
        raise ValueError(f"{place} is {value}, which JSON cannot say")
    return value


def write_json(path: Path, data: Any) -> None:
    """Write data as JSON with sorted keys, see `json_text`.

    Raises:
        ValueError: data holds an infinity.
    """
    text = json_text(data, sort_keys=True)
    with atomic(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(_existing(path).read_text(encoding="utf-8"))


def write_table(path: Path, table: pd.DataFrame | pa.Table) -> None:
    """Write a table as Parquet (zstd) or CSV, chosen by the suffix of path."""
    with atomic(path) as temporary:
        if path.suffix == ".csv":
            frame = table if isinstance(table, pd.DataFrame) else table.to_pandas()
            frame.to_csv(temporary, index=False, float_format="%.6g", lineterminator="\n")
            return
        if isinstance(table, pd.DataFrame):
            table = pa.Table.from_pandas(table, preserve_index=False)
        write_parquet(temporary, table)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table to a temporary path of `atomic`, in row groups of about 64 MB (zstd)."""
    rows = max(1, int(ROW_GROUP_BYTES / max(1.0, table.nbytes / max(1, len(table)))))
    pq.write_table(table, path, compression="zstd", row_group_size=rows)


def read_table(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """A Parquet or CSV table, or some of its columns."""
    if path.suffix == ".csv":
        return read_csv(_existing(path), columns)
    return pq.read_table(_existing(path), columns=columns).to_pandas()


def read_csv(
    source: Path | BinaryIO, columns: list[str] | None = None, ids: str = "image_id"
) -> pd.DataFrame:
    """A CSV table, or some of its columns; ids, also those of a column of another name, stay texts,
    and only nothing is a missing cell."""
    texts = {**TEXTS, ids: str}
    return pd.read_csv(source, usecols=columns, dtype=texts, keep_default_na=False, na_values=[""])


def vector_column(values: np.ndarray) -> pa.FixedSizeListArray:
    """Rows of a matrix [n, d] as a fixed-size-list column."""
    return pa.FixedSizeListArray.from_arrays(
        pa.array(np.ascontiguousarray(values).reshape(-1)), values.shape[1]
    )


def _existing(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: run `dvc repro` to make it")
    return path
