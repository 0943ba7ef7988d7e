"""The MLflow that reports are published to: reached, made, and mended after a move.

`MLFLOW_TRACKING_URI` names it; else it is `mlflow.db` and `mlartifacts/` in the repository's root.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import mlflow

VARIABLE = "MLFLOW_TRACKING_URI"
DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
"""Seconds and retries until a server counts as not answering, where the environment says none:
MLflow's own keep a stage waiting for many minutes."""


def tracking_uri(root: Path) -> str:
    """Where runs go; an empty MLFLOW_TRACKING_URI says as little as none."""
    return os.environ.get(VARIABLE, "").strip() or f"sqlite:///{root / DATABASE}"


def own_database(uri: str, root: Path) -> bool:
    """Whether a URI is of the database in the repository's root."""
    path = uri.removeprefix("sqlite:///")
    return path != uri and Path(path).resolve() == (root / DATABASE).resolve()


def is_server(uri: str) -> bool:
    """Whether a server takes the artifacts too."""
    return uri.startswith(("http://", "https://"))


class AwayError(ConnectionError):
    """A server that does not answer now, or stops doing so, and may later."""


def connect(uri: str) -> "mlflow.MlflowClient":
    """A client whose store is there and initialised.

    Raises:
        ConnectionError: the store cannot be reached (AwayError, if it is a server) or is of a kind
            that MLflow refuses; the message says what to do.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Imported late: it takes seconds, and a missing report should be said at once.
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _impatient():
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
    # A driver that is not installed, and what urllib says of an address that is none.
    except (MlflowException, SQLAlchemyError, ImportError, ValueError, OSError) as error:
        said = " ".join(str(error).split())
        message = f"MLflow at {uri} cannot be used: {_remedy(uri)} ({said})"
        # MLflow's own error may hold the password too, so it is not chained.
        kind = AwayError if is_server(uri) else ConnectionError
        raise kind(without_password(message, uri)) from None
    return client


@contextmanager
def answering(uri: str) -> Iterator[None]:
    """While a server is written to.

    Raises:
        AwayError: it has stopped to answer, or refuses what it is sent.
    """
    from mlflow.exceptions import MlflowException

    try:
        with _impatient():
            yield
    except (MlflowException, OSError) as error:
        if not is_server(uri):
            raise
        said = " ".join(str(error).split())
        raise AwayError(without_password(f"MLflow at {uri} failed: {said}", uri)) from None


@contextmanager
def _impatient() -> Iterator[None]:
    unsaid = [name for name in PATIENCE if name not in os.environ]
    os.environ.update({name: PATIENCE[name] for name in unsaid})
    try:
        yield
    finally:
        for name in unsaid:
            del os.environ[name]


def _remedy(uri: str) -> str:
    if re.match(r"[\w.-]+:\d+(/|$)", uri):
        return f"{VARIABLE} lacks the scheme, write {VARIABLE}=http://{uri}"
    if "://" not in uri or uri.startswith("file:"):
        return (
            f"{VARIABLE} has to be a server (http://host:port) or a database "
            f"(sqlite:////folder/{DATABASE}); unset it for {DATABASE} of this repository"
        )
    return f"start it, or correct or unset {VARIABLE}"


def make_database(database: Path) -> None:
    """Make MLflow's database if there is none. Call it under the lock.

    A kill while MLflow makes its tables leaves a database that it can neither use nor repair, so
    it is made under another name first.
    """
    if database.exists():
        return
    fresh = database.with_name(f"{database.name}.new")
    for suffix in ("", "-journal", "-wal", "-shm"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    connect(f"sqlite:///{fresh}")
    os.replace(fresh, database)


def without_password(text: str, uri: str) -> str:
    """The same text without the user and password that a tracking URI may hold."""
    login, at, _ = re.sub(r"^[\w+.-]*://", "", uri).partition("/")[0].rpartition("@")
    return text.replace(login + at, "") if at else text


def relocate(root: Path) -> int:
    """Look for artifacts where the repository is now. Call it under the lock.

    MLflow keeps absolute paths and has no function that changes them: in a folder that was moved
    its runs would have no artifacts, and one that was copied would write into the other. A run
    whose artifacts are at the old place and not at the new one stays as it is.

    Returns:
        Number of runs whose artifacts were looked for elsewhere.
    """
    moved = 0
    with closing(sqlite3.connect(root / DATABASE)) as store, store:
        for table, key, column, depth in (
            ("experiments", "experiment_id", "artifact_location", 1),
            ("runs", "run_uuid", "artifact_uri", 3),
        ):
            for name, location in store.execute(f"SELECT {key}, {column} FROM {table}").fetchall():
                here = _here(location, depth, root)
                old = None if here is None else _folder(location)
                if here is None or old is None or old == here:
                    continue
                if table == "runs" and old.exists() and not here.exists():
                    continue
                change = f"UPDATE {table} SET {column} = ? WHERE {key} = ?"
                store.execute(change, (str(here), name))
                moved += table == "runs"
    return moved


def lost(root: Path) -> list[str]:
    """Names of the finished runs whose artifacts are nowhere, be they moved or deleted."""
    query = (
        "SELECT name, artifact_uri FROM runs WHERE lifecycle_stage = 'active' "
        "AND status = 'FINISHED' ORDER BY start_time"
    )
    with closing(sqlite3.connect(root / DATABASE)) as store:
        rows = store.execute(query).fetchall()
    return [
        name
        for name, location in rows
        if (here := _here(location, 3, root)) is not None and not here.exists()
    ]


def _folder(location: str) -> Path | None:
    """The folder that a location is, None where it is no local one."""
    if location.startswith("file:"):
        return Path(unquote(urlsplit(location).path))
    return None if "://" in location else Path(location)


def _here(location: str | None, depth: int, root: Path) -> Path | None:
    """Where the same artifacts belong in this repository; None where they are not of one.

    Args:
        location: as MLflow has it, below a folder ARTIFACTS.
        depth: how many parts are below that.
        root: of this repository.
    """
    folder = _folder(location) if location else None
    if folder is None or len(folder.parts) <= depth or folder.parts[-depth - 1] != ARTIFACTS:
        return None
    return root / ARTIFACTS / Path(*folder.parts[-depth:])
