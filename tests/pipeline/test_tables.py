"""The reader of users' tables: what it takes, and what it says of the rest."""

from pathlib import Path

import pytest

from pipeline.tables import Table, has_columns, read_rows
from pipeline.text_files import TextError, folded, near, read_lines, read_text

EXPECTED = [{"term": "Grünfläche", "kind": "x"}, {"term": "a, b", "kind": ""}]


def table(folder: Path, content: str | bytes, **options: object) -> Table:
    path = folder / "t.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(path, ("term", "kind"), **options)  # type: ignore[arg-type]


def cells(found: Table) -> list[dict[str, str]]:
    return [row.cells for row in found.rows]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_encodings_line_ends_and_separators(
    tmp_path: Path, encoding: str, end: str, sign: str
) -> None:
    lines = ["term,kind", "Gru\u0308nfläche,x", "", ",", '"a, b",', ""]
    text = end.join(lines[:4]).replace(",", sign) + end + f'"a, b"{sign}{end}'
    found = table(tmp_path, text.encode(encoding))
    assert cells(found) == EXPECTED
    assert [row.line for row in found.rows] == [2, 5]


def test_utf_16_of_either_order_needs_its_mark(tmp_path: Path) -> None:
    text = "term,kind\nGrünfläche,x\n"
    marked = "\ufeff" + text
    assert cells(table(tmp_path, marked.encode("utf-16-be"))) == EXPECTED[:1]
    with pytest.raises(TextError, match=r"line 1: a NUL byte.*UTF-16 without its mark: save it as"):
        table(tmp_path, text.encode("utf-16-le"))


def test_names_of_columns_are_folded_and_others_are_not_read(tmp_path: Path) -> None:
    text = '\n KIND ,note,Term\nx,"several\nlines","say ""hm"""\n y , z, "q, r"\n'
    found = table(tmp_path, text)
    assert cells(found) == [{"term": 'say "hm"', "kind": "x"}, {"term": "q, r", "kind": "y"}]
    assert [row.line for row in found.rows] == [3, 5]
    assert found.columns == ["term", "kind"]
    assert found.at(5) == f"{tmp_path / 't.csv'}, line 5"


def test_optional_columns_are_blank_where_they_are_missing(tmp_path: Path) -> None:
    found = table(tmp_path, "term,kind,note\na,x,n\n", optional=("note", "id"))
    assert cells(found) == [{"term": "a", "kind": "x", "note": "n", "id": ""}]
    assert found.columns == ["term", "kind", "note"]


def test_verbatim_cells_keep_their_form_and_line_ends(tmp_path: Path) -> None:
    text = 'term,kind\n"cafe\u0301\n1",x\n'
    assert cells(table(tmp_path, text, verbatim=("term",)))[0]["term"] == "cafe\u0301\n1"


def test_blank_columns_that_a_spreadsheet_pads_are_no_columns(tmp_path: Path) -> None:
    assert cells(table(tmp_path, "term,kind,,\na,x,,\nb,\n"))[1] == {"term": "b", "kind": ""}


SAVE = "save it as UTF-8 .Excel"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: no column term, kind; it has none. The first line names the columns: term,k"),
        ("dog,object\n", "line 1: no column term, kind; it has dog, object"),
        (
            "\nword,Kind\na,b\n",
            "line 2: no column term; it has word, Kind; is 'word' meant",
        ),
        ("trem,kind\n", "is 'trem' meant. Rename it to term"),
        ("term|kind\n", "no column term, kind; it has term.kind"),
        (
            "term,kind,Term \n",
            "line 1: column term is there 2 times, in term, kind, Term: keep",
        ),
        ("term,kind\na,b,c\n", '3 cells, not 2 .term, kind.: .*double quotes, as "one, two"'),
        ("term;kind\na;b;c\n", 'cell that holds a semicolon in double quotes, as "one; two"'),
        ("term,kind\na,b,\n", "line 2: has 3 cells, not 2 .*, or remove the comma at the end"),
        (
            "term,kind\na\n",
            "line 2: has 1 cell, not 2 .* write a comma for each cell that stays",
        ),
        ("term,kind\na;b\n", "line 2: has 1 cell, not 2"),
        ("term,kind,\na,b,c\n", "line 2: has 'c' in a column without a name"),
        ("term,kind\n# animals\na,b\n", "line 2: .* a table has no comments: remove the line"),
        ("term,kind\n\n ,b\n", "line 3: term is blank; every row needs term"),
        ('term,kind\na,"b\nc,d\n', "line 2: not CSV: a double quote is not closed. A cell in"),
        ('term,kind\n"a"b,c\n', "line 2: not CSV: .* written twice"),
        ('term,kind\na,"b\nc","d"\n', "line 2: has 3 cells"),
        ('term,kind\na,"b\nc"\n', "line 2: kind goes over several lines, .* not closed"),
        ("term,kind\nGrünfläche,x\n".encode("cp1252"), f"line 2: byte 0xfc after 'Gr' .*: {SAVE}"),
        ("term,kind\r\n\r\nœ,x\r\n".encode("cp1252"), f"line 3: byte 0x9c after '' .*: {SAVE}"),
        ("\ufeffterm,kind\né,x".encode()[:-3], "line 2: byte 0xc3 after '' is not UTF-8"),
        (b"\xff\xfet\0e\0r", "byte 0x72 .* is not UTF-16"),
        ("term,kind\na\0b,c\n", "line 2: a NUL byte"),
        (b"PK\x03\x04 a workbook", f"is a workbook and no text: {SAVE}"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(TextError, match=message) as caught:
        table(tmp_path, content, filled=("term",))
    assert str(tmp_path / "t.csv") in str(caught.value)


def test_columns_that_are_not_read_are_said_where_they_seem_meant(tmp_path: Path) -> None:
    text = "term,kind,groups\na,b,c\n"
    with pytest.raises(TextError, match="column 'groups' is not read; is group meant"):
        table(tmp_path, text, optional=("group",))
    with pytest.raises(TextError, match="column 'groups' is unknown: remove it; there are term, k"):
        table(tmp_path, text, closed=True)


def test_rows_by_a_column_are_one_each(tmp_path: Path) -> None:
    found = table(tmp_path, "term,kind\na,x\nb,x\n")
    assert list(found.by("term")) == ["a", "b"]
    with pytest.raises(TextError, match="line 3, lists the kind 'x' twice, first in line 2: keep"):
        found.by("kind")


def test_whether_a_table_has_columns(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("dx\tImage\n")
    assert has_columns(tmp_path / "t", ["image", "dx"])
    assert not has_columns(tmp_path / "t", ["images"])


def test_lines_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes("\ufeff\ufeffa\r\n\r\n cafe\u0301 ".encode())
    assert list(read_lines(tmp_path / "t")) == [(1, "a"), (3, "caf\u00e9")]
    assert read_text(tmp_path / "t").startswith("a\r\n")


def test_words_are_compared_as_a_person_would() -> None:
    assert folded(" CAFE\u0301 ") == "caf\u00e9"
    assert near("backgroud", ("object", "background")) == "background"
    assert near("zebra", ("object", "background")) == ""
