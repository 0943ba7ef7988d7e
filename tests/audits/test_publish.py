"""Publishing: one finished run a version, whatever happened before."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from audits import publish
from audits import version as versions
from pipeline.config import AuditConfig, DatasetConfig, ModelConfig, Params, SaeConfig
from pipeline.store import read_json

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

REPOSITORY = Path(__file__).parents[2]
DATASETS = {"scenes-tiny": "scenes", "scenes-large": "scenes", "lesions-tiny": "lesions"}
METRICS = {
    "dataset": {"images": 12},
    "failures": {"flags": 3, "planted": {"recall": 0.5, "precision": None}},
    "shortcut": {"7": {"share": 0.25, "label": "red hue"}},
}


def tiny_params() -> Params:
    """What publishing reads of params.yaml, and no more."""
    sae = SaeConfig.model_construct(
        components=8,
        k=4,
        epochs=3,
        epoch_fraction=1.0,
        batch_size=2,
        learning_rate=0.01,
        decay_after=[1, 2],
    )
    return Params.model_construct(
        audits={
            name: AuditConfig.model_construct(dataset=dataset, model="tiny", sae=sae)
            for name, dataset in DATASETS.items()
        },
        models={"tiny": ModelConfig(name="local-dir:data/models/tiny", pretrained=None, note=None)},
        datasets={
            name: DatasetConfig.model_construct(root=Path("data/raw") / name)
            for name in set(DATASETS.values())
        },
    )


def write_repository(root: Path) -> None:
    """What the stages before publish leave, for each audit."""
    for audit, dataset in DATASETS.items():
        report = root / "reports" / audit
        report.mkdir(parents=True)
        (report / "metrics.json").write_text(json.dumps(METRICS))
        (report / "report.html").write_text("<p>hello</p>")
        (report / "report.md").write_text(f"# {audit}\n")
        (report / "findings.csv").write_text("finding_id,class\nf1,bat\n")
        provenance = {
            "git": {"commit": "c0ffee", "dirty": False},
            "dataset": {"fingerprint": f"print-{dataset}"},
            "model": {"weights_sha256": "ab12"},
        }
        (report / "provenance.json").write_text(json.dumps(provenance))
        sae = root / "data" / "saes" / audit
        sae.mkdir(parents=True)
        (sae / "curves.csv").write_text("epoch,loss,l0\n1,0.5,4\n2,0.25,\n3,0.125,3.5\n")
    stages = {
        f"prepare@{dataset}": {
            "cmd": "prepare",
            "outs": [
                {"path": f"data/manifests/{dataset}/dataset.json", "md5": "1" * 32},
                {"path": f"data/manifests/{dataset}/manifest.parquet", "md5": digest(dataset)},
            ],
        }
        for dataset in DATASETS.values()
    }
    (root / "dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))


def digest(dataset: str) -> str:
    return dataset[0].encode().hex() * 16


PROCESS = """
import sys
from tests.audits import test_publish
from audits import publish
from audits import version as versions
publish.load_params = test_publish.tiny_params
sys.argv = ["publish", "--audit", sys.argv[1]]
publish.main()
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which two processes, started at once, made the database."""
    root = tmp_path_factory.mktemp("together")
    write_repository(root)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DVC_ROOT": str(root)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, audit],
            cwd=root,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for audit in ("scenes-tiny", "scenes-large")
    ]
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    return root


@pytest.fixture
def repository(together: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with its own files; MLflow is that of `together`.

    A database takes seconds to make, so tests share one, and what an earlier test published of
    lesions is put aside.
    """
    write_repository(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(together))
    monkeypatch.setattr(publish, "load_params", tiny_params)
    client = client_of(together)
    earlier = client.get_experiment_by_name("lesions")
    if earlier is not None:
        client.rename_experiment(earlier.experiment_id, tmp_path.name)
    return tmp_path


def client_of(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{root / 'mlflow.db'}")


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["publish", *arguments])
    publish.main()


def runs_of(root: Path, dataset: str) -> list[Run]:
    client = client_of(root)
    experiment = client.get_experiment_by_name(dataset)
    return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))


def test_two_processes_at_once_make_one_run_each(together: Path) -> None:
    runs = runs_of(together, "scenes")
    assert {run.info.run_name for run in runs} == {"scenes-tiny", "scenes-large"}
    assert [run.info.status for run in runs] == ["FINISHED"] * 2


