"""A `dvc.lock` that was cut off as DVC wrote it is named with the remedy, which loses nothing."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from audits.command import run as command
from audits.command.lock import REMEDY, cut_off
from audits.command.status import states
from pipeline.config import ConfigError

# DVC's own, of an index without outputs.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep:DeprecationWarning")
DAG = """\
stages:
  draw:
    cmd: echo draw >> ran.txt && cp seed.txt drawn.txt
    deps: [seed.txt]
    outs: [drawn.txt]
  publish:
    foreach: [one]
    do:
      cmd: echo publish >> ran.txt && cp drawn.txt ${item}.txt
      deps: [drawn.txt]
      outs: ["${item}.txt"]
"""


def typed(command: str) -> str:
    """What a command prints, all of it."""
    words = [sys.executable, "-m", *command.split()] if command.startswith("dvc") else command
    shell = isinstance(words, str)
    done = subprocess.run(words, shell=shell, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose run since the last commit was killed as it wrote dvc.lock."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(DAG)
    Path("seed.txt").write_text("first\n")
    for line in ("git init -q", "dvc init --quiet", "dvc repro --quiet"):
        typed(line)
    typed("git add . && git -c user.name=a -c user.email=a@b.org commit -qm first")
    Path("seed.txt").write_text("second\n")
    typed("dvc repro --quiet")
    whole = Path("dvc.lock").read_text()
    assert not cut_off()
    Path("dvc.lock").write_text(whole[: whole.rindex("path:") + len("path:")])
    Path("ran.txt").unlink()
    return tmp_path


def test_a_lock_that_was_cut_off_is_named_with_the_remedy(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cut_off()
    with pytest.raises(ConfigError, match=r"`git restore dvc\.lock` brings back"):
        states(["one"])
    monkeypatch.setattr(command, "load_params", lambda: _Audits())
    with pytest.raises(ValueError, match=r"ended with exit code 255: dvc\.lock is not whole"):
        command._run(argparse.Namespace(name="one"))


def test_the_remedy_computes_nothing_again(repository: Path) -> None:
    assert "validation failed" in typed("dvc repro")
    assert "`git restore dvc.lock`" in REMEDY
    typed("git restore dvc.lock")
    assert "cached - skipping run" in typed("dvc repro")
    assert not Path("ran.txt").exists()
    assert Path("one.txt").read_text() == "second\n"
    assert not cut_off()


def test_other_faults_keep_their_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="DVC cannot say how the stages stand"):
        states(["one"])


class _Audits:
    """Settings of which only an audit's dataset is asked for."""

    dataset = "birds"

    def audit(self, name: str) -> "_Audits":
        return self
