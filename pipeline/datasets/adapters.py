"""Which adapter reads which kind of dataset."""

from pipeline.datasets import image_folder, isic

__all__ = ["ADAPTERS", "KNOWN_NAMES"]

ADAPTERS = {"image_folder": image_folder.records, "isic": isic.records}
KNOWN_NAMES: dict[str, dict[str, str]] = {"image_folder": {}, "isic": isic.DIAGNOSES}
