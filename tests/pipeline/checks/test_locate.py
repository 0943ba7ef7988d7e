"""The stage that looks for a dataset before anything runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline import layout
from pipeline.artifacts.store import read_json
from pipeline.checks import locate
from pipeline.datasets import image_folder, isic

ROOT = Path(__file__).parents[3]
TENCH = "n01440764"


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, **changes: object) -> None:
    """The stage in a folder whose params.yaml has one dataset more."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    shared = {**params["embeddings"]["scenes-tiny"], "dataset": name}
    params["embeddings"] |= {f"{name}-tiny": shared}
    own = {"embeddings": f"{name}-tiny", **changes}
    params["datasets"][name] = {**params["datasets"]["scenes"], **own}
    params["outside"]["datasets"].append(name)
    (folder / "params.yaml").write_text(json.dumps(params), encoding="utf-8")
    with_texts(folder, name)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["locate", "--dataset", name])
    locate.main()


def with_texts(folder: Path, name: str) -> None:
    """The vocabulary of scenes and an empty table of descriptions."""
    (folder / "vocabularies" / "descriptions").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "vocabularies" / "scenes.csv", folder / "vocabularies")
    (folder / layout.descriptions(name)).write_text("label,description\n")


def make(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("path,label,split\n")


@pytest.mark.parametrize(
    ("kind", "paths", "expected"),
    [
        ("imagenet", [f"train/{TENCH}/a.JPEG", "val/b.JPEG"], "torchvision"),
        ("imagenet", ["data/validation-00000-of-00001.parquet"], "huggingface"),
        ("image_folder", ["train/bat/a.png", "val/bat/b.png"], "train/<class>/ and val/<class>/"),
        ("csv", ["images.csv"], "images.csv"),
    ],
)
def test_what_is_found_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    paths: list[str],
    expected: str,
) -> None:
    make(tmp_path / "raw" / "mine", *paths)
    splits = None
    run(tmp_path, monkeypatch, "mine", kind=kind, root="raw/mine", splits=splits)
    source = read_json(tmp_path / layout.source("mine"))
    assert source == {"kind": kind, "root": "raw/mine", "layout": expected}


def test_releases_of_isic_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"ISIC 2019": tmp_path / "a", "HAM10000": tmp_path / "b"}
    monkeypatch.setattr(isic, "releases", lambda root: found, raising=False)
    (tmp_path / "raw").mkdir()
    run(tmp_path, monkeypatch, "mine", kind="isic", root="raw", splits={"train": 0.5, "val": 0.5})
    assert read_json(layout.source("mine"))["layout"] == "ISIC 2019, HAM10000"


def fault(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> str:
    with pytest.raises(SystemExit) as caught:
        run(folder, monkeypatch, "mine", **changes)
    assert not (folder / "data").exists()
    return str(caught.value.code)


def test_a_missing_root_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = fault(tmp_path, monkeypatch, kind="imagenet", root="data/raw/imagenet")
    assert message.startswith(
        "datasets.mine.root is 'data/raw/imagenet', which does not exist: put the dataset there, "
        "or name its place there in params.yaml. "
    )
    assert "torchvision: train/<wnid>/*.JPEG and val/<wnid>/*.JPEG" in message


def test_other_content_says_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "raw", "a.jpg")
    message = fault(tmp_path, monkeypatch, kind="csv", root="raw")
    assert "which does not look like kind csv" in message
    assert "raw/images.csv is missing" in message
    message = fault(tmp_path, monkeypatch, kind="image_folder", root="raw")
    assert "raw holds no folder: expected train/<class>/<image>" in message
    message = fault(tmp_path, monkeypatch, kind="imagenet", root="raw/a.jpg")
    assert "which is no folder" in message


def test_a_root_of_two_layouts_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "raw", f"train/{TENCH}/a.JPEG", "x-train-0.tar")
    assert "more than once" in fault(tmp_path, monkeypatch, kind="imagenet", root="raw")


def models_fault(folder: Path, monkeypatch: pytest.MonkeyPatch, model: dict[str, str]) -> str:
    """What is said of scenes with another model `mine` audited on it."""
    monkeypatch.chdir(folder)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["models"]["mine"] = model
    params["embeddings"]["mine"] = params["embeddings"]["scenes-tiny"] | {"model": "mine"}
    of = {"model": "mine", "embeddings": "mine"}
    params["audits"]["again"] = params["audits"]["scenes-tiny"] | of
    params["outside"]["models"] = [] if model["name"] == "local-dir:data/models/mine" else ["mine"]
    (folder / "params.yaml").write_text(json.dumps(params), encoding="utf-8")
    make(folder, "data/raw/scenes/train/bat/a.png", "data/raw/scenes/val/bat/b.png")
    monkeypatch.setattr(sys, "argv", ["locate", "--dataset", "scenes"])
    with pytest.raises(SystemExit) as stop:
        locate.main()
    assert not layout.source("scenes").exists()
    return str(stop.value)


def test_a_missing_folder_of_an_audited_model_stops_before_anything_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = models_fault(tmp_path, monkeypatch, {"name": "local-dir:data/models/mine"})
    assert "data/models/mine is missing: put open_clip_config.json" in message
    assert "models.mine.name" in message


def test_a_model_that_cannot_be_fetched_stops_before_anything_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = models_fault(tmp_path, monkeypatch, {"name": "ViT-B-32", "pretrained": "no-such"})
    assert "models.mine.pretrained is 'no-such'" in message


def test_no_class_folder_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "train/bat/a.png", "val/bat/b.png")
    seen = []
    visible = image_folder.visible
    monkeypatch.setattr(image_folder, "visible", lambda f: seen.append(f.name) or visible(f))
    run(tmp_path, monkeypatch, "mine", root=str(tmp_path))
    assert set(seen) == {tmp_path.name, "train", "val"}


def test_a_fault_is_one_message_without_a_traceback_and_without_torch(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    code = (
        "import sys; sys.argv[1:] = ['--dataset', 'nope']\n"
        "from pipeline.checks import locate\n"
        "assert not {'torch', 'timm', 'h5py'} & set(sys.modules)\n"
        "locate.main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    assert run.stdout == ""
    assert "nope" in run.stderr
    assert "Traceback" not in run.stderr
