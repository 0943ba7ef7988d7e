"""Which adapter reads which kind of dataset."""

from collections import defaultdict
from collections.abc import Callable

from pipeline.config import DatasetConfig
from pipeline.datasets import Listing, image_folder, image_table, imagenet, isic
from pipeline.datasets.image_folder import visible
from pipeline.datasets.links import refuse_links
from pipeline.datasets.splits import split_named
from pipeline.places import Place, is_folder
from pipeline.text_files import folded

__all__ = ["ADAPTERS", "KNOWN_NAMES", "LABELS_OF", "LAYOUT_OF", "layout", "listing"]

ADAPTERS = {
    "image_folder": image_folder.records,
    "csv": image_table.records,
    "imagenet": imagenet.records,
    "isic": isic.records,
}
KNOWN_NAMES: dict[str, dict[str, str]] = {
    "image_folder": {},
    "csv": {},
    "imagenet": {},
    "isic": isic.DIAGNOSES,
}
LAYOUT_OF: dict[str, Callable[[Place, DatasetConfig], str]] = {
    "image_folder": image_folder.layout,
    "csv": image_table.layout,
    "imagenet": lambda root, _: imagenet.layout(root),
    "isic": lambda root, _: ", ".join(isic.releases(root)),
}
"""What the layout at a root is called; each raises where the root has none of its kind's."""
LABELS_OF: dict[str, Callable[[Place, DatasetConfig], list[str]]] = {
    "image_folder": lambda root, _: image_folder.labels(root),
    "csv": image_table.labels,
    "imagenet": lambda root, _: imagenet.labels(root),
    "isic": lambda root, _: isic.labels(root),
}
"""The classes that a listing may declare, sorted, as far as they are known without one."""


def listing(config: DatasetConfig, seed: int) -> Listing:
    """What a dataset's adapter lists.

    Args:
        config: the dataset.
        seed: of splits that are drawn.

    Raises:
        ConnectionError: the store that it is in does not give it.
        OSError: a part of the dataset is missing or damaged.
        ValueError: the dataset contradicts its layout, holds a link that DVC cannot follow, or
            spells a class in two ways of which one has no train image.
    """
    refuse_links(config.root)
    found = ADAPTERS[config.kind](config.root, config, seed)
    return found._replace(notes=[*found.notes, *_spellings(found)])


def layout(config: DatasetConfig) -> str:
    """Name of the layout of a dataset; opens no image.

    Raises:
        OSError: as `listing`, without looking at every image.
        ValueError: likewise.
    """
    try:
        found = LAYOUT_OF[config.kind](config.root, config)
    except ConnectionError:
        raise
    except (OSError, ValueError) as error:
        inner = _inside(config)
        if inner is None:
            raise
        raise ValueError(
            f"name {inner} as root, which looks like kind {config.kind}. {error}"
        ) from error
    refuse_links(config.root)
    return found


def _inside(config: DatasetConfig) -> Place | None:
    """The folder in the root that looks as the root should, as where an archive was unpacked."""
    if not is_folder(config.root):
        return None
    for entry in visible(config.root):
        inner = config.root / entry.name
        if entry.is_dir() and split_named(entry.name) is None:
            try:
                LAYOUT_OF[config.kind](inner, config)
            except (OSError, ValueError):
                continue
            return inner
    return None


def _spellings(found: Listing) -> list[str]:
    """A note on labels that differ by case, white space, - or _ only.

    Raises:
        ValueError: one of them has no train image.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for label in found.labels:
        alike[" ".join(folded(label).replace("_", " ").replace("-", " ").split())].append(label)
    notes = []
    trained = {record.label for record in found.records if record.split == "train"}
    for labels in alike.values():
        if len(labels) == 1:
            continue
        said = " and ".join(map(repr, labels))
        if lacking := [label for label in labels if label not in trained]:
            raise ValueError(
                f"the classes {said} differ by case or spacing only, and {lacking[0]!r} has no "
                "train image: is it one class? Give it one spelling everywhere"
            )
        notes.append(f"the classes {said} differ by case or spacing only, and count as two")
    return notes
