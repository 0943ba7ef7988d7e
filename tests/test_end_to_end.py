"""A small `dvc repro` from an empty data folder to a published report."""

import os
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts.store import read_json, read_table

ROOT = Path(__file__).parents[1]
CODE = (
    "pipeline",
    "audits",
    "vocabularies",
    "reviews",
    "dvc.yaml",
    "params.yaml",
    "catalog.yaml",
    "recipes.yaml",
    ".dvcignore",
)
TARGET = "publish@lesions-tiny"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]


def small_params() -> dict:
    """The shipped params with samples, models and SAEs that take seconds."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw["samples"]["scenes"] |= {"size": 48, "train_images": 2, "confuser_images": 2}
    raw["samples"]["scenes"] |= {"val_images": 1}
    raw["samples"]["lesions"] |= {"lesions": 120, "image_size": 48}
    raw["pretrain"] |= {"epochs": 2, "layers": 1, "text_layers": 1, "width": 64, "workers": 0}
    for audit in raw["audits"].values():
        audit["sae"] |= {
            "components": 64,
            "k": 8,
            "epochs": 3,
            "decay_after": [2],
            "revive_after": [1],
        }
        audit["stability"]["seeds"] = 2
        audit["probe"] |= {"words": 8, "controls": 4, "pictures": 96, "grounds": 4, "marks": 4}
        audit["label"]["top_images"] = 5
        audit["embed"]["workers"] = 0
        audit["faithfulness"] |= {"steps": 4, "subsets": 3, "reference_images": 20}
    raw["audits"]["lesions-tiny"]["shortcut"] |= {"repeats": 2, "quantiles": [0.3, 0.7]}
    return raw


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (
        f"{' '.join(command)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    )
    return done


def repository_copy(folder: Path) -> Path:
    """The repository without what was derived, as a Git and DVC repository of its own."""
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    folder = repository_copy(tmp_path_factory.mktemp("repository"))
    (folder / "params.yaml").write_text(yaml.safe_dump(small_params()), encoding="utf-8")
    run(folder, "dvc", "repro", TARGET)
    return folder


def test_the_report_is_there_and_whole(repository):
    report = repository / "reports" / "lesions-tiny"
    assert "</html>" in (report / "report.html").read_text(encoding="utf-8")
    metrics = read_json(report / "metrics.json")
    manifest = read_table(repository / "data/manifests/lesions/manifest.parquet")
    assert metrics["dataset"]["images"] == len(manifest)
    assert 0 < metrics["sae"]["alive_fraction"] <= 1
    assert set(metrics["shortcut"]["accuracy"]) == {"plain", "added", "removed"}
    assert set(metrics["faithfulness"]["deletion_local"]) >= {"act_grad", "random"}


def test_splits_share_no_lesion(repository):
    manifest = read_table(repository / "data/manifests/lesions/manifest.parquet")
    assert manifest.groupby("group_id")["split"].nunique().max() == 1
    assert set(manifest["split"]) == {"train", "val"}


def test_mlflow_holds_one_finished_run(repository):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{repository / 'mlflow.db'}")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert [(r.info.run_name, r.info.status) for r in runs] == [("lesions-tiny", "FINISHED")]


def test_a_second_repro_does_nothing(repository):
    before = (repository / "dvc.lock").read_bytes()
    said = run(repository, "dvc", "repro", TARGET).stdout
    assert "up to date" in said
    assert "Running stage" not in said
    assert (repository / "dvc.lock").read_bytes() == before


def test_a_report_made_anew_at_another_commit_is_the_same(repository):
    """Else no commit could hold the reports that its own code makes."""
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    run(repository, "git", "add", "dvc.lock", "reports")
    run(repository, "git", *who, "commit", "-qm", "reports")
    run(repository, "dvc", "repro", "--force", "--single-item", "report@lesions-tiny")
    said = run(repository, "git", "status", "--porcelain", "--", "dvc.lock", "reports").stdout
    assert said == ""


def test_another_audit_would_rerun_nothing(repository):
    path = repository / "params.yaml"
    kept = path.read_text(encoding="utf-8")
    raw = yaml.safe_load(kept)
    raw["audits"]["lesions-again"] = deepcopy(raw["audits"]["lesions-tiny"])
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    try:
        said = run(repository, "dvc", "status", TARGET, "report@lesions-tiny").stdout
    finally:
        path.write_text(kept, encoding="utf-8")
    assert "up to date" in said


def test_one_broken_image_is_left_out_with_its_reason(repository):
    """The rest of the dataset is prepared as before; run last, for it changes the raw folder."""
    images = repository / "data/raw/lesions/ISIC_2019_Training_Input"
    broken = sorted(images.glob("*.jpg"))[3]
    content = broken.read_bytes()
    broken.unlink()  # DVC may have linked it to its cache
    broken.write_bytes(content[: len(content) // 2])
    run(repository, sys.executable, "-m", "pipeline.datasets.prepare", "--dataset", "lesions")
    description = read_json(repository / "data/manifests/lesions/dataset.json")
    assert [Path(entry["path"]).name for entry in description["excluded"]] == [broken.name]
    assert description["excluded"][0]["reason"]
