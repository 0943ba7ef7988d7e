"""The files of a review: verdicts of persons, and the findings as they were last reviewed."""

import csv
import difflib
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from audits.review.identity import Pin
from pipeline import layout
from pipeline.artifacts.store import atomic, write_table
from pipeline.tables import Row, Table, read_rows
from pipeline.text_files import TextError, folded

VERDICTS = ("accept", "reject")
PINNED_FINDINGS = "findings.parquet"
"""In a review's folder."""
MODES = ("polysemy", "compound", "typography", "spurious", "unclear")
PIN_SCHEMA = pa.schema(
    {
        "finding_id": pa.string(),
        "class": pa.string(),
        "component": pa.int32(),
        "atom": pa.list_(pa.float16()),
        "images": pa.list_(pa.string()),
        "mode": pa.string(),
    }
)


class Verdict(NamedTuple):
    """What a person says of a finding; its fields are the columns of `reviews/<audit>.csv`."""

    finding_id: str
    verdict: str
    """One of VERDICTS."""
    mode: str
    """One of MODES, or empty to leave it to the suggestion."""
    note: str
    reviewer: str
    date: str
    """As 2025-01-31, or empty."""


class ReviewError(ValueError):
    """A file of a review cannot be used; the message says where it is wrong."""


def read_verdicts(path: Path, known: Collection[str]) -> dict[str, Verdict]:
    """Verdicts by finding id.

    Args:
        path: a table (see `pipeline.tables`) with the fields of Verdict as columns, in any order.
        known: ids of the findings there are and of those of the last review.

    Raises:
        ReviewError: the file is missing or is no table, a column is missing or unknown, a finding
            is unknown or has two lines, or a verdict, mode or date is not allowed; the message says
            the line, the column, the value and what is allowed.
    """
    try:
        table = read_rows(path, Verdict._fields, verbatim=("note",), closed=True)
        return {
            finding_id: _verdict(table, row, known)
            for finding_id, row in table.by("finding_id").items()
        }
    except FileNotFoundError as error:
        raise ReviewError(
            f"{path} does not exist: an audit that nobody has reviewed has one with the line "
            f"{','.join(Verdict._fields)} only"
        ) from error
    except TextError as error:
        raise ReviewError(str(error)) from error


def _verdict(table: Table, row: Row, known: Collection[str]) -> Verdict:
    cells = row.cells
    verdict = Verdict(**cells)._replace(
        verdict=folded(cells["verdict"]), mode=folded(cells["mode"])
    )
    for column, allowed, near in (
        ("finding_id", known, difflib.get_close_matches(verdict.finding_id, known)),
        ("verdict", VERDICTS, VERDICTS),
        ("mode", ("", *MODES), (*MODES, "nothing (the suggestion)")),
    ):
        if getattr(verdict, column) not in allowed:
            which = (
                ", ".join(near) or f"the {len(known)} ids of findings.csv and of the last review"
            )
            raise ReviewError(
                f"{table.at(row.line)}, column {column}: {cells[column]!r} is not allowed; "
                f"{'is it one of' if column == 'finding_id' and near else 'allowed:'} {which}"
            )
    if not _is_date(verdict.date):
        raise ReviewError(
            f"{table.at(row.line)}, column date: {verdict.date!r} is not allowed; allowed: a date "
            "such as 2025-01-31, or nothing"
        )
    return verdict


def _is_date(text: str) -> bool:
    try:
        return text == "" or date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def write_verdicts(path: Path, verdicts: Mapping[str, Verdict]) -> None:
    """Write verdicts in the order of their ids, so that Git shows what changed."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Verdict._fields)
        writer.writerows(verdicts[finding_id] for finding_id in sorted(verdicts))


def read_pins(path: Path) -> list[Pin]:
    """Findings as they were last reviewed.

    Raises:
        ReviewError: the file is missing, is not Parquet or has other columns.
    """
    remedy = f"get it back from Git (`git checkout {path}`)"
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise ReviewError(f"{path} does not exist: {remedy}") from error
    except pa.ArrowInvalid as error:
        raise ReviewError(f"{path} is not Parquet: {error}; {remedy}") from error
    if not table.schema.equals(PIN_SCHEMA):
        raise ReviewError(
            f"{path} has columns {dict(zip(table.schema.names, table.schema.types, strict=True))}, "
            f"not {dict(zip(PIN_SCHEMA.names, PIN_SCHEMA.types, strict=True))}: {remedy}"
        )
    return [
        Pin(
            row["finding_id"],
            row["class"],
            row["component"],
            np.array(row["atom"], dtype=np.float16),
            tuple(row["images"]),
            row["mode"],
        )
        for row in table.to_pylist()
    ]


def write_pins(path: Path, pins: Iterable[Pin]) -> None:
    """Write findings for `read_pins`, in the order of their ids."""
    rows = [
        dict(zip(PIN_SCHEMA.names, pin._replace(atom=pin.atom.astype(np.float16)), strict=True))
        for pin in sorted(pins, key=lambda pin: pin.finding_id)
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=PIN_SCHEMA))


def start(audit: str) -> None:
    """Write the files of an audit that nobody has reviewed; those that are there stay."""
    if not layout.reviews(audit).exists():
        write_verdicts(layout.reviews(audit), {})
    pinned = layout.reviewed(audit) / PINNED_FINDINGS
    if not pinned.exists():
        write_pins(pinned, [])
