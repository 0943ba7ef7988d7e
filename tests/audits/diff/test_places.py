"""Where reports are found: Git revisions, folders, and MLflow runs."""

import subprocess
from pathlib import Path

import pytest
from mlflow import MlflowClient

from audits.diff.places import PlaceError, find_reports
from pipeline.config import Params
from tests.audits.diff.copies import AUDIT, Copy

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
NOTHING = Params.model_construct(datasets={}, audits={})


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Copy:
    """A Git repository with two versions of a report, tagged one and two."""
    copied = Copy(tmp_path)
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    for tag, variance in (("one", 0.5), ("two", 0.25)):
        copied.set("metrics.json", "sae.explained_variance", variance)
        git("add", "-A")
        git("-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-qm", tag)
        git("tag", tag)
    copied.set("metrics.json", "sae.explained_variance", 0.125)
    return copied


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True)


@pytest.mark.parametrize(
    ("asked", "variance"),
    [
        ("one", 0.5),
        ("two", 0.25),
        ("HEAD~1", 0.5),
        ("workspace", 0.125),
        (f"reports/{AUDIT}", 0.125),
        (f"reports/{AUDIT}/metrics.json", 0.125),
        ("reports", 0.125),
    ],
)
def test_a_report_is_found_where_it_is(checkout, asked, variance):
    (report,) = find_reports(asked, NOTHING).values()
    assert report.audit == AUDIT
    assert report.metrics["sae.explained_variance"] == variance
    assert report.grounds.settings[f"audits.{AUDIT}.failures.q"] == 0.05
    assert report.findings_file == (checkout.folder / "findings.csv").read_bytes()


@pytest.mark.parametrize("asked", ["three", ".", "abcd1234", "nowhere/at/all"])
def test_a_place_without_a_report_is_named_with_what_is_allowed(checkout, asked):
    with pytest.raises(PlaceError, match=f"{asked} holds no report: it has to be workspace"):
        find_reports(asked, NOTHING)


def test_a_report_of_another_time_is_named(checkout):
    path = checkout.folder / "findings.csv"
    path.write_text(path.read_text().replace("example_ids", "examples", 1))
    with pytest.raises(ValueError, match=r"findings.csv of scenes-tiny lacks \['example_ids'\]"):
        find_reports("workspace", NOTHING)


def test_an_mlflow_run_is_a_place(checkout, monkeypatch):
    uri = f"sqlite:///{Path('mlflow.db').resolve()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = MlflowClient(uri)
    experiment = client.create_experiment("scenes", artifact_location=str(Path("kept").resolve()))
    run = client.create_run(experiment, run_name=AUDIT).info.run_id
    client.log_param(run, "failures.q", "0.05")
    for path in checkout.folder.iterdir():
        client.log_artifact(run, str(path))
    (report,) = find_reports(run, NOTHING).values()
    assert report.audit == AUDIT
    assert report.grounds.settings == {f"audits.{AUDIT}.failures.q": 0.05}
    assert not report.grounds.whole
    with pytest.raises(PlaceError, match="MLflow run 0000"):
        find_reports("0" * 32, NOTHING)
