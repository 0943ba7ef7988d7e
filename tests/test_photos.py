"""The whole DAG on real photographs under a real, if small, CLIP, by the documented commands.

Needs two folders that cannot be shipped: `CLIP_AUDIT_PHOTOS` with `imagenet/` (train/<wnid>/,
val/<wnid>/) and `isic2019/` (as ISIC 2019 comes), and `CLIP_AUDIT_MODEL`, an open_clip folder.
"""

import os
from pathlib import Path

import pytest
import yaml

from pipeline.artifacts.store import read_json, read_table
from tests.small_repository import repository_copy, run

PHOTOS = Path(os.environ.get("CLIP_AUDIT_PHOTOS", "photos"))
MODEL = Path(os.environ.get("CLIP_AUDIT_MODEL", "model"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PHOTOS.is_dir(), reason="no photographs: set CLIP_AUDIT_PHOTOS"),
    pytest.mark.skipif(not MODEL.is_dir(), reason="no model folder: set CLIP_AUDIT_MODEL"),
]

AUDITS = {
    "objects": ("imagenet", "imagenet", "imagenet-21k.txt", []),
    "skin": ("isic2019", "isic", "dermoscopy.csv", ["--val-share", "0.3"]),
}
"""Audit → folder, kind, vocabulary and further options."""


@pytest.fixture(scope="module", params=AUDITS)
def audited(request, tmp_path_factory) -> tuple[Path, str]:
    name = request.param
    folder, kind, vocabulary, more = AUDITS[name]
    copy = repository_copy(tmp_path_factory.mktemp(name))
    command = (
        f"python -m audits.command add {name} --dataset {name} --kind {kind} --model mine".split()
    )
    command += ["--root", str((PHOTOS / folder).absolute()), "--labeler", "mine", *more]
    command += ["--vocabulary", f"vocabularies/{vocabulary}"]
    run(copy, *command, "--model-name", f"local-dir:{MODEL.absolute()}")
    run(copy, "dvc", "repro", f"publish@{name}")
    return copy, name


def test_the_report_is_whole_and_the_model_works(audited):
    copy, name = audited
    report = copy / "reports" / name
    assert "</html>" in (report / "report.html").read_text(encoding="utf-8")
    metrics = read_json(report / "metrics.json")
    manifest = read_table(copy / "data" / "manifests" / name / "manifest.parquet")
    assert metrics["dataset"]["images"] == len(manifest) > 1000
    assert metrics["sae"]["explained_variance"] > 0.5
    share = manifest[manifest["split"] == "val"]["label"].value_counts(normalize=True).max()
    assert metrics["accuracy"]["short"] > min(share, 0.4)


def test_the_report_says_what_such_a_model_allows_one_to_conclude(audited):
    copy, name = audited
    said = (copy / "reports" / name / "report.md").read_text(encoding="utf-8")
    assert "say nothing about CLIP models of the usual size" in said


def test_no_group_straddles_a_split(audited):
    copy, name = audited
    manifest = read_table(copy / "data" / "manifests" / name / "manifest.parquet")
    assert manifest.groupby("group_id")["split"].nunique().max() == 1


def test_a_second_repro_does_nothing(audited):
    copy, name = audited
    assert "Running stage" not in run(copy, "dvc", "repro", f"publish@{name}").stdout


def test_what_was_fetched_is_the_model(audited):
    copy, _ = audited
    config = yaml.safe_load((copy / "data/models/mine/open_clip_config.json").read_text())
    assert config["preprocess_cfg"]["mean"]
    params = yaml.safe_load((copy / "params.yaml").read_text(encoding="utf-8"))
    assert params["outside"]["models"] == ["mine"]
