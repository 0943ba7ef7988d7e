"""`audit ui`: links to what is published, and clear words where there is none or no port."""

import re
import socket
from pathlib import Path

import pytest
from mlflow import MlflowClient

from audits.command import ui
from audits.command.__main__ import main
from audits.publish.description import CURRENT
from audits.publish.version import FINGERPRINT_TAG

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def test_a_taken_port_is_named_with_the_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as other:
        other.bind((ui.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=f"port {port} .* is taken.*--port {port + 1}"):
            main(["ui", "--port", str(port)])
    assert not Path("mlflow.db").exists()


def test_current_versions_are_listed_newest_first(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("birds")
    made = {}
    for name, current, ended in (("a", "false", 9), ("a", "true", 1), ("b", "true", 5)):
        tags = {FINGERPRINT_TAG: "f", CURRENT: current}
        run = client.create_run(experiment, tags=tags, run_name=name).info.run_id
        client.set_terminated(run, "FINISHED", end_time=ended)
        made[name, current] = run
    rows = ui.published(uri)
    assert [(row.audit, row.run_id) for row in rows] == [
        ("b", made["b", "true"]),
        ("a", made["a", "true"]),
    ]
    said = ui.table(rows, "http://x")
    assert re.findall(r"report +(\S+)", said) == [
        f"http://x/#/experiments/{experiment}/runs/{row.run_id}/artifacts/report.html"
        "?workflowType=machine_learning"
        for row in rows
    ]
    assert f"http://x/#/experiments/{experiment}/runs?workflowType=machine_learning" in said


def test_nothing_published_is_said_with_what_to_do():
    assert "nothing is published yet. `make audit`" in ui.table([], "http://x")


def test_a_server_that_ends_is_an_error_with_its_words(tmp_path):
    with (tmp_path / "log").open("w+") as log:
        server = ui.start("nonsense://x", 1, log)
        with pytest.raises(OSError, match=r"(?s)MLflow did not start: .*nonsense"):
            ui.wait(server, 1, log)
        ui.stop(server)
