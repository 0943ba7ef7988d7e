"""Which releases of ISIC lie in a folder: ISIC 2018, 2019, 2020, 2024 and HAM10000.

A release is found by its tables and image folders; no folder of images is listed.
"""

from typing import NamedTuple

from pipeline.datasets.image_folder import visible
from pipeline.places import Place, exists, is_file, is_folder
from pipeline.tables import has_columns

__all__ = ["RELEASES", "Release", "releases", "where", "whole"]


class Release(NamedTuple):
    """What a release consists of."""

    name: str
    source: str
    """Where it is published."""
    parts: tuple[tuple[str, ...], ...]
    """Files and folders that it needs, each with its other names; the first there is taken."""
    common: tuple[str, ...]
    """Names among them that do not tell the release, since other folders have them too."""


ISIC_2019 = Release(
    "ISIC 2019",
    "https://challenge.isic-archive.com/data/#2019",
    (
        ("ISIC_2019_Training_GroundTruth.csv",),
        ("ISIC_2019_Training_Metadata.csv",),
        ("ISIC_2019_Training_Input",),
    ),
    (),
)
ISIC_2020 = Release(
    "ISIC 2020",
    "https://challenge.isic-archive.com/data/#2020 or "
    "https://www.kaggle.com/c/siim-isic-melanoma-classification/data",
    (
        (
            "ISIC_2020_Training_GroundTruth_v2.csv",  # the only one with lesions
            "ISIC_2020_Training_GroundTruth.csv",
            "train.csv",
        ),
        ("jpeg/train", "ISIC_2020_Training_JPEG/train", "ISIC_2020_Training_JPEG", "train"),
    ),
    ("jpeg/train", "train"),
)
ISIC_2024 = Release(
    "ISIC 2024",
    "https://www.kaggle.com/competitions/isic-2024-challenge/data",
    (("train-metadata.csv",), ("train-image.hdf5", "train-image/image")),
    (),
)
HAM10000 = Release(
    "HAM10000",
    "https://doi.org/10.7910/DVN/DBW86T or "
    "https://www.kaggle.com/datasets/kmader/skin-cancer-mnist-ham10000",
    (
        ("HAM10000_metadata.csv", "HAM10000_metadata"),
        ("HAM10000_images_part_1", "ham10000_images_part_1"),
        ("HAM10000_images_part_2", "ham10000_images_part_2"),
    ),
    (),
)
ISIC_2018 = Release(
    "ISIC 2018",
    "https://challenge.isic-archive.com/data/#2018 (task 3)",
    (
        ("ISIC2018_Task3_Training_GroundTruth.csv",),
        ("ISIC2018_Task3_Training_Input",),
    ),
    (),
)
ISIC_2018_VALIDATION, ISIC_2018_TEST = (
    Release(
        f"ISIC 2018 {part}",
        ISIC_2018.source,
        (
            (f"ISIC2018_Task3_{part.title()}_GroundTruth.csv",),
            # as HAM10000's page on Dataverse calls the images of the test
            (f"ISIC2018_Task3_{part.title()}_Input", f"ISIC2018_Task3_{part.title()}_Images"),
        ),
        # that page has this table beside HAM10000's own
        (f"ISIC2018_Task3_{part.title()}_GroundTruth.csv",),
    )
    for part in ("validation", "test")
)
RELEASES = (
    ISIC_2019,
    ISIC_2020,
    ISIC_2024,
    HAM10000,
    ISIC_2018,
    ISIC_2018_VALIDATION,
    ISIC_2018_TEST,
)
"""In the order in which an image that several have is taken from them."""

COLUMN = {"train.csv": "image_name"}
"""A table of so common a name counts where it has this column."""


def releases(root: Place) -> dict[str, Place]:
    """Folder by name of the releases in root or in folders directly in it, in their order.

    A folder that holds one of its own name, as some archives unpack, is looked into too.

    Raises:
        FileNotFoundError: there is none, or one lacks a part; the message says what it needs.
        ValueError: one is there twice.
    """
    folders = [root]
    if is_folder(root):
        folders += [root / entry.name for entry in visible(root) if entry.is_dir()]
        folders += [path / path.name for path in folders[1:] if is_folder(path / path.name)]
    found: dict[str, Place] = {}
    for release in RELEASES:
        complete = [folder for folder in folders if None not in _parts(folder, release)]
        if len(complete) > 1:
            raise ValueError(
                f"{release.name} is both in {complete[0]} and in {complete[1]}: keep one of them"
            )
        if complete:
            found[release.name] = complete[0]
            continue
        for folder in folders:
            _refuse_half(folder, release)
    if not found:
        needs = [f"  {r.name}: {_said(r.parts)}; from {r.source}" for r in RELEASES]
        raise FileNotFoundError(
            "\n".join(
                [
                    f"{root} holds no release of ISIC, neither in itself nor in a folder "
                    "directly in it. Put at least one there, with all of:",
                    *needs,
                ]
            )
        )
    return found


def whole(folder: Place, release: Release) -> list[str]:
    """Paths of a release's parts in a folder that `releases` has found it in, in their order."""
    return [name for name in _parts(folder, release) if name is not None]


def _parts(folder: Place, release: Release) -> list[str | None]:
    """For each part where it is in the folder, None where it is missing."""
    return [
        next((there for name in names if (there := where(folder, name))), None)
        for names in release.parts
    ]


def where(folder: Place, name: str) -> str | None:
    """Path in the folder of a table or a folder of images; None where there is none.

    A table may lie in a folder that is called as it is, as its archive unpacks.
    """
    stem, dot, _ = name.rpartition(".csv")
    places = [name, f"{stem}/{name}", f"{stem}/{stem}/{name}"] if dot else [name]
    return next((place for place in places if _is_there(folder / place)), None)


def _is_there(path: Place) -> bool:
    if path.name not in COLUMN:
        return exists(path)
    return is_file(path) and has_columns(path, [COLUMN[path.name]])


def _refuse_half(folder: Place, release: Release) -> None:
    parts = _parts(folder, release)
    there = [name for name in parts if name is not None and name not in release.common]
    if not there:
        return
    missing = [names for names, name in zip(release.parts, parts, strict=True) if name is None]
    raise FileNotFoundError(
        f"{folder} holds {', '.join(there)} of {release.name}, but lacks {_said(missing)}: put it "
        f"there, from {release.source}"
    )


def _said(parts: "tuple[tuple[str, ...], ...] | list[tuple[str, ...]]") -> str:
    return ", ".join(" or ".join(names) for names in parts)
