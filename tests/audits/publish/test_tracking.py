"""The MLflow store: mended after a move, and named where it cannot be used."""

import os
import shutil
import socket
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.tracking._tracking_service import utils

from audits.publish import runs as publish
from audits.publish import tracking
from audits.publish.version import FINGERPRINT_TAG, REPORT_FILES
from tests.audits.publish.invented import call, client_of, runs_of, tiny_params, write_repository
from tests.audits.publish.test_publish_comparison import write_comparison

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def run_ids(root: Path) -> set[str]:
    return {run.info.run_id for run in runs_of(root, "scenes")}


def check_whole(root: Path, names: set[str]) -> None:
    """Every run of scenes lies in this folder with its artifacts, one a version."""
    runs = runs_of(root, "scenes")
    assert {run.info.run_name for run in runs} == names
    assert len({run.data.tags[FINGERPRINT_TAG] for run in runs}) == len(runs)
    for run in runs:
        assert run.info.artifact_uri.startswith(f"{root / 'mlartifacts'}/")
        found = {item.path for item in client_of(root).list_artifacts(run.info.run_id)}
        expected = {"scenes.html", "scenes.csv"}
        # A model may lie in the run of an earlier version that has the same.
        compares = "comparison" in run.info.run_name
        assert found - {"model"} == (expected if compares else set(REPORT_FILES))


NAMES = {"scenes-tiny", "scenes-large", "scenes: comparison"}


