"""ISIC 2018, 2019, 2020, 2024 and HAM10000, one of them or several as one dataset.

Each release lies in the root or in a folder directly in it, as it is published:

- ISIC 2018, task 3: `ISIC2018_Task3_Training_GroundTruth.csv`, the images in
  `ISIC2018_Task3_Training_Input/`, and `ISIC2018_Task3_Training_LesionGroupings.csv`, without which
  lesions are unknown; `…_Validation_…` and `…_Test_…` likewise, each a release of its own
- ISIC 2019: `ISIC_2019_Training_GroundTruth.csv`, `ISIC_2019_Training_Metadata.csv` and the images
  in `ISIC_2019_Training_Input/`
- ISIC 2020: `ISIC_2020_Training_GroundTruth_v2.csv` with `train/`, or Kaggle's `train.csv` with
  `jpeg/train/`; `ISIC_2020_Training_Duplicates.csv` where you have it
- ISIC 2024: `train-metadata.csv` with `train-image.hdf5` or `train-image/image/`
- HAM10000: `HAM10000_metadata.csv`, `HAM10000_images_part_1/` and `HAM10000_images_part_2/`

Images may lie at any depth in their folder, and a table in a folder that is called as it is, as
some archives unpack. Of a release, a part of the images with the table of all is enough.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

from pipeline.config import DatasetConfig
from pipeline.datasets import Excluded, Listing, Record
from pipeline.datasets.absent import absent
from pipeline.datasets.classes import read_classes
from pipeline.datasets.files import hdf5_members
from pipeline.datasets.groups import connected
from pipeline.datasets.image_folder import files_below
from pipeline.datasets.isic_releases import RELEASES, Release, releases, where, whole
from pipeline.datasets.isic_tables import (
    DIAGNOSES,
    Row,
    read_2018,
    read_2019,
    read_2020,
    read_2024,
    read_duplicates,
    read_ham,
)
from pipeline.datasets.splits import split_of
from pipeline.places import Place

__all__ = ["DIAGNOSES", "labels", "records", "releases"]

DUPLICATES = "ISIC_2020_Training_Duplicates.csv"
GROUPINGS = "ISIC2018_Task3_Training_LesionGroupings.csv"
SUFFIXES = (".jpg", ".jpeg", ".png")
READERS = {"ISIC 2020": read_2020, "ISIC 2024": read_2024, "HAM10000": read_ham}

Link = tuple[tuple[int, str, str], tuple[int, str, str]]


class Content(NamedTuple):
    """What a release holds."""

    release: str
    table: str
    """The table of diagnoses, relative to the release's folder."""
    rows: list[Row]
    files: dict[str, str]
    """Path of the image, likewise, by image_id."""
    copies: dict[str, str]
    """The image that is kept, by one that the release itself calls its copy."""
    notes: list[str]
    """What a person should know of it."""


class Found(NamedTuple):
    """A usable image."""

    path: str
    label: str | None
    release: str


def records(root: Place, config: DatasetConfig, seed: int) -> Listing:
    """The images of all releases that root holds.

    The image_id is ISIC's, which all releases share. Of an image in several releases the first is
    taken, in the order 2019, 2020, 2024, HAM10000, 2018. The classes are those of `classes.csv`
    where the root has one, else the eight of ISIC 2019; images of other or unknown diagnoses have
    no label.

    A group is all images that are connected by equal lesions or equal patients, also through images
    that are left out. The group_id is the smallest of their names, or the image's own id where
    neither is known; the split is drawn for each group.

    Exclusions that are faults: a file without a row, tables that contradict each other or
    themselves, no row of metadata. Not faults: an image that another release has already, one that
    ISIC 2020 lists as a copy, one whose diagnosis is not in `classes.csv`. Rows without a file are
    a note.

    Args:
        root: folder of the release, or of their folders.
        config: `splits`, fraction of the groups by split.
        seed: of the split.

    Raises:
        FileNotFoundError: there is no release, or one lacks a part.
        ValueError: `splits` is null, a release is there twice, a column is missing or not of
            numbers, or an image has two rows or two files; or as `pipeline.tables`.
    """
    if config.splits is None:
        raise ValueError("splits is null: kind isic needs shares such as {train: 0.8, val: 0.2}")
    splits = {str(name): share for name, share in config.splits.items()}
    declared = labels(root)
    folders = releases(root)
    found: dict[str, Found] = {}
    excluded: list[Excluded] = []
    links: list[Link] = []
    notes: list[str] = []
    for release in RELEASES:
        if release.name in folders:
            folder = folders[release.name]
            base = f"{folder}/".removeprefix(f"{root}/")
            content = _read(folder, release, declared)
            excluded += _sort_out(content, base, declared, found)
            links += _links(content)
            notes += content.notes
    groups = {name[1]: group[1] for name, group in connected(links).items() if name[2] == "image"}
    listed = [
        Record(image_id, image.path, split_of(group_id, splits, seed), image.label, group_id)
        for image_id, image in sorted(found.items())
        for group_id in [groups[image_id]]
    ]
    return Listing(listed, declared, sorted(excluded), notes=notes)


