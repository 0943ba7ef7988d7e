"""What runs on a node. Its code is sent there, so that a node without the repository can say so."""

from collections.abc import Callable
from typing import Any

SHARE = (
    "the repository and the datasets have to be on storage that all nodes of the cluster mount at "
    "the same place"
)


def process_class() -> type:
    """The class of a process that does units; within a function, so that it is pickled whole."""
    share = SHARE

    class Process:
        def start(
            self, root: str, seen: list[str], versions: dict[str, str], make: list[Any]
        ) -> tuple[str | None, Any]:
            """What is wrong here; or None, and what the work is about.

            `make` holds a reference that only this method can follow: Ray follows those that are
            arguments themselves before the repository is known to be here.
            """
            import os
            import sys
            from importlib import metadata

            import ray

            node = f"node {ray.util.get_node_ip_address()}"
            for path in (root, *(os.path.join(root, path) for path in seen)):
                if not os.path.exists(path):
                    return f"{node} does not see {path}: {share}", None
            for name, wanted in versions.items():
                try:
                    found = metadata.version(name)
                except metadata.PackageNotFoundError:
                    found = sys.version.split()[0] if name == "python" else "none"
                if found != wanted:
                    said = f"{node} has {name} {found} and this machine {wanted}"
                    return f"{said}: install the same on all, for bytes depend on it", None
            os.environ["TQDM_DISABLE"] = "1"  # whoever waits for the units shows progress
            os.chdir(root)
            sys.path.insert(0, root)
            maker, threads, seed = ray.get(make[0])
            from pipeline.artifacts.stage import set_threads

            set_threads(threads, seed)
            self.work = maker()
            return self.again()

        def again(self) -> tuple[None, Any]:
            """As `start`, of a process that may have died since."""
            return None, self.work.about()

        def do(self, unit: Any) -> Any:
            """The result of a unit."""
            (result,) = self.work.each([unit])
            return result

    return Process


def caller() -> Callable[[str, list[Any], Any], Any]:
    """A function that calls one that is referred to, in a folder; sent whole, likewise."""

    def call(root: str, function: list[Any], item: Any) -> Any:
        import os
        import sys

        import ray

        os.chdir(root)
        if root not in sys.path:
            sys.path.insert(0, root)
        return ray.get(function[0])(item)

    return call
