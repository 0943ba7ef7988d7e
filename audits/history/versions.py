"""The versions that a dataset has had, and files as Git has them.

A version is known by its fingerprint (images and labels, see pipeline/datasets/manifest.py) and by
DVC's hash of the manifest's folder, which `dvc.lock` holds at each commit.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from audits.history.changes import COLUMNS
from audits.history.lock import manifest_digest, read_lock
from audits.history.parquet import parquet_of
from pipeline import layout
from pipeline.artifacts.store import files_in, read_json, read_table

__all__ = [
    "SHORT",
    "WORKSPACE",
    "DatasetVersion",
    "HistoryError",
    "SeveralError",
    "at",
    "find",
    "folder_hash",
    "git",
    "name_of",
    "remedy",
    "versions",
]

MANIFEST, DESCRIPTION = "manifest.parquet", "dataset.json"
WORKSPACE = "workspace"
SHORT = 8
"""Characters of a fingerprint, a hash or a commit that are shown."""
SHORTEST = 4
"""Characters of a fingerprint that name a version."""


class HistoryError(ValueError):
    """A version is asked for that there is not, or that cannot be read."""


class SeveralError(HistoryError):
    """What is asked for is the beginning of several versions."""


@dataclass(frozen=True)
class DatasetVersion:
    """A dataset at one place of the history."""

    commit: str
    """Full hash of the newest commit in a row that has it, or `workspace`."""
    date: str
    """Of the commit, YYYY-MM-DD; empty for the workspace."""
    dvc_hash: str
    """DVC's hash of the manifest's folder."""
    fingerprint: str | None
    """Full fingerprint; None where the manifest cannot be read."""
    table: pd.DataFrame | None
    """Columns COLUMNS; None where the manifest cannot be read."""


def versions(dataset: str) -> list[DatasetVersion]:
    """Versions of a dataset in the workspace and on the current branch, newest first.

    Raises:
        HistoryError: Git fails, or neither the workspace nor a commit has the dataset.
    """
    places: list[tuple[str, str, str]] = []
    commits = [line.split() for line in git("log", "--format=%H %cs", "--", "dvc.lock")]
    for commit, date in [(WORKSPACE, ""), *commits]:
        dvc_hash = _dvc_hash(commit, dataset)
        if places and places[-1][2] == dvc_hash:
            if places[-1][0] == WORKSPACE:  # it is shown where it is not what is committed
                places[-1] = (commit, date, dvc_hash)
        elif dvc_hash is not None:
            places.append((commit, date, dvc_hash))
    if not places:
        raise HistoryError(
            f"neither the workspace nor a commit has {layout.manifest(dataset)}: run "
            f"`dvc repro prepare@{dataset}`"
        )
    read: dict[str, tuple[str | None, pd.DataFrame | None]] = {}
    for commit, _, dvc_hash in places:
        if dvc_hash not in read:
            read[dvc_hash] = _read(commit, dvc_hash, dataset)
    return [DatasetVersion(*place, *read[place[2]]) for place in places]


def find(asked: str, known: list[DatasetVersion], dataset: str) -> DatasetVersion:
    """The version of a fingerprint's or DVC hash's beginning, a Git revision or `workspace`.

    Raises:
        HistoryError: it means none, several, or one whose manifest cannot be read.
    """
    found = {
        version.dvc_hash: version
        for version in reversed(known)
        if len(asked) >= SHORTEST
        and (str(version.fingerprint).startswith(asked) or version.dvc_hash.startswith(asked))
    }
    if len(found) > 1:
        raise SeveralError(
            f"{asked} is the beginning of several: give one's DVC hash, of {_names(found.values())}"
        )
    if found:
        (version,) = found.values()
    elif asked == WORKSPACE:
        version = known[0]
    else:
        try:
            (commit,) = git("rev-parse", "--verify", f"{asked}^{{commit}}")
        except HistoryError:
            raise HistoryError(
                f"{asked} is neither a version, {_names(known)}, nor a Git revision"
            ) from None
        dvc_hash = _dvc_hash(commit, dataset)
        if dvc_hash is None:
            raise HistoryError(f"dvc.lock of {asked} has no prepare@{dataset}: audited later")
        read = _read(commit, dvc_hash, dataset)
        version = DatasetVersion(commit, "", dvc_hash, *read)
    if version.table is None:
        raise HistoryError(f"{asked}: {remedy(dataset)}")
    return version


def _names(found: Iterable[DatasetVersion]) -> str:
    return ", ".join(f"{name_of(version)} (DVC {version.dvc_hash[:SHORT]})" for version in found)


def git(*arguments: str) -> list[str]:
    """Lines that Git prints."""
    done = subprocess.run(["git", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise HistoryError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.splitlines()


def at(commit: str, path: Path) -> str | None:
    """A file's text at a commit or in the workspace, to the byte; None where there is none."""
    if commit == WORKSPACE:
        return path.read_bytes().decode() if path.is_file() else None
    done = subprocess.run(["git", "show", f"{commit}:./{path.as_posix()}"], capture_output=True)
    return None if done.returncode else done.stdout.decode()


