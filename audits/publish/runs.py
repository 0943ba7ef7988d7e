"""MLflow runs of audits' versions and of comparisons, each found again by its fingerprint."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from filelock import FileLock

from audits.publish import tracking
from audits.publish.description import NOTE, PARENT, describe, of_comparison
from audits.publish.registry import register
from audits.publish.version import (
    FINGERPRINT_TAG,
    Comparison,
    Version,
    compared,
    read_comparison,
    read_version,
)
from pipeline import layout
from pipeline.artifacts.store import write_json
from pipeline.config import Params, load_params

if TYPE_CHECKING:
    import mlflow

RECEIPTS = layout.DATA / "published"
PUBLISHED = "published"
# What MLflow takes in one log_batch call.
METRICS_A_BATCH = 1000
PARAMS_A_BATCH = 100

Item = TypeVar("Item")


def publish(client: "mlflow.MlflowClient", version: Version, artifacts: str | None) -> str:
    """Make the one finished run of a version. Call it under the lock.

    Args:
        client: of `connect`.
        version: what to publish.
        artifacts: folder for the artifacts of new experiments; None leaves it to the server.

    Returns:
        What was done, in words.
    """
    experiment = _experiment(client, version.dataset, artifacts)
    run = _finished(client, experiment, version.fingerprint)
    if run is not None:
        describe(client, run, version)
        register(client, run, version)
        return _restored(client, run, version.files)
    tag = {FINGERPRINT_TAG: version.fingerprint}
    run_id = client.create_run(experiment, tags=tag, run_name=version.audit).info.run_id
    _log(client, run_id, version)
    run = client.get_run(run_id)
    register(client, run, version)
    client.set_terminated(run_id, "FINISHED")
    describe(client, client.get_run(run_id), version)
    return PUBLISHED


def publish_comparison(
    client: "mlflow.MlflowClient", comparison: Comparison, artifacts: str | None
) -> str:
    """Make the one finished run of a comparison and put the runs of its audits below it.

    A run is below one comparison at a time: the one that was published last. Call it under the
    lock, with the versions of the comparison published.

    Args:
        client: of `connect`.
        comparison: what to publish.
        artifacts: folder for the artifacts of new experiments; None leaves it to the server.

    Returns:
        What was done, in words.
    """
    experiment = _experiment(client, comparison.dataset, artifacts)
    parent = _finished(client, experiment, comparison.fingerprint)
    done = PUBLISHED if parent is None else _restored(client, parent, comparison.files)
    if parent is None:
        tags = {FINGERPRINT_TAG: comparison.fingerprint}
        name = f"{comparison.dataset}: comparison"
        parent = client.create_run(experiment, tags=tags, run_name=name)
        for path in comparison.files:
            client.log_artifact(parent.info.run_id, str(path))
    _describe_comparison(client, parent, comparison)
    for version in comparison.versions:
        child = _finished(client, experiment, version.fingerprint)
        assert child is not None, f"{version.audit} is not published"
        if child.data.tags.get(PARENT) != parent.info.run_id:
            client.set_tag(child.info.run_id, PARENT, parent.info.run_id)
            describe(client, client.get_run(child.info.run_id), version)
    if done == PUBLISHED:
        client.set_terminated(parent.info.run_id, "FINISHED")
    return done


def _describe_comparison(
    client: "mlflow.MlflowClient", run: "mlflow.entities.Run", comparison: Comparison
) -> None:
    """Put a comparison's figures and description into its run, where they are not yet."""
    from mlflow.entities import Metric

    run_id = run.info.run_id
    if comparison.metrics and not run.data.metrics:
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in comparison.metrics.items()]
        for batch in _batches(metrics, METRICS_A_BATCH):
            client.log_batch(run_id, metrics=batch)
    note = of_comparison(comparison, run.info.experiment_id, run_id)
    if run.data.tags.get(NOTE) != note:
        client.set_tag(run_id, NOTE, note)


def _restored(client: "mlflow.MlflowClient", run: "mlflow.entities.Run", files: list[Path]) -> str:
    """Put back the artifacts that a finished run has lost; what was done, in words."""
    there = {item.path for item in client.list_artifacts(run.info.run_id)}
    missing = [path for path in files if path.name not in there]
    for path in missing:
        client.log_artifact(run.info.run_id, str(path))
    names = ", ".join(path.name for path in missing)
    return f"already published, {names} put back" if missing else "already published"


def _finished(
    client: "mlflow.MlflowClient", experiment: str, fingerprint: str
) -> "mlflow.entities.Run | None":
    """The finished run of a fingerprint; unfinished ones are deleted."""
    query = f"tags.`{FINGERPRINT_TAG}` = '{fingerprint}'"
    finished = None
    for run in client.search_runs([experiment], filter_string=query):
        if run.info.status == "FINISHED":
            finished = run
        else:
            client.delete_run(run.info.run_id)
    return finished


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


