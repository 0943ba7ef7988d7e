"""What every audit starts from: one audit's images, embeddings, codes, head, atoms and prompts."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline import layout
from pipeline.artifacts.on_disk import OnDisk
from pipeline.artifacts.store import read_json, read_table
from pipeline.attribution.head import Head
from pipeline.attribution.relevance import Codes
from pipeline.config import Params
from pipeline.embeddings.vectors import store_embeddings
from pipeline.models.files import read_head, read_texts
from pipeline.sae import files
from pipeline.sae.codes import StoredCodes, read_codes

COLUMNS = ["image_id", "split", "label", "group_id"]
"""Of the manifest; at a million images the others are as much memory again."""


@dataclass(frozen=True)
class Inputs:
    """Cached artifacts of an audit, rows aligned.

    What there is of every image, but for its id and labels, stays on the disk: take the rows that
    are wanted, by `tokens` and `coded`.
    """

    images: pd.DataFrame
    """Manifest rows in the order of x, indexed 0 to n − 1: COLUMNS."""
    x: Tensor | OnDisk
    """Class tokens [n, d] in the precision in which they are stored."""
    codes: Codes | StoredCodes
    """Sparse codes [n, k]."""
    head: Head
    atoms: Tensor
    """Decoder atoms [m, d]."""
    bias: Tensor
    """Decoder bias [d]."""
    classes: pd.DataFrame
    """Columns label, name (full) and short, one row a class."""
    texts: dict[str, Tensor]
    """Prompt form → unit text embeddings [c, p] in the order of classes."""

    @cached_property
    def class_index(self) -> Tensor:
        """Class of each image as a row of `classes`, −1 where its label is unknown."""
        return class_index(self.images["label"], self.classes["label"])

    def tokens(self, rows: Tensor | slice) -> Tensor:
        """Class tokens of some images in float32: rows as positions [r], a mask [n] or a slice."""
        return self.x[rows].float()

    def coded(self, rows: Tensor | slice) -> Codes:
        """Codes of some images, rows as of `tokens`."""
        return Codes(*(part[rows] for part in self.codes))

    def split(self, name: str) -> Tensor:
        """Mask [n] of the images of a split."""
        return torch.from_numpy(self.images["split"].to_numpy() == name)


def class_index(labels: pd.Series, classes: pd.Series) -> Tensor:
    """Position of each label in classes, −1 where it is null or not a class."""
    positions = {label: index for index, label in enumerate(classes)}
    return torch.tensor([positions.get(label, -1) for label in labels], dtype=torch.long)


def align(manifest: pd.DataFrame, image_ids: np.ndarray) -> pd.DataFrame:
    """Manifest rows in the order of image_ids.

    Raises:
        ValueError: an id is not in the manifest.
    """
    try:
        rows = manifest.set_index("image_id", drop=False).loc[image_ids]
    except KeyError as error:
        raise ValueError(
            f"embeddings hold images that the manifest does not: {error}; run `dvc repro`"
        ) from error
    return rows.reset_index(drop=True)


def load_inputs(params: Params, name: str) -> Inputs:
    """Read an audit's artifacts.

    Raises:
        FileNotFoundError: one is missing; the message names it.
        ValueError: codes and embeddings are of different images, or prompts of other classes.
    """
    audit = params.audit(name)
    manifest = layout.manifest(audit.dataset)
    embedded, x = store_embeddings(layout.embeddings(audit.embeddings), "x")
    sae = files.load(layout.sae(name))
    image_ids, codes = read_codes(layout.codes(name), sae.slots)
    if not np.array_equal(image_ids, embedded):
        raise ValueError(f"codes and embeddings of {name} are of different images: run `dvc repro`")
    classes = pd.DataFrame(read_json(manifest / "classes.json"))
    return Inputs(
        images=align(read_table(manifest / "manifest.parquet", COLUMNS), image_ids),
        x=x,
        codes=codes,
        head=read_head(layout.head(audit.embeddings)),
        atoms=sae.atoms.data,
        bias=sae.bias.data,
        classes=classes,
        texts=read_texts(layout.texts(name), classes["label"].tolist()),
    )