def _dvc_hash(commit: str, dataset: str) -> str | None:
    """DVC's hash of the manifest's folder; None where there is none."""
    folder = layout.manifest(dataset)
    if commit == WORKSPACE and folder.is_dir():
        return folder_hash(folder)
    lock = at(commit, Path("dvc.lock"))
    if lock is None:
        return None
    try:
        return manifest_digest(read_lock(lock), folder / MANIFEST)
    except KeyError:
        return None
    except yaml.YAMLError as error:
        raise HistoryError(f"dvc.lock ({commit}) is not valid YAML: {error}") from error


def folder_hash(folder: Path) -> str:
    """DVC's hash of a folder: MD5 of the JSON list of its files' MD5, with the suffix `.dir`."""
    files = [
        {
            "md5": hashlib.md5(path.read_bytes()).hexdigest(),
            "relpath": path.relative_to(folder).as_posix(),
        }
        for path in files_in(folder)
    ]
    return hashlib.md5(json.dumps(files, sort_keys=True).encode()).hexdigest() + ".dir"


def _read(commit: str, dvc_hash: str, dataset: str) -> tuple[str | None, pd.DataFrame | None]:
    """Fingerprint and table of a version, from the workspace, DVC's cache or its remote."""
    folder = layout.manifest(dataset)
    if folder.is_dir() and folder_hash(folder) == dvc_hash:
        fingerprint = read_json(folder / DESCRIPTION)["fingerprint"]
        return fingerprint, read_table(folder / MANIFEST, COLUMNS)
    # Imported late: half a second that a history of one version does without.
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_data.index import DataIndexError

    try:
        # A commit's own settings would not know a cache or a remote that came later.
        with Repo() as repo:
            remote = repo.config["core"].get("remote")
            config = {"cache": {"dir": repo.cache.local_cache_dir}}
        rev = None if commit == WORKSPACE else commit
        files = DVCFileSystem(".", rev=rev, remote=remote, config=config)
        fingerprint = json.loads(files.read_bytes(str(folder / DESCRIPTION)))["fingerprint"]
        content = files.read_bytes(str(folder / MANIFEST))
    except (DvcException, DataIndexError, OSError):
        return None, None
    return fingerprint, parquet_of(content, COLUMNS).to_pandas()


def remedy(dataset: str) -> str:
    """What brings a manifest that is not here."""
    return (
        "its manifest is neither in DVC's cache nor in a remote: `dvc push --all-commits` where it "
        f"is, `dvc fetch --all-commits prepare@{dataset}` here"
    )


def name_of(version: DatasetVersion) -> str:
    """What a version is called: the beginning of its fingerprint, else of its commit."""
    return (version.fingerprint or version.commit)[:SHORT]
