"""What counts as made by a stage."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from upath import UPath

from audits.verify.contents import apart
from audits.verify.outputs import made_in
from pipeline.artifacts.shards import write_shard


def test_what_desktops_leave_in_folders_is_no_output(tmp_path: Path) -> None:
    for name in ("out/a.txt", "out/.DS_Store", "out/deep/b.txt", "out/deep/._b.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    made = made_in(tmp_path, "out")
    assert made is not None and list(made) == ["out/a.txt", "out/deep/b.txt"]
    assert made["out/a.txt"]() == b"out/a.txt"
    assert made_in(tmp_path, "elsewhere") is None


def test_a_shard_in_a_store_is_compared_by_its_content(
    tmp_path: Path, bucket: Callable[[Path], UPath]
) -> None:
    (tmp_path / "empty").mkdir()
    store = bucket(tmp_path / "empty")
    for copy, most, to in (("a", 1.0, None), ("b", 1.0, store), ("c", 1.5, store)):
        table = pa.table({"image_id": ["i", "j"], "x": [0.5, most]})
        write_shard(tmp_path / copy / "out", 0, table, to)
    (tmp_path / "c/out/mine.url").write_text("https://example.org")
    here, there, other = (made_in(tmp_path / copy, "out") for copy in "abc")
    assert here is not None and there is not None and other is not None
    name = "out/part-00000.parquet"
    assert [*here] == [*there] == [name] and sorted(other) == ["out/mine.url", name]
    assert here[name]() == there[name]() != other[name]()
    (one,) = apart(name, here[name](), other[name]())
    assert (one.what, round(one.by or 0, 3)) == ("column x", round(1 / 3, 3))
    assert other["out/mine.url"]() == b"https://example.org"
