"""Folders and stores: what is asked of a bucket is answered as of the folder it was filled from."""

from collections.abc import Callable
from io import SEEK_CUR, SEEK_END
from pathlib import Path
from threading import Barrier

import h5py
import pytest
import s3fs
from upath import UPath

from pipeline import places
from pipeline.datasets.files import hdf5_members, parquet_rows, read_bytes, tar_members
from pipeline.places import (
    AT_ONCE,
    Place,
    at_once,
    entries,
    exists,
    in_parts,
    is_file,
    is_folder,
    opened,
    place,
    read,
    read_part,
    state,
)
from tests.pipeline.datasets.test_files import write_parquet, write_tar
from tests.pipeline.invented_store import forget

Bucket = Callable[[Path], UPath]
NAMES = ("a b.png", "a#b.png", "a%20b.png", "a+b.png", "a::b.png", "a?b.png", "ü.png", "[1]*.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files of odd names, an empty one and one in a folder."""
    for name in (*NAMES, "sub/more/x.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() * 3)
    (tmp_path / "empty").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3://bucket/of/birds/", "s3://bucket/of/birds"),
        ("S3://bucket/b", "s3://bucket/b"),
        ("gs://bucket/b", "gs://bucket/b"),
    ],
)
def test_a_url_is_a_place_in_a_store(text: str, said: str) -> None:
    assert isinstance(place(text), UPath)
    assert str(place(text)) == said
    assert str(place(text) / "train/1 x.png") == f"{said}/train/1 x.png"


@pytest.mark.parametrize("text", ["data/raw", "/mnt/a:b", "C:/birds", "C:\\birds", "s3", "."])
def test_everything_else_is_a_folder(text: str) -> None:
    assert place(text) == Path(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("abfs://x/y", r"abfs://x/y is neither a folder nor .*s3://.*`dvc import-url`"),
        ("https://x/y", "https://x/y is neither"),
        ("s3:/bucket/b", "one slash where s3:// has two"),
        ("webhdfs://me:secret@x/y", "holds a password"),
    ],
)
def test_what_is_neither_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        place(text)
    assert "secret" not in str(caught.value)


def test_a_bucket_answers_as_the_folder_does(folder: Path, bucket: Bucket) -> None:
    store = bucket(folder)

    def listed(at: Place) -> set[tuple[str, bool, bool]]:
        return {(entry.name, entry.is_dir(), entry.is_file()) for entry in entries(at)}

    assert listed(store) == listed(folder)
    assert listed(store / "sub") == listed(folder / "sub") == {("more", True, False)}
    for name in ("", *NAMES, "empty", "sub", "sub/more", "sub/more/x.bin", "none", "sub/none/x"):
        for asked in (exists, is_file, is_folder):
            assert asked(store / name) == asked(folder / name), (name, asked)
    for name in (*NAMES, "empty", "sub/more/x.bin"):
        assert read(store / name) == read(folder / name)
    assert read_part(store / "sub/more/x.bin", 5, 4) == read(folder / "sub/more/x.bin")[5:9]
    with opened(store / "sub/more/x.bin", "on") as there, opened(folder / NAMES[0], "on") as here:
        assert there.read() == read(folder / "sub/more/x.bin")
        assert here.read() == read(folder / NAMES[0])
    for missing in (folder, store):
        with pytest.raises(FileNotFoundError):
            read(missing / "none")
        with pytest.raises(FileNotFoundError):
            entries(missing / "none")


def test_an_empty_object_at_a_folder_s_end_is_no_file_of_it(folder: Path, bucket: Bucket) -> None:
    store = bucket(folder)
    s3fs.S3FileSystem().pipe_file(f"{store.path}/sub/", b"")
    assert [entry.name for entry in entries(store / "sub")] == ["more"]


def test_an_object_that_is_replaced_has_another_state(folder: Path, bucket: Bucket) -> None:
    store = bucket(folder)
    before = state(store / "a b.png")
    assert before is not None
    assert before.size == len("a b.png") * 3
    assert state(store / "none") is None
    writer = s3fs.S3FileSystem()
    writer.pipe_file(f"{store.path}/a b.png", read(folder / "a b.png"))
    forget()
    assert state(store / "a b.png").size == before.size
    writer.pipe_file(f"{store.path}/a b.png", b"x" * before.size)
    forget()
    assert state(store / "a b.png") != before


