"""Where a report comes from: code, inputs, weights, versions, seeds."""

import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any

PACKAGES = (
    "torch",
    "open_clip_torch",
    "numpy",
    "scikit-learn",
    "dvc",
    "mlflow",
    "pyarrow",
    "pandas",
    "pillow",
)
# What a run itself writes does not make the code that ran it a different one.
WRITTEN = (":!dvc.lock", ":!reports")
SIDES = ("deps", "outs")
MODEL = (
    "model",
    "name",
    "pretrained",
    "parameters",
    "weights_sha256",
    "preprocessing",
    "precision",
    "cosine_to_float32",
    "dtype",
)


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


def lock_hashes(
    lock: Mapping[str, Any], paths: Sequence[str]
) -> dict[str, dict[str, dict[str, str]]]:
    """Hashes of every stage that these paths come from, directly or through others.

    Args:
        lock: content of `dvc.lock`.
        paths: files read, relative to the repository's root.

    Returns:
        stage → `deps` and `outs` → path → hash.
    """
    stages = lock["stages"]
    made_by = {
        PurePath(out["path"]): name
        for name, stage in stages.items()
        for out in stage.get("outs", [])
    }
    found: dict[str, dict[str, dict[str, str]]] = {}
    waiting = [PurePath(path) for path in paths]
    while waiting:
        path = waiting.pop()
        for out, name in made_by.items():
            # A dependency may lie in an output folder, or be a folder that holds outputs.
            if name not in found and (path.is_relative_to(out) or out.is_relative_to(path)):
                found[name] = {side: _hashes(stages[name].get(side, [])) for side in SIDES}
                waiting += [PurePath(dep) for dep in found[name]["deps"]]
    return dict(sorted(found.items()))


def _hashes(entries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {
        entry["path"]: str(entry[entry.get("hash", "md5")])
        for entry in entries
        if entry.get("hash", "md5") in entry
    }


def provenance(
    *,
    model: Mapping[str, Any],
    fingerprint: str,
    seed: int,
    git: Mapping[str, Any],
    stages: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything needed to repeat or to doubt a report, as JSON."""
    return {
        "git": dict(git),
        "dataset": {"fingerprint": fingerprint},
        "model": {key: model[key] for key in MODEL},
        "device": model["device"],
        "seeds": {"seed": seed},
        "python": platform.python_version(),
        "packages": {package: version(package) for package in PACKAGES},
        "dvc_lock": dict(stages),
    }
