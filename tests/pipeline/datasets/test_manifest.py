"""The manifest: images opened, the unusable and the duplicates left out."""

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.artifacts.store import write_table
from pipeline.datasets import Excluded, Record
from pipeline.datasets.manifest import COLUMNS, build, check_excluded, describe, fingerprint
from tests.pipeline.datasets.test_duplicates import picture
from tests.pipeline.datasets.test_files import write_parquet


def draw(path: Path, shade: int, size: tuple[int, int] = (7, 5)) -> bytes:
    """An image whose bytes depend on shade, written to path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 0).point(lambda _: shade).convert("RGB").save(path)
    return path.read_bytes()


def noise(path: Path) -> bytes:
    """An image of many bytes, so that cutting it loses pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize((90, 60)).save(path)
    return path.read_bytes()


def record(path: str, group: str = "") -> Record:
    split, label, _ = path.split("/")
    image_id = path.rpartition(".")[0]
    return Record(image_id, path, split, label, group or image_id)


def test_build_writes_one_row_an_image(tmp_path: Path) -> None:
    content = draw(tmp_path / "train/bat/b.png", 9, size=(7, 5))
    draw(tmp_path / "train/bat/a.jpg", 3, size=(4, 6))
    records = [record("train/bat/b.png", "g"), record("train/bat/a.jpg")]
    table = build(records, ["bat"], tmp_path, 0.0, workers=1).table
    assert list(table.columns) == COLUMNS
    assert list(table.image_id) == ["train/bat/a", "train/bat/b"]
    assert list(table.iloc[1]) == [
        "train/bat/b",
        "train/bat/b.png",
        "train",
        "bat",
        "g",
        hashlib.sha256(content).hexdigest(),
        7,
        5,
    ]


