"""A small `dvc repro` from an empty data folder to a published report."""

import shutil
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts.store import read_json, read_table
from tests.small_repository import run

TARGET = "compare@lesions"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]


def test_the_report_is_there_and_whole(repository):
    report = repository / "reports" / "lesions-tiny"
    assert "</html>" in (report / "report.html").read_text(encoding="utf-8")
    metrics = read_json(report / "metrics.json")
    manifest = read_table(repository / "data/manifests/lesions/manifest.parquet")
    assert metrics["dataset"]["images"] == len(manifest)
    assert 0 < metrics["sae"]["alive_fraction"] <= 1
    assert set(metrics["shortcut"]["shifts"]) == {"red_1", "red_2", "patch_1"}
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


def test_one_broken_image_is_left_out_with_its_reason(repository, tmp_path):
    """The rest of the dataset is prepared as before."""
    repository = shutil.copytree(repository, tmp_path / "broken", symlinks=True)
    images = repository / "data/raw/lesions/ISIC_2019_Training_Input"
    broken = sorted(images.glob("*.jpg"))[3]
    content = broken.read_bytes()
    broken.unlink()  # DVC may have linked it to its cache
    broken.write_bytes(content[: len(content) // 2])
    run(repository, sys.executable, "-m", "pipeline.datasets.prepare", "--dataset", "lesions")
    description = read_json(repository / "data/manifests/lesions/dataset.json")
    assert [Path(entry["path"]).name for entry in description["excluded"]] == [broken.name]
    assert description["excluded"][0]["reason"]
