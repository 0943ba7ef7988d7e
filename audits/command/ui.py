"""`audit ui`: MLflow, with a table of links to every report."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple

from audits.publish import links, tracking
from audits.publish.description import CURRENT
from audits.publish.version import FINGERPRINT_TAG

HOST, PORT = "127.0.0.1", 5000
PATIENCE = 300
"""Seconds in which MLflow has to answer; on a busy machine of two cores it took 90."""
STOPPING = 20
"""Seconds in which it has to end before it is killed."""
DESCRIPTION = f"""\
Start MLflow on {HOST}, wait until it answers, and print where every audit's report is: one line an
audit, the newest first. Opens nothing; Ctrl-C ends it. Where MLFLOW_TRACKING_URI is a server,
prints its links and starts nothing."""
EXAMPLES = """\
examples:
  audit ui
  audit ui --port 5001
"""


class Published(NamedTuple):
    """The current version of an audit in MLflow."""

    audit: str
    experiment: str
    """Its id."""
    dataset: str
    run_id: str
    published: int
    """Milliseconds since 1970."""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        "ui",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=PORT, help=f"else {PORT}")
    parser.set_defaults(run=_run, command="ui")


def _run(arguments: argparse.Namespace) -> str:
    root = Path().resolve()
    uri = tracking.tracking_uri(root)
    if tracking.is_server(uri):
        return table(published(uri), uri.rstrip("/"))
    check_free(arguments.port)
    # A stop from outside, such as make's, ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # In a file: MLflow's lines would push the table out of sight.
    with tempfile.TemporaryFile("w+") as log:
        if tracking.own_database(uri, root):
            tracking.make_database(root / tracking.DATABASE)
        server = start(uri, arguments.port, log)
        try:
            print("starting MLflow …", file=sys.stderr, flush=True)
            rows = published(uri)
            wait(server, arguments.port, log)
            print(table(rows, f"http://{HOST}:{arguments.port}"), flush=True)
            print("\nCtrl-C ends it", file=sys.stderr, flush=True)
            if server.wait():
                raise OSError(f"MLflow ended by itself: {_end_of(log)}")
        except KeyboardInterrupt:
            pass
        finally:
            stop(server)
    return "MLflow has ended"


def check_free(port: int) -> None:
    """See that a port is free.

    Raises:
        OSError: something listens there.
    """
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise OSError(
                f"port {port} of {HOST} is taken, by another `make ui` perhaps: stop that, or "
                f"take another port, `audit ui --port {port + 1}`"
            )


def start(uri: str, port: int, log: IO[str]) -> "subprocess.Popen[bytes]":
    """MLflow's server as a process of its own."""
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    command += ["--host", HOST, "--port", str(port), "--workers", "1"]
    return subprocess.Popen(
        command, env={**os.environ, **quiet}, stdout=log, stderr=subprocess.STDOUT
    )


def wait(server: "subprocess.Popen[bytes]", port: int, log: IO[str]) -> None:
    """Until the server answers.

    Raises:
        OSError: it ended, or does not answer within PATIENCE.
    """
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if server.poll() is not None:
            raise OSError(f"MLflow did not start: {_end_of(log)}")
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise OSError(f"MLflow does not answer within {PATIENCE} seconds: {_end_of(log)}")


def stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server, whatever it does."""
    server.terminate()
    try:
        server.wait(STOPPING)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _end_of(log: IO[str]) -> str:
    log.seek(0)
    return log.read()[-2000:].strip() or "it said nothing"


def published(uri: str) -> list[Published]:
    """The current version of every audit, the newest first.

    Raises:
        ConnectionError: MLflow cannot be used.
    """
    client = tracking.connect(uri)
    found: dict[str, Published] = {}
    for experiment in client.search_experiments():
        query = f"attributes.status = 'FINISHED' AND tags.`{FINGERPRINT_TAG}` != ''"
        for run in client.search_runs([experiment.experiment_id], filter_string=query):
            if run.data.tags.get(CURRENT) == "true":
                name = str(run.info.run_name)
                found[name] = Published(
                    name,
                    experiment.experiment_id,
                    experiment.name,
                    run.info.run_id,
                    run.info.end_time,
                )
    return sorted(found.values(), key=lambda one: -one.published)


def table(rows: list[Published], address: str) -> str:
    """Links to the report, the page of components and the runs of each audit."""
    if not rows:
        return (
            f"{address}: nothing is published yet. `make audit` audits and publishes; "
            "`python -m audits.publish --sync` publishes the reports that are here"
        )
    lines = []
    for one in rows:
        day = datetime.fromtimestamp(one.published / 1000).strftime("%Y-%m-%d %H:%M")
        report, components = (
            links.artifact(one.experiment, one.run_id, name)
            for name in ("report.html", "components.html")
        )
        lines += [
            f"{one.audit}  (published {day})",
            f"  report      {address}/{report}",
            f"  components  {address}/{components}",
            f"  runs        {address}/{links.runs(one.experiment)}",
        ]
    return "\n".join(lines)
