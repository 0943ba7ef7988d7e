"""The images of an audit as a classifier sees them: sides, groups, and the same under shifts."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from audits.inputs import Inputs
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.artifacts.store import read_table
from pipeline.attribution.head import Head, project, unit
from pipeline.config import COVERED, STATISTICS, SURROUNDINGS, ConfigError, ShortcutConfig
from pipeline.embeddings.vectors import read_embeddings

PLAIN = "plain"


@dataclass(frozen=True)
class View:
    """Images as remedies take them."""

    x: Float[Tensor, "n d"]
    z: Float[np.ndarray, "n p"]
    """Unit embeddings, what a classifier sees."""

    def rows(self, which: np.ndarray) -> "View":
        """Some of the images, by a mask [n] or positions [r]."""
        return View(self.x[torch.from_numpy(which)], self.z[which])


@dataclass(frozen=True)
class Images:
    """Labelled images of one part of a dataset."""

    rows: np.ndarray
    """[n] positions among the audit's images."""
    positive: Bool[np.ndarray, " n"]
    groups: np.ndarray
    """[n] such as patients or lesions."""
    view: View

    def only(self, which: np.ndarray) -> "Images":
        """Some of the images, by a mask [n] or positions [r]."""
        return Images(
            self.rows[which], self.positive[which], self.groups[which], self.view.rows(which)
        )


@dataclass(frozen=True)
class Shifted:
    """The sampled images of one part, and each of them under every shift."""

    images: Images
    statistics: pd.DataFrame
    """STATISTICS of each image as it is."""
    surroundings: pd.DataFrame | None
    """The same of what is around each image's object, NaN where that is not known; None without
    masks."""
    views: dict[str, View]
    """Shift → the images under it; PLAIN → as they are; with masks also shifts of the surroundings
    alone."""
    covered: dict[str, View]
    """With masks COVERED → the images with that part covered, else empty."""


def seen(x: Float[Tensor, "n d"], head: Head) -> View:
    """Class tokens with their unit embeddings."""
    return View(x, unit(project(x, head)).double().numpy())


def parts(inputs: Inputs, config: ShortcutConfig) -> tuple[Images, Images]:
    """Labelled train images and labelled held-out images.

    Raises:
        ConfigError: the dataset has no class of a label that is named.
        DoesNotApply: a part has images of one side only.
    """
    known = set(inputs.classes["label"])
    for key, labels in (("positive", config.positive), ("negative", config.negative or [])):
        for label in labels:
            if label not in known:
                raise ConfigError(
                    f"shortcut.{key} has {label!r}: the dataset's labels are {sorted(known)}"
                )
    kept = [label if label in known else None for label in inputs.images["label"]]
    sides = np.array([-1 if (side := config.side(label)) is None else side for label in kept])
    train = inputs.split("train").numpy()
    groups = inputs.images["group_id"].to_numpy()
    found = []
    for name, part in (("train", train), ("held-out", ~train)):
        rows = np.flatnonzero(part & (sides >= 0))
        positive = sides[rows] == 1
        if not positive.any() or positive.all():
            raise DoesNotApply(
                f"{positive.sum()} of {len(rows)} {name} images are {' or '.join(config.positive)}"
                ": a classifier needs both sides; check shortcut.positive and the dataset's splits"
            )
        view = seen(inputs.tokens(torch.from_numpy(rows)), inputs.head)
        found.append(Images(rows, positive, groups[rows], view))
    return found[0], found[1]


def read_shifts(folder: Path) -> pd.DataFrame:
    """A row for each shift: shift, kind, strength, beyond (null where nothing says), in_range, and
    alone, the shift of the surroundings alone (null where there is none)."""
    return read_table(folder / "shifts.parquet")


def read_shifted(
    folder: Path, shifts: pd.DataFrame, masks: bool, ids: np.ndarray, part: Images, head: Head
) -> Shifted:
    """The images of a part that the stage `perturb` has shifted, in the order of the part.

    Args:
        folder: of the stage's shards.
        shifts: of `read_shifts`.
        masks: whether there are any.
        ids: [n] image ids of the part.
        part: all its labelled images.
        head: of the model.

    Raises:
        ValueError: none of the images is there.
    """
    statistics = read_embeddings(folder, "statistics")
    places = pd.Index(statistics.image_ids).get_indexer(ids)
    which = np.flatnonzero(places >= 0)
    if not len(which):
        raise ValueError(f"{folder} has none of {len(ids)} images: run `dvc repro perturb`")

    def table(name: str) -> pd.DataFrame:
        values = read_embeddings(folder, name).values[places[which]]
        return pd.DataFrame(values, columns=list(STATISTICS))

    def view(name: str) -> View:
        x = read_embeddings(folder, name).values[places[which]]
        return seen(torch.from_numpy(x).float(), head)

    images = part.only(which)
    names = [*shifts["shift"], *shifts["alone"].dropna()]
    return Shifted(
        images,
        table("statistics"),
        table(SURROUNDINGS) if masks else None,
        {PLAIN: images.view, **{name: view(name) for name in names}},
        {name: view(name) for name in COVERED} if masks else {},
    )
