"""Metrics of all stages in one tree, rounded so that a diff of two versions can be read."""

from collections.abc import Iterable, Mapping
from typing import Any

DIGITS = 6


def merge(trees: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One nested dict of several, whose branches are joined.

    Raises:
        ValueError: two trees hold the same leaf, or a leaf where another has a branch.
    """
    merged: dict[str, Any] = {}
    for tree in trees:
        _join(merged, tree, ())
    return merged


def _join(into: dict[str, Any], tree: Mapping[str, Any], parents: tuple[str, ...]) -> None:
    for key, value in tree.items():
        here = into.get(key)
        if isinstance(value, Mapping) and (here is None or isinstance(here, dict)):
            _join(into.setdefault(key, {}), value, (*parents, key))
        elif key in into:
            raise ValueError(f"two stages claim the metric {'.'.join((*parents, key))}")
        else:
            into[key] = value


def rounded(tree: Any) -> Any:
    """The same tree with floats at 6 significant digits; counts and texts as they are."""
    if isinstance(tree, Mapping):
        return {key: rounded(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [rounded(value) for value in tree]
    return float(f"{tree:.{DIGITS}g}") if isinstance(tree, float) else tree
