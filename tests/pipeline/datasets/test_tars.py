"""Tars in a store: their index is read once and kept, for as long as they are the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
import s3fs
from upath import UPath

from pipeline import layout
from pipeline.datasets import tars
from pipeline.datasets.tars import Tar
from pipeline.places import read_part
from tests.pipeline.datasets.test_files import write_tar
from tests.pipeline.invented_store import forget

Bucket = Callable[[Path], UPath]
MEMBERS = {f"{number} é.jpg": bytes([number]) * (5000 + number) for number in range(9)}
MEMBERS |= {f"{number} é.cls": b"7" * number for number in range(9)}


@pytest.fixture
def indexed(monkeypatch: pytest.MonkeyPatch) -> list[UPath]:
    """Tars whose headers are read, each time."""
    found, index = [], tars._index

    def noted(path):
        found.append(path)
        return index(path)

    monkeypatch.setattr(tars, "_index", noted)
    return found


def kept() -> list[Path]:
    return list((layout.lasting() / layout.tar_indexes("")).glob("*/*"))


def test_an_index_is_read_once(tmp_path: Path, bucket: Bucket, indexed: list[UPath]) -> None:
    write_tar(tmp_path / "raw/a.tar", MEMBERS)
    write_tar(tmp_path / "raw/none.tar", {})
    store = bucket(tmp_path / "raw")
    for _ in range(2):
        tar = Tar(store / "a.tar")
        assert list(tar.members) == list(MEMBERS)
        assert all(tar.read(name) == content for name, content in MEMBERS.items())
        assert Tar(store / "none.tar").members == {}
    assert [path.name for path in indexed] == ["a.tar", "none.tar"]
    assert len(kept()) == 2


def test_a_small_member_takes_no_request(tmp_path: Path, bucket: Bucket, monkeypatch) -> None:
    write_tar(tmp_path / "raw/a.tar", MEMBERS)
    store = bucket(tmp_path / "raw")
    asked = []

    def noted(path, offset, size):
        asked.append(size)
        return read_part(path, offset, size)

    monkeypatch.setattr(tars, "read_part", noted)
    for _ in range(2):
        tar = Tar(store / "a.tar")
        assert all(tar.read(name) == content for name, content in MEMBERS.items())
    assert asked == [5000 + number for number in range(9)] * 2


def test_a_tar_that_was_replaced_is_read_anew(
    tmp_path: Path, bucket: Bucket, indexed: list[UPath]
) -> None:
    write_tar(tmp_path / "raw/a.tar", {"a.jpg": b"a" * 5})
    store = bucket(tmp_path / "raw")
    assert Tar(store / "a.tar").read("a.jpg") == b"a" * 5
    write_tar(tmp_path / "raw/a.tar", {"b.jpg": b"b" * 5})
    s3fs.S3FileSystem().pipe_file(f"{store.path}/a.tar", (tmp_path / "raw/a.tar").read_bytes())
    forget()
    assert Tar(store / "a.tar").read("b.jpg") == b"b" * 5
    assert len(indexed) == 2
    assert len(kept()) == 1


def test_a_damaged_index_is_made_anew(tmp_path: Path, bucket: Bucket, indexed: list[UPath]) -> None:
    write_tar(tmp_path / "raw/a.tar", MEMBERS)
    store = bucket(tmp_path / "raw")
    expected = Tar(store / "a.tar").members
    [file] = kept()
    whole = file.read_bytes()
    for damaged in (b"", b"x" * 99, whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        assert Tar(store / "a.tar").members == expected
        assert file.read_bytes() == whole
    assert len(indexed) == 4


def test_a_tar_that_is_cut_off_is_refused_and_not_kept(tmp_path: Path, bucket: Bucket) -> None:
    write_tar(tmp_path / "raw/a.tar", MEMBERS)
    content = (tmp_path / "raw/a.tar").read_bytes()
    (tmp_path / "raw/a.tar").write_bytes(content[:3000])
    store = bucket(tmp_path / "raw")
    with pytest.raises(OSError, match=r"a\.tar .*(cut off|no whole)"):
        Tar(store / "a.tar")
    assert not kept()


def test_a_folder_s_tars_keep_nothing(tmp_path: Path, monkeypatch, indexed: list[Path]) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    write_tar(tmp_path / "a.tar", MEMBERS)
    assert Tar(tmp_path / "a.tar").read("3 é.jpg") == MEMBERS["3 é.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
