"""`audit list`: audits and what their last reports say."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from audits.command.__main__ import main

ROOT = Path(__file__).parents[3]
METRICS = {
    "failures": {"findings": 0, "confirmed": 0},
    "sae": {"explained_variance": 0.75},
    "robustness": {"short": {"spurious_auc": 0.5}},
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one committed report."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    folder = tmp_path / "reports" / "lesions-tiny"
    folder.mkdir(parents=True)
    metrics = {**METRICS, "does_not_apply": {"failures": "nothing"}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "provenance.json").write_text('{"dataset": {"fingerprint": "0123456789abcdef"}}')
    (folder / "report.md").write_text("# The classifier leans on red\n\nMuch.\n")
    git = ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "The report"], check=True)
    return folder


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict]:
    main(["list", "--json"])
    audits = json.loads(capsys.readouterr().out)["audits"]
    return {one["audit"]: one for one in audits}


def test_audits_are_listed_with_and_without_a_report(repository: Path, capsys) -> None:
    audits = listed(capsys)
    assert audits["scenes-tiny"] == {
        "audit": "scenes-tiny",
        "dataset": "scenes",
        "model": "tiny",
        "report": None,
    }
    report = audits["lesions-tiny"]["report"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    assert report["commit"] == head.strip()
    assert (report["version"], report["headline"]) == (
        "0123456789abcdef",
        "The classifier leans on red",
    )
    # What does not apply is no zero.
    assert report["figures"] == {
        "robustness.short.spurious_auc": 0.5,
        "sae.explained_variance": 0.75,
    }
    main(["list"])
    said = capsys.readouterr().out
    assert "scenes-tiny: tiny on scenes\n  no report yet: dvc repro publish@scenes-tiny" in said
    assert f"version 01234567 ({head[:8]}, 20" in said
    assert "  0.5 spurious AUC, short name; 0.75 variance explained by the SAE" in said


def test_a_report_that_differs_from_the_commit_has_none(repository: Path, capsys) -> None:
    (repository / "report.md").write_text("# Another\n")
    report = listed(capsys)["lesions-tiny"]["report"]
    assert report["commit"] is None and report["headline"] == "Another"
