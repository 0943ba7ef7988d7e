"""ImageNet as WebDataset packs it (`timm/imagenet-1k-wds`): tars of images and their labels.

A sample is all members with one key: the member's name up to the first dot of its base name. Its
image is `<key>.jpg` (or jpeg, png), its label `<key>.cls` or part of `<key>.json`.
"""

import json
import re
from pathlib import PurePosixPath
from typing import Any

from pipeline.datasets import Excluded, Listing, Record
from pipeline.datasets.files import read_bytes, tar_members
from pipeline.datasets.image_folder import image_id_of, merged, visible
from pipeline.datasets.imagenet_labels import WNID, check_name, wnid_of
from pipeline.datasets.names import is_passed_over
from pipeline.places import Place, is_folder

__all__ = ["has_tars", "records"]

PATTERNS = {"train": re.compile(r".*train.*\.tar"), "val": re.compile(r".*val.*\.tar")}
ORIGINAL = re.compile(r"ILSVRC2012_.*\.tar")  # image-net.org's own, of other content
IMAGES = ("jpg", "jpeg", "png")
UNKNOWN = -1


def has_tars(root: Place) -> bool:
    """Whether root, or its train or val, holds a tar that is named by a split."""
    return any(_tars(root, split) for split in PATTERNS)


def records(root: Place) -> Listing:
    """The samples of the tars; the image_id is `<split>/<tar>/<number>-<key>`, in the tars' order.

    Exclusions: an image without a label, a label without an image, a second image of a sample, a
    label that is no number.

    Raises:
        FileNotFoundError: a split has no tar.
        OSError: a tar is damaged or compressed.
        ValueError: a label is no class, or contradicts another one of the sample or its name; a tar
            is of both splits by its name.
    """
    tars = {split: _tars(root, split) for split in PATTERNS}
    for split, paths in tars.items():
        if not paths:
            raise FileNotFoundError(f"{root} holds no *{split}*.tar, in itself or in {split}/")
    both = sorted(set(tars["train"]) & set(tars["val"]))
    if both:
        raise ValueError(f"{root / both[0]} names both train and val: rename it")
    return merged(_samples(root, path, split) for split in tars for path in tars[split])


def _tars(root: Place, split: str) -> list[str]:
    """Paths of a split's tars relative to root."""
    found = []
    for base in ("", f"{split}/"):
        if is_folder(root / base):
            names = [entry.name for entry in visible(root / base)]
            found += [
                base + name
                for name in names
                if PATTERNS[split].fullmatch(name) and not ORIGINAL.fullmatch(name)
            ]
    return found


def _samples(root: Place, tar: str, split: str) -> Listing:
    samples: dict[str, dict[str, str]] = {}
    for member in tar_members(root / tar):
        folder, _, name = member.rpartition("/")
        stem, _, suffix = name.partition(".")
        notes = stem.startswith("__") and stem.endswith("__")  # on the tar
        if not notes and not any(map(is_passed_over, PurePosixPath(member).parts)):
            key = f"{folder}/{stem}" if folder else stem
            samples.setdefault(key, {})[suffix.lower()] = member
    found: list[Record] = []
    excluded: list[Excluded] = []
    prefix = f"{split}/{image_id_of(PurePosixPath(tar).name)}"
    for number, (key, members) in enumerate(samples.items()):
        images = [members[suffix] for suffix in IMAGES if suffix in members]
        if not images:
            first = next(iter(members.values()))
            excluded.append(Excluded(f"{tar}#{first}", "its sample has no image"))
            continue
        excluded += [Excluded(f"{tar}#{i}", f"its sample has {images[0]}") for i in images[1:]]
        path = f"{tar}#{images[0]}"
        label, fault = _label(root, tar, key, members)
        if label is None:
            excluded.append(Excluded(path, fault))
            continue
        image_id = re.sub(r"\s", "_", f"{prefix}/{number:07d}-{key.rpartition('/')[2]}")
        found.append(Record(image_id, path, split, label, image_id))
    return Listing(found, sorted({r.label for r in found if r.label}), excluded)


def _label(root: Place, tar: str, key: str, members: dict[str, str]) -> tuple[str | None, str]:
    """The wnid of a sample, or None and why there is none."""
    where = f"{root / tar}, sample {key},"
    says: dict[str, str] = {}
    if "cls" in members:
        text = read_bytes(root, f"{tar}#{members['cls']}").decode(errors="replace").strip()
        if not re.fullmatch(r"-?\d+", text):
            return None, f"its .cls is {text!r}, not a number"
        if int(text) != UNKNOWN:
            says[".cls"] = wnid_of(int(text), where)
    if "json" in members:
        try:
            content = json.loads(read_bytes(root, f"{tar}#{members['json']}"))
        except ValueError as error:
            return None, f"its .json is no JSON: {error}"
        says |= _label_of_json(content, where)
    if len(set(says.values())) > 1:
        raise ValueError(f"{where} has labels that contradict each other: {says}")
    if not says:
        return None, "its sample has no label: no .cls, and no label, wnid, synset or filename"
    label = next(iter(says.values()))
    check_name(label, key, where)
    return label, ""


def _label_of_json(content: Any, where: str) -> dict[str, str]:
    """What each field that may say the class says."""
    says: dict[str, str] = {}
    if not isinstance(content, dict):
        return says
    for field in ("wnid", "synset", "filename"):
        value = content.get(field)
        if isinstance(value, str) and (match := WNID.match(value)):
            says[field] = match[0]
    number = content.get("label")
    if isinstance(number, int) and not isinstance(number, bool) and number != UNKNOWN:
        says["label"] = wnid_of(number, where)
    return says
