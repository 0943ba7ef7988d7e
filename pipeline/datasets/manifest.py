"""The manifest: every image opened once, hashed and measured, the unusable ones left out."""

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline.datasets import Excluded, Record
from pipeline.datasets.classes import short_name
from pipeline.datasets.decoded import open_kept
from pipeline.datasets.duplicates import settle
from pipeline.datasets.opening import Opened, open_all
from pipeline.datasets.pixels import KINDS, SHOWN, Reading
from pipeline.engine.crew import LOCAL, Engine
from pipeline.places import Place

__all__ = ["COLUMNS", "Manifest", "build", "check_excluded", "describe", "fingerprint"]

COLUMNS = ["image_id", "path", "split", "label", "group_id", "sha256", "width", "height"]
LISTED = 5  # exclusions that an error lists


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
    pixels: dict[str, Any]
    """How the kept images' pixels are taken, as `dataset.json` says it."""


def build(
    records: list[Record],
    labels: list[str],
    root: Place,
    max_excluded: float,
    workers: int,
    near_duplicates: int | None = None,
    redraw: Callable[[str], str] | None = None,
    reading: Reading = SHOWN,
    decoded: Path | None = None,
    engine: Engine = LOCAL,
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
        reading: how pixels are taken.
        decoded: folder of what decoding gave earlier, see `open_kept`; None decodes everything.
        engine: where images are opened.

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
    paths = [record.path for record in records]
    opened = (
        open_all(paths, root, reading, workers, engine)
        if decoded is None
        else open_kept(paths, root, reading, workers, decoded, engine)
    )
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
    pixels = _pixels([images[record.image_id] for record in kept], reading)
    return Manifest(table, excluded, untrained, settled.pairs, len(settled.left_out), pixels)


def _pixels(kept: list[Opened], reading: Reading) -> dict[str, Any]:
    """How these images' pixels are taken, and how many are of each kind; zero counts are left out.

    `bits` is what whole numbers are scaled from, the same for all so that none is brighter than
    another by accident; `deep` counts the images of more than 8 bits by the bits that each needs.
    """
    counts = Counter(kind for image in kept for kind in image.kinds)
    needed = Counter(image.bits for image in kept if "deep" in image.kinds)
    return {
        "as": reading.how,
        "bits": max((image.bits for image in kept), default=8),
        **{kind: counts[kind] for kind in KINDS if counts[kind] and kind != "deep"},
        **({"deep": {str(bits): needed[bits] for bits in sorted(needed)}} if needed else {}),
    }


def _untrained(records: list[Record], labels: list[str]) -> dict[str, str]:
    """Reason by label of each class, declared or present, that no train image is of."""
    trained = {record.label for record in records if record.split == "train"}
    present = {record.label for record in records if record.label is not None}
    return {
        label: "no usable train image" if label in present else "no usable image"
        for label in sorted({*labels, *present} - trained)
    }


def check_excluded(excluded: list[Excluded], total: int, max_excluded: float, root: Place) -> None:
    """Stop where too many images are left out for a fault.

    Args:
        excluded: the images left out; those that are no faults do not count.
        total: count of images they are out of.
        max_excluded: largest fraction that is tolerated.
        root: the dataset's folder, for the message.

    Raises:
        ValueError: the fraction is larger; the message lists a few, one of each reason first, with
            how many are left out for it.
    """
    faults = [item for item in excluded if item.fault]
    if len(faults) <= max_excluded * total:
        return
    counts = Counter(item.reason for item in faults)
    first = {item.reason: item for item in reversed(faults)}
    # one of each reason before further ones of the same
    shown = list(dict.fromkeys([*(first[reason] for reason, _ in counts.most_common()), *faults]))
    lines = [
        f"  {item.path}: {item.reason}"
        + (f" ({counts[item.reason]} of them)" if item is first[item.reason] else "")
        for item in shown[:LISTED]
    ]
    more = [f"  and {len(faults) - LISTED} more"] if len(faults) > LISTED else []
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
            "largest_group": int(table.group_id.value_counts().max()),
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
        "pixels": manifest.pixels,
        "excluded": [item._asdict() for item in excluded],
        "excluded_classes": [
            {"label": label, "reason": reason}
            for label, reason in sorted(manifest.excluded_classes.items())
        ],
    }
