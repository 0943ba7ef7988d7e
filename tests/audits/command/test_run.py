"""`audit run`: `dvc repro`, and where the pages are."""

import subprocess
import sys
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
