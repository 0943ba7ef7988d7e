"""What the engine needs of Ray, in this process: calls are made when their results are waited for.

A process dies where it is asked to do a unit that `kills` says so of.
"""

import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class RayError(Exception):
    """As Ray's, of which all others are kinds."""


class RayTaskError(RayError):
    """An error of the called function, its cause."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class Ray:
    """A cluster of nodes of some processors each."""

    def __init__(self, kills: Callable[[Any], bool] = lambda unit: False, nodes: int = 2) -> None:
        self.kills = kills
        self.alive = [{"Alive": True, "Resources": {"CPU": 1.0}} for _ in range(nodes)]
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        self.util = SimpleNamespace(get_node_ip_address=lambda: "10.0.0.7")
        self.numbers = itertools.count()
        self.calls: dict[int, Callable[[], Any]] = {}
        self.kept: dict[int, Any] = {}
        self.done_by: list[tuple[Any, int]] = []
        """Each unit that was done, and by which process."""

    def nodes(self) -> list[dict[str, Any]]:
        return self.alive

    def put(self, value: Any) -> int:
        ref = next(self.numbers)
        self.kept[ref] = value
        return ref

    def shutdown(self) -> None:
        self.calls.clear()

    def init(self, **_: Any) -> None:
        """Joined."""

    def kill(self, process: "Process") -> None:
        process.dead = True

    def remote(self, made: type) -> Any:
        start = SimpleNamespace(remote=lambda: Process(self, made()))
        return SimpleNamespace(options=lambda **_: start)

    def wait(self, refs: list[int], timeout: float) -> tuple[list[int], list[int]]:
        return refs[-1:], refs[:-1]  # not in the order of asking

    def get(self, ref: int) -> Any:
        if ref in self.kept:
            return self.kept[ref]
        try:
            return self.calls.pop(ref)()
        except RayError:
            raise
        except Exception as error:
            raise RayTaskError(error) from error


class Process:
    """A handle of a process."""

    def __init__(self, ray: Ray, there: Any) -> None:
        self.ray, self.there, self.dead = ray, there, False
        self.number = next(ray.numbers)

    def __getattr__(self, method: str) -> Any:
        def remote(*given: Any) -> int:
            ref = next(self.ray.numbers)
            self.ray.calls[ref] = lambda: self.called(method, given)
            return ref

        return SimpleNamespace(remote=remote)

    def called(self, method: str, given: tuple[Any, ...]) -> Any:
        if self.dead or (method == "do" and self.ray.kills(given[0])):
            self.dead = True
            raise RayError("the process died")
        result = getattr(self.there, method)(*given)
        if method == "do":
            self.ray.done_by.append((given[0], self.number))
        return result
