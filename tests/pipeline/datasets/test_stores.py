"""Datasets in a bucket of S3: the same listing, manifest and embeddings as of the folder there."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import s3fs
from upath import UPath

from pipeline.artifacts.store import read_json
from pipeline.checks.problems import layout_at
from pipeline.config import DatasetConfig, Params, load_params
from pipeline.datasets import adapters, opening, pixels
from pipeline.datasets.files import read_bytes
from pipeline.datasets.prepare import prepare
from pipeline.embeddings.images import batches, runs, to_bytes
from pipeline.places import is_folder
from tests.pipeline.datasets.invented_imagenet import SHARK, TENCH, jpeg, put, write_webdataset
from tests.pipeline.datasets.invented_isic import NEVUS, row, write_2019, write_2024
from tests.pipeline.datasets.test_adapters import folder_config
from tests.pipeline.datasets.test_imagenet_parquet import shard
from tests.pipeline.datasets.test_manifest import draw
from tests.pipeline.invented_store import forget

Bucket = Callable[[Path], UPath]
SHARES = {"train": 0.6, "val": 0.4}


def classes(root: Path) -> None:
    put(root, "train/a/1.jpg", "train/a/in/2 x.jpg", "train/b/1.jpg", "val/b/é.jpg", "stray.png")
    (root / "train/a/notes.txt").write_text("none")
    (root / "train/.hidden").write_text("none")
    (root / "classes.csv").write_text("label,name\na,ant\nb,bee\n")


def table(root: Path) -> None:
    put(root, "p/1.jpg", "p/2.jpg", "q/é.jpg")
    lines = ["p/1.jpg,a", "./p//2.jpg,a", "q/é.jpg,b", "q\\1.jpg,b", "q/É.jpg,b", "none/3.jpg,a"]
    (root / "images.csv").write_text("\n".join(["path,label", *lines]), encoding="utf-8")


def folders(root: Path) -> None:
    put(root, f"train/{TENCH}/1.JPEG", f"train/{SHARK}/2.JPEG", f"val/{TENCH}/3.JPEG")
    put(root, "spurious_imagenet/images/class_idx_2_component_14/1.jpg")


def kaggle(root: Path) -> None:
    put(root, f"ILSVRC/Data/CLS-LOC/train/{TENCH}/1.JPEG", "ILSVRC/Data/CLS-LOC/val/v1.JPEG")
    (root / "LOC_val_solution.csv").write_text(f"ImageId,PredictionString\nv1,{TENCH} 1 2 3 4\n")


def parquet(root: Path) -> None:
    rows = [(f"{SHARK}_5_{SHARK}.JPEG", 2), (f"{TENCH}_1_{TENCH}.JPEG", 0), (None, 1), (None, -1)]
    shard(root, "data/train-00000-of-00001.parquet", rows)
    shard(root, "data/validation-00000-of-00001.parquet", rows[:2])


def isic(root: Path) -> None:
    write_2019(root / "one", [row("i1", "MEL"), row("i2", "NV")], {"i1": "l1", "i2": "l1"})
    write_2024(root / "two", [("j1", "p1", "l2", NEVUS, "0"), ("j2", "p2", "", NEVUS, "0")])
    for path in (root / "two/train-image").rglob("*.jpg"):
        path.unlink()
    with h5py.File(root / "two/train-image.hdf5", "w") as file:
        file["j1"] = np.void(jpeg(1))
        file["j2"] = np.void(jpeg(2))


LAID_OUT = {
    classes: {},
    table: {"kind": "csv", "splits": SHARES},
    folders: {"kind": "imagenet"},
    kaggle: {"kind": "imagenet"},
    parquet: {"kind": "imagenet"},
    write_webdataset: {"kind": "imagenet"},
    isic: {"kind": "isic", "splits": SHARES},
}


@pytest.mark.parametrize("lay", LAID_OUT, ids=lambda lay: lay.__name__)
def test_a_bucket_is_listed_as_the_folder_is(tmp_path: Path, bucket: Bucket, lay) -> None:
    lay(tmp_path)
    here = folder_config(tmp_path, **LAID_OUT[lay])
    there = folder_config(bucket(tmp_path), **LAID_OUT[lay])
    assert adapters.layout(there) == adapters.layout(here)
    found, expected = adapters.listing(there, 3), adapters.listing(here, 3)
    assert len(expected.records) > 1
    assert found.records == expected.records
    assert found.labels == expected.labels
    assert found.excluded == expected.excluded
    assert found.distractors == expected.distractors
    root = str(tmp_path)
    assert list(found.notes) == [note.replace(root, str(there.root)) for note in expected.notes]
    for record in expected.records:
        assert read_bytes(there.root, record.path) == read_bytes(here.root, record.path)


@pytest.mark.parametrize("path", ["../of/p/1.jpg", "..", "s3://other/of/p/1.jpg", "/p/1.jpg"])
def test_a_row_that_leaves_the_bucket_s_folder_is_refused(
    tmp_path: Path, bucket: Bucket, path: str
) -> None:
    put(tmp_path, "p/1.jpg", "p/2.jpg")
    (tmp_path / "images.csv").write_text(f"path,label\np/2.jpg,a\n{path},a\n")
    config = folder_config(bucket(tmp_path), kind="csv", splits=SHARES)
    with pytest.raises(ValueError, match=r"line 3: path .* leaves the folder"):
        adapters.listing(config, 0)


def test_a_row_may_name_the_whole_url(tmp_path: Path, bucket: Bucket) -> None:
    put(tmp_path, "p/1.jpg", "p/2.jpg")
    (tmp_path / "images.csv").write_text("path,label\np/2.jpg,a\n")
    store = bucket(tmp_path)
    text = f"path,label\n{store}/p/1.jpg,a\np/2.jpg,a\n".encode()
    s3fs.S3FileSystem().pipe_file(f"{store.path}/images.csv", text)
    config = folder_config(store, kind="csv", splits=SHARES)
    assert [r.path for r in adapters.listing(config, 0).records] == ["p/1.jpg", "p/2.jpg"]


def drawn(root: Path) -> None:
    paths = ["train/bat/0", "train/bat/1", "train/dog/0", "train/dog/1", "val/bat/0", "val/dog/0"]
    for shade, path in enumerate(paths):
        draw(root / f"{path}.png", shade)
    (root / "val/dog/bad.png").write_bytes(b"no picture")
    (root / "val/dog/empty.png").touch()
    (root / "LICENSE.txt").write_text("CC0")
    (root / "truth.csv").write_text("image_id\n")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bucket_gives_the_same_manifest(tmp_path: Path, bucket: Bucket, workers: int) -> None:
    drawn(tmp_path / "raw")
    roots = {"here": tmp_path / "raw", "there": bucket(tmp_path / "raw")}
    for name, root in roots.items():
        prepare("birds", folder_config(root), 0, tmp_path / name, workers)
    for path in (tmp_path / "here").iterdir():
        assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()
    assert read_json(tmp_path / "there/dataset.json")["licence"] == "CC0"
    assert len(read_json(tmp_path / "there/dataset.json")["excluded"]) == 2


def test_only_what_is_new_in_a_bucket_is_decoded(
    tmp_path: Path, bucket: Bucket, monkeypatch
) -> None:
    drawn(tmp_path / "raw")
    store = bucket(tmp_path / "raw")
    config, read = folder_config(store), []

    def again() -> pd.DataFrame:
        read.clear()
        forget()  # a stage is a process of its own
        prepare("birds", config, 0, tmp_path / "out", 1, decoded=tmp_path / "kept")
        return pd.read_parquet(tmp_path / "out/manifest.parquet").set_index("path")

    def noted(root, path: str) -> bytes:
        read.append(path)
        return read_bytes(root, path)

    monkeypatch.setattr(opening, "read_bytes", noted)
    before = again()
    assert len(read) == 8
    again()
    assert not read
    draw(tmp_path / "new.png", 9)
    content = (tmp_path / "new.png").read_bytes()
    s3fs.S3FileSystem().pipe_file(f"{store.path}/train/bat/1.png", content)
    after = again()
    assert read == ["train/bat/1.png"]
    changed = before.index[before.sha256 != after.sha256]
    assert list(changed) == ["train/bat/1.png"]


def test_a_store_that_fails_is_no_image_s_fault(
    tmp_path: Path, bucket: Bucket, monkeypatch
) -> None:
    drawn(tmp_path / "raw")
    config = folder_config(bucket(tmp_path / "raw"))
    whole = s3fs.S3FileSystem.cat_file

    def sometimes(self, path, *args, **more):
        if path.endswith("dog/1.png"):
            raise TimeoutError("too slow")
        return whole(self, path, *args, **more)

    monkeypatch.setattr(s3fs.S3FileSystem, "cat_file", sometimes)
    with pytest.raises(ConnectionError, match=r"dog/1\.png cannot be read .*too slow"):
        prepare("birds", config, 0, tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()
    images = pd.DataFrame({"image_id": ["x"], "path": ["train/dog/1.png"]})
    with pytest.raises(ConnectionError, match="too slow"):
        list(batches(images, config.root, pixels.SHOWN, to_bytes, runs(1, 1), 0, "embed"))


@pytest.mark.parametrize("workers", [0, 2])
def test_images_of_a_bucket_reach_the_model(tmp_path: Path, bucket: Bucket, workers: int) -> None:
    drawn(tmp_path)
    store = bucket(tmp_path)
    assert is_folder(store)  # so that this process has a connection that no fork may use
    paths = [f"{split}/{label}/0.png" for split in ("train", "val") for label in ("bat", "dog")]
    images = pd.DataFrame({"image_id": paths, "path": paths})
    how = (pixels.SHOWN, to_bytes, runs(4, 2), workers, "embed")
    found = [batch.pixels for batch in batches(images, store, *how)]
    expected = [batch.pixels for batch in batches(images, tmp_path, *how)]
    assert all((a == b).all() for a, b in zip(found, expected, strict=True))


@pytest.mark.slow
def test_dvc_sees_that_an_object_was_replaced(tmp_path: Path, bucket: Bucket) -> None:
    drawn(tmp_path / "raw")
    store = bucket(tmp_path / "raw")
    (tmp_path / "repository").mkdir()
    stages = f"stages: {{a: {{cmd: echo done, deps: ['{store}']}}}}"
    (tmp_path / "repository/dvc.yaml").write_text(stages)

    def dvc(*command: str) -> str:
        run = [sys.executable, "-m", "dvc", *command]
        done = subprocess.run(run, cwd=tmp_path / "repository", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    dvc("init", "--no-scm", "--quiet")
    dvc("repro", "--quiet")
    assert "up to date" in dvc("status")
    path = f"{store.path}/train/bat/1.png"
    size = s3fs.S3FileSystem().info(path)["size"]
    s3fs.S3FileSystem().pipe_file(path, b"x" * size)
    assert f"modified:           {store}" in dvc("status")


def with_root(root: str) -> Params:
    params = load_params()
    raw = params.datasets["scenes"].model_dump() | {"root": root}
    datasets = {**params.datasets, "birds": DatasetConfig.model_validate(raw)}
    return params.model_copy(update={"datasets": datasets})


def test_what_is_wrong_with_a_root_in_a_store_is_said(
    tmp_path: Path, bucket: Bucket, monkeypatch
) -> None:
    put(tmp_path, "birds/1.jpg")
    store = bucket(tmp_path)
    with pytest.raises(ValueError, match=rf"root is '{store}/none', which does not exist"):
        layout_at(with_root(f"{store}/none"), "birds")
    with pytest.raises(ValueError, match=rf"root is '{store}': .*<class>/ of 1 classes"):
        layout_at(with_root(str(store)), "birds")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    forget()
    with pytest.raises(ValueError, match=rf"root is '{store}': {store} cannot .*NoCredentials"):
        layout_at(with_root(str(store)), "birds")
    forget()
