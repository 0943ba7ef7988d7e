"""`audit run`: `dvc repro`, and where the pages are."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from audits.command.__main__ import main
from tests.small_repository import ROOT

DAG = """\
stages:
  publish:
    foreach: [scenes-tiny, lesions-tiny]
    do:
      cmd: cp ${item}.txt data/published/scenes/${item}
      deps: ["${item}.txt"]
      outs: ["data/published/scenes/${item}"]
  compare:
    foreach: [scenes]
    do:
      cmd: ls data/published/scenes > compared.txt
      deps: [data/published/scenes]
      outs: [compared.txt]
  publish_comparison:
    foreach: [scenes]
    do:
      cmd: test ! -e broken && cp compared.txt published.txt
      deps: [compared.txt]
      outs: [published.txt]
"""
SLOW = """\
stages:
  publish:
    foreach: [scenes-tiny]
    do:
      cmd: echo $$ > begun && exec sleep 60
      outs: [never]
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAG in which two audits of one dataset are published and compared; nothing has run."""
    monkeypatch.chdir(tmp_path)
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw["audits"] = {"scenes-tiny": raw["audits"]["scenes-tiny"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    (tmp_path / "dvc.yaml").write_text(DAG)
    (tmp_path / "data/published/scenes").mkdir(parents=True)
    (tmp_path / "scenes-tiny.txt").write_text("scenes\n")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "--quiet"], check=True)
    return tmp_path


def test_an_audit_runs_and_is_compared_with_what_others_have(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["run", "scenes-tiny"])
    # The other audit of the dataset lacks its input and would fail.
    assert (repository / "published.txt").read_text() == "scenes-tiny\n"
    said = capsys.readouterr().out.splitlines()
    assert said[-2:] == [
        "report      reports/scenes-tiny/report.html",
        "comparison  reports/scenes.html",
    ]


def test_where_the_comparison_fails_the_report_is_named(repository: Path) -> None:
    (repository / "broken").touch()
    with pytest.raises(SystemExit) as stopped:
        main(["run", "scenes-tiny"])
    assert "publish_comparison@scenes` ended with exit code" in str(stopped.value)
    assert "the report is reports/scenes-tiny/report.html" in str(stopped.value)


def test_an_unknown_audit_is_refused_with_those_there_are(repository: Path) -> None:
    with pytest.raises(SystemExit, match=r"no audits\.birds; it has \['scenes-tiny'\]"):
        main(["run", "birds"])


def gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither signals nor groups")
@pytest.mark.parametrize(
    ("tell", "number", "ignored"),
    [
        (os.kill, signal.SIGTERM, False),
        (os.kill, signal.SIGTERM, True),
        (getattr(os, "killpg", None), signal.SIGINT, False),
    ],
    ids=["kill", "kill in the background", "Ctrl-C"],
)
def test_a_run_that_is_stopped_ends_its_stage_and_says_how_to_go_on(
    repository: Path, tell: Callable[[int, int], None], number: int, ignored: bool
) -> None:
    (repository / "dvc.yaml").write_text(SLOW)
    # As a script starts what ends with &, which may be how these tests were started.
    handler = signal.SIG_IGN if ignored else signal.default_int_handler
    before = signal.signal(signal.SIGINT, handler)
    run = subprocess.Popen(
        [sys.executable, "-m", "audits.command", "run", "scenes-tiny"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    signal.signal(signal.SIGINT, before)
    begun, until = repository / "begun", time.monotonic() + 60
    while not (begun.exists() and begun.read_text().strip()):
        assert run.poll() is None and time.monotonic() < until
        time.sleep(0.1)
    tell(run.pid, number)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert said.splitlines()[-1] == "stopped; `audit run scenes-tiny` goes on where it was"
    assert "Traceback" not in said
    assert gone(int(begun.read_text()))
