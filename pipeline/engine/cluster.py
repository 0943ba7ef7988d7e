"""The engine `ray`: units of work in processes on a Ray cluster, each in one place at a time.

Ray's actors and tasks, and no Ray Data: a unit is a whole shard, which is kept where it is there,
so that nothing flows between units that Ray Data would stream; and a unit of a process that has
died goes to another at once, which waits for no successor of the dead one.

Processes see the repository at the same place as this one. What they are sent goes through Ray's
own object store; nothing that lies in a file is loaded as code.
"""

import os
import socket
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shutil import rmtree
from typing import Any, TypeVar

from filelock import FileLock
from tqdm import tqdm

from pipeline import layout
from pipeline.artifacts.resume import PACKAGES
from pipeline.artifacts.store import LOCK, half_written
from pipeline.config import ConfigError
from pipeline.engine.crew import TRIES, Needs, Work, again
from pipeline.engine.process import caller, process_class

Unit = TypeVar("Unit")
Result = TypeVar("Result")
Item = TypeVar("Item")
Made = TypeVar("Made")

ADDRESS = "RAY_ADDRESS"
TICK = 2.0  # seconds between two looks at what the cluster has
PATIENCE = 60.0  # seconds without a process until that is said
REACH = 10.0  # seconds in which the head has to answer


@contextmanager
def cluster(
    make: Callable[[], Work[Unit, Result]], needs: Needs, most: int, threads: int, seed: int
) -> Iterator["Cluster"]:
    """Processes on the cluster that RAY_ADDRESS names, or that runs on this machine.

    Arguments are as of `Engine.crew`; `threads` are also the processors that a process takes where
    its model runs on them.

    Raises:
        ConfigError: Ray is not installed, no cluster answers, it has no node with what is needed,
            or a node lacks files, rights or versions.
    """
    ray = _connected()
    try:
        with _shared() as token:
            need = _resources(ray, needs, threads)
            # what a store holds is no matter of what a node mounts
            folders = [path for path in needs.sees if isinstance(path, Path)]
            seen = [str(path) for path in (token, *folders)]
            found = Cluster(ray, make, need, seen, (threads, seed))
            try:
                found.hire(max(1, most))
                found.meet()
                yield found
            finally:
                found.dismiss()
    finally:
        ray.shutdown()


class Cluster:
    """Processes that do units. One that dies is replaced, and its unit is done again."""

    def __init__(
        self,
        ray: Any,
        make: Callable[[], Work[Unit, Result]],
        need: dict[str, int],
        seen: list[str],
        repeatable: tuple[int, int],
    ) -> None:
        """
        Args:
            ray: the module, connected.
            make: makes the work.
            need: what a process takes, by Ray's names.
            seen: paths that a node has to see.
            repeatable: threads and seed.
        """
        self.about: Any = None
        self.ray = ray
        self.need = need
        self.make = [ray.put((make, *repeatable))]
        self.look = (os.getcwd(), seen, _versions())
        options = {"num_cpus": need["CPU"], "num_gpus": need["GPU"], "max_restarts": 0}
        self.process = ray.remote(process_class()).options(**options)
        self.joining: dict[Any, Any] = {}
        """Processes by what they answer when they can begin."""
        self.idle: list[Any] = []
        self.busy: dict[Any, tuple[Any, Any, int]] = {}
        """Processes with their unit and how many died over it, by its result."""
        self.stillborn = 0
        self.alone = time.monotonic()

    def each(
        self,
        units: Sequence[Unit],
        progress: str,
        size: Callable[[Unit], int],
        folder: Path | None = None,
        instead: Callable[[Unit, int], Sequence[Unit] | None] = again,
    ) -> Iterator[tuple[Unit, Any]]:
        """As `Crew.each`."""
        waiting = deque((unit, 0) for unit in units)
        lost = False
        with tqdm(total=sum(map(size, units)), desc=progress, unit=" images") as bar:
            while waiting or self.busy:
                self.hire(len(waiting) + len(self.busy))
                while waiting and self.idle:
                    (unit, died), process = waiting.popleft(), self.idle.pop()
                    self.busy[process.do.remote(unit)] = (process, unit, died)
                for done in self._answers():
                    process, unit, died = self.busy.pop(done)
                    try:
                        result = self._got(done)
                    except _LostError as error:
                        lost = True
                        self._part_with(process)
                        said = f"{progress}: {size(unit)} images were lost with a process ({error})"
                        print(said, file=sys.stderr)
                        left = instead(unit, died + 1)
                        if left is not None:
                            waiting += [(one, died + 1) for one in left]
                            continue
                        result = None
                    else:
                        self.idle.append(process)
                    bar.update(size(unit))
                    yield unit, result
        if lost and folder is not None:
            for write in half_written(folder):
                rmtree(write, ignore_errors=True)

    def hire(self, wanted: int) -> None:
        """Start processes until there are as many as wanted, or as the cluster has room for."""
        there = len(self.joining) + len(self.idle) + len(self.busy)
        for _ in range(there, min(wanted, _room(self.ray, self.need))):
            process = self.process.remote()
            self.joining[process.start.remote(*self.look, self.make)] = process

    def meet(self) -> None:
        """Wait for the first process, which says what the work is about.

        Raises:
            ConfigError: no node of the cluster has what a process takes.
        """
        if not self.joining:
            raise ConfigError(
                f"engine is ray, and no node of the cluster at {_address()} has "
                f"{_said(self.need)}, which a process of this stage takes: start one that has, or "
                "set threads and device in params.yaml to what there is"
            )
        while not self.idle:
            self.hire(1)
            self._answers()

    def dismiss(self) -> None:
        """End all processes."""
        for process in (*self.joining.values(), *self.idle, *(p for p, *_ in self.busy.values())):
            self.ray.kill(process)

    def _answers(self) -> list[Any]:
        """Results that are there by now, of the units; processes that can begin have joined."""
        refs = [*self.busy, *self.joining]
        done = self.ray.wait(refs, timeout=TICK)[0] if refs else []
        for ref in [ref for ref in done if ref in self.joining]:
            self._join(self.joining.pop(ref), ref)
        if not refs:
            time.sleep(TICK)
        if self.busy or self.idle:
            self.alone = time.monotonic()
        elif time.monotonic() > self.alone + PATIENCE:
            self.alone = float("inf")  # said once
            said = f"waiting for the cluster at {_address()} to have {_said(self.need)} free"
            print(said, file=sys.stderr)
        return [ref for ref in done if ref in self.busy]

    def _join(self, process: Any, ref: Any) -> None:
        try:
            problem, about = self._got(ref)
        except _LostError as error:
            self.stillborn += 1
            if self.stillborn >= TRIES * max(1, _room(self.ray, self.need)):
                raise RuntimeError(
                    f"{self.stillborn} processes of the cluster in turn died as they began, the "
                    f"last of them so: {error}"
                ) from error
            return
        if problem:
            raise ConfigError(f"engine is ray, and {problem}")
        if self.about not in (None, about):
            raise ConfigError(
                f"engine is ray, and nodes of the cluster differ: one gives {about}, another "
                f"{self.about}; take nodes of one kind, or set device and precision in params.yaml "
                "to what all of them have"
            )
        self.about = about
        self.stillborn = 0
        self.idle.append(process)

    def _part_with(self, process: Any) -> None:
        """Part with a process; the idle ones, which may have died with it, are asked first."""
        self.ray.kill(process)
        self.joining |= {idle.again.remote(): idle for idle in self.idle}
        self.idle.clear()

    def _got(self, ref: Any) -> Any:
        """A result.

        Raises:
            _LostError: it went with its process.
        """
        try:
            return self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self.ray.exceptions.RayError as error:
            raise _LostError(" ".join(str(error).split())[:300]) from error


