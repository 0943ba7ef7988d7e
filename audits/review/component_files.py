"""The components of a dictionary with their ids, on disk: as they are, and as they were pinned."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float16, Int32

from audits.review.verdict_files import ReviewError
from pipeline.artifacts.store import vector_column, write_table

PINNED = "components.parquet"
"""In a review's folder; absent until the first pin."""
PRESENT = "present_components.parquet"
"""In the folder of the stage `review`: what PINNED is to be if it is reviewed now."""
NEXT_ID = "next_id"


class Components(NamedTuple):
    """All components of a dictionary, by index."""

    ids: Int32[np.ndarray, " m"]
    """No two the same."""
    atoms: Float16[np.ndarray, "m d"]
    next_id: int
    """Above every id that a component of this audit has ever had, be it gone or not."""


def pointer(path: Path) -> Path:
    """The file that says which content DVC keeps of a path; there where DVC does."""
    return path.with_name(f"{path.name}.dvc")


def read_components(path: Path) -> Components:
    """Components from `write_components`.

    Raises:
        ReviewError: the file is missing, is not Parquet, has other columns, or its ids are not
            unique or not below `next_id`.
    """
    next_id = read_next_id(path)
    table = pq.read_table(path)
    ids = table["component_id"].to_numpy()
    if len(np.unique(ids)) < len(ids) or ids.min() < 0 or ids.max() >= next_id:
        raise ReviewError(
            f"{path}: its component_id are not unique from 0 to {next_id - 1}: {_remedy(path)}"
        )
    atoms = table["atom"].combine_chunks().values.to_numpy().reshape(len(ids), -1)
    return Components(ids, atoms, next_id)


def read_pinned(folder: Path) -> Components | None:
    """Components as they were pinned in a review's folder, None where they never were.

    Raises:
        ReviewError: DVC keeps the file and it is not there; else see `read_components`.
    """
    path = folder / PINNED
    return read_components(path) if path.exists() or pointer(path).exists() else None


def read_next_id(path: Path) -> int:
    """`next_id` of a file of components, which is not read for it.

    Raises:
        ReviewError: the file is missing, is not Parquet or has other columns.
    """
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError as error:
        raise ReviewError(f"{path} does not exist: {_remedy(path)}") from error
    except pa.ArrowInvalid as error:
        raise ReviewError(f"{path} is not Parquet: {error}; {_remedy(path)}") from error
    said = (schema.metadata or {}).get(NEXT_ID.encode(), b"")
    if not _fits(schema) or not said.isdigit():
        raise ReviewError(
            f"{path} has columns {dict(zip(schema.names, schema.types, strict=True))} and "
            f"{NEXT_ID} {said.decode()!r}, not component_id (int32), atom (fixed-size list of "
            f"float16) and a number: {_remedy(path)}"
        )
    return int(said)


def _fits(schema: pa.Schema) -> bool:
    if schema.names != ["component_id", "atom"]:
        return False
    ids, atoms = schema.types
    return (
        ids == pa.int32()
        and pa.types.is_fixed_size_list(atoms)
        and atoms.value_type == pa.float16()
    )


def write_components(path: Path, components: Components) -> None:
    """Write components, one row each by index: component_id, atom; and `next_id` as metadata."""
    columns = {
        "component_id": pa.array(components.ids, pa.int32()),
        "atom": vector_column(components.atoms),
    }
    about = {NEXT_ID: str(components.next_id)}
    write_table(path, pa.table(columns).replace_schema_metadata(about))


def _remedy(path: Path) -> str:
    if path.name == PRESENT:
        return "run `dvc repro` to make it"
    if pointer(path).exists():
        instead = "--force " if path.exists() else ""
        return f"DVC keeps it, get it by `dvc pull {instead}{pointer(path)}`"
    return f"get it back from Git (`git checkout {path}`)"