def test_run_holds_all_of_the_version(together: Path) -> None:
    run = next(run for run in runs_of(together, "scenes") if run.info.run_name == "scenes-tiny")
    assert run.data.params["sae.k"] == "4"
    assert run.data.params["sae.decay_after"] == "[1, 2]"
    assert run.data.metrics["failures.planted.recall"] == 0.5
    assert run.data.metrics["shortcut.7.share"] == 0.25
    assert "failures.planted.precision" not in run.data.metrics
    expected = {
        "shortcut.7.label": "red hue",
        "dataset.fingerprint": "print-scenes",
        "model.tag": "local-dir:data/models/tiny",
        "model.weights_sha256": "ab12",
        "git.commit": "c0ffee",
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
    assert artifacts == set(versions.REPORT_FILES)
    assert str(together / "mlartifacts") in run.info.artifact_uri


def test_publishing_twice_makes_no_second_run(
    together: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call(monkeypatch, "--audit", "lesions-tiny")
    first = (repository / "data/published/lesions/lesions-tiny.json").read_bytes()
    provenance = repository / "reports/lesions-tiny/provenance.json"
    provenance.write_text(provenance.read_text().replace("c0ffee", "decaf"))
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


def test_database_that_a_kill_left_unfinished_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.db.new").write_text("half made")
    (tmp_path / "mlflow.db.new-journal").write_text("half made")
    connected = []

    def connect(uri: str) -> None:
        assert list(tmp_path.iterdir()) == []
        (tmp_path / "mlflow.db.new").write_text("whole")
        connected.append(uri)

    monkeypatch.setattr(publish, "connect", connect)
    publish.make_database(tmp_path / "mlflow.db")
    publish.make_database(tmp_path / "mlflow.db")
    assert connected == [f"sqlite:///{tmp_path / 'mlflow.db.new'}"]
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    assert (tmp_path / "mlflow.db").read_text() == "whole"


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
    assert parent.data.tags[publish.NOTE].splitlines() == [
        "| audit | findings | short_spurious_auc |",
        "| --- | --- | --- |",
        "| lesions-tiny | 3 | 0.80 |",
    ]
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
    with pytest.raises(FileNotFoundError, match=r"lesions\.csv.*dvc repro compare@lesions"):
        call(monkeypatch, "--dataset", "lesions")


def test_receipt_names_no_run_and_no_time(together: Path) -> None:
    receipt = read_json(together / "data/published/scenes/scenes-tiny.json")
    assert re.fullmatch("[0-9a-f]{64}", receipt.pop("fingerprint"))
    assert receipt == {
        "experiment": "scenes",
        "run_name": "scenes-tiny",
        "counts": {"params": 9, "metrics": 4, "curve_points": 5, "artifacts": 5},
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
    with pytest.raises(FileNotFoundError, match=f"{missing} does not exist.*dvc repro {stage}`"):
        call(monkeypatch, "--audit", "lesions-tiny")


def test_no_report_at_all(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(repository / "reports")
    with pytest.raises(FileNotFoundError, match="holds no report"):
        call(monkeypatch, "--sync")


@pytest.mark.parametrize("uri", ["http://me:secret@127.0.0.1:9", "ftp://me:secret@nowhere/"])
def test_unusable_mlflow_is_named_without_password(
    repository: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ConnectionError, match=r"MLflow at .* MLFLOW_TRACKING_URI") as caught:
        call(monkeypatch, "--audit", "lesions-tiny")
    assert uri.replace("me:secret@", "") in str(caught.value)
    assert "secret" not in str(caught.value)


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
    )
    publish.publish_all([version], together)
    (run,) = runs_of(together, "big")
    assert len(run.data.params) == 101
    assert run.data.metrics["m.1000"] == 1000.0
    assert run.data.metrics["train.loss"] == 0.5
    assert run.data.tags["t.102"] == "102"


def test_flatten_joins_with_dots_and_maps_what_mlflow_refuses() -> None:
    tree = {"a": {"b c": 1, "hot/dog (bun)": {"x-1": None}}, "list": [1, 2]}
    expected = {"a.b c": 1, "a.hot_dog _bun_.x-1": None, "list": [1, 2]}
    assert versions.flatten(tree) == expected


@pytest.mark.parametrize("tree", [{"a/b": 1, "a_b": 2}, {"a": {"b": 1}, "a.b": 2}])
def test_flatten_refuses_two_leaves_of_one_name(tree: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="two keys have the MLflow name"):
        versions.flatten(tree)


def test_split_metrics_refuses_a_list() -> None:
    with pytest.raises(ValueError, match=r"metric a\.b is \[1, 2\]"):
        versions.split_metrics({"a.b": [1, 2]})


def test_curve_points_skip_empty_cells() -> None:
    curves = pd.DataFrame({"epoch": [1, 2], "loss": [0.5, None], "l0": [4, 3]})
    points = [("train.loss", 1, 0.5), ("train.l0", 1, 4.0), ("train.l0", 2, 3.0)]
    assert versions.curve_points(curves) == points


def test_fingerprint_depends_on_each_part() -> None:
    base = ("a", {"k": "4"}, "d", {"report.md": b"x", "metrics.json": b"y"})
    others = [
        ("b", *base[1:]),
        (base[0], {"k": "5"}, *base[2:]),
        (*base[:2], "e", base[3]),
        (*base[:3], {"report.md": b"y", "metrics.json": b"x"}),
    ]
    assert len({versions.fingerprint(*version) for version in [base, *others]}) == 5
    assert versions.fingerprint(*base) == versions.fingerprint(*base)


def test_manifest_digest_takes_the_file_else_its_folder() -> None:
    manifest = Path("data/manifests/scenes/manifest.parquet")
    folder = {"path": "data/manifests/scenes", "md5": "f.dir"}
    file = {"path": str(manifest), "md5": "abc"}
    stages = {"other": {"cmd": "x"}, "prepare@scenes": {"outs": [folder]}}
    assert versions.manifest_digest({"stages": stages}, manifest) == "f.dir"
    both = {"stages": {**stages, "more": {"outs": [file]}}}
    assert versions.manifest_digest(both, manifest) == "abc"
    with pytest.raises(KeyError, match=r"data/manifests/lesions/.*prepare@lesions"):
        versions.manifest_digest(
            {"stages": stages}, Path("data/manifests/lesions/manifest.parquet")
        )
