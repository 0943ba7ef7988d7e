"""The manifest: every image opened once, hashed and measured, the unusable ones left out."""

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from pipeline.datasets import Excluded, Record
from pipeline.datasets.classes import short_name
from pipeline.datasets.duplicates import perceptual_hash, settle
from pipeline.datasets.files import file_of, read_bytes

__all__ = ["COLUMNS", "Manifest", "Opened", "build", "check_excluded", "describe", "fingerprint"]

COLUMNS = ["image_id", "path", "split", "label", "group_id", "sha256", "width", "height"]
CHUNK = 32  # images handed to a process at a time
SHOWN = 5  # exclusions that an error lists


class Opened(NamedTuple):
    """What reading and decoding one image gave."""

    sha256: str
    """Of the bytes of the file; empty where it could not be read."""
    width: int
    """Pixels as stored, before any rotation that EXIF asks for; 0 where there is a fault."""
    height: int
    """As width."""
    fault: str | None
    """Why the image is unusable; None where it is fine."""
    perceptual: bytes | None = None
    """Perceptual hash; None where none is asked for, or the picture holds too little for one."""


class Manifest(NamedTuple):
    """The usable images and what was left out."""

    table: pd.DataFrame
    """Columns COLUMNS, sorted by image_id."""
    excluded: list[Excluded]
    """Images left out after opening, sorted by path."""
    excluded_classes: dict[str, str]
    """Reason by label of the classes that are left out."""
    duplicates: pd.DataFrame
    """Columns duplicates.COLUMNS: pairs of images, and what was done about each."""
    duplicates_left_out: int
    """Count of the images among `excluded` that are duplicates."""


def build(
    records: list[Record],
    labels: list[str],
    root: Path,
    max_excluded: float,
    workers: int,
    near_duplicates: int | None = None,
    redraw: Callable[[str], str] | None = None,
) -> Manifest:
    """Open every image and keep the usable ones; the result does not depend on workers.

    Exclusions: an image that is empty or does not decode to its last row; a duplicate that
    straddles splits or contradicts another's label, as `duplicates.settle` says; every image of a
    class without a labelled train image, and that class. Images without a label stay.

    Args:
        records: the images, with unique image_ids.
        labels: every class that the dataset declares.
        root: folder that the records' paths are relative to.
        max_excluded: fraction of the images above which to stop; duplicates do not count.
        workers: processes that decode.
        near_duplicates: largest distance of near duplicates, of 256 bits; None looks for equal
            bytes alone.
        redraw: split of a group, where splits are drawn; None where the layout gives them.

    Raises:
        ValueError: more images than max_excluded are left out, or there is no usable image or no
            labelled train image.
    """
    if not records:
        raise ValueError(f"{root} lists no usable image")
    if not any(record.split == "train" and record.label is not None for record in records):
        raise ValueError(
            f"{root} holds no train image with a label among {len(records)} images: an audit "
            "learns from train images and asks for their classes; say which images are for "
            "training, and of what class"
        )
    records = sorted(records)
    opened = _open_all(records, root, workers, near_duplicates is not None)
    images = dict(zip((record.image_id for record in records), opened, strict=True))
    readable = [record for record in records if images[record.image_id].fault is None]
    settled = settle(
        readable,
        [images[record.image_id].sha256 for record in readable],
        [images[record.image_id].perceptual for record in readable],
        near_duplicates,
        redraw,
    )
    untrained = _untrained(settled.records, labels)
    excluded = []
    for record in records:
        if fault := images[record.image_id].fault:
            excluded.append(Excluded(record.path, fault))
        elif record.image_id in settled.left_out:
            reason = settled.left_out[record.image_id]
            excluded.append(Excluded(record.path, reason, fault=False))
        elif record.label in untrained:
            reason = f"its class {record.label} has no usable train image"
            excluded.append(Excluded(record.path, reason))
    excluded.sort()
    check_excluded(excluded, len(records), max_excluded, root)
    kept = [record for record in settled.records if record.label not in untrained]
    if not any(record.split == "train" and record.label is not None for record in kept):
        raise ValueError(f"{root} holds no usable train image with a label")
    rows = [(*record, *images[record.image_id][:3]) for record in kept]
    # said, for a column without any text would have no type
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[:6], "str"))
    return Manifest(table, excluded, untrained, settled.pairs, len(settled.left_out))


def _untrained(records: list[Record], labels: list[str]) -> dict[str, str]:
    """Reason by label of each class, declared or present, that no train image is of."""
    trained = {record.label for record in records if record.split == "train"}
    present = {record.label for record in records if record.label is not None}
    return {
        label: "no usable train image" if label in present else "no usable image"
        for label in sorted({*labels, *present} - trained)
    }


