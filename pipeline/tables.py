"""The one reader of tables that users write or edit.

A table is a CSV with a header, in UTF-8 (with or without a byte-order mark) or in UTF-16 with one;
commas, semicolons or tabs are between its cells, whichever gives the columns that are needed. Each
error names the file, the line, what was expected and what to do.
"""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from pipeline.places import Place
from pipeline.text_files import TextError, folded, near, nfc, read_text

__all__ = ["Row", "Table", "has_columns", "read_rows"]

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}
ALSO = {
    "path": ("file", "filename", "file_name", "filepath", "file_path", "image", "image_path"),
    "label": ("class", "category", "target", "diagnosis", "class_name"),
    "name": ("class", "class_name", "title", "text"),
    "description": ("text", "definition", "caption"),
    "term": ("word", "concept", "label", "name", "text"),
    "kind": ("type", "category", "class"),
}
"""What else a needed column is often called."""


class Row(NamedTuple):
    """A row of a table."""

    line: int
    """Of the file, from 1: where the row begins."""
    cells: dict[str, str]
    """Text by column, without white space around it; a column that the table lacks is blank."""


class Table(NamedTuple):
    """The columns that were asked for."""

    path: Place
    columns: list[str]
    """Those of them that the table has."""
    rows: list[Row]

    def at(self, line: int) -> str:
        """What a message begins with that is about a line."""
        return f"{self.path}, line {line}"

    def by(self, column: str) -> dict[str, Row]:
        """The rows by a column's cell.

        Raises:
            TextError: two rows have the same cell.
        """
        rows: dict[str, Row] = {}
        for row in self.rows:
            cell = row.cells[column]
            if cell in rows:
                raise TextError(
                    f"{self.at(row.line)}, lists the {column} {cell!r} twice, first in line "
                    f"{rows[cell].line}: keep one row for each {column}"
                )
            rows[cell] = row
        return rows


def read_rows(
    path: Place,
    needed: Sequence[str],
    optional: Sequence[str] = (),
    *,
    filled: Collection[str] = (),
    rest: bool = False,
    verbatim: Collection[str] = (),
    closed: bool = False,
) -> Table:
    """The rows of a table; blank rows are skipped.

    Names of columns count without white space around them and whatever their case. Texts come in
    Unicode's composed form (NFC). Columns that are not asked for are not read.

    Args:
        path: a CSV, see the module.
        needed: columns that it must have.
        optional: columns that it may have.
        filled: columns without blank cells.
        rest: where the header is `needed` and nothing else, further cells belong to the last
            column, ", " between them; so names may hold commas without quotes.
        verbatim: columns whose cells may hold line ends and keep their Unicode form.
        closed: refuse other columns.

    Raises:
        FileNotFoundError: there is no such file.
        TextError: the file is no text in a known encoding, a column is missing, is there twice or
            seems misspelt, a quote is not closed, a row has too few or too many cells, or a cell is
            blank or holds a line end.
    """
    text = read_text(path)
    asked = {folded(name): name for name in (*needed, *optional)}
    separator, line, header = _header(path, text, [folded(name) for name in needed])
    names = [asked.get(folded(cell), folded(cell)) for cell in header]
    _check_header(f"{path}, line {line}", header, names, needed, optional, closed)
    place = {name: names.index(name) for name in asked.values() if name in names}
    width = 1 + max(i for i, name in enumerate(names) if name)
    joins = rest and names[:width] == list(needed)
    absent = dict.fromkeys((name for name in optional if name not in place), "")
    rows = []
    for start, cells in _records(path, text, separator):
        if start <= line or not any(cells):
            continue
        where = f"{path}, line {start}"
        if joins and len(cells) > width:
            cells = [*cells[: width - 1], ", ".join(filter(None, cells[width - 1 :]))]
        _check_cells(where, cells, names, width, separator)
        found = {name: cells[i] if name in verbatim else nfc(cells[i]) for name, i in place.items()}
        for name, cell in found.items():
            if not cell and name in filled:
                raise TextError(f"{where}: {name} is blank; every row needs {' and '.join(filled)}")
            if name not in verbatim and ("\n" in cell or "\r" in cell):
                raise TextError(
                    f"{where}: {name} goes over several lines, {cell[:40]!r}: is a double quote "
                    "not closed? Close it, or write the cell in one line"
                )
        rows.append(Row(start, found | absent))
    return Table(path, list(place), rows)


