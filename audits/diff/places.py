"""Where reports are looked for: the workspace, Git, folders, dataset versions and MLflow."""

import json
import re
from pathlib import Path
from typing import Any

from audits.diff.reports import FILES, Grounds, Report, grounds_of_lock, read_report
from audits.history.versions import (
    SHORT,
    WORKSPACE,
    HistoryError,
    SeveralError,
    at,
    find,
    git,
    versions,
)
from pipeline import layout
from pipeline.config import Params

__all__ = ["PlaceError", "find_reports"]

LOCK = Path("dvc.lock")
RUN_ID = re.compile(r"[0-9a-f]{32}")
VERSION = re.compile(r"[0-9a-f]{4,64}")


class PlaceError(ValueError):
    """A place holds no report, or names none."""


def find_reports(asked: str, params: Params) -> dict[str, Report]:
    """The reports at a place, by their audits' names.

    Args:
        asked: the word workspace; a folder or file of a report, or a folder of such folders; a Git
            revision; the beginning of a dataset version's fingerprint or DVC hash, as `audit
            versions` shows them; or an MLflow run's id. The first of these that it is counts.
        params: whose datasets' versions are looked through.

    Raises:
        PlaceError: it is none of these, or holds no report.
        SeveralError: it is the beginning of several versions.
        ConnectionError: MLflow cannot be used.
    """
    if asked == WORKSPACE:
        found = _of_commit(WORKSPACE, WORKSPACE)
    else:
        found = _of_path(Path(asked)) or _of_revision(asked) or _of_version(asked, params)
        if not found and RUN_ID.fullmatch(asked):
            found = _of_run(asked)
    if not found:
        raise PlaceError(
            f"{asked} holds no report: it has to be {WORKSPACE}, a folder such as "
            f"{layout.report('NAME')}, a Git revision with reports, a version of `audit versions "
            "NAME` that has a report, or an MLflow run's id (32 digits a-f)"
        )
    return found


def _of_path(path: Path) -> dict[str, Report]:
    """Reports in a folder: its own, or those of the folders in it."""
    folder = path.parent if path.is_file() else path
    if not folder.is_dir():
        return {}
    folders = [folder] if _whole(folder) else sorted(filter(_whole, folder.iterdir()))
    found = {}
    for one in folders:
        # A checkout's reports have its dvc.lock beside them.
        name, lock = one.resolve().name, one.resolve().parent.parent / LOCK
        grounds = grounds_of_lock(lock.read_text(encoding="utf-8"), name) if lock.exists() else None
        files = {file: (one / file).read_bytes() for file in FILES}
        found[name] = read_report(name, str(one), files, grounds)
    return found


def _whole(folder: Path) -> bool:
    return all((folder / name).is_file() for name in FILES)


def _of_revision(asked: str) -> dict[str, Report]:
    try:
        (commit,) = git("rev-parse", "--verify", "--quiet", f"{asked}^{{commit}}")
    except HistoryError:
        return {}
    return _of_commit(commit, f"{asked} ({commit[:SHORT]})" if asked != commit else asked[:SHORT])


def _of_commit(commit: str, place: str) -> dict[str, Report]:
    found = {}
    lock = at(commit, LOCK)
    for name in _audits_at(commit):
        texts = {file: at(commit, layout.report(name) / file) for file in FILES}
        files = {file: text.encode() for file, text in texts.items() if text is not None}
        if len(files) == len(FILES):
            grounds = None if lock is None else grounds_of_lock(lock, name)
            found[name] = read_report(name, place, files, grounds)
    return found


def _audits_at(commit: str) -> list[str]:
    """Audits that have a report at a commit or in the workspace."""
    metrics = layout.report("*") / "metrics.json"
    if commit == WORKSPACE:
        return sorted(path.parent.name for path in Path().glob(str(metrics)))
    listed = git("ls-tree", "-r", "--name-only", commit, "--", f"{metrics.parts[0]}/")
    return sorted(Path(path).parent.name for path in listed if Path(path).name == metrics.name)


def _of_version(asked: str, params: Params) -> dict[str, Report]:
    """The newest reports of a dataset's version."""
    if not VERSION.fullmatch(asked):
        return {}
    for dataset in params.datasets:
        try:
            version = find(asked, versions(dataset), dataset)
        except SeveralError:
            raise
        except HistoryError:
            continue
        found: dict[str, Report] = {}
        for name, audit in params.audits.items():
            commit = _newest(name, version.fingerprint) if audit.dataset == dataset else None
            if commit is not None:
                place = f"{dataset} {asked} ({commit[:SHORT]})"
                found |= {name: _of_commit(commit, place)[name]}
        return found
    return {}


def _newest(audit: str, fingerprint: str | None) -> str | None:
    """Where the newest report of an audit on a dataset's version is: the workspace or a commit."""
    folder = layout.report(audit)
    for commit in [WORKSPACE, *git("log", "--format=%H", "--", folder.as_posix())]:
        text = at(commit, folder / "provenance.json")
        if text is not None and json.loads(text)["dataset"]["fingerprint"] == fingerprint:
            return commit
    return None


def _of_run(run_id: str) -> dict[str, Report]:
    """The report that an MLflow run holds.

    Raises:
        ConnectionError: MLflow cannot be used.
        PlaceError: it has no such run, or the run lacks a file.
    """
    from mlflow.exceptions import MlflowException

    from audits.publish import tracking

    client = tracking.connect(tracking.tracking_uri(Path()))
    try:
        run = client.get_run(run_id)
        folder = {name: Path(client.download_artifacts(run_id, name)) for name in FILES}
    except (MlflowException, OSError) as error:
        raise PlaceError(f"MLflow run {run_id}: {error}") from error
    audit = str(run.info.run_name)
    settings = {f"audits.{audit}.{key}": _value(text) for key, text in run.data.params.items()}
    files = {name: path.read_bytes() for name, path in folder.items()}
    grounds = Grounds(settings, code={}, files={}, outs={}, whole=False)
    return {audit: read_report(audit, f"MLflow run {run_id[:SHORT]}", files, grounds)}


def _value(text: str) -> Any:
    """A setting from what `text_params` made of it."""
    try:
        return json.loads(text)
    except ValueError:
        return text
