"""Reading images from containers: every row and member, in any order, in threads and processes."""

import io
import os
import random
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.datasets import files, tars
from pipeline.datasets.files import (
    Row,
    file_of,
    hdf5_members,
    parquet_rows,
    read_bytes,
    tar_members,
)

CONTENT = [bytes([i]) * (3 + 700 * i) for i in range(23)]


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def write_parquet(path: Path, images: list[dict], labels: list[int | None], rows: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array(images, image), "label": pa.array(labels, pa.int64())})
    pq.write_table(table, path, row_group_size=rows)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """CONTENT as files and in a container of each kind."""
    write_tar(tmp_path / "in" / "a.tar", {f"d/{i}.jpg": c for i, c in enumerate(CONTENT)})
    images = [{"bytes": content, "path": f"{i}.jpg"} for i, content in enumerate(CONTENT)]
    write_parquet(tmp_path / "a.parquet", images, list(range(23)), rows=5)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for i, content in enumerate(CONTENT):
            file[f"I_{i}"] = np.void(content)
    for i, content in enumerate(CONTENT):
        (tmp_path / f"#{i}.jpg").write_bytes(content)
    return tmp_path


PATHS: dict[str, Callable[[int], str]] = {
    "plain": "#{}.jpg".format,
    "tar": "in/a.tar#d/{}.jpg".format,
    "parquet": "a.parquet#{}".format,
    "hdf5": "a.hdf5#I_{}".format,
}
kinds = pytest.mark.parametrize("kind", PATHS)


@kinds
def test_every_image_is_read_in_any_order(root: Path, kind: str) -> None:
    order = list(range(23)) + random.Random(0).sample(range(23), 23)
    assert [read_bytes(root, PATHS[kind](i)) for i in order] == [CONTENT[i] for i in order]


@kinds
def test_threads_read_the_right_images(root: Path, kind: str) -> None:
    order = random.Random(1).choices(range(23), k=400)
    with ThreadPoolExecutor(7) as pool:
        read = list(pool.map(lambda i: read_bytes(root, PATHS[kind](i)), order))
    assert read == [CONTENT[i] for i in order]


def test_threads_read_more_tars_than_stay_open(tmp_path: Path) -> None:
    for i in range(2 * files.OPEN):
        write_tar(tmp_path / f"{i}.tar", {"x": bytes([i]) * 999})
    order = random.Random(2).choices(range(2 * files.OPEN), k=500)
    with ThreadPoolExecutor(7) as pool:
        read = list(pool.map(lambda i: read_bytes(tmp_path, f"{i}.tar#x"), order))
    assert read == [bytes([i]) * 999 for i in order]


def test_threads_read_the_right_members_without_pread(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.delattr(os, "pread")
    test_threads_read_the_right_images(root, "tar")


class Images:
    """What a DataLoader reads; at the top, so that a spawned worker finds it."""

    def __init__(self, root: Path, kind: str) -> None:
        self.root, self.kind = root, kind

    def __len__(self) -> int:
        return len(CONTENT)

    def __getitem__(self, index: int) -> bytes:
        return read_bytes(self.root, PATHS[self.kind](index))


@pytest.mark.parametrize(("kind", "context"), [(k, "fork") for k in PATHS] + [("hdf5", "spawn")])
def test_workers_read_the_right_images(root: Path, kind: str, context: str) -> None:
    from torch.utils.data import DataLoader

    images = Images(root, kind)
    assert images[22] == CONTENT[22]  # what the parent has open, a forked worker has to open anew
    loader = DataLoader(
        images,  # type: ignore[arg-type]
        batch_size=3,
        num_workers=2,
        collate_fn=list,
        multiprocessing_context=context,
    )
    assert [content for batch in loader for content in batch] == CONTENT


def test_few_containers_stay_open_and_few_row_groups_decoded(root: Path) -> None:
    files._opened.cache_clear()
    before = len(os.listdir("/dev/fd"))
    for i in range(2 * files.OPEN):
        write_tar(root / f"{i}.tar", {"x": bytes([i])})
        assert read_bytes(root, f"{i}.tar#x") == bytes([i])
    assert len(os.listdir("/dev/fd")) == before + files.OPEN
    for i in range(23):
        read_bytes(root, f"a.parquet#{i}")
    assert files._row_group.cache_info().currsize == files.ROW_GROUPS


def test_only_the_images_of_a_row_group_are_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = []
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, i, **kwargs: groups.append((i, kwargs["columns"])) or read(self, i, **kwargs),
    )
    for i in range(23):
        read_bytes(root, f"a.parquet#{i}")
    assert groups == [(i, ["image.bytes"]) for i in range(5)]


def test_a_member_may_hold_what_ends_a_container(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"b.tar#c d.jpg": b"inside"})
    (tmp_path / "x.tart#y.jpg").write_bytes(b"outside")
    assert read_bytes(tmp_path, "a.tar#b.tar#c d.jpg") == b"inside"
    assert read_bytes(tmp_path, "x.tart#y.jpg") == b"outside"
    assert [file_of(p) for p in ("s/a.TAR#b", "a.tar", "x#y.jpg", "d/a.h5#1")] == [
        "s/a.TAR",
        "a.tar",
        "x#y.jpg",
        "d/a.h5",
    ]