class _LostError(Exception):
    """A process has died, or its node has."""


def by_tasks(
    function: Callable[[Item], Made], items: Iterable[Item], workers: int
) -> Iterator[Made]:
    """As `Ahead`: tasks of one processor each, on any node; those of a dead node are done again."""
    import ray

    task = ray.remote(caller()).options(num_cpus=1, max_retries=-1)
    shared = [ray.put(function)]
    left, waiting = iter(items), deque[Any]()
    while True:
        for item in left:
            waiting.append(task.remote(os.getcwd(), shared, item))
            if len(waiting) >= max(1, workers):
                break
        if not waiting:
            return
        try:
            yield ray.get(waiting.popleft())
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error


def _imported() -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
        from ray import exceptions  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "engine is ray in params.yaml, and Ray is not installed: `pip install -e '.[ray]'` on "
            "every node, or set engine to local"
        ) from error
    return ray


def _connected() -> Any:
    """Ray, joined to the cluster."""
    ray, address = _imported(), os.environ.get(ADDRESS, "")
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), REACH).close()
        except OSError as error:
            raise ConfigError(
                f"engine is ray, and nothing answers at {ADDRESS}={address} ({error}): start the "
                "cluster (docs/clusters.md), name its address, or set engine to local"
            ) from error
    try:
        ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"engine is ray, and there is no cluster to join ({str(error).splitlines()[0]}): start "
            f"one (docs/clusters.md), name its head in {ADDRESS}, or set engine to local"
        ) from error
    return ray


def _address() -> str:
    return os.environ.get(ADDRESS) or "this machine"


def _resources(ray: Any, needs: Needs, threads: int) -> dict[str, int]:
    """Processors and GPUs that a process takes; where there are GPUs, `auto` is one of them."""
    gpus = any(node["Resources"].get("GPU", 0) for node in _nodes(ray))
    if needs.device == "mps":
        raise ConfigError(
            f"engine is ray, and {needs.key} is mps, which Ray does not hand out: set it to auto, "
            "cpu or cuda, or engine to local"
        )
    if needs.device == "cuda" or (needs.device == "auto" and gpus):
        # Its processors are for those who decode.
        return {"CPU": 0, "GPU": 1}
    return {"CPU": threads, "GPU": 0}


def _nodes(ray: Any) -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _room(ray: Any, need: dict[str, int]) -> int:
    """Processes that the living nodes have room for, were they all free."""
    wanted = {name: count for name, count in need.items() if count}
    return sum(
        min(int(node["Resources"].get(name, 0) // count) for name, count in wanted.items())
        for node in _nodes(ray)
    )


def _said(need: dict[str, int]) -> str:
    return " and ".join(f"{count} {name}" for name, count in need.items() if count)


def _versions() -> dict[str, str]:
    """Of Python and the libraries that decide bytes."""
    found = {"python": sys.version.split()[0]}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


@contextmanager
def _shared() -> Iterator[Path]:
    """A folder of a name that nobody else has, by which a node knows that it sees our disk."""
    place = layout.DATA / f".cluster-{uuid.uuid4().hex[:8]}"
    place.mkdir(parents=True)
    try:
        with FileLock(place / LOCK):
            yield place
    finally:
        rmtree(place, ignore_errors=True)
