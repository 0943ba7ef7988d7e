"""What is kept of decoding: nothing is decoded twice, and nothing stale is taken."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from PIL import Image

from pipeline.datasets import decoded, opening
from pipeline.datasets.decoded import open_kept
from pipeline.datasets.opening import Opened, open_all
from pipeline.datasets.pixels import SHOWN, Reading
from tests.pipeline.datasets.invented_imagenet import write_webdataset

PATHS = [f"{i}.png" for i in range(7)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Seven pictures, one of them damaged."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for number, path in enumerate(PATHS):
        noise = Image.effect_noise((40 + number, 50), 90)
        noise.convert("RGB").save(folder / path)
    content = (folder / "3.png").read_bytes()
    (folder / "3.png").write_bytes(content[: len(content) // 2])
    return folder


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "decoded"


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the images that are read, and `decode` for each that is decoded."""
    done: list[str] = []
    read, decode = opening.read_bytes, opening.decode
    monkeypatch.setattr(opening, "read_bytes", lambda r, p: (done.append(p), read(r, p))[1])
    monkeypatch.setattr(opening, "decode", lambda c, r: (done.append("decode"), decode(c, r))[1])
    return done


def shards(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def test_what_is_known_is_neither_read_nor_decoded(root, kept, work) -> None:
    first = open_kept(PATHS, root, SHOWN, 1, kept)
    assert work == [part for path in PATHS for part in (path, "decode")]
    assert first == open_all(PATHS, root, SHOWN, 1)
    assert first[3].fault is not None and first[0].perceptual is not None
    work.clear()
    assert open_kept(PATHS[::-1], root, SHOWN, 1, kept) == first[::-1]
    assert work == []
    assert shards(kept) == ["part-00000.parquet"]


def test_a_killed_run_goes_on_at_the_last_shard(root, kept, work, monkeypatch) -> None:
    monkeypatch.setattr(decoded, "SHARD_ROWS", 2)
    each = opening.open_each

    def killed(*given: object):
        for number, opened in enumerate(each(*given)):
            if number == 5:
                raise KeyboardInterrupt
            yield opened

    monkeypatch.setattr(decoded, "open_each", killed)
    with pytest.raises(KeyboardInterrupt):
        open_kept(PATHS, root, SHOWN, 1, kept)
    assert len(shards(kept)) == 2
    monkeypatch.setattr(decoded, "open_each", each)
    work.clear()
    opened = open_kept(PATHS, root, SHOWN, 1, kept)
    assert work == ["4.png", "decode", "5.png", "decode", "6.png", "decode"]
    assert opened == open_all(PATHS, root, SHOWN, 1)
    assert len(shards(kept)) == 1


def touch(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def other_bytes_of_the_same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat()[6:9:2] == before[6:9:2]


@pytest.mark.parametrize(
    ("change", "done"),
    [
        (touch, ["2.png"]),
        (lambda path: path.write_bytes(path.read_bytes()), ["2.png"]),
        (other_bytes_of_the_same_size_and_time, ["2.png", "decode"]),
        (lambda path: shutil.copy(path.with_name("1.png"), path), ["2.png", "decode"]),
    ],
)
def test_a_changed_file_is_read_and_decoded_where_its_bytes_differ(
    root: Path, kept: Path, work: list[str], change: Callable[[Path], None], done: list[str]
) -> None:
    open_kept(PATHS, root, SHOWN, 1, kept)
    change(root / "2.png")
    work.clear()
    opened = open_kept(PATHS, root, SHOWN, 1, kept)
    assert work == done
    work.clear()
    assert open_kept(PATHS, root, SHOWN, 1, kept) == opened
    assert work == []
    assert opened == open_all(PATHS, root, SHOWN, 1)
    assert len(shards(kept)) == 1


@pytest.mark.parametrize("year", [-3600, 2**32], ids=["before 1970", "2106"])
def test_a_clock_that_was_wrong_costs_nothing(root, kept, work, year) -> None:
    """Times are compared for being the same, never for which is later."""
    for path in PATHS:
        os.utime(root / path, (year, year))
    first = open_kept(PATHS, root, SHOWN, 1, kept)
    work.clear()
    assert open_kept(PATHS, root, SHOWN, 1, kept) == first
    assert work == []
    # Put right, the clock makes other bytes look older than those that are known.
    shutil.copyfile(root / "1.png", root / "2.png")
    os.utime(root / "2.png", (year - 100, year - 100))
    assert open_kept(PATHS, root, SHOWN, 1, kept)[2].sha256 == first[1].sha256
    assert work == ["2.png", "decode"]


def test_a_file_that_changes_while_images_are_opened_is_looked_at_again(
    root, kept, work, monkeypatch
) -> None:
    each = opening.open_each

    def meanwhile(images, *given):
        # All are listed and looked at; then one goes, one becomes another and one comes back.
        (root / "1.png").unlink()
        shutil.copyfile(root / "0.png", root / "2.png")
        yield from each(images, *given)
        shutil.copyfile(root / "0.png", root / "4.png")

    with monkeypatch.context() as changing:
        changing.setattr(decoded, "open_each", meanwhile)
        opened = open_kept(PATHS, root, SHOWN, 1, kept)
    assert opened[1].fault == "cannot be read: No such file or directory"
    assert opened[2].sha256 == opened[0].sha256  # as it was when it was read
    work.clear()
    again = open_kept(PATHS, root, SHOWN, 1, kept)
    assert [path for path in work if path != "decode"] == ["1.png", "2.png", "4.png"]
    assert again[4].sha256 == opened[0].sha256
    assert open_kept(PATHS, root, SHOWN, 1, kept) == again


def test_another_recipe_or_reading_decodes_anew_and_drops_what_was(
    root, kept, work, monkeypatch
) -> None:
    open_kept(PATHS, root, SHOWN, 1, kept)
    for reading in (Reading("stored"), Reading("stored", 12)):
        work.clear()
        open_kept(PATHS, root, reading, 1, kept)
        assert work.count("decode") == len(PATHS)
        assert len(shards(kept)) == 1
    number = decoded.recipe("prepare") + 1
    monkeypatch.setattr(decoded, "recipe", lambda name: number)
    work.clear()
    open_kept(PATHS, root, reading, 1, kept)
    assert work.count("decode") == len(PATHS)


def test_rows_of_other_paths_are_dropped(root, kept, work) -> None:
    open_kept(PATHS, root, SHOWN, 1, kept)
    open_kept(PATHS[:4], root, SHOWN, 1, kept)
    work.clear()
    open_kept(PATHS, root, SHOWN, 1, kept)
    assert work == [part for path in PATHS[4:] for part in (path, "decode")]


def test_a_damaged_shard_is_made_anew_and_a_strange_file_stays(root, kept, work) -> None:
    first = open_kept(PATHS, root, SHOWN, 1, kept)
    shard = kept / "part-00000.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 255
    shard.write_bytes(content)
    (kept / "notes.txt").write_text("mine")
    work.clear()
    assert open_kept(PATHS, root, SHOWN, 1, kept) == first
    assert work.count("decode") == len(PATHS)
    assert shards(kept) == ["notes.txt", "part-00001.parquet"]


def test_what_cannot_be_read_is_tried_again(root, kept) -> None:
    (root / "1.png").rename(root / "away")
    (root / "2.png").unlink()
    (root / "2.png").mkdir()
    opened = open_kept(PATHS, root, SHOWN, 1, kept)
    assert [image.fault is None for image in opened[:3]] == [True, False, False]
    (root / "away").rename(root / "1.png")
    assert open_kept(PATHS, root, SHOWN, 1, kept)[1].fault is None


def test_members_of_a_container_are_kept_by_the_container_s_state(tmp_path, kept, work) -> None:
    write_webdataset(tmp_path)
    [tar, *_] = sorted(tmp_path.glob("*.tar"))
    paths = [f"{tar.name}#{name}" for name in opening_names(tar)]
    first = open_kept(paths, tmp_path, SHOWN, 1, kept)
    assert work.count("decode") == len(paths) > 0
    touch(tar)
    work.clear()
    assert open_kept(paths, tmp_path, SHOWN, 1, kept) == first
    assert work == paths


def opening_names(tar: Path) -> list[str]:
    from pipeline.datasets.files import tar_members

    return [name for name in tar_members(tar) if name.endswith(".jpg")]


def test_a_full_disk_stops_and_leaves_whole_shards(root, kept, monkeypatch) -> None:
    monkeypatch.setattr(decoded, "SHARD_ROWS", 2)
    write = decoded.pq.write_table

    def fills(table: object, path: Path, **given: object) -> None:
        write(table, path, **given)
        if len(shards(kept)) > 2:  # with the one that is being written
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(decoded.pq, "write_table", fills)
    with pytest.raises(OSError, match="the disk is full"):
        open_kept(PATHS, root, SHOWN, 1, kept)
    assert shards(kept) == ["part-00000.parquet", "part-00001.parquet"]


def test_a_second_process_waits_and_decodes_nothing(root, kept, work, capsys) -> None:
    kept.mkdir()
    lock = FileLock(kept / "lock", thread_local=False)
    lock.acquire()
    found: list[list[Opened]] = []
    second = threading.Thread(
        target=lambda: found.append(open_kept(PATHS, root, SHOWN, 1, kept)), daemon=True
    )
    second.start()
    second.join(timeout=0.3)
    assert second.is_alive() and work == []
    lock.release()
    second.join(timeout=60)
    assert len(found[0]) == len(PATHS)
    assert f"another process is decoding into {kept}: waiting for it" in capsys.readouterr().err


def test_processes_give_the_same(root, kept) -> None:
    assert open_kept(PATHS, root, SHOWN, 2, kept) == open_all(PATHS, root, SHOWN, 1)