def publish_all(
    versions: Sequence[Version], root: Path, comparisons: Sequence[Comparison] = ()
) -> None:
    """Publish versions, then comparisons, to this repository's store or MLFLOW_TRACKING_URI."""
    root = root.resolve()
    uri = tracking.tracking_uri(root)
    own = tracking.own_database(uri, root)
    artifacts = None if tracking.is_server(uri) else str(root / tracking.ARTIFACTS)
    # First use by several processes at once corrupts the database, and two that look for a
    # version at once would both make it.
    with FileLock(root / ".mlflow.lock"):
        if own:
            tracking.make_database(root / tracking.DATABASE)
        client = tracking.connect(uri)
        moved = tracking.relocate(root) if own else 0
        if moved:
            where = f"artifacts of {moved} runs are looked for in {artifacts} from now on"
            print(f"{where}: the repository was moved or copied", file=sys.stderr)
        with tracking.answering(uri):
            done = [(version.audit, publish(client, version, artifacts)) for version in versions]
            done += [
                (f"{one.dataset}, comparison", publish_comparison(client, one, artifacts))
                for one in comparisons
            ]
        for name, said in done:
            print(tracking.without_password(f"{name}: {said}, {uri}", uri), file=sys.stderr)
        if own and (gone := tracking.lost(root)):
            print(
                f"{len(gone)} runs have lost their artifacts ({', '.join(sorted(set(gone)))}), and "
                "reports/ does not hold those versions any more: check one out and publish it, or "
                "delete the runs",
                file=sys.stderr,
            )


def whole_versions(params: Params) -> list[Version]:
    """The audits that have a report here. One that params.yaml no longer has, or of which Git has
    the figures and nobody has made or pulled the rest, is named and left out.

    Raises:
        FileNotFoundError: there is none.
    """
    pattern = str(layout.report("*") / "metrics.json")
    kept = []
    for name in sorted(path.parent.name for path in Path().glob(pattern)):
        if name not in params.audits:
            print(f"{name}: left out, params.yaml has no audits.{name}", file=sys.stderr)
            continue
        try:
            kept.append(read_version(params, name))
        except FileNotFoundError as error:
            print(f"{name}: left out, {error}", file=sys.stderr)
    if not kept:
        raise FileNotFoundError(
            "reports/ holds no whole report of an audit in params.yaml: run `dvc repro`"
        )
    return kept


def datasets_with_comparison(params: Params, audits: Sequence[str]) -> list[str]:
    """Datasets that have a comparison; one of an audit that is not in `audits` is named and left
    out."""
    kept = []
    for name in params.datasets:
        if not layout.comparison(name).exists():
            continue
        missing = sorted(set(compared(name)) - set(audits))
        if missing:
            said = f"is of {', '.join(missing)}, run `dvc repro compare@{name}`"
            print(f"{name}: comparison left out, it {said}", file=sys.stderr)
        else:
            kept.append(name)
    return kept


def run(chosen: argparse.Namespace) -> None:
    """Publish one audit or one comparison and leave a receipt, or publish all there are.

    Raises:
        ConnectionError: MLflow cannot be used.
        FileNotFoundError: a report or another file is missing.
        ConfigError: params.yaml cannot be used.
    """
    params = load_params()
    root = layout.lasting()
    # Receipts are outputs of the DAG: --sync, which runs outside it, leaves them alone.
    if chosen.sync:
        versions = whole_versions(params)
        datasets = datasets_with_comparison(params, [version.audit for version in versions])
        comparisons = [read_comparison(params, name) for name in datasets]
        publish_all(versions, root, comparisons)
    elif chosen.dataset is not None:
        comparison = read_comparison(params, chosen.dataset)
        _publish_or_later(comparison.versions, root, [comparison])
        write_json(RECEIPTS / f"{chosen.dataset}.json", comparison.receipt())
    else:
        version = read_version(params, chosen.audit)
        _publish_or_later([version], root)
        write_json(RECEIPTS / version.dataset / f"{version.audit}.json", version.receipt())


def _publish_or_later(
    versions: Sequence[Version], root: Path, comparisons: Sequence[Comparison] = ()
) -> None:
    """Publish, and go on where a server does not answer: no result depends on it."""
    try:
        publish_all(versions, root, comparisons)
    except tracking.AwayError as error:
        print(
            f"NOT PUBLISHED: {error}. All else goes on; `python -m audits.publish --sync` "
            "publishes it when the server answers",
            file=sys.stderr,
        )
