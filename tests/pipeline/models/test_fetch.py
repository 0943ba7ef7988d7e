"""The stage fetch: what it writes loads offline, is what was fetched, and is the same each time."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file, save_file

from pipeline.config import ConfigError, ModelConfig
from pipeline.models import fetch as stage
from pipeline.models.catalog import load_clip
from pipeline.models.fetch import fetch

ROOT = Path(__file__).parents[3]
REPOSITORY = "models--lab--other"


@pytest.fixture
def project(tmp_path):
    """A folder with params.yaml, in which the model `mine` is a hub repository."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["models"]["mine"] = {"name": "hf-hub:lab/other", "tokenizer": "ViT-L-14"}
    params["outside"]["models"].append("mine")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    return tmp_path


def run(project: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HOME": str(project / "hf")}
    return subprocess.run(
        [sys.executable, "-m", "pipeline.models.fetch", "--model", "mine"],
        cwd=project,
        env=os.environ | settings | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_stage_takes_a_repository_from_hugging_face_s_cache(project, clip_folder):
    place = project / "elsewhere" / REPOSITORY
    for part in ("refs", "blobs", "snapshots/0123"):
        (place / part).mkdir(parents=True)
    (place / "refs" / "main").write_text("0123")
    for file in clip_folder.iterdir():
        blob = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy(file, place / "blobs" / blob)
        (place / "snapshots" / "0123" / file.name).symlink_to(f"../../blobs/{blob}")
    done = run(project, HF_HUB_CACHE=str(project / "elsewhere"))
    assert done.returncode == 0, done.stderr
    made = load_clip(project / "data" / "models" / "mine")
    assert made.weights_sha256 == load_clip(clip_folder).weights_sha256
    assert made.preprocessing == load_clip(clip_folder).preprocessing


def test_the_stage_fails_with_one_message(project):
    done = run(project)
    assert done.returncode == 1
    assert done.stderr.startswith("models.mine: cannot fetch open_clip_config.json or ")
    assert "Traceback" not in done.stderr
    assert not (project / "data").exists()


def test_a_folder_says_all_that_open_clip_assumes_and_repeats(clip_folder, tmp_path):
    entry = ModelConfig(name=f"local-dir:{clip_folder}")
    sha256 = {fetch("k", entry, tmp_path / name) for name in ("one", "two")}
    assert sha256 == {load_clip(tmp_path / "one").weights_sha256}
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["open_clip_config.json", "open_clip_model.safetensors", "source.json"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    config = json.loads((tmp_path / "one" / files[0]).read_text())
    assert config["preprocess_cfg"] == {
        "mean": [0.5] * 3,
        "std": [0.25] * 3,
        "size": [32, 32],
        "interpolation": "bicubic",
        "resize_mode": "squash",
        "mode": "RGB",
        "fill_color": 0,
    }


def test_half_precision_is_written_as_open_clip_loads_it(clip_folder, tmp_path):
    half = shutil.copytree(clip_folder, tmp_path / "half")
    weights = half / "open_clip_model.safetensors"
    tensors = {name: tensor.half() for name, tensor in load_file(weights).items()}
    save_file(tensors, weights)
    fetch("k", ModelConfig(name=f"local-dir:{half}"), tmp_path / "made")
    made = load_file(tmp_path / "made" / "open_clip_model.safetensors")
    assert all(made[name].equal(tensor.float()) for name, tensor in tensors.items())


def test_a_failure_leaves_what_was_there(clip_folder, tmp_path, monkeypatch):
    entry = ModelConfig(name=f"local-dir:{clip_folder}")
    fetch("k", entry, tmp_path / "made")
    monkeypatch.setattr(stage, "save_file", lambda tensors, path: save_file({}, path))
    with pytest.raises(ConfigError, match="does not load"):
        fetch("k", entry, tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    load_clip(tmp_path / "made")


def test_weights_that_change_on_their_way_are_noticed(clip_folder, tmp_path, monkeypatch):
    def forget(tensors, path):
        save_file({name: tensor.clone().round_() for name, tensor in tensors.items()}, path)

    monkeypatch.setattr(stage, "save_file", forget)
    with pytest.raises(RuntimeError, match="weights have changed"):
        fetch("k", ModelConfig(name=f"local-dir:{clip_folder}"), tmp_path / "made")


def test_a_tokenizer_that_is_lost_is_noticed(clip_folder, tmp_path, monkeypatch):
    shorter = stage.tokenizer_of
    monkeypatch.setattr(
        stage, "tokenizer_of", lambda *given: lambda texts: shorter(*given)(["x", *texts[1:]])
    )
    with pytest.raises(RuntimeError, match="other tokens"):
        fetch("k", ModelConfig(name=f"local-dir:{clip_folder}"), tmp_path / "made")
