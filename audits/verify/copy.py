"""A clean copy of a commit, in which an audit is made anew."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from audits.history.lock import outside, upstream
from pipeline.artifacts.store import read_json, write_json
from pipeline.places import place

__all__ = ["MARK", "CopyError", "Plan", "TakenError", "environment", "make_copy", "plan"]

MARK = Path(".dvc/tmp/verify.json")
"""In the copy: what it is of. Written when it is complete."""
RECIPES = "recipes.yaml"
"""The file on whose numbers those stages depend that cost hours."""
LINKS = "reflink,hardlink,symlink,copy"
"""How cached files are brought into the copy: without taking room again, where that can be had."""


class CopyError(ValueError):
    """A copy cannot be made, or is of something else."""


class TakenError(CopyError):
    """The folder for a copy holds something else."""


class Plan(NamedTuple):
    """What is computed again, in the order of the DAG, and what is taken from DVC's cache."""

    target: str
    computed: list[str]
    kept: list[str]


def plan(stages: Mapping[str, Mapping[str, Any]], target: str, quick: bool) -> Plan:
    """What is computed again of a stage and all before it.

    Where it has to be quick, what costs hours and what that stands on are kept.

    Raises:
        CopyError: there is no such stage, or nothing is left to compute.
    """
    if target not in stages:
        raise CopyError(f"dvc.lock of the commit has no {target}: run it, and commit dvc.lock")
    order = upstream(stages, target)
    kept: set[str] = set()
    if quick:
        costly = [name for name in order if RECIPES in stages[name].get("params", {})]
        kept = {name for stage in costly for name in upstream(stages, stage)}
    computed = [name for name in order if name not in kept]
    return Plan(target, computed, [name for name in order if name in kept])


def make_copy(
    root: Path, commit: str, planned: Plan, stages: Mapping[str, Mapping[str, Any]], folder: Path
) -> None:
    """Clone a commit, and have its `dvc.lock` know only of what is kept.

    DVC then takes what is kept from the cache, which the copy shares and adds nothing to, and
    computes the rest. A copy that is there already is left as it is, with what has been computed
    in it.

    Args:
        root: of the repository.
        commit: full hash.
        planned: of `plan`.
        stages: of the commit's `dvc.lock`.
        folder: where the copy goes; empty or not there, or a copy of the same.

    Raises:
        TakenError: the folder holds something else.
        CopyError: an input is neither in Git nor on the disk.
    """
    mark = {"commit": commit, "target": planned.target, "computed": planned.computed}
    if (folder / MARK).exists():
        if read_json(folder / MARK) != mark:
            raise TakenError(f"{folder} is a copy for another commit, audit or way: delete it")
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise TakenError(f"{folder} is not empty, and no copy that `audit verify` has finished")
    # Links to the objects of the repository, whose own checkout and index are not touched.
    run(root, "git", "clone", "--quiet", "--shared", "--no-checkout", str(root), str(folder))
    run(folder, "git", "checkout", "--quiet", "--detach", commit)
    own = root / ".dvc" / "config.local"
    if own.exists():
        shutil.copy(own, folder / ".dvc" / "config.local")
    for key, value in (
        ("cache.dir", _cache(root)),
        ("cache.type", LINKS),
        ("core.site_cache_dir", str(folder.resolve() / ".dvc" / "tmp" / "site")),
        ("core.analytics", "false"),
    ):
        run(folder, "dvc", "config", "--local", "--quiet", key, value)
    _bring(root, folder, outside(stages, planned.target))
    lock = {"schema": "2.0", "stages": {name: stages[name] for name in planned.kept}}
    (folder / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False), encoding="utf-8")
    write_json(folder / MARK, mark)


def _bring(root: Path, folder: Path, paths: Sequence[str]) -> None:
    """Put inputs that no stage makes where the copy looks for them: by DVC, else by a link.

    What lies in a store is read there.
    """
    paths = [path for path in paths if isinstance(place(path), Path)]
    tracked = run(folder, "git", "ls-files", "*.dvc").split("\n")
    needed = [name for name in tracked if name and _beside(name, paths)]
    if needed:
        run(folder, "dvc", "checkout", "--quiet", *needed)
    for path in paths:
        here, there = folder / path, root / path
        if here.exists():
            continue
        if not there.exists():
            raise CopyError(
                f"{path} is needed, and is neither in Git nor on the disk, nor in DVC's cache: "
                "`dvc pull` brings what a remote has"
            )
        here.parent.mkdir(parents=True, exist_ok=True)
        here.symlink_to(there.resolve(), target_is_directory=there.is_dir())


def _cache(root: Path) -> str:
    # Imported late: half a second that a plan does without.
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        return str(Path(repo.cache.local_cache_dir).resolve())


def _beside(name: str, paths: Sequence[str]) -> bool:
    """Whether a .dvc file is of one of the paths, or of what it lies in or holds."""
    of = name.removesuffix(".dvc")
    return any(f"{p}/".startswith(f"{of}/") or f"{of}/".startswith(f"{p}/") for p in paths)


def environment(folder: Path) -> dict[str, str]:
    """That of this process, less what leads back to the repository."""
    away = ("PYTHONPATH", "DVC_ROOT", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    kept = {name: value for name, value in os.environ.items() if name not in away}
    return kept | {"DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(folder.resolve())}


def run(folder: Path, *command: str) -> str:
    """What a command prints.

    Raises:
        CopyError: it fails; the message has what it says.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise CopyError(f"{' '.join(command)} in {folder} failed: {said}")
    return done.stdout
