"""Publishing: one finished run a version, whatever happened before."""

import json
import re
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from audits.publish import runs as publish
from audits.publish import version as versions
from pipeline.artifacts.store import read_json
from tests.audits.publish.invented import call, client_of, digest, invented_model, runs_of

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def test_two_processes_at_once_make_one_run_each(together: Path) -> None:
    runs = runs_of(together, "scenes")
    assert {run.info.run_name for run in runs} == {"scenes-tiny", "scenes-large"}
    assert [run.info.status for run in runs] == ["FINISHED"] * 2


def test_run_holds_all_of_the_version(together: Path) -> None:
    run = next(run for run in runs_of(together, "scenes") if run.info.run_name == "scenes-tiny")
    assert run.data.params["sae.k"] == "4"
    assert run.data.params["sae.decay_after"] == "[1, 2]"
    assert run.data.params["embeddings.batch_size"] == "2"
    left_out = {"embeddings", "embeddings.workers", "embeddings.dataset", "embeddings.model"}
    assert not left_out & run.data.params.keys(), "they make no other version"
    assert run.data.metrics["failures.planted.recall"] == 0.5
    assert run.data.metrics["shortcut.7.share"] == 0.25
    assert "failures.planted.precision" not in run.data.metrics
    expected = {
        "shortcut.7.label": "red hue",
        "dataset.fingerprint": "print-scenes",
        "model.tag": "local-dir:data/models/tiny",
        "model.weights_sha256": "ab12",
    }
    assert expected.items() <= run.data.tags.items()
    assert run.inputs is not None
    (entry,) = run.inputs.dataset_inputs
    dataset = entry.dataset
    assert (dataset.name, dataset.digest) == ("scenes", digest("scenes"))
    assert json.loads(dataset.source) == {"uri": "data/raw/scenes"}
    client = client_of(together)
    history = client.get_metric_history(run.info.run_id, "train.loss")
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25), (3, 0.125)]
    assert len(client.get_metric_history(run.info.run_id, "train.l0")) == 2
    artifacts = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert artifacts == {*versions.REPORT_FILES, "model"}
    assert str(together / "mlartifacts") in run.info.artifact_uri


def test_the_run_names_the_commit_that_it_was_published_at(
    together: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"commit": "c0ffee", "dirty": False}
    monkeypatch.setattr(versions, "git_state", lambda folder: state)
    call(monkeypatch, "--audit", "lesions-tiny")
    (run,) = runs_of(together, "lesions")
    assert (run.data.tags["git.commit"], run.data.tags["git.dirty"]) == ("c0ffee", "False")
    state["commit"] = "decaf"
    call(monkeypatch, "--audit", "lesions-tiny")
    assert len(runs_of(together, "lesions")) == 1


