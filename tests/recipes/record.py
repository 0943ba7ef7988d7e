"""Results on record, and whether those of today are the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.recipes.results import Result

ABSOLUTE, RELATIVE = 2e-3, 2e-3
"""By how much numbers may differ, as they do from processor to processor."""


def path_of(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.json")


def read(name: str) -> tuple[int, Result]:
    """Number of the recipe under which its results were recorded, and these."""
    found = json.loads(path_of(name).read_text(encoding="utf-8"))
    return found["recipe"], found["result"]


def write(name: str, number: int, result: Result) -> None:
    text = json.dumps({"recipe": number, "result": result}, indent=1, ensure_ascii=False)
    path_of(name).write_text(text + "\n", encoding="utf-8")


def changed(result: Result, recorded: Result) -> list[str]:
    """Keys of what is not the same."""
    keys = [*result, *(key for key in recorded if key not in result)]
    return [key for key in keys if not same(result.get(key), recorded.get(key))]


def same(value: Any, recorded: Any) -> bool:
    """Whether two results are the same, floats within rounding."""
    lists = isinstance(value, list) and isinstance(recorded, list) and len(value) == len(recorded)
    if lists and value and all(isinstance(one, float) for one in value):
        return bool(np.allclose(value, recorded, rtol=RELATIVE, atol=ABSOLUTE))
    return bool(value == recorded)


def problem(name: str, number: int, result: Result) -> str | None:
    """What has to be done about a recipe, None where its results are those on record."""
    record = f"`python -m tests.recipes {name}`"
    under, recorded = read(name)
    differing = ", ".join(changed(result, recorded))
    if differing and number == under:
        return (
            f"results of {name} have changed ({differing}): if that is meant, raise {name} in "
            f"recipes.yaml to {number + 1}, so that they are computed anew, and run {record}"
        )
    if number != under:
        return f"recipes.yaml has {name}: {number}, on record is {under}: run {record}"
    return None
