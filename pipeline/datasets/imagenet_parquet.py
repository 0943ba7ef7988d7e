"""ImageNet as Hugging Face packs it (`ILSVRC/imagenet-1k`): Parquet shards of images and labels."""

import json
import re
from pathlib import PurePosixPath

import pyarrow.parquet as pq

from pipeline.datasets import Excluded, Listing, Record
from pipeline.datasets.files import parquet_rows
from pipeline.datasets.image_folder import image_id_of, merged, visible
from pipeline.datasets.imagenet_labels import WNID, check_name, check_names, wnid_of
from pipeline.places import Place, is_folder, opened

__all__ = ["has_shards", "records"]

SHARD = re.compile(r"(?P<split>train|validation)-(?P<number>\d+)-of-(?P<count>\d+)\.parquet")
SPLITS = {"train": "train", "validation": "val"}
UNKNOWN = -1


def has_shards(root: Place, base: str) -> bool:
    """Whether `<root>/<base>` holds a shard of train or validation."""
    folder = root / base
    return is_folder(folder) and any(SHARD.fullmatch(entry.name) for entry in visible(folder))


def records(root: Place, base: str) -> Listing:
    """The rows of the shards of train and validation; shards of test, without labels, are skipped.

    A label is a number in the order of wnids, unless the shards' metadata name the classes by their
    wnids. The image_id is `<split>/<shard>/<row>-<name of the file>`, so that its order is that of
    the rows. Rows whose label is unknown are exclusions.

    Args:
        root: the dataset's folder.
        base: folder under root that holds the shards; "" is root itself.

    Raises:
        FileNotFoundError: a shard is missing.
        OSError: a shard is damaged.
        ValueError: columns are missing, a label is no class, or contradicts the file's name or
            the names of the classes.
    """
    shards = _shards(root / base)
    names = _class_names(root / base / shards[0][1])
    return merged(
        _rows(root, f"{base}/{name}" if base else name, SPLITS[split], names)
        for split, name in shards
    )


def _shards(folder: Place) -> list[tuple[str, str]]:
    """Split and file of every shard."""
    shards = [match for entry in visible(folder) if (match := SHARD.fullmatch(entry.name))]
    for split in SPLITS:
        mine = [shard for shard in shards if shard["split"] == split]
        counts = {int(shard["count"]) for shard in mine}
        if len(counts) != 1:
            found = "of several counts" if counts else "missing"
            raise FileNotFoundError(f"{folder}: the shards {split}-*-of-*.parquet are {found}")
        [count] = counts
        absent = sorted(set(range(count)) - {int(shard["number"]) for shard in mine})
        if absent:
            listed = ", ".join(f"{split}-{i:05d}-of-{count:05d}.parquet" for i in absent[:5])
            raise FileNotFoundError(
                f"{folder} lacks {len(absent)} of {count} shards of {split}: {listed}"
                + (" and others" if len(absent) > 5 else "")
            )
    return [(shard["split"], shard.string) for shard in shards]


def _class_names(shard: Place) -> list[str] | None:
    """The wnids that a shard's metadata name, in their order; None where they are ImageNet-1k's."""
    with opened(shard, "here and there") as file:
        metadata = (pq.read_schema(file).metadata or {}).get(b"huggingface", b"{}")
    features = json.loads(metadata).get("info", {}).get("features", {})
    names = features.get("label", {}).get("names")
    if names is None:
        return None
    if all(WNID.fullmatch(name) for name in names):
        return list(names)
    check_names(names, str(shard))
    return None


def _rows(root: Place, shard: str, split: str, names: list[str] | None) -> Listing:
    found: list[Record] = []
    excluded: list[Excluded] = []
    stem = image_id_of(PurePosixPath(shard).name)
    for number, (name, label) in enumerate(parquet_rows(root / shard)):
        path = f"{shard}#{number}"
        if label is None or label == UNKNOWN:
            excluded.append(Excluded(path, "its label is unknown"))
            continue
        if names is None:
            wnid = wnid_of(label, f"{root / shard}, row {number},")
        elif 0 <= label < len(names):
            wnid = names[label]
        else:
            raise ValueError(
                f"{root / shard}, row {number}, has the class {label}: its metadata name "
                f"{len(names)} classes, from 0"
            )
        ending = ""
        if name:
            check_name(wnid, name, f"{root / shard}, row {number},")
            ending = f"-{image_id_of(PurePosixPath(name).name)}"
        image_id = f"{split}/{stem}/{number:07d}{ending}"
        found.append(Record(image_id, path, split, wnid, image_id))
    return Listing(found, sorted({r.label for r in found if r.label}), excluded)
