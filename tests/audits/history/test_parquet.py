"""Tables that are read from memory."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from audits.history.parquet import parquet_of

ROOT = Path(__file__).parents[3]


def test_a_table_in_memory_is_that_of_the_file(tmp_path):
    table = pa.table({"a": [1, 2], "b": [["x"], []]})
    pq.write_table(table, tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    assert parquet_of(content) == table
    assert parquet_of(content, ["b"]) == table.select(["b"])


def test_tables_in_memory_are_read_here_only():
    """Elsewhere Arrow would abort processes as they end."""
    otherwise = re.compile(r"read_parquet\(|(read_table|ParquetFile)\((io\.|pa\.|\w*content)")
    sources = [path for name in ("pipeline", "audits") for path in (ROOT / name).rglob("*.py")]
    assert [path.name for path in sources if otherwise.search(path.read_text())] == ["parquet.py"]
