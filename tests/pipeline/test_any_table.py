"""Whatever a user's table holds, it is read as it was written or refused with its name."""

import csv
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits.review.verdict_files import read_verdicts
from pipeline.config import DatasetConfig
from pipeline.datasets import image_table, isic_tables
from pipeline.datasets.classes import read_classes
from pipeline.datasets.descriptions import read_descriptions
from pipeline.embeddings.texts import read_vocabulary
from pipeline.tables import read_rows
from pipeline.text_files import nfc

CELLS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=8),
    st.sampled_from(("NaN", "nan", "NA", "null", "-inf", "1e400", "0x1", "1,5", "a;b", 'say "x"')),
).map(lambda cell: nfc(cell).strip().strip("\ufeff"))


@pytest.mark.slow
@given(
    rows=st.lists(st.tuples(CELLS, CELLS).filter(any), max_size=6),
    sign=st.sampled_from(",;\t"),
    encoding=st.sampled_from(("utf-8", "utf-8-sig", "utf-16", "utf-32")),
    end=st.sampled_from(("\n", "\r\n")),
)
def test_what_is_written_is_what_is_read(
    rows: list[tuple[str, str]], sign: str, encoding: str, end: str
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=sign, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("term", "kind"), *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.csv"
        path.write_bytes(text.getvalue().encode(encoding))
        found = read_rows(path, ("term", "kind"))
    assert [(row.cells["term"], row.cells["kind"]) for row in found.rows] == rows


CSV = DatasetConfig.model_construct(kind="csv", splits=None)
READERS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "images.csv": (
        "path,label,split,group\na.jpg,bat,train,g\nb.jpg,dog,val,\n",
        lambda path: image_table.records(path.parent, CSV, 0),
        "images.csv",
    ),
    "vocabulary": (
        "term,kind\nred hair,context\nbat,object\n",
        lambda path: read_vocabulary(path),
        "vocabulary.csv",
    ),
    "classes.csv": (
        "label,name\nbat,a bat\ndog,dog\n",
        lambda path: read_classes(path.parent),
        "classes.csv",
    ),
    "descriptions": (
        "label,description\nbat,a flying mammal\n",
        lambda path: read_descriptions(path),
        "descriptions.csv",
    ),
    "verdicts": (
        "finding_id,verdict,mode,reviewer,date,note\nf1,accept,polysemy,me,2026-01-31,\n",
        lambda path: read_verdicts(path, {"f1"}),
        "verdicts.csv",
    ),
    "ISIC 2020": (
        "image_name,patient_id,target,diagnosis\nISIC_1,IP_1,0,nevus\nISIC_2,IP_1,1,melanoma\n",
        lambda path: isic_tables.read_2020(path),
        "truth.csv",
    ),
    "HAM10000": (
        "lesion_id,image_id,dx\nHAM_1,ISIC_1,nv\nHAM_1,ISIC_2,nv\n",
        lambda path: isic_tables.read_ham(path),
        "ham.csv",
    ),
}
"""Reader → a table that it takes, how it is called, and the file's name."""
BROKEN = (
    "\ufeff",
    ";",
    ",",
    "\t",
    '"',
    "\n",
    "\r",
    "\0",
    "NaN",
    "#",
    "../../x",
    " ",
    "é",
    "=1+1",
    "",
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A reader and what is left of its table."""
    name = draw(st.sampled_from(sorted(READERS)))
    text = READERS[name][0]
    for _ in range(draw(st.integers(1, 4))):
        at, cut = draw(st.integers(0, len(text))), draw(st.integers(0, 6))
        text = text[:at] + draw(st.sampled_from(BROKEN)) + text[at + cut :]
    if draw(st.booleans()):
        lines = text.split("\n")
        text = "\n".join([*lines, draw(st.sampled_from(lines)), ""])
    content = text.encode(draw(st.sampled_from(("utf-8", "utf-16", "latin-1"))), "replace")
    return name, content[: draw(st.integers(0, 2 * len(content)))]


@pytest.mark.slow
@given(damaged())
def test_a_damaged_table_is_read_or_refused_with_its_name(given: tuple[str, bytes]) -> None:
    reader, content = given
    _, read, name = READERS[reader]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        try:
            read(Path(folder) / name)
        except (ValueError, OSError) as error:
            assert name in str(error)


@pytest.mark.parametrize("reader", READERS)
def test_what_is_damaged_is_taken_while_it_is_whole(reader: str, tmp_path: Path) -> None:
    text, read, name = READERS[reader]
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read(tmp_path / name)