@pytest.fixture(scope="module")
def published(untouched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own with two audits and a comparison in MLflow, made once."""
    root = tmp_path_factory.mktemp("published") / "a clone"
    write_repository(root)
    shutil.copy(untouched / "mlflow.db", root / "mlflow.db")
    shutil.copytree(untouched / "mlartifacts", root / "mlartifacts")
    with pytest.MonkeyPatch.context() as patch:
        at(root, patch)
        write_comparison("scenes", "scenes-tiny", "scenes-large")
        call(patch, "--dataset", "scenes")
    return root


@pytest.fixture
def clone(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it elsewhere as the current directory; the first one is still there."""
    root = tmp_path / "elsewhere, 100% new"
    shutil.copytree(published, root)
    at(root, monkeypatch)
    return root


def at(root: Path, patch: pytest.MonkeyPatch) -> None:
    # MLflow remembers where a run's artifacts are for as long as a process lives.
    utils._artifact_repos_cache.clear()
    patch.chdir(root)
    patch.delenv(tracking.VARIABLE, raising=False)
    patch.setenv("DVC_ROOT", str(root))
    patch.setattr(publish, "load_params", tiny_params)


def test_a_clone_that_was_moved_is_mended(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = clone.with_name("moved")
    clone.rename(moved)
    at(moved, monkeypatch)
    before = run_ids(moved)
    (page,) = [r for r in runs_of(moved, "scenes") if r.info.run_name == "scenes-tiny"]
    call(monkeypatch, "--sync")
    assert "artifacts of 3 runs are looked for in" in capsys.readouterr().err
    assert before <= run_ids(moved)
    check_whole(moved, NAMES)
    got = download_artifacts(
        run_id=page.info.run_id,
        artifact_path="report.html",
        tracking_uri=f"sqlite:///{moved / 'mlflow.db'}",
    )
    assert Path(got).read_text() == "<p>hello</p>"
    call(monkeypatch, "--sync")
    said = capsys.readouterr().err
    assert "looked for" not in said
    assert "put back" not in said
    assert "lost" not in said


def test_a_copied_clone_leaves_the_first_alone(
    published: Path, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted(published.rglob("*"))
    Path("reports/scenes-tiny/report.md").write_text("# another version\n")
    call(monkeypatch, "--audit", "scenes-tiny")
    assert len(run_ids(clone)) == len(NAMES) + 1
    check_whole(clone, NAMES)
    assert sorted(published.rglob("*")) == files


def test_a_copy_without_artifacts_reads_those_that_are_elsewhere(
    published: Path, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree("mlartifacts")
    call(monkeypatch, "--sync")
    old = {run.info.artifact_uri for run in runs_of(clone, "scenes")}
    assert all(str(published) in uri for uri in old)
    Path("reports/scenes-tiny/report.md").write_text("# another version\n")
    call(monkeypatch, "--audit", "scenes-tiny")
    (new,) = {run.info.artifact_uri for run in runs_of(clone, "scenes")} - old
    assert new.startswith(str(clone))


@pytest.mark.parametrize("gone", ["mlartifacts", "mlartifacts/scenes"])
def test_deleted_artifacts_are_put_back(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gone: str
) -> None:
    tracking.relocate(clone)
    before = run_ids(clone)
    shutil.rmtree(gone)
    Path("reports/scenes-large/report.md").write_text("# the old version is not here any more\n")
    call(monkeypatch, "--sync")
    said = capsys.readouterr().err
    assert "scenes-tiny: already published, report.html, components.html, report.md" in said
    assert "scenes-large: published" in said
    # The version that reports/ does not hold cannot be put back, nor its comparison.
    assert "2 runs have lost their artifacts (scenes-large, scenes: comparison)" in said
    assert before <= run_ids(clone)
    (tiny,) = [r for r in runs_of(clone, "scenes") if r.info.run_name == "scenes-tiny"]
    found = {item.path for item in client_of(clone).list_artifacts(tiny.info.run_id)}
    assert found == {*REPORT_FILES, "model"}


def test_one_deleted_artifact_is_put_back_when_the_stage_runs(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for page in clone.glob("mlartifacts/scenes/*/artifacts/report.html"):
        page.unlink()
    call(monkeypatch, "--audit", "scenes-tiny")
    assert "scenes-tiny: already published, report.html put back" in capsys.readouterr().err
    assert "clone" not in Path("data/published/scenes/scenes-tiny.json").read_text()


def test_a_deleted_database_is_filled_anew(
    together: Path, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mlflow.db").unlink()
    empty = clone / "empty.db"
    monkeypatch.setattr(tracking, "make_database", lambda database: shutil.copy(empty, database))
    # An empty database takes seconds to make, so it is one whose experiments were forgotten.
    shutil.copy(together / "mlflow.db", empty)
    client = MlflowClient(f"sqlite:///{empty}")
    for experiment in client.search_experiments():
        if experiment.name != "Default":
            client.rename_experiment(experiment.experiment_id, f"old {experiment.name}")
    call(monkeypatch, "--sync")
    check_whole(clone, NAMES)


def test_artifacts_of_ones_own_are_left_where_they_are(clone: Path) -> None:
    client = client_of(clone)
    places = {"bucket": "s3://bucket/mlartifacts/x", "folder": str(clone.parent / "mine")}
    ids = {name: client.create_experiment(name, place) for name, place in places.items()}
    tracking.relocate(clone)
    for name, place in places.items():
        assert client_of(clone).get_experiment(ids[name]).artifact_location == place


def test_database_that_a_kill_left_unfinished_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mlflow.db.new").write_text("half made")
    (tmp_path / "mlflow.db.new-journal").write_text("half made")
    (tmp_path / "mlflow.db.new.bak").write_text("a person's")
    connected = []

    def connect(uri: str) -> None:
        assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db.new.bak"]
        (tmp_path / "mlflow.db.new").write_text("whole")
        connected.append(uri)

    monkeypatch.setattr(tracking, "connect", connect)
    tracking.make_database(tmp_path / "mlflow.db")
    tracking.make_database(tmp_path / "mlflow.db")
    assert connected == [f"sqlite:///{tmp_path / 'mlflow.db.new'}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.new.bak"]
    assert (tmp_path / "mlflow.db").read_text() == "whole"


@pytest.mark.parametrize(
    ("uri", "remedy"),
    [
        ("127.0.0.1:5000", "write MLFLOW_TRACKING_URI=http://127.0.0.1:5000 "),
        ("localhost:5000", "write MLFLOW_TRACKING_URI=http://localhost:5000 "),
        ("mlflow.example.org:443/x", "write MLFLOW_TRACKING_URI=http://mlflow.example.org:443/x "),
        ("mlruns", "has to be a server (http://host:port) or a database (sqlite:///"),
        ("/srv/mlflow", "has to be a server (http://host:port) or a database (sqlite:///"),
        ("file:///srv/mlflow", "has to be a server (http://host:port) or a database (sqlite:///"),
        ("sqlite:/mlflow.db", "has to be a server (http://host:port) or a database (sqlite:///"),
        ("ftp://me:secret@nowhere/", "start it, or correct or unset MLFLOW_TRACKING_URI"),
        ("postgresql://me:secret@db/x", "start it, or correct or unset MLFLOW_TRACKING_URI"),
        ("sqlite:////proc/no/mlflow.db", "start it, or correct or unset MLFLOW_TRACKING_URI"),
    ],
)
def test_an_mlflow_that_cannot_be_used_is_named_with_a_remedy(
    repository: Path, monkeypatch: pytest.MonkeyPatch, uri: str, remedy: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv(tracking.VARIABLE, uri)
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, "--audit", "lesions-tiny")
    said = str(caught.value)
    assert said.startswith(f"publish: MLflow at {uri.replace('me:secret@', '')} cannot be used: ")
    assert remedy in said
    assert "secret" not in said
    assert not Path("data/published").exists()


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:9",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:port",
        "http://[::1",
        "http://me:secret@127.0.0.1:9",
    ],
)
def test_a_server_that_is_down_stops_no_audit_and_is_caught_up_with(
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    uri: str,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv(tracking.VARIABLE, uri)
    call(monkeypatch, "--audit", "lesions-tiny")
    said = capsys.readouterr().err
    shown = uri.replace("me:secret@", "")
    assert said.startswith(f"NOT PUBLISHED: MLflow at {shown} cannot be used: start it, or correct")
    assert "`python -m audits.publish --sync` publishes it" in said
    assert "secret" not in said
    receipt = Path("data/published/lesions/lesions-tiny.json")
    without = receipt.read_bytes()
    with pytest.raises(SystemExit, match="cannot be used: start it"):
        call(monkeypatch, "--sync")
    monkeypatch.delenv(tracking.VARIABLE)
    call(monkeypatch, "--sync")
    assert "lesions-tiny: published" in capsys.readouterr().err
    call(monkeypatch, "--audit", "lesions-tiny")
    assert "lesions-tiny: already published" in capsys.readouterr().err
    assert receipt.read_bytes() == without, "DVC does not take it for another one"


def test_a_server_that_does_not_answer_is_not_waited_for(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    patience = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    monkeypatch.setattr(tracking, "PATIENCE", patience)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv(tracking.VARIABLE, uri)
        begun = time.monotonic()
        call(monkeypatch, "--audit", "lesions-tiny")
    assert f"NOT PUBLISHED: MLflow at {uri} cannot be used: start it" in capsys.readouterr().err
    assert time.monotonic() - begun < 20
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


@pytest.mark.parametrize("said", ["", "  "])
def test_an_empty_variable_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setenv(tracking.VARIABLE, said)
    uri = tracking.tracking_uri(tmp_path)
    assert uri == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert tracking.own_database(uri, tmp_path)


def test_the_own_database_is_known_by_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tracking.own_database("sqlite:///mlflow.db", tmp_path)
    assert tracking.own_database(f"sqlite:///{tmp_path}/x/../mlflow.db", tmp_path)
    assert not tracking.own_database("sqlite:///other.db", tmp_path)
    assert not tracking.own_database("http://127.0.0.1:5000", tmp_path)