def check_excluded(excluded: list[Excluded], total: int, max_excluded: float, root: Path) -> None:
    """Stop where too many images are left out for a fault.

    Args:
        excluded: the images left out; those that are no faults do not count.
        total: count of images they are out of.
        max_excluded: largest fraction that is tolerated.
        root: the dataset's folder, for the message.

    Raises:
        ValueError: the fraction is larger; the message lists the first few with their reasons.
    """
    faults = [item for item in excluded if item.fault]
    if len(faults) <= max_excluded * total:
        return
    lines = [f"  {item.path}: {item.reason}" for item in faults[:SHOWN]]
    more = [f"  and {len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    raise ValueError(
        "\n".join(
            [
                f"{root}: {len(faults)} of {total} images are unusable, a share of "
                f"{len(faults) / total:.4f}, and max_excluded allows {max_excluded}. "
                "Repair them, or raise max_excluded in params.yaml:",
                *lines,
                *more,
            ]
        )
    )


def fingerprint(table: pd.DataFrame) -> str:
    """sha256 over the sorted lines "sha256 label" of all images: the dataset's version.

    The same for any names, order and splits of the same labelled images; an unknown label is blank.
    """
    labels = table.label.fillna("")
    lines = sorted(f"{sha} {label}\n" for sha, label in zip(table.sha256, labels, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def describe(
    name: str,
    manifest: Manifest,
    listed_out: list[Excluded],
    names: dict[str, str],
    licence: str | None,
) -> dict[str, Any]:
    """The content of `dataset.json`.

    Args:
        name: the dataset's name in params.yaml.
        manifest: the images.
        listed_out: exclusions known before the images were opened.
        names: full name by label, for every class that is kept.
        licence: text of the licence, where known.
    """
    table = manifest.table
    by_label = Counter(table.label.dropna())
    exact = int(manifest.duplicates.exact.sum())
    excluded = sorted([*listed_out, *manifest.excluded])
    return {
        "name": name,
        "fingerprint": fingerprint(table),
        "licence": licence,
        "counts": {
            "images": len(table),
            "groups": int(table.group_id.nunique()),
            "splits": dict(Counter(table.split)),
            "labels": dict(by_label),
            "unlabelled": int(table.label.isna().sum()),
            "duplicates": {
                "exact": exact,
                "near": len(manifest.duplicates) - exact,
                "left_out": manifest.duplicates_left_out,
            },
        },
        "classes": [
            {"label": label, "name": names[label], "short": short_name(names[label])}
            for label in sorted(by_label)
        ],
        "excluded": [item._asdict() for item in excluded],
        "excluded_classes": [
            {"label": label, "reason": reason}
            for label, reason in sorted(manifest.excluded_classes.items())
        ],
    }


def _open_all(records: list[Record], root: Path, workers: int, hashed: bool) -> list[Opened]:
    """Opened images in the order of records, read in the order in which containers hold them."""
    paths = [record.path for record in records]
    # of one container, names of the same length are in order, and row 9 comes before row 10
    order = sorted(range(len(paths)), key=lambda i: (file_of(paths[i]), len(paths[i]), paths[i]))
    opened: dict[int, Opened] = {}
    bar = tqdm(total=len(paths), desc="open images", unit=" images")
    with bar, _mapper(workers) as mapper:
        reading = mapper(partial(_open, root, hashed), [paths[i] for i in order])
        for i, image in zip(order, reading, strict=True):
            opened[i] = image
            bar.update()
    return [opened[i] for i in range(len(paths))]


@contextmanager
def _mapper(workers: int) -> Iterator[Callable[..., Iterator[Opened]]]:
    """A `map` that runs in so many processes, or in this one."""
    if workers == 1:
        yield map
        return
    # spawn: a fork of a process with threads may hang
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=CHUNK)


def _open(root: Path, hashed: bool, path: str) -> Opened:
    """Read, hash and decode one image to its last row."""
    try:
        content = read_bytes(root, path)
    except OSError as error:
        return Opened("", 0, 0, f"cannot be read: {error.strerror or error}")
    if not content:
        return Opened("", 0, 0, "the file is empty")
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            width, height = image.size
            perceptual = perceptual_hash(image) if hashed else None
    except UnidentifiedImageError:  # its message holds a memory address
        return Opened("", 0, 0, "not an image that Pillow can read")
    # what Pillow's decoders raise on broken data; PNG's raises SyntaxError
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        return Opened("", 0, 0, f"corrupt: {error}")
    return Opened(hashlib.sha256(content).hexdigest(), width, height, None, perceptual)
