"""The manifest: every image opened once, hashed and measured, the unusable ones left out."""

import hashlib
import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from pipeline.datasets import Excluded, Record
from pipeline.datasets.classes import short_name

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


class Manifest(NamedTuple):
    """The usable images and what was left out."""

    table: pd.DataFrame
    """Columns COLUMNS, sorted by image_id."""
    excluded: list[Excluded]
    """Images left out after opening, sorted by path."""
    excluded_classes: dict[str, str]
    """Reason by label of the classes that are left out."""


def build(
    records: list[Record], labels: list[str], root: Path, max_excluded: float, workers: int
) -> Manifest:
    """Open every image and keep the usable ones; the result does not depend on workers.

    Exclusions: an image that is empty or does not decode to its last row; the later one (by
    image_id) of two files of equal bytes in different splits or under different labels; every
    image of a class without a train image, and that class. Equal bytes in one split under one
    label are kept.

    Args:
        records: the images, with unique image_ids.
        labels: every class that the dataset declares.
        root: folder that the records' paths are relative to.
        max_excluded: fraction of the images above which to stop.
        workers: processes that decode.

    Raises:
        ValueError: more images than max_excluded are left out, or no image is usable.
    """
    if not records:
        raise ValueError(f"{root} lists no usable image")
    records = sorted(records)
    kept: list[tuple[Record, Opened]] = []
    excluded: list[Excluded] = []
    first: dict[str, Record] = {}
    for record, opened in zip(records, _open_all(records, root, workers), strict=True):
        if opened.fault is not None:
            excluded.append(Excluded(record.path, opened.fault))
            continue
        twin = first.setdefault(opened.sha256, record)
        if (twin.split, twin.label) != (record.split, record.label):
            reason = f"same bytes as {twin.path} ({twin.split}, {twin.label})"
            excluded.append(Excluded(record.path, reason))
            continue
        kept.append((record, opened))

    trained = {record.label for record, _ in kept if record.split == "train"}
    present = {record.label for record, _ in kept}
    excluded_classes = {
        label: "no usable train image" if label in present else "no usable image"
        for label in sorted({*labels, *present} - trained)
    }
    excluded += [
        Excluded(record.path, f"its class {record.label} has no usable train image")
        for record, _ in kept
        if record.label not in trained
    ]
    check_excluded(sorted(excluded), len(records), max_excluded, root)
    rows = [(*record, *opened[:3]) for record, opened in kept if record.label in trained]
    if not rows:
        raise ValueError(f"{root} holds no usable train image")
    return Manifest(pd.DataFrame(rows, columns=COLUMNS), sorted(excluded), excluded_classes)


def check_excluded(excluded: list[Excluded], total: int, max_excluded: float, root: Path) -> None:
    """Stop where too many images are left out.

    Args:
        excluded: the images left out.
        total: count of images they are out of.
        max_excluded: largest fraction that is tolerated.
        root: the dataset's folder, for the message.

    Raises:
        ValueError: the fraction is larger; the message lists the first few with their reasons.
    """
    if len(excluded) <= max_excluded * total:
        return
    lines = [f"  {path}: {reason}" for path, reason in excluded[:SHOWN]]
    more = [f"  and {len(excluded) - SHOWN} more"] if len(excluded) > SHOWN else []
    raise ValueError(
        "\n".join(
            [
                f"{root}: {len(excluded)} of {total} images are unusable, a share of "
                f"{len(excluded) / total:.4f}, and max_excluded allows {max_excluded}. "
                "Repair them, or raise max_excluded in params.yaml:",
                *lines,
                *more,
            ]
        )
    )


def fingerprint(table: pd.DataFrame) -> str:
    """sha256 over the sorted lines "sha256 label" of all images: the dataset's version.

    The same for any names, order and splits of the same labelled images.
    """
    lines = sorted(f"{sha} {label}\n" for sha, label in zip(table.sha256, table.label, strict=True))
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
    by_label = Counter(table.label)
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


def _open_all(records: list[Record], root: Path, workers: int) -> Iterator[Opened]:
    """Opened images in the order of records."""
    paths = [record.path for record in records]
    bar = partial(tqdm, total=len(paths), desc="open images", unit=" images")
    if workers == 1:
        yield from bar(map(_open, repeat(root), paths))
        return
    # spawn: a fork of a process with threads may hang
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from bar(pool.map(_open, repeat(root), paths, chunksize=CHUNK))


def _open(root: Path, path: str) -> Opened:
    """Read, hash and decode one image to its last row."""
    try:
        content = (root / path).read_bytes()
    except OSError as error:
        return Opened("", 0, 0, f"cannot be read: {error.strerror}")
    if not content:
        return Opened("", 0, 0, "the file is empty")
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            width, height = image.size
    except UnidentifiedImageError:  # its message holds a memory address
        return Opened("", 0, 0, "not an image that Pillow can read")
    # what Pillow's decoders raise on broken data; PNG's raises SyntaxError
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        return Opened("", 0, 0, f"corrupt: {error}")
    return Opened(hashlib.sha256(content).hexdigest(), width, height, None)
