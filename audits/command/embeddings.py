"""Which embeddings of params.yaml an audit and a labeler can share, and which have to be added."""

from collections.abc import Mapping
from itertools import count
from typing import Any

from pipeline.config import Params

__all__ = ["shared_or_new", "users"]


def shared_or_new(
    params: Params, defaults: Mapping[str, Any], dataset: str, model: str
) -> tuple[str, dict[str, Any] | None]:
    """Name of a dataset's embeddings by a model, and their entry where params.yaml has none.

    Where it has several, those with the default settings come first, else the first of them.
    """
    fitting = {
        name: entry.model_dump(exclude={"dataset", "model"})
        for name, entry in params.embeddings.items()
        if (entry.dataset, entry.model) == (dataset, model)
    }
    if fitting:
        return min(fitting, key=lambda name: fitting[name] != defaults), None
    name = f"{dataset}-{model}"
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    free = next(name for name in names if name not in params.embeddings)
    return free, {"dataset": dataset, "model": model, **defaults}


def users(params: Params, name: str) -> list[str]:
    """What names these embeddings: audits, and datasets of whose labeler they are."""
    audits = [key for key, audit in params.audits.items() if audit.embeddings == name]
    labelled = [key for key, found in params.datasets.items() if found.embeddings == name]
    return [
        *(f"audit {key}" for key in audits),
        *(f"the labeler of {key}" for key in labelled),
    ]
