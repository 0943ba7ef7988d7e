"""Groups: what is joined, directly or through others, has one name."""

from collections.abc import Iterable
from typing import TypeVar

__all__ = ["connected"]

# strings, or tuples that can be ordered
Name = TypeVar("Name", str, tuple[int, str, str])


def connected(pairs: Iterable[tuple[Name, Name]]) -> dict[Name, Name]:
    """Smallest name of the connected set that each name of a pair belongs to.

    A pair of a name with itself enters a name that may be alone. The order of the pairs, and
    within a pair, does not matter.
    """
    parent: dict[Name, Name] = {}

    def root(name: Name) -> Name:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]  # halves the way for the next search
            name = parent[name]
        return name

    for one, other in pairs:
        smaller, larger = sorted((root(one), root(other)))
        parent[larger] = smaller
    return {name: root(name) for name in parent}