def test_build_leaves_out_broken_images(tmp_path: Path) -> None:
    for name in ("cut.jpg", "cut.png", "fine.png"):
        noise(tmp_path / "train/bat" / name)
    folder = tmp_path / "train/bat"
    for name in ("cut.jpg", "cut.png"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("not an image")
    names = ["cut.jpg", "cut.png", "empty.jpg", "fine.png", "gone.jpg", "text.jpg"]
    records = [
        Record(f"train/bat/{name}", f"train/bat/{name}", "train", "bat", name) for name in names
    ]
    manifest = build(records, ["bat"], tmp_path, 0.9, workers=1)
    assert list(manifest.table.path) == ["train/bat/fine.png"]
    reasons = {Path(item.path).name: item.reason for item in manifest.excluded}
    assert reasons["cut.jpg"].startswith("corrupt: ")
    assert reasons["cut.png"].startswith("corrupt: ")
    assert reasons["empty.jpg"] == "the file is empty"
    assert reasons["gone.jpg"].startswith("cannot be read")
    assert reasons["text.jpg"] == "not an image that Pillow can read"


def test_build_leaves_duplicates_out_without_counting_them(tmp_path: Path) -> None:
    shades = {
        "train/bat/a.png": 1,
        "train/bat/b.png": 1,
        "train/dog/label.png": 1,  # under another label
        "train/dog/own.png": 2,
        "train/dog/twin.png": 2,  # same split and label
        "val/bat/c.png": 1,  # another split
    }
    for path, shade in shades.items():
        draw(tmp_path / path, shade)
    # the order of the records does not matter
    records = [record(path) for path in reversed(shades)]
    manifest = build(records, ["bat", "dog"], tmp_path, 1 / 6, workers=1)
    assert list(manifest.table.path) == ["train/dog/own.png", "train/dog/twin.png"]
    assert manifest.excluded == [
        Excluded("train/bat/a.png", "same bytes as val/bat/c.png (val, bat)", fault=False),
        Excluded("train/bat/b.png", "same bytes as val/bat/c.png (val, bat)", fault=False),
        Excluded("train/dog/label.png", "same bytes as train/bat/a.png (train, bat)", fault=False),
        Excluded("val/bat/c.png", "its class bat has no usable train image"),
    ]
    assert manifest.duplicates_left_out == 3
    assert manifest.duplicates.image_id.tolist() == ["train/bat/a"] * 3 + ["train/dog/own"]


def encoded(root: Path) -> list[Record]:
    """Six pictures of groups g0 to g5, and the first three once more, smaller and as JPEG."""
    records = []
    for i in range(6):
        picture(i).save(root / f"{i}.png")
        records.append(Record(f"{i}", f"{i}.png", "train", "bat", f"g{i}"))
    for i in range(3):
        picture(i).resize((90, 66)).save(root / f"{i}v.jpg", quality=75)
        records.append(Record(f"{i}v", f"{i}v.jpg", "val", "bat", f"h{i}"))
    return records


def test_build_keeps_near_duplicates_on_one_side_of_the_layout(tmp_path: Path) -> None:
    manifest = build(encoded(tmp_path), ["bat"], tmp_path, 0.0, workers=1, near_duplicates=16)
    assert list(manifest.table.image_id) == ["0v", "1v", "2v", "3", "4", "5"]
    assert [item.path for item in manifest.excluded] == ["0.png", "1.png", "2.png"]
    assert "near duplicate of 1v.jpg (val, bat): " in manifest.excluded[1].reason
    assert list(manifest.duplicates.other_id) == ["0v", "1v", "2v"]
    exact = build(encoded(tmp_path), ["bat"], tmp_path, 0.0, workers=1, near_duplicates=None)
    assert len(exact.table) == 9
    assert len(exact.duplicates) == 0


def test_build_draws_the_groups_of_near_duplicates_together(tmp_path: Path) -> None:
    splits = {"g0": "train", "g1": "train", "g2": "train"}
    table = build(
        encoded(tmp_path), ["bat"], tmp_path, 0.0, 1, near_duplicates=16, redraw=splits.__getitem__
    ).table.set_index("image_id")
    assert table.group_id[["0", "0v", "1", "1v"]].tolist() == ["g0", "g0", "g1", "g1"]
    assert set(table.split) == {"train"}  # val, before they were drawn with their duplicates


def test_build_does_not_depend_on_workers(tmp_path: Path) -> None:
    records = encoded(tmp_path)
    (tmp_path / "4.png").write_bytes(b"")
    one, two = (
        build(records, ["bat"], tmp_path, 0.5, workers, near_duplicates=16) for workers in (1, 2)
    )
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.duplicates, two.duplicates)
    assert one.excluded == two.excluded


def test_build_reads_containers(tmp_path: Path) -> None:
    contents = [draw(tmp_path / f"{i}.png", i, size=(i + 1, 3)) for i in range(12)]
    images = [{"bytes": content, "path": None} for content in contents]
    write_parquet(tmp_path / "a.parquet", images, [0] * 12, rows=5)
    paths = [*(f"a.parquet#{i}" for i in range(12)), "a.parquet#12"]
    records = [Record(f"{99 - i}", path, "train", "x", path) for i, path in enumerate(paths)]
    manifest = build(records, ["x"], tmp_path, 0.1, workers=1)
    assert manifest.table.width.tolist() == list(range(12, 0, -1))
    assert manifest.excluded[0].reason.startswith("cannot be read: a.parquet has no row 12")


def test_build_keeps_images_without_a_label(tmp_path: Path) -> None:
    for i, path in enumerate(["train/bat/0.png", "train/dog/1.png", "val/dog/2.png"]):
        draw(tmp_path / path, i)
    unknown = [record(f"{split}/dog/{i}.png") for split, i in (("train", 1), ("val", 2))]
    records = [record("train/bat/0.png"), *(item._replace(label=None) for item in unknown)]
    manifest = build(records, ["bat"], tmp_path, 0.0, workers=1)
    assert manifest.excluded == []
    assert manifest.excluded_classes == {}
    write_table(tmp_path / "m.parquet", manifest.table[manifest.table.split == "val"])
    column = pq.read_table(tmp_path / "m.parquet")["label"]
    assert str(column.type) in ("string", "large_string")  # though all are null
    assert column.to_pylist() == [None]
    data = describe("name", manifest, [], {"bat": "bat"}, None)
    assert data["counts"]["labels"] == {"bat": 1}
    assert data["counts"]["unlabelled"] == 2
    assert data["counts"]["duplicates"] == {"exact": 0, "near": 0, "left_out": 0}
    assert [item["label"] for item in data["classes"]] == ["bat"]
    with pytest.raises(ValueError, match="no train image with a label among 2"):
        build(records[1:], [], tmp_path, 0.0, workers=1)


