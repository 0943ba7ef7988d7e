"""Which adapter reads which kind of dataset."""

from collections.abc import Callable
from pathlib import Path

from pipeline.datasets import image_folder, image_table, imagenet, isic

__all__ = ["ADAPTERS", "KNOWN_NAMES", "LAYOUT_OF"]

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


def _isic_layout(root: Path) -> str:
    return ", ".join(isic.releases(root))


LAYOUT_OF: dict[str, Callable[[Path], str]] = {
    "image_folder": image_folder.layout,
    "csv": image_table.layout,
    "imagenet": imagenet.layout,
    "isic": _isic_layout,
}
"""What the layout at a root is called; each raises where the root has none of its kind's."""