def labels(root: Place) -> list[str]:
    """The classes of `classes.csv` where the root has one, else the eight of ISIC 2019, sorted."""
    return sorted(read_classes(root) or DIAGNOSES)


def _sort_out(
    content: Content, base: str, labels: list[str], found: dict[str, Found]
) -> list[Excluded]:
    """Enter a release's usable images into found; the others as exclusions."""
    listed = {row.image_id for row in content.rows}
    excluded = [
        Excluded(base + path, f"no row in {content.table}")
        for image_id, path in content.files.items()
        if image_id not in listed
    ]
    for row in content.rows:
        if row.image_id not in content.files:
            continue
        path = base + content.files[row.image_id]
        reason = _no_fault(row, content, labels, found)
        if row.fault is not None:
            excluded.append(Excluded(path, row.fault))
        elif reason is not None:
            excluded.append(Excluded(path, reason, fault=False))
        else:
            found[row.image_id] = Found(path, row.label, content.release)
    return excluded


def _no_fault(row: Row, content: Content, labels: list[str], found: dict[str, Found]) -> str | None:
    """Why an image is left out though nothing is wrong with it; None where it is not."""
    if row.image_id in found:
        first = found[row.image_id]
        other = f", which says {first.label or 'unknown'} and not {row.label or 'unknown'}"
        return f"already in {first.release}" + (other if first.label != row.label else "")
    if row.image_id in content.copies:
        return f"a copy of {content.copies[row.image_id]}, as {DUPLICATES} says"
    if row.label is not None and row.label not in labels:
        return f"its diagnosis {row.label} is none of {', '.join(labels)}"
    return None


def _links(content: Content) -> Iterator[Link]:
    """What joins images into groups; names of lesions and patients come before the images' own."""
    for row in content.rows:
        image = (1, row.image_id, "image")
        yield image, image
        if row.lesion:
            yield image, (0, row.lesion, "lesion")
        if row.patient:
            yield image, (0, row.patient, "patient")
    for copy, original in content.copies.items():
        yield (1, copy, "image"), (1, original, "image")


def _read(folder: Place, release: Release, labels: list[str]) -> Content:
    table, *others = whole(folder, release)
    copies: dict[str, str] = {}
    notes = []
    images = others
    if release.name == "ISIC 2019":
        metadata, *images = others
        rows = read_2019(folder / table, folder / metadata, labels)
    elif release.name.startswith("ISIC 2018"):
        groupings = where(folder, GROUPINGS) if release.name == "ISIC 2018" else None
        rows = read_2018(folder / table, folder / groupings if groupings else None)
        if not any(row.lesion for row in rows):
            notes.append(
                f"{release.name}: lesions are unknown, so images of one may be in several splits"
                + (f"; {GROUPINGS} would say them" if release.name == "ISIC 2018" else "")
            )
    else:
        rows = READERS[release.name](folder / table)
    files = _files(folder, images)
    if release.name == "ISIC 2020":
        copies = read_duplicates(folder / DUPLICATES, files)
    missing = [row.image_id for row in rows if row.image_id not in files]
    notes += absent(table, len(rows), missing, str(folder / images[0]))
    return Content(release.name, table, rows, files, copies, notes)


def _files(folder: Place, images: list[str]) -> dict[str, str]:
    """Path of each image by image_id; texts that lie beside the images are no images."""
    files: dict[str, str] = {}
    for name in images:
        if name.endswith(".hdf5"):
            files |= {member: f"{name}#{member}" for member in hdf5_members(folder / name)}
            continue
        for below, _ in files_below(folder / name):
            stem, suffix = os.path.splitext(below.rpartition("/")[2])
            if suffix.lower() not in SUFFIXES:
                continue
            path = f"{name}/{below}"
            if stem in files:
                raise ValueError(f"{folder} holds {files[stem]} and {path}: keep one file an image")
            files[stem] = path
    return files
