"""Names of classes: what a label is called in words."""

from pathlib import Path

import pandas as pd

from pipeline.datasets.imagenet_labels import WNID

__all__ = ["class_names", "read_classes", "short_name"]

CLASSES = "classes.csv"


def class_names(root: Path, labels: list[str], known: dict[str, str]) -> dict[str, str]:
    """Full name by label, synonyms after commas ("tench, Tinca tinca").

    From `classes.csv` in the root where there is one, else from `known`, the dataset's own names;
    else from WordNet where every label is a WordNet id such as n01440764; else the label itself
    with underscores as spaces.

    Raises:
        ValueError: the source of the names lacks a label.
    """
    source, names = CLASSES, read_classes(root)
    if not names and known:
        source, names = "the built-in names", known
    elif not names and labels and all(WNID.fullmatch(label) for label in labels):
        source, names = "timm's ImageNet names", _wordnet_names()
    elif not names:
        return {label: label.replace("_", " ") for label in labels}
    missing = [label for label in labels if label not in names]
    if missing:
        raise ValueError(
            f"no name for {', '.join(missing[:5])} ({len(missing)} classes) in {source}: "
            f"give every class a row label,name in {root / CLASSES}"
        )
    return {label: names[label] for label in labels}


def read_classes(root: Path) -> dict[str, str]:
    """Name by label from the root's `classes.csv` (label,name); empty without such a file.

    Raises:
        ValueError: a column is missing, a label is listed twice, or a cell is blank.
    """
    path = root / CLASSES
    if not path.exists():
        return {}
    table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    missing = [name for name in ("label", "name") if name not in table.columns]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}: it needs label,name")
    table = table[["label", "name"]].apply(lambda column: column.str.strip())
    if (table == "").any(axis=None):
        row = int((table == "").any(axis=1).idxmax())
        raise ValueError(f"{path}, line {row + 2}: label and name must not be blank")
    if table["label"].duplicated().any():
        label = table["label"][table["label"].duplicated()].iloc[0]
        raise ValueError(f"{path} lists the label {label!r} twice: keep one row a class")
    return dict(zip(table["label"], table["name"], strict=True))


def short_name(name: str) -> str:
    """The text before the first comma: "tench" of "tench, Tinca tinca"."""
    return name.partition(",")[0].strip()


def _wordnet_names() -> dict[str, str]:
    # imported here, for it takes seconds and few datasets need it
    from timm.data.imagenet_info import ImageNetInfo

    # this subset holds all of ImageNet-1k and of ImageNet-21k
    info = ImageNetInfo("imagenet-22k-ms")
    return {wnid: info.label_name_to_description(wnid) for wnid in info.label_names()}