@pytest.mark.parametrize(
    "value",
    [
        np.void(b"\xff\x00jpeg\xff"),
        np.frombuffer(b"\xff\x00jpeg\xff", dtype=np.uint8),
        np.bytes_(b"\xff\x00jpeg\xff"),
    ],
    ids=["void", "uint8", "bytes"],
)
def test_hdf5_holds_bytes_in_several_ways(tmp_path: Path, value: object) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = value
    assert read_bytes(tmp_path, "a.h5#x") == b"\xff\x00jpeg\xff"


def test_members_are_listed_in_order(root: Path) -> None:
    assert list(tar_members(root / "in" / "a.tar")) == [f"d/{i}.jpg" for i in range(23)]
    assert list(parquet_rows(root / "a.parquet")) == [Row(f"{i}.jpg", i) for i in range(23)]
    assert list(hdf5_members(root / "a.hdf5")) == sorted(f"I_{i}" for i in range(23))


def test_tar_lists_regular_files_only(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, kind in [("d", tarfile.DIRTYPE), ("l", tarfile.SYMTYPE), ("f" * 150, None)]:
            info = tarfile.TarInfo(name)
            info.type = kind or info.type
            tar.addfile(info)
    assert list(tar_members(tmp_path / "a.tar")) == ["f" * 150]


# errors: read_bytes says in strerror what is wrong


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nope.jpg", "No such file"),
        ("nope.tar#x", "No such file"),
        ("nope.parquet#0", "No such file"),
        ("nope.hdf5#x", "No such file"),
        ("in/a.tar#nope", "a.tar has no member 'nope'"),
        ("a.parquet#23", "no row 23, its 23 rows count from 0"),
        ("a.parquet#-1", "'-1' is no row"),
        ("a.hdf5#nope", "no dataset 'nope'"),
        ("a.hdf5#number", "holds int64, not the bytes"),
        ("a.hdf5#group", "a.hdf5#group cannot be read"),
        ("text.tar#x", "text.tar is no whole tar"),
        ("text.parquet#0", "no whole Parquet file"),
        ("text.h5#x", "no whole HDF5 file"),
        ("a.tar.gz#x", "compressed"),
        ("zipped.tar#x", r"compressed \(gzip\)"),
        ("null.parquet#1", "row 1 of null.parquet holds no image"),
        ("columns.parquet#0", "row group 0 of columns.parquet cannot be read"),
    ],
)
def test_what_cannot_be_read_is_an_os_error_with_a_reason(
    root: Path, path: str, reason: str
) -> None:
    for name in ("text.tar", "text.parquet", "text.h5"):
        (root / name).write_text("no container" * 100)
    for name in ("a.tar.gz", "zipped.tar"):
        write_tar(root / name, {"x": b"1"}, "w:gz")
    write_parquet(root / "null.parquet", [{"bytes": b"1"}, {"bytes": None}], [0, 0], rows=3)
    pq.write_table(pa.table({"x": [1, 2]}), root / "columns.parquet")
    with h5py.File(root / "a.hdf5", "a") as file:
        file["number"] = 3
        file.create_group("group")
    with pytest.raises(OSError, match=reason) as caught:
        read_bytes(root, path)
    assert caught.value.strerror is not None
    assert caught.value.filename is not None


@pytest.mark.parametrize("keep", [0.5, 0.9, -1024])
def test_a_tar_that_is_cut_off_is_refused(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for i in range(9):
            info = tarfile.TarInfo(f"{i}.jpg")
            info.size = 700
            tar.addfile(info, io.BytesIO(bytes(700)))
        end = tar.offset  # before the blocks that end a tar
    size = end if keep < 0 else int(end * keep)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(OSError, match=r"a\.tar is (no whole tar|cut off)"):
        list(tar_members(path))


def test_a_tar_with_a_damaged_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    write_tar(path, {f"{i}.jpg": bytes(600) for i in range(4)})
    content = bytearray(path.read_bytes())
    start = content.index(b"2.jpg")
    content[start : start + 512] = b"?" * 512
    path.write_bytes(content)
    with pytest.raises(OSError, match="damaged after 2 files"):
        list(tar_members(path))


def test_a_tar_that_holds_a_name_twice_is_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"x": b"1"})
    write_tar(tmp_path / "a.tar", {"x": b"2"}, "a")
    with pytest.raises(OSError, match="holds 'x' twice"):
        list(tar_members(tmp_path / "a.tar"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"label": [1]}, "column image"),
        ({"image": [b"1"], "label": [1]}, "column image"),
        ({"image": [{"bytes": b"1"}]}, "column label"),
        ({"image": [{"bytes": b"1"}], "label": ["tench"]}, "column label of integers"),
    ],
)
def test_parquet_of_other_columns_is_refused(tmp_path: Path, table: dict, message: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=message):
        list(parquet_rows(tmp_path / "a.parquet"))


def test_parquet_without_names_of_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [{"bytes": b"1"}], "label": [7]}), tmp_path / "a.parquet")
    assert list(parquet_rows(tmp_path / "a.parquet")) == [Row(None, 7)]
