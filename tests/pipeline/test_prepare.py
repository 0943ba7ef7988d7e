"""The prepare stage: images opened, the unusable left out, the files that it writes."""

import hashlib
import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pipeline.datasets import Excluded, Record
from pipeline.datasets.manifest import COLUMNS, build, check_excluded, fingerprint
from pipeline.prepare import prepare
from tests.pipeline.test_datasets import folder_config


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


def scenes(root: Path) -> None:
    """Four train and two val images of two classes."""
    paths = ["train/bat/0", "train/bat/1", "train/dog/0", "train/dog/1", "val/bat/0", "val/dog/0"]
    for shade, path in enumerate(paths):
        draw(root / f"{path}.png", shade)


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


def test_build_leaves_out_the_later_of_conflicting_duplicates(tmp_path: Path) -> None:
    paths = [
        "train/bat/a.png",
        "train/bat/same.png",  # same split and label: kept
        "train/dog/label.png",  # other label
        "train/dog/own.png",
        "val/bat/split.png",  # other split
    ]
    for path in paths:
        draw(tmp_path / path, 1 if path != "train/dog/own.png" else 2)
    # the order of the records does not matter
    records = [record(path) for path in reversed(paths)]
    manifest = build(records, ["bat", "dog"], tmp_path, 0.5, workers=1)
    kept = ["train/bat/a.png", "train/bat/same.png", "train/dog/own.png"]
    assert list(manifest.table.path) == kept
    assert manifest.excluded == [
        Excluded("train/dog/label.png", "same bytes as train/bat/a.png (train, bat)"),
        Excluded("val/bat/split.png", "same bytes as train/bat/a.png (train, bat)"),
    ]


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
    with pytest.raises(ValueError, match="no usable train image"):
        build([record("val/bat/0.png")], ["bat"], tmp_path, 1.0, workers=1)
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


def test_fingerprint_follows_content_and_labels_alone() -> None:
    table = pd.DataFrame({"image_id": ["a", "b"], "sha256": ["1", "2"], "label": ["x", "y"]})
    expected = hashlib.sha256(b"1 x\n2 y\n").hexdigest()
    assert fingerprint(table) == expected
    assert fingerprint(table.iloc[::-1].assign(image_id="other")) == expected
    assert fingerprint(table.assign(label=["y", "x"])) != expected
    assert fingerprint(table.assign(sha256=["1", "3"])) != expected


def test_prepare_writes_both_files(tmp_path: Path) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    scenes(root)
    (root / "train/fox").mkdir()
    (root / "val/bat/notes.txt").write_text("not an image")
    (root / "classes.csv").write_text('label,name\nbat,"bat, animal"\ndog,dog\nfox,fox\n')
    prepare("scenes", folder_config(root, licence="CC BY 4.0"), 0, out, workers=1)
    table = pd.read_parquet(out / "manifest.parquet")
    assert list(table.columns) == COLUMNS
    assert table.image_id.is_monotonic_increasing
    data = json.loads((out / "dataset.json").read_text())
    assert data.pop("fingerprint") == fingerprint(table)
    assert data == {
        "name": "scenes",
        "licence": "CC BY 4.0",
        "counts": {
            "images": 6,
            "groups": 6,
            "splits": {"train": 4, "val": 2},
            "labels": {"bat": 3, "dog": 3},
        },
        "classes": [
            {"label": "bat", "name": "bat, animal", "short": "bat"},
            {"label": "dog", "name": "dog", "short": "dog"},
        ],
        "excluded": [{"path": "val/bat/notes.txt", "reason": "not an image that Pillow can read"}],
        "excluded_classes": [{"label": "fox", "reason": "no usable image"}],
        "truth_sha256": None,
    }


def test_prepare_is_the_same_with_any_number_of_workers(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    scenes(root)
    for workers in (1, 2):
        prepare("scenes", folder_config(root), 0, tmp_path / str(workers), workers)
    for name in ("manifest.parquet", "dataset.json"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_prepare_thins_and_takes_the_licence_of_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    scenes(root)
    (root / "LICENSE.txt").write_text("CC BY-SA 4.0\n")
    prepare("scenes", folder_config(root, every=2), 0, tmp_path, workers=1)
    data = json.loads((tmp_path / "dataset.json").read_text())
    assert data["licence"] == "CC BY-SA 4.0"
    assert data["counts"]["splits"] == {"train": 2, "val": 2}


def test_prepare_names_a_missing_folder_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"datasets\.scenes\.root is .*nowhere"):
        prepare("scenes", folder_config(tmp_path / "nowhere"), 0, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_prepare_stops_where_too_many_images_are_broken(tmp_path: Path) -> None:
    root, out = tmp_path / "raw", tmp_path / "out"
    scenes(root)
    (root / "train/bat/1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 6 images.*\n.*train/bat/1.png: the file is empty"):
        prepare("scenes", folder_config(root, max_excluded=0.1), 0, out, workers=1)
    assert not out.exists()


def test_the_truth_has_a_version(tmp_path: Path) -> None:
    scenes(tmp_path / "raw")
    versions = []
    for content in ("image_id\n", "image_id\ntrain/bat/0\n"):
        (tmp_path / "raw" / "truth.csv").write_text(content)
        out = tmp_path / "out"
        prepare("scenes", folder_config(tmp_path / "raw"), 0, out, workers=1)
        versions.append(json.loads((out / "dataset.json").read_text())["truth_sha256"])
    assert None not in versions
    assert versions[0] != versions[1]
