"""What extended prompts say of a dataset's classes."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.tables import read_rows

SHOWN = 10
"""Labels that an error lists."""


def descriptions(source: str | Path, labels: Sequence[str], names: Sequence[str]) -> list[str]:
    """The description of each class, which stands for its name in extended prompts.

    Args:
        source: `class_name` takes the full name; `wordnet` the full name and, after a colon,
            WordNet's definition of the label, which must be a WordNet id such as n01440764; a path
            takes the text that a table `label,description` has for the label.
        labels: of the classes.
        names: their full names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a class has no description; the message lists such classes. Or the table lacks a
            column, has a blank cell or lists a label twice.
    """
    if source == "class_name":
        return list(names)
    if source == "wordnet":
        defined = wordnet_definitions()
        _check(labels, defined, "WordNet, as timm ships it,", "give them in a file")
        return [f"{name}: {defined[label]}" for label, name in zip(labels, names, strict=True)]
    described = read_descriptions(Path(source))
    _check(labels, described, str(source), "give each a row label,description")
    return [described[label] for label in labels]


def wordnet_definitions() -> dict[str, str]:
    """WordNet id → definition, of the nouns that ImageNet-21k covers."""
    # imported here, for it takes seconds and few datasets need it
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo("imagenet21k")
    found = {}
    for label in info.label_names():
        lemmas = info.label_name_to_description(label)
        text = info.label_name_to_description(label, detailed=True)
        found[label] = text.removeprefix(f"{lemmas}: ").strip()
    return {label: text for label, text in found.items() if text}


def read_descriptions(path: Path) -> dict[str, str]:
    """Label → description, from a table `label,description`.

    Raises:
        FileNotFoundError: there is no such file.
        TextError: a cell is blank, a label is listed twice, or as `pipeline.tables`.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: see descriptions of a dataset, params.yaml"
        )
    columns = ("label", "description")
    rows = read_rows(path, columns, filled=columns).by("label")
    return {label: row.cells["description"] for label, row in rows.items()}


def _check(labels: Sequence[str], described: dict[str, str], source: str, remedy: str) -> None:
    missing = [label for label in labels if label not in described]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise ValueError(
            f"{source} has no description of {len(missing)} of {len(labels)} classes: "
            f"{', '.join(missing[:SHOWN])}{more}; {remedy}, or set the dataset's descriptions to "
            "class_name in params.yaml"
        )