def test_build_leaves_out_classes_without_train_images(tmp_path: Path) -> None:
    draw(tmp_path / "train/bat/0.png", 0)
    draw(tmp_path / "val/bat/0.png", 1)
    draw(tmp_path / "val/dog/0.png", 2)
    records = [record(path) for path in ("train/bat/0.png", "val/bat/0.png", "val/dog/0.png")]
    manifest = build(records, ["bat", "dog", "fox"], tmp_path, 0.5, workers=1)
    assert list(manifest.table.path) == ["train/bat/0.png", "val/bat/0.png"]
    assert manifest.excluded_classes == {
        "dog": "no usable train image",
        "fox": "no usable image",
    }
    assert [item.path for item in manifest.excluded] == ["val/dog/0.png"]


def test_build_without_a_usable_train_image_raises(tmp_path: Path) -> None:
    draw(tmp_path / "val/bat/0.png", 1)
    with pytest.raises(ValueError, match="no train image with a label among 1"):
        build([record("val/bat/0.png")], ["bat"], tmp_path, 1.0, workers=1)
    (tmp_path / "train/bat").mkdir(parents=True)
    (tmp_path / "train/bat/0.png").write_text("no image")
    with pytest.raises(ValueError, match="no usable train image with a label"):
        build([record("train/bat/0.png")], ["bat"], tmp_path, 1.0, workers=1)
    with pytest.raises(ValueError, match="no usable image"):
        build([], ["bat"], tmp_path, 1.0, workers=1)


def test_check_excluded_tolerates_the_share_itself() -> None:
    excluded = [Excluded(f"{i}.png", f"reason {i}") for i in range(7)]
    check_excluded(excluded, 14, 0.5, Path("raw"))
    with pytest.raises(ValueError, match="7 of 13 images") as error:
        check_excluded(excluded, 13, 0.5, Path("raw"))
    assert "0.png: reason 0" in str(error.value)
    assert "5.png" not in str(error.value)
    assert "and 2 more" in str(error.value)
    assert "max_excluded" in str(error.value)
    fine = [item._replace(fault=False) for item in excluded]
    check_excluded([*fine, *excluded], 14, 0.5, Path("raw"))


def test_check_excluded_shows_one_of_each_reason_and_how_many_there_are() -> None:
    missing = [Excluded(f"a{i}.png", "no such file") for i in range(90)]
    with pytest.raises(ValueError, match="91 of 100 images") as error:
        check_excluded([*missing, Excluded("b.png", "the file is empty")], 100, 0.01, Path("raw"))
    assert [line.strip() for line in str(error.value).splitlines()[1:4]] == [
        "a0.png: no such file (90 of them)",
        "b.png: the file is empty (1 of them)",
        "a1.png: no such file",
    ]


def test_fingerprint_follows_content_and_labels_alone() -> None:
    table = pd.DataFrame({"image_id": ["a", "b"], "sha256": ["1", "2"], "label": ["x", "y"]})
    expected = hashlib.sha256(b"1 x\n2 y\n").hexdigest()
    assert fingerprint(table) == expected
    assert fingerprint(table.iloc[::-1].assign(image_id="other")) == expected
    assert fingerprint(table.assign(label=["y", "x"])) != expected
    assert fingerprint(table.assign(sha256=["1", "3"])) != expected
    unknown = hashlib.sha256(b"1 x\n2 \n").hexdigest()
    assert fingerprint(table.assign(label=["x", None])) == unknown
