"""Which code a run is of."""

import subprocess
from pathlib import Path

from audits.publish.checkout import git_state


def test_git_state_outside_a_checkout_is_none(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


def test_what_a_run_writes_makes_no_checkout_dirty(tmp_path: Path) -> None:
    def git(*command: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        done = subprocess.run(
            ["git", *who, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    (tmp_path / "code.py").touch()
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "first")
    (tmp_path / "dvc.lock").touch()
    commit = git("rev-parse", "HEAD")
    assert git_state(tmp_path) == {"commit": commit, "dirty": False}
    (tmp_path / "code.py").write_text("changed")
    assert git_state(tmp_path) == {"commit": commit, "dirty": True}
