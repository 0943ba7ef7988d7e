"""One finished MLflow run for each version of an audit's report.

Nothing in MLflow is idempotent, so a version is known by a fingerprint of its content, kept as a
tag: a run that has it and is finished is left alone, one that a kill left unfinished is replaced.
Runs go to `MLFLOW_TRACKING_URI` if that is set, else to `mlflow.db` and `mlartifacts/` in the
repository's root.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock

from audits.version import FINGERPRINT_TAG, Version, read_version
from pipeline import layout
from pipeline.config import Params, load_params
from pipeline.store import write_json

if TYPE_CHECKING:
    import mlflow

RECEIPTS = layout.DATA / "published"
# What MLflow takes in one log_batch call.
METRICS_A_BATCH = 1000
PARAMS_A_BATCH = 100

Item = TypeVar("Item")


def connect(uri: str) -> "mlflow.MlflowClient":
    """A client whose store is there and initialised.

    Raises:
        ConnectionError: the store cannot be reached or is of a kind that MLflow refuses.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    # MLflow's own 7 retries keep a stage waiting for minutes where no server listens.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    # Imported late: it takes seconds, and a missing report should be said at once.
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
    except MlflowException as error:
        message = (
            f"MLflow at {uri} cannot be used: start it, or correct or unset MLFLOW_TRACKING_URI "
            f"({error})"
        )
        # MLflow's own error may hold the password too, so it is not chained.
        raise ConnectionError(without_password(message, uri)) from None
    return client


def make_database(database: Path) -> None:
    """Make MLflow's database if there is none. Call it under the lock.

    A kill while MLflow makes its tables leaves a database that it can neither use nor repair, so
    it is made under another name first.
    """
    if database.exists():
        return
    fresh = database.with_name(f"{database.name}.new")
    for left in database.parent.glob(f"{fresh.name}*"):
        left.unlink()
    connect(f"sqlite:///{fresh}")
    os.replace(fresh, database)


def without_password(text: str, uri: str) -> str:
    """The same text without the user and password that a tracking URI may hold."""
    login, at, _ = urlsplit(uri).netloc.rpartition("@")
    return text.replace(login + at, "") if at else text


def publish(client: "mlflow.MlflowClient", version: Version, artifacts: str | None) -> bool:
    """Make the one finished run of a version. Call it under the lock.

    Args:
        client: of `connect`.
        version: what to publish.
        artifacts: folder for the artifacts of new experiments; None leaves it to the server.

    Returns:
        False where the version was there already.
    """
    experiment = _experiment(client, version.dataset, artifacts)
    query = f"tags.`{FINGERPRINT_TAG}` = '{version.fingerprint}'"
    runs = client.search_runs([experiment], filter_string=query)
    for run in runs:
        if run.info.status != "FINISHED":
            client.delete_run(run.info.run_id)
    if any(run.info.status == "FINISHED" for run in runs):
        return False
    tag = {FINGERPRINT_TAG: version.fingerprint}
    run_id = client.create_run(experiment, tags=tag, run_name=version.audit).info.run_id
    _log(client, run_id, version)
    client.set_terminated(run_id, "FINISHED")
    return True


def _experiment(client: "mlflow.MlflowClient", name: str, artifacts: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        location = None if artifacts is None else f"{artifacts}/{name}"
        return str(client.create_experiment(name, artifact_location=location))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _log(client: "mlflow.MlflowClient", run_id: str, version: Version) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    now = int(time.time() * 1000)
    points = [(name, 0, value) for name, value in version.metrics.items()] + version.curves
    metrics = [Metric(name, value, now, step) for name, step, value in points]
    for metric_batch in _batches(metrics, METRICS_A_BATCH):
        client.log_batch(run_id, metrics=metric_batch)
    params = [Param(name, value) for name, value in version.params.items()]
    for param_batch in _batches(params, PARAMS_A_BATCH):
        client.log_batch(run_id, params=param_batch)
    tags = [RunTag(name, value) for name, value in version.tags.items()]
    for tag_batch in _batches(tags, PARAMS_A_BATCH):
        client.log_batch(run_id, tags=tag_batch)
    # The same entity that mlflow.data builds, without loading its readers.
    source = json.dumps({"uri": version.source})
    dataset = Dataset(version.dataset, version.digest, source_type="local", source=source)
    context = InputTag("mlflow.data.context", "audit")
    client.log_inputs(run_id, [DatasetInput(dataset, [context])])
    for path in version.files:
        client.log_artifact(run_id, str(path))


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def publish_all(versions: Sequence[Version], root: Path) -> None:
    """Publish versions to the store of this repository, or to MLFLOW_TRACKING_URI."""
    root = root.resolve()
    database = root / "mlflow.db"
    uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    remote = urlsplit(uri).scheme in ("http", "https")
    artifacts = None if remote else str(root / "mlartifacts")
    # First use by several processes at once corrupts the database, and two that look for a
    # version at once would both make it.
    with FileLock(root / ".mlflow.lock"):
        if "MLFLOW_TRACKING_URI" not in os.environ:
            make_database(database)
        client = connect(uri)
        for version in versions:
            made = publish(client, version, artifacts)
            said = "published" if made else "already published"
            print(without_password(f"{version.audit}: {said}, {uri}", uri), file=sys.stderr)


def audits_with_report(params: Params) -> list[str]:
    """Audits that have a report; one that params.yaml no longer has is named and left out.

    Raises:
        FileNotFoundError: there is none.
    """
    pattern = str(layout.report("*") / "metrics.json")
    found = sorted(path.parent.name for path in Path().glob(pattern))
    for name in found:
        if name not in params.audits:
            print(f"{name}: left out, params.yaml has no audits.{name}", file=sys.stderr)
    kept = [name for name in found if name in params.audits]
    if not kept:
        raise FileNotFoundError(
            "reports/ holds no report of an audit in params.yaml: run `dvc repro`"
        )
    return kept


def main() -> None:
    """Publish one audit and leave a receipt, or publish all reports there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--audit", help="name under audits: in params.yaml")
    choice.add_argument(
        "--sync", action="store_true", help="fill an empty MLflow from every report, no receipts"
    )
    arguments = parser.parse_args()
    params = load_params()
    names = audits_with_report(params) if arguments.sync else [arguments.audit]
    versions = [read_version(params, name) for name in names]
    # DVC names the repository here even where an experiment runs in a temporary copy of it.
    publish_all(versions, Path(os.environ.get("DVC_ROOT", ".")))
    # Receipts are outputs of the DAG: --sync, which runs outside it, leaves them alone.
    if arguments.audit is not None:
        write_json(RECEIPTS / f"{arguments.audit}.json", versions[0].receipt())


if __name__ == "__main__":
    main()
