"""The Git checkout that a run is made in."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

# What a run itself writes does not make the code that ran it a different one.
WRITTEN = (":!dvc.lock", ":!reports")


def git_state(folder: Path) -> dict[str, Any]:
    """Commit, and whether the tree differs from it apart from `dvc.lock` and `reports/`.

    Both are None where the folder is no Git checkout with a commit, such as an unpacked archive.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {"commit": None, "dirty": None}
    status = _git(folder, "status", "--porcelain", "--", ".", *WRITTEN)
    return {"commit": commit, "dirty": bool(status)}


def _git(folder: Path, *arguments: str) -> str | None:
    if shutil.which("git") is None:
        return None
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None