def has_columns(path: Place, needed: Collection[str]) -> bool:
    """Whether a table has these columns.

    Raises:
        FileNotFoundError: there is no such file.
        TextError: the file is no text in a known encoding.
    """
    names = {folded(name) for name in needed}
    return names <= {folded(cell) for cell in _header(path, read_text(path), names)[2]}


def _records(path: Place, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """First line and stripped cells of each row."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True
    )
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            what = "a double quote is not closed" if "unexpected end" in str(error) else error
            raise TextError(
                f"{path}, line {start}: not CSV: {what}. A cell in double quotes ends with one, "
                'and one inside it is written twice: "5"" nail"'
            ) from error
        yield start, [cell.strip() for cell in cells]


def _header(path: Place, text: str, needed: Collection[str]) -> tuple[str, int, list[str]]:
    """Separator of the cells, line of the header, and its cells."""
    found: list[tuple[str, int, list[str]]] = []
    faults: list[TextError] = []
    for separator in SEPARATORS:
        rows = (row for row in _records(path, text, separator) if any(row[1]))
        try:
            line, cells = next(rows, (1, []))
        except TextError as error:  # quotes are other ones with another separator
            faults.append(error)
            continue
        if set(needed) <= {folded(cell) for cell in cells}:
            return separator, line, cells
        found.append((separator, line, cells))
    if not found:
        raise faults[0]
    return max(found, key=lambda one: len(one[2]))


def _check_header(
    where: str,
    header: list[str],
    names: list[str],
    needed: Sequence[str],
    optional: Sequence[str],
    closed: bool,
) -> None:
    """Hold a header's cells, and the names of columns that they stand for, to what is asked for."""
    known = [*needed, *optional]
    others = {
        name: cell for name, cell in zip(names, header, strict=True) if name and name not in known
    }
    if missing := [name for name in needed if name not in names]:
        meant = [(_meant(name, others), name) for name in missing]
        hints = "".join(
            f"; is {others[other]!r} meant? Rename it to {name}" for other, name in meant if other
        )
        raise TextError(
            f"{where}: no column {', '.join(missing)}; it has "
            f"{', '.join(filter(None, header)) or 'none'}{hints}. The "
            f"first line names the columns: {','.join(needed)}"
        )
    for name in known:
        if names.count(name) > 1:
            raise TextError(
                f"{where}: column {name} is there {names.count(name)} times, in {', '.join(header)}"
                ": keep one of them, or rename the others"
            )
    if closed and others:
        raise TextError(
            f"{where}: column {next(iter(others.values()))!r} is unknown: remove it; there are "
            f"{', '.join(known)}"
        )
    for name in optional:
        if name not in names and (other := near(name, others)):
            raise TextError(
                f"{where}: column {others[other]!r} is not read; is {name} meant? Rename it to "
                "that, or to something else"
            )


def _meant(name: str, others: Collection[str]) -> str:
    """The column that is likely meant by a needed one; blank where none is."""
    called = (other for other in ALSO.get(name, ()) if other in others)
    return next(called, "") or near(folded(name), others)


def _check_cells(
    where: str, cells: list[str], names: list[str], width: int, separator: str
) -> None:
    """Hold a row to the header, whose columns have names up to some width."""
    sign = SEPARATORS[separator]
    nameless = next(
        (cell for name, cell in zip(names, cells, strict=False) if cell and not name), ""
    )
    if width <= len(cells) <= len(names) and not nameless:
        return
    if len(cells) < width or len(cells) > len(names):
        said = f"has {len(cells)} cell{'s' if len(cells) > 1 else ''}, not {width}"
    else:
        said = f"has {nameless!r} in a column without a name"
    if cells[0].startswith("#"):
        remedy = "a table has no comments: remove the line"
    elif len(cells) < width:
        remedy = f"write a {sign} for each cell that stays blank"
    else:
        example = f'"one{separator} two"'
        remedy = f"put a cell that holds a {sign} in double quotes, as {example}"
        remedy += "" if cells[-1] else f", or remove the {sign} at the end"
    raise TextError(f"{where}: {said} ({', '.join(filter(None, names))}): {cells}; {remedy}")
