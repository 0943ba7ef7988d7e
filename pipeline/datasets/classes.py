"""Names of classes: what a label is called in words."""

from pipeline.datasets.imagenet_labels import WNID
from pipeline.places import Place, exists
from pipeline.tables import read_rows
from pipeline.text_files import TextError

__all__ = ["class_names", "read_classes", "short_name"]

CLASSES = "classes.csv"


def class_names(root: Place, labels: list[str], known: dict[str, str]) -> dict[str, str]:
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


def read_classes(root: Place) -> dict[str, str]:
    """Name by label from the root's `classes.csv` (label,name); empty without such a file.

    Synonyms after commas need no quotes, where the table has these two columns only.

    Raises:
        TextError: there is no row, a cell is blank, a label is listed twice, or as
            `pipeline.tables`.
    """
    path = root / CLASSES
    if not exists(path):
        return {}
    columns = ("label", "name")
    rows = read_rows(path, columns, filled=columns, rest=True).by("label")
    if not rows:
        raise TextError(f"{path} names no class: give each a row label,name, or remove the file")
    return {label: row.cells["name"] for label, row in rows.items()}


def short_name(name: str) -> str:
    """The text before the first comma: "tench" of "tench, Tinca tinca"."""
    return name.partition(",")[0].strip()


def _wordnet_names() -> dict[str, str]:
    # imported here, for it takes seconds and few datasets need it
    from timm.data.imagenet_info import ImageNetInfo

    # this subset holds all of ImageNet-1k and of ImageNet-21k
    info = ImageNetInfo("imagenet-22k-ms")
    return {wnid: info.label_name_to_description(wnid) for wnid in info.label_names()}
