"""Publishing a comparison: one finished run above those of its audits."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from audits.publish import runs as publish
from audits.publish import version as versions
from audits.publish.links import artifact
from pipeline.artifacts.store import read_json
from tests.audits.publish.invented import call, client_of, runs_of

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def write_comparison(dataset: str, *audits: str, page: str = "<p>all</p>") -> None:
    """What the stage compare leaves."""
    header = "audit,findings,model,short_spurious_auc"
    rows = [f"{audit},3,tiny,0.8{index}" for index, audit in enumerate(audits)]
    Path(f"reports/{dataset}.csv").write_text("\n".join([header, *rows]) + "\n")
    Path(f"reports/{dataset}.html").write_text(page)


def comparisons_of(root: Path, dataset: str) -> list[Run]:
    return [r for r in runs_of(root, dataset) if r.info.run_name == f"{dataset}: comparison"]


def parents_of(root: Path, dataset: str) -> set[str | None]:
    """Runs above those of a dataset's audits."""
    runs = [r for r in runs_of(root, dataset) if r.info.run_name != f"{dataset}: comparison"]
    return {run.data.tags.get(publish.PARENT) for run in runs}


def test_comparison_stands_above_its_audits(
    together: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_comparison("lesions", "lesions-tiny")
    call(monkeypatch, "--dataset", "lesions")  # publishes the audit, too
    receipt = (repository / "data/published/lesions.json").read_bytes()
    call(monkeypatch, "--dataset", "lesions")
    assert (repository / "data/published/lesions.json").read_bytes() == receipt
    (parent,) = comparisons_of(together, "lesions")
    assert parent.info.status == "FINISHED"
    assert parents_of(together, "lesions") == {parent.info.run_id}
    assert len(runs_of(together, "lesions")) == 2
    assert parent.data.metrics == {
        "lesions-tiny.findings": 3,
        "lesions-tiny.short_spurious_auc": 0.8,
    }
    page = artifact(parent.info.experiment_id, parent.info.run_id, "lesions.html")
    assert parent.data.tags[publish.NOTE].splitlines() == [
        "| audit | findings | short_spurious_auc |",
        "| --- | --- | --- |",
        "| lesions-tiny | 3 | 0.80 |",
        "",
        f"[Open the comparison]({page})",
    ]
    (child,) = [
        run for run in runs_of(together, "lesions") if run.info.run_id != parent.info.run_id
    ]
    assert f"{parent.info.run_id}/artifacts/lesions.html" in child.data.tags[publish.NOTE]
    artifacts = {item.path for item in client_of(together).list_artifacts(parent.info.run_id)}
    assert artifacts == {"lesions.html", "lesions.csv"}
    said = json.loads(receipt)
    assert (said["experiment"], list(said["audits"])) == ("lesions", ["lesions-tiny"])
    assert said["fingerprint"] == parent.data.tags[versions.FINGERPRINT_TAG]


def test_runs_stand_below_the_comparison_that_was_published_last(
    together: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in ("first", "second", "first"):
        write_comparison("lesions", "lesions-tiny", page=page)
        call(monkeypatch, "--dataset", "lesions")
        said = read_json(repository / "data/published/lesions.json")["fingerprint"]
        (above,) = parents_of(together, "lesions")
        runs = comparisons_of(together, "lesions")
        (current,) = [r for r in runs if r.data.tags[versions.FINGERPRINT_TAG] == said]
        assert above == current.info.run_id
    assert len(runs) == 2


def test_unfinished_comparison_is_replaced(
    together: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(monkeypatch, "--audit", "lesions-tiny")
    write_comparison("lesions", "lesions-tiny")
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "set_tag", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            call(patched, "--dataset", "lesions")
    (broken,) = comparisons_of(together, "lesions")
    assert broken.info.status == "RUNNING"
    call(monkeypatch, "--dataset", "lesions")
    (parent,) = comparisons_of(together, "lesions")
    assert parent.info.status == "FINISHED"
    assert parent.info.run_id != broken.info.run_id
    assert parents_of(together, "lesions") == {parent.info.run_id}


def test_sync_publishes_comparisons_of_audits_that_are_there(
    together: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_comparison("lesions", "lesions-tiny")
    write_comparison("scenes", "scenes-tiny", "dropped")
    call(monkeypatch, "--sync")
    assert len(comparisons_of(together, "lesions")) == 1
    assert comparisons_of(together, "scenes") == []
    assert "scenes: comparison left out, it is of dropped" in capsys.readouterr().err


def test_comparison_that_is_not_there_is_named(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=r"lesions\.csv.*dvc repro compare@lesions"):
        call(monkeypatch, "--dataset", "lesions")
