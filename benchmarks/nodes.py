"""A Ray cluster on this machine, whose processes, port and folder are its caller's own."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RAY = str(Path(sys.executable).with_name("ray"))
STORE = str(100 * 2**20)  # bytes of a node's object store
PATIENCE = 90  # seconds until a node has to have joined


class Nodes:
    """Nodes that ask for a token and report to nobody; a head first."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.environment = kept | {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_ADDRESS": self.address,
            "RAY_worker_niceness": "0",  # else whatever else runs here comes first
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def join(self, processors: int = 1) -> subprocess.Popen[bytes]:
        """One more node, in a session of its own: it can be killed with all that it runs."""
        as_node = ["--address", self.address]
        if not self.processes:
            port = self.address.partition(":")[2]
            as_node = ["--head", f"--port={port}", f"--temp-dir={self.folder}"]
            as_node += ["--node-ip-address=127.0.0.1", "--include-dashboard=false"]
            as_node += ["--disable-usage-stats"]
        sizes = [f"--num-cpus={processors}", "--num-gpus=0", "--object-store-memory", STORE]
        log = self.folder.parent / f"node-{len(self.processes)}.log"
        with log.open("wb") as output:
            node = subprocess.Popen(
                [RAY, "start", *as_node, *sizes, "--block"],
                env={n: value for n, value in self.environment.items() if n != "RAY_ADDRESS"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(node)
        self._wait(log)
        return node

    def _wait(self, log: Path) -> None:
        end = time.monotonic() + PATIENCE
        while b"runtime started" not in log.read_bytes():
            assert self.processes[-1].poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)

    @staticmethod
    def halted(node: subprocess.Popen[bytes]) -> bool:
        """Halt a node in the midst of a unit; False where no process of it is at one.

        Ray calls a process by its class and method. It is looked at while it stands still, for a
        unit may be over in milliseconds.
        """
        _signal(node, "STOP")
        shown = subprocess.run(
            ["ps", "--sid", str(node.pid), "-o", "args"], capture_output=True, text=True
        )
        if "Process.do" in shown.stdout:
            return True
        _signal(node, "CONT")
        return False

    @staticmethod
    def kill(node: subprocess.Popen[bytes]) -> None:
        """As a machine dies: at once, with all processes of the node."""
        _signal(node, "KILL")
        node.wait()


def _signal(node: subprocess.Popen[bytes], name: str) -> None:
    # by session, for Ray's workers are in process groups of their own
    subprocess.run(["pkill", f"-{name}", "--session", str(node.pid)], check=False)


@contextmanager
def cluster(folder: Path, *processors: int) -> Iterator[Nodes]:
    """Nodes of so many processors, the head first; they end with the block."""
    nodes = Nodes(folder)
    try:
        for count in processors:
            nodes.join(count)
        yield nodes
    finally:
        for node in reversed(nodes.processes):
            if node.poll() is None:
                nodes.kill(node)