def test_publishing_twice_makes_no_second_run(
    together: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(monkeypatch, "--audit", "lesions-tiny")
    first = (repository / "data/published/lesions/lesions-tiny.json").read_bytes()
    provenance = repository / "reports/lesions-tiny/provenance.json"
    provenance.write_text(provenance.read_text().replace("ab12", "cd34"))
    call(monkeypatch, "--audit", "lesions-tiny")
    assert (repository / "data/published/lesions/lesions-tiny.json").read_bytes() == first
    assert len(runs_of(together, "lesions")) == 1


def test_changed_report_makes_a_second_run(
    together: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(monkeypatch, "--audit", "lesions-tiny")
    (repository / "reports/lesions-tiny/report.md").write_text("# other\n")
    call(monkeypatch, "--audit", "lesions-tiny")
    runs = runs_of(together, "lesions")
    assert len({run.data.tags[versions.FINGERPRINT_TAG] for run in runs}) == 2


@pytest.mark.parametrize("status", ["RUNNING", "FAILED"])
def test_unfinished_run_is_replaced(
    together: Path, repository: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    with monkeypatch.context() as patched:
        # Stands in for a kill: the run is made and its metrics are in, the artifacts are not.
        patched.setattr(MlflowClient, "log_artifact", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            call(patched, "--audit", "lesions-tiny")
    (broken,) = runs_of(together, "lesions")
    assert not (repository / "data/published/lesions/lesions-tiny.json").exists()
    if status == "FAILED":
        client = client_of(together)
        client.set_terminated(broken.info.run_id, status)
    call(monkeypatch, "--audit", "lesions-tiny")
    (run,) = runs_of(together, "lesions")
    assert run.info.status == "FINISHED"
    assert run.info.run_id != broken.info.run_id


def test_sync_fills_an_empty_mlflow_without_receipts(
    together: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(repository / "reports/lesions-tiny", repository / "reports/dropped")
    call(monkeypatch, "--sync")
    call(monkeypatch, "--sync")
    names = [run.info.run_name for run in runs_of(together, "lesions")]
    assert names == ["lesions-tiny"]
    assert not (repository / "data/published").exists()
    assert "dropped: left out, params.yaml has no audits.dropped" in capsys.readouterr().err


def test_sync_leaves_out_reports_of_which_a_clone_has_the_figures_only(
    together: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (repository / "reports/scenes-large/report.html").unlink()
    shutil.rmtree(repository / "data/saes/scenes-tiny")
    call(monkeypatch, "--sync")
    said = capsys.readouterr().err
    assert "scenes-large: left out, reports/scenes-large/report.html does not exist" in said
    assert "scenes-tiny: left out, data/saes/scenes-tiny/curves.csv does not exist" in said
    assert "lesions-tiny: published" in said
    (repository / "reports/lesions-tiny/report.html").unlink()
    with pytest.raises(SystemExit, match="no whole report"):
        call(monkeypatch, "--sync")


def test_experiment_deleted_by_hand_is_restored(
    together: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(monkeypatch, "--audit", "lesions-tiny")
    client = client_of(together)
    experiment = client.get_experiment_by_name("lesions")
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    call(monkeypatch, "--audit", "lesions-tiny")
    assert [run.info.status for run in runs_of(together, "lesions")] == ["FINISHED"]


def test_receipt_names_no_run_and_no_time(together: Path) -> None:
    receipt = read_json(together / "data/published/scenes/scenes-tiny.json")
    assert re.fullmatch("[0-9a-f]{64}", receipt.pop("fingerprint"))
    assert receipt == {
        "experiment": "scenes",
        "run_name": "scenes-tiny",
        "counts": {"params": 10, "metrics": 4, "curve_points": 5, "artifacts": 6},
    }


@pytest.mark.parametrize(
    ("missing", "stage"),
    [
        ("reports/lesions-tiny/report.html", "report@lesions-tiny"),
        ("data/saes/lesions-tiny/curves.csv", "train_sae@lesions-tiny"),
    ],
)
def test_missing_file_is_named_with_its_stage(
    repository: Path, monkeypatch: pytest.MonkeyPatch, missing: str, stage: str
) -> None:
    (repository / missing).unlink()
    with pytest.raises(SystemExit, match=f"{missing} does not exist.*dvc repro {stage}`"):
        call(monkeypatch, "--audit", "lesions-tiny")


def test_no_report_at_all(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(repository / "reports")
    with pytest.raises(SystemExit, match="holds no whole report"):
        call(monkeypatch, "--sync")


def test_more_than_a_batch_takes_are_logged(together: Path) -> None:
    version = versions.Version(
        audit="big",
        dataset="big",
        fingerprint="f" * 64,
        params={f"p.{i}": str(i) for i in range(101)},
        metrics={f"m.{i}": float(i) for i in range(1001)},
        curves=[("train.loss", 3, 0.5)],
        tags={f"t.{i}": str(i) for i in range(103)},
        source="data/raw/big",
        digest="0" * 32 + ".dir",
        files=[],
        headline="big",
        findings=[],
        model=invented_model(together),
    )
    publish.publish_all([version], together)
    (run,) = runs_of(together, "big")
    assert len(run.data.params) == 101
    assert run.data.metrics["m.1000"] == 1000.0
    assert run.data.metrics["train.loss"] == 0.5
    assert run.data.tags["t.102"] == "102"
