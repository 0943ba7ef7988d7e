"""Opening images: what each gives, and what becomes of one that takes its process down."""

import os
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from PIL import Image

from pipeline.datasets import opening
from pipeline.datasets.opening import Opened, open_all
from pipeline.datasets.pixels import SHOWN


def killed_by_some(paths: list[str]) -> list[Opened]:
    """What a decoder with a fault of its own, or the kernel short of memory, does."""
    if any("bad" in path for path in paths):
        os._exit(1)
    return [Opened(sha256=path) for path in paths]


def test_an_image_that_kills_its_process_costs_itself_alone() -> None:
    chunks = [["a", "bad"], ["c"], ["d"], ["worse than bad", "e"], ["f", "g"]]
    opened = list(opening._by_processes(killed_by_some, chunks, 2))
    assert [image.sha256 for image in opened] == ["a", "", "c", "d", "", "e", "f", "g"]
    assert [image.fault for image in opened if image.fault] == [opening.KILLED] * 2
    assert "kills the process" in (opened[1].fault or "")


def test_processes_that_cannot_start_are_no_image_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def submit(self, *_: object) -> None:
            raise BrokenProcessPool

    monkeypatch.setattr(opening, "_pool", lambda _: Broken())
    with pytest.raises(OSError, match="die as they start: try --workers 1"):
        list(opening._one_by_one(killed_by_some, ["a"]))


def test_images_have_their_kind_and_depth(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    Image.new("I;16", (6, 4), 900).save(tmp_path / "b.png")
    Image.new("I", (6, 4), -9).save(tmp_path / "c.tiff")
    a, b, c, d = open_all(["a.jpg", "b.png", "c.tiff", "d\0.png"], tmp_path, SHOWN, 1)
    assert (a.kinds, a.bits, a.width, a.height) == (("rotated",), 8, 6, 4)
    assert (b.kinds, b.bits, b.fault) == (("deep", "blank"), 10, None)
    assert c.fault is not None and "whole numbers from -9 to -9" in c.fault
    assert d.fault == "cannot be read: embedded null byte"


@pytest.mark.parametrize("strerror", ["No such file", None])
def test_a_fault_of_reading_can_be_written_down(
    strerror: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(root: Path, path: str) -> bytes:
        raise OSError(2, strerror, "x") if strerror else OSError("caf\udce9 is gone")

    monkeypatch.setattr(opening, "read_bytes", fail)
    opened = opening._open(Path(), SHOWN, opening.Image("x"))
    assert opened is not None
    assert opened.fault == f"cannot be read: {strerror or 'caf' + chr(92) + 'xe9 is gone'}"
