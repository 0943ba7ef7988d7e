"""What is asked of a dataset's classes: a name, a description, and to be there for an audit."""

from collections.abc import Mapping, Sequence

from pipeline import layout
from pipeline.config import Params
from pipeline.datasets.adapters import KNOWN_NAMES
from pipeline.datasets.classes import class_names
from pipeline.datasets.descriptions import SHOWN, descriptions
from pipeline.faults import faults
from pipeline.text_files import near

__all__ = ["unmet"]


def unmet(
    params: Params, name: str, labels: Sequence[str], left_out: Mapping[str, str]
) -> list[str]:
    """What is asked of a dataset's classes and is not so, a message each.

    Args:
        params: params.yaml.
        name: the dataset's.
        labels: of its classes, sorted.
        left_out: reason by label of those that it declares and that are left out.
    """
    config = params.dataset(name)
    table = layout.descriptions(name)
    source = table if config.descriptions == "table" else config.descriptions
    # A table that is not there is said where the other texts are looked at.
    described = source is not table or table.exists()
    known = KNOWN_NAMES[config.kind]
    asking = [
        (f"audits.{audit}.shortcut.{side}", label)
        for audit, entry in params.audits.items()
        if entry.dataset == name and entry.shortcut is not None
        for side, labels_of in (
            ("positive", entry.shortcut.positive),
            ("negative", entry.shortcut.negative or []),
        )
        for label in labels_of
    ]
    return [
        *faults(lambda: class_names(config.root, list(labels), known)),
        *(faults(lambda: descriptions(source, labels, labels)) if described else []),
        *(
            f"{key} has {label!r}, {_why(label, labels, left_out)}. "
            f"datasets.{name} has {_shown(labels)}: name one of these in params.yaml, or set "
            "shortcut to null"
            for key, label in asking
            if label not in labels
        ),
    ]


def _why(label: str, labels: Sequence[str], left_out: Mapping[str, str]) -> str:
    if label in left_out:
        return f"a class that is left out: {left_out[label]}"
    meant = near(label, labels)
    return "which is no label of the dataset" + (f"; is {meant!r} meant?" if meant else "")


def _shown(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return ", ".join(labels[:SHOWN]) + more
