"""`audit status`: what DVC would run again, in words."""

import subprocess
import sys
from pathlib import Path

import pytest

from audits.command.status import reasons, states
from pipeline.config import ConfigError

# DVC's own, of an index without outputs.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")
DAG = """\
stages:
  draw:
    cmd: cp seed.txt drawn.txt
    deps: [seed.txt]
    outs: [drawn.txt]
  judge:
    foreach: [a, b]
    do:
      cmd: cat drawn.txt ${item}.txt > ${item}.judged
      params: ["limits.${item}"]
      deps: [drawn.txt, "${item}.txt"]
      outs: ["${item}.judged"]
  publish:
    foreach: [a, b]
    do:
      cmd: cp ${item}.judged ${item}.published
      deps: ["${item}.judged"]
      outs: ["${item}.published"]
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in which two audits have run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(DAG)
    (tmp_path / "params.yaml").write_text("limits: {a: 1, b: 2}\n")
    for name in ("seed", "a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"{name}\n")
    for command in (["init", "--no-scm", "--quiet"], ["repro", "--quiet"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], check=True)
    return tmp_path


def test_stages_are_stale_with_reasons_after_those_or_fresh(repository: Path) -> None:
    assert [(one["audit"], one["stale"], one["after"]) for one in states(["a", "b"])] == [
        ("a", {}, []),
        ("b", {}, []),
    ]
    (repository / "b.txt").write_text("better\n")
    (repository / "params.yaml").write_text("limits: {a: 1, b: 3}\n")
    (repository / "a.published").unlink()
    a, b = states(["a", "b"])
    assert a == {
        "audit": "a",
        "stale": {"publish@a": ["output a.published: deleted"]},
        "after": [],
        "fresh": ["draw", "judge@a"],
    }
    assert set(b["stale"]) == {"judge@b"}
    assert sorted(b["stale"]["judge@b"]) == [
        "input b.txt: modified",
        "setting limits.b in params.yaml: modified",
    ]
    assert (b["after"], b["fresh"]) == (["publish@b"], ["draw"])
    # What both stand on is said of both.
    (repository / "seed.txt").write_text("another\n")
    for one in states(["a", "b"]):
        assert "draw" in one["stale"] and not one["fresh"]


def test_an_audit_that_dvc_does_not_know_is_an_error(repository: Path) -> None:
    with pytest.raises(ConfigError, match=r"DVC cannot say .*publish@c"):
        states(["c"])


def test_code_and_commands_have_words() -> None:
    account = [{"changed deps": {"audits/report": "modified"}}, "changed command"]
    assert list(reasons(account)) == ["code audits/report: modified", "changed command"]
