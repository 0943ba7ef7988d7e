"""Names by which a person tells the classes of a dataset apart."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any


def distinct_names(classes: Iterable[Mapping[Any, str]]) -> dict[str, str]:
    """Label → a name that no other class has.

    The short name; the full one where several classes have the same short name ("Cardigan, Cardigan
    Welsh corgi"), with the label where that is the same, too ("crane (n03126707)"). Case makes no
    difference.

    Args:
        classes: label, name and short of each.
    """
    entries = list(classes)
    short = Counter(entry["short"].casefold() for entry in entries)
    full = Counter(entry["name"].casefold() for entry in entries)
    found = {}
    for entry in entries:
        alone = short[entry["short"].casefold()] == 1
        name = entry["short"] if alone else entry["name"]
        same = not alone and full[name.casefold()] > 1
        found[entry["label"]] = f"{name} ({entry['label']})" if same else name
    return found
