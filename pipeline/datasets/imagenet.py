"""ImageNet-1k, or a part of it, in whichever of its usual layouts it lies there."""

from pipeline.artifacts.litter import is_litter
from pipeline.config import DatasetConfig
from pipeline.datasets import (
    Listing,
    imagenet_folders,
    imagenet_parquet,
    imagenet_webdataset,
    spurious_imagenet,
)
from pipeline.datasets.image_folder import merged
from pipeline.datasets.imagenet_folders import KAGGLE
from pipeline.datasets.imagenet_labels import wnids
from pipeline.places import Place, entries, exists, is_folder

__all__ = ["LAYOUTS", "labels", "layout", "records"]

LAYOUTS = {
    "torchvision": "train/<wnid>/*.JPEG and val/<wnid>/*.JPEG",
    "kaggle": f"{KAGGLE}/train/<wnid>/*.JPEG, {KAGGLE}/val/*.JPEG and LOC_val_solution.csv",
    "huggingface": "train-00000-of-00294.parquet and validation-00000-of-00014.parquet and so on, "
    "or these in data/",
    "webdataset": "*train*.tar and *val*.tar, or these in train/ and val/, of <key>.jpg with "
    "<key>.cls or <key>.json",
}
"""What each layout looks like."""


def records(root: Place, config: DatasetConfig, seed: int) -> Listing:
    """The images of train and val, labelled by wnid, and those of Spurious ImageNet beside them.

    The group_id is the image_id. Declared classes are those that occur, in any split, and in
    folders also those of empty folders. See the modules imagenet_* for each layout's image_ids and
    exclusions, and spurious_imagenet for the distractors.

    Args:
        root: the dataset's folder.
        config: not read, the layout says everything.
        seed: not read, the layout has its splits.

    Raises:
        FileNotFoundError: root has none of LAYOUTS, or a part of one is missing.
        OSError: a container is damaged.
        ValueError: root has several layouts, or its content contradicts its layout.
    """
    name, base = _layout(root)
    if name == "huggingface":
        main = imagenet_parquet.records(root, base)
    elif name == "webdataset":
        main = imagenet_webdataset.records(root)
    else:
        main = imagenet_folders.records(root, base)
    return merged([main, spurious_imagenet.listing(root)])


def layout(root: Place) -> str:
    """Which of LAYOUTS root has; opens no image and lists no class.

    Raises:
        FileNotFoundError: it has none.
        ValueError: it has several.
    """
    return _layout(root)[0]


def labels(root: Place) -> list[str]:
    """The classes that `records` may declare, sorted: in folders those of train, else all 1000.

    Raises:
        FileNotFoundError: as `layout`.
        ValueError: likewise.
    """
    name, base = _layout(root)
    if name in ("huggingface", "webdataset"):
        return wnids()
    return imagenet_folders.train_classes(root, base)


def _layout(root: Place) -> tuple[str, str]:
    """The layout's name, and the folder under root that holds its splits."""
    found = [
        (name, base)
        for name, base, has in [
            ("torchvision", "", imagenet_folders.has_wnid_folders),
            ("kaggle", KAGGLE, imagenet_folders.has_wnid_folders),
            ("huggingface", "", imagenet_parquet.has_shards),
            ("huggingface", "data", imagenet_parquet.has_shards),
        ]
        if has(root, base)
    ]
    if imagenet_webdataset.has_tars(root):
        found.append(("webdataset", ""))
    expected = "\n".join(f"  {name}: {looks}" for name, looks in LAYOUTS.items())
    if len(found) > 1:
        several = ", ".join(f"{name} (in {root / base})" for name, base in found)
        raise ValueError(
            f"{root} holds ImageNet more than once: {several}. Keep one of these layouts:\n"
            f"{expected}"
        )
    if not found:
        raise FileNotFoundError(
            f"{root} {_content(root)}: kind imagenet needs one of these layouts:\n{expected}\n"
            "image-net.org's own ILSVRC2012_img_*.tar are none; torchvision.datasets.ImageNet "
            "unpacks them"
        )
    return found[0]


def _content(root: Place) -> str:
    if not is_folder(root):
        return "is no folder" if exists(root) else "does not exist"
    names = sorted(entry.name for entry in entries(root) if not is_litter(entry.name))
    if not names:
        return "is empty"
    return f"holds {', '.join(names[:5])}" + (f" and {len(names) - 5} more" if names[5:] else "")
