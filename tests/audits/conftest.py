"""Fixtures of several files: an audit to be reviewed, repositories that publish to one MLflow, and
a browser with the reports of a finished run.

MLflow is imported inside the fixtures, so that tests without it start at once.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.audits.review.invented import AUDIT, FIRST, write_stage

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    """A Chromium without a window."""
    from tests.browser import chromium

    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def finished(browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a finished run, and its reports by today's code."""
    from tests.browser import write_finished

    folder = tmp_path_factory.mktemp("finished")
    write_finished(folder)
    return folder


@pytest.fixture
def reviewable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory with params.yaml and three findings that nobody has reviewed."""
    shutil.copy(Path(__file__).parents[2] / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    write_stage(AUDIT, FIRST)
    return tmp_path


@pytest.fixture(scope="session")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which two processes, started at once, made the database."""
    from tests.audits.publish.invented import PROCESS, REPOSITORY, write_repository

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
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    shutil.copytree(root, root.with_name("untouched"))
    return root


@pytest.fixture(scope="session")
def untouched(together: Path) -> Path:
    """A copy of `together` from before any test published into it."""
    return together.with_name("untouched")


@pytest.fixture
def repository(together: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with its own files; MLflow is that of `together`.

    A database takes seconds to make, so tests share one, and what an earlier test published of
    lesions is put aside.
    """
    from audits.publish import runs as publish
    from tests.audits.publish.invented import client_of, tiny_params, write_repository

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