def test_a_part_is_one_request_and_a_known_size_none(
    tmp_path: Path, bucket: Bucket, monkeypatch
) -> None:
    content = bytes(range(256)) * 4
    (tmp_path / "a").write_bytes(content)
    at = bucket(tmp_path) / "a"
    asked: list[str] = []
    call = s3fs.S3FileSystem._call_s3

    async def counted(self, method: str, *args: object, **kwargs: object) -> object:
        asked.append(method)
        return await call(self, method, *args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
    for size, sized in ((len(content), []), (None, ["head_object"])):
        asked.clear()
        with in_parts(at, size) as file:
            assert file.readable() and file.seekable() and file.tell() == 0
            assert file.seek(-10, SEEK_END) == 1014
            assert file.read(20) == content[-10:]
            assert file.read(1) == b""
            assert file.seek(300) == file.tell() == 300
            assert file.read(7) == content[300:307]
            file.seek(3, SEEK_CUR)
            assert file.read(2) == content[310:312]
        assert asked == [*sized, *["get_object"] * 3]


def test_containers_are_read_in_parts(tmp_path: Path, bucket: Bucket) -> None:
    members = {f"{number}.jpg": bytes([65 + number]) * 700 for number in range(9)}
    write_tar(tmp_path / "a.tar", members)
    images = [{"bytes": content, "path": name} for name, content in members.items()]
    write_parquet(tmp_path / "a.parquet", images, list(range(9)), 2)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name, content in members.items():
            file[name] = content
    store = bucket(tmp_path)
    assert list(tar_members(store / "a.tar")) == list(members)
    assert [row.name for row in parquet_rows(store / "a.parquet")] == list(members)
    assert list(hdf5_members(store / "a.hdf5")) == list(members)
    for number, (name, content) in reversed(list(enumerate(members.items()))):
        for path in (f"a.tar#{name}", f"a.parquet#{number}", f"a.hdf5#{name}"):
            assert read_bytes(store, path) == content


def damaged(store: UPath) -> list[str]:
    """What the readers say of containers that hold something else."""
    said = []
    for path in ("a.tar#x", "a.parquet#0", "a.hdf5#x"):
        with pytest.raises(OSError) as caught:
            read_bytes(store, path)
        assert not isinstance(caught.value, ConnectionError)
        said.append(caught.value.strerror)
    return said


def test_a_damaged_container_is_the_container_s_fault(tmp_path: Path, bucket: Bucket) -> None:
    for name in ("a.tar", "a.parquet", "a.hdf5"):
        (tmp_path / name).write_bytes(b"no such thing" * 99)
    assert all("no whole" in said for said in damaged(bucket(tmp_path)))


class LostError(Exception):
    """As a store's library has its own."""


@pytest.mark.parametrize("raised", [LostError("gone"), PermissionError("denied"), TimeoutError()])
def test_what_a_store_raises_is_no_file_s_fault(
    tmp_path: Path, bucket: Bucket, monkeypatch, raised: Exception
) -> None:
    members = {f"{number}.jpg": bytes([65 + number]) * 700 for number in range(9)}
    write_tar(tmp_path / "a.tar", members)
    images = [{"bytes": content, "path": name} for name, content in members.items()]
    write_parquet(tmp_path / "a.parquet", images, list(range(9)), 2)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file["x"] = b"abc"
    store = bucket(tmp_path)

    def lost(*_, **__):
        raise raised

    for name in ("cat_file", "ls", "info", "exists", "isfile", "isdir"):
        monkeypatch.setattr(s3fs.S3FileSystem, name, lost)
    monkeypatch.setattr(s3fs.core.S3File, "read", lost)
    for path in ("a.jpg", "a.tar#0.jpg", "a.parquet#0", "a.hdf5#x"):
        with pytest.raises(ConnectionError, match=rf"{store}/\S+ cannot be read .*{raised!s}"):
            read_bytes(store, path)
    for asked in (entries, exists, is_file, is_folder, state):
        with pytest.raises(ConnectionError, match=type(raised).__name__):
            asked(store)


def test_several_files_of_a_store_are_waited_for_at_once() -> None:
    together = Barrier(AT_ONCE)

    def waits(number: int) -> int:
        together.wait(timeout=30)  # until as many others are here
        return -number

    numbers = list(range(2 * AT_ONCE))
    assert at_once(place("s3://x/y"), waits, numbers) == [-number for number in numbers]
    assert at_once(Path("x"), abs, numbers) == numbers


def test_what_is_our_own_fault_stays_it(folder: Path, bucket: Bucket, monkeypatch) -> None:
    store = bucket(folder)

    def wrong(*_, **__):
        raise KeyError("ours")

    monkeypatch.setattr(s3fs.S3FileSystem, "cat_file", wrong)
    with pytest.raises(KeyError, match="ours"):
        read(store / "a b.png")


def test_a_store_without_its_package_names_it(monkeypatch) -> None:
    def missing(*_, **__):
        raise ImportError("Please install gcsfs")

    monkeypatch.setattr(places.fsspec, "filesystem", missing)
    with pytest.raises(ConnectionError, match=r"gs://x/y .*`pip install dvc-gs`"):
        is_folder(place("gs://x/y"))


@pytest.mark.slow  # s3fs asks five times
def test_nobody_there_is_said(s3: str, monkeypatch) -> None:
    forget()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"s3://x/y cannot be read .*127\.0\.0\.1:9"):
        is_folder(place("s3://x/y"))
    forget()
