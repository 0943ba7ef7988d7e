"""The engines: who does the units of a stage, each of which is written by the same function.

A stage says how its `Work` is made and hands units to a crew. The local engine makes one in this
process and hands it all units, so that it can read ahead over them. With `engine: ray` one is made
in each process of a cluster (`pipeline.engine.cluster`), and each is handed a unit at a time. A
unit that is done again gives the same bytes, so the engine decides none.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from pipeline.config import Params
from pipeline.places import Place

Unit = TypeVar("Unit")
UnitIn = TypeVar("UnitIn", contravariant=True)
Result = TypeVar("Result")
ResultOut = TypeVar("ResultOut", covariant=True)
Item = TypeVar("Item")
Made = TypeVar("Made")

TRIES = 4
"""Processes that may die over one unit."""


@runtime_checkable
class Work(Protocol[UnitIn, ResultOut]):
    """What does units. It holds what they have in common, such as a model."""

    def about(self) -> Any:
        """What its caller has to know of it, and is the same wherever it is made."""

    def each(self, units: Iterable[UnitIn]) -> Iterator[ResultOut]:
        """Do units, one after the other: a result for each, in their order."""


class Needs(NamedTuple):
    """What a process of a cluster has to have for some work."""

    device: str = "cpu"
    """Of the model: `auto`, `cpu`, `cuda` or `mps`."""
    key: str = "device"
    """What that setting is called."""
    sees: tuple[Place, ...] = ()
    """Files and folders that are read, beside the repository itself."""


def again(unit: Unit, died: int) -> Sequence[Unit]:
    """A unit itself, until TRIES processes have died over it.

    Raises:
        RuntimeError: they have.
    """
    if died < TRIES:
        return [unit]
    raise RuntimeError(
        f"{TRIES} processes of the cluster died over the same images. Where memory was short, take "
        "smaller batches or shards, or nodes with more of it"
    )


@runtime_checkable
class Crew(Protocol[Unit, ResultOut]):
    """Those who do units of one kind."""

    about: Any
    """Of `Work.about`."""

    def each(
        self,
        units: Sequence[Unit],
        progress: str,
        size: Callable[[Unit], int],
        folder: Path | None = None,
        instead: Callable[[Unit, int], Sequence[Unit] | None] = again,
    ) -> Iterator[tuple[Unit, ResultOut]]:
        """Units as they are done, each with its result, in any order.

        Args:
            units: what is to be done; none needs another.
            progress: what the progress bar says, where the work shows none itself.
            size: images in a unit, for the bar.
            folder: that units are written to, None where they are not.
            instead: units to be done in place of one over which so many processes have died; None
                to give it up, which gives None for it.

        Raises:
            RuntimeError: of `instead`.
        """


@runtime_checkable
class Ahead(Protocol):
    """Calls a function for each of some items, several at a time."""

    def __call__(
        self, function: Callable[[Item], Made], items: Iterable[Item], workers: int
    ) -> Iterator[Made]:
        """What it returns, in the order of the items; `workers` of them are in work at a time."""


class _Local(Generic[Unit, Result]):
    """This process, with which its units die."""

    def __init__(self, work: Work[Unit, Result]) -> None:
        self.work = work
        self.about = work.about()

    def each(
        self,
        units: Sequence[Unit],
        progress: str,
        size: Callable[[Unit], int],
        folder: Path | None = None,
        instead: Callable[[Unit, int], Sequence[Unit] | None] = again,
    ) -> Iterator[tuple[Unit, Result]]:
        yield from zip(units, self.work.each(units), strict=True)


class Engine(NamedTuple):
    """The engine that params.yaml names, with what makes results repeatable wherever it works."""

    name: str = "local"
    """`local` or `ray`."""
    threads: int = 1
    seed: int = 0

    @classmethod
    def of(cls, params: Params) -> "Engine":
        """That of params.yaml."""
        return cls(params.engine, params.threads, params.seed)

    def crew(
        self, make: Callable[[], Work[Unit, Result]], needs: Needs, most: int
    ) -> AbstractContextManager[Crew[Unit, Result]]:
        """Those who do some units.

        Args:
            make: makes what does them; on a cluster it is sent to each process and called there.
            needs: what such a process has to have.
            most: units that there are at most.

        Raises:
            ConfigError: there is no cluster, or it cannot do this; the message says what to do.
        """
        if self.name == "local":
            return _here(make)
        # Imported late: most runs have no cluster.
        from pipeline.engine.cluster import cluster

        return cluster(make, needs, most, self.threads, self.seed)

    def ahead(self) -> Ahead | None:
        """How work that a crew does calls functions on other processors; None for its own way."""
        if self.name == "local":
            return None
        from pipeline.engine.cluster import by_tasks

        return by_tasks


LOCAL = Engine()


@contextmanager
def _here(make: Callable[[], Work[Unit, Result]]) -> Iterator[Crew[Unit, Result]]:
    yield _Local(make())
