"""Stage `label`: what each SAE component fires on, in words (paper, Sec. 3.2)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline import layout
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_json, read_table, shards, write_table
from pipeline.attribution.head import unit
from pipeline.attribution.relevance import Codes
from pipeline.embeddings.vectors import read_vectors
from pipeline.labels.clarity import clarity, polysemanticity
from pipeline.sae.codes import code_shards

BLOCK = 1024


class Vocabulary(NamedTuple):
    """Terms that components can be named by."""

    terms: pd.DataFrame
    """Columns term and kind (null where unsaid), one row a term, the empty prompt left out."""
    t: Tensor
    """Unit text embeddings [v, p] of the terms."""
    empty: Tensor
    """Unit text embedding [p] of the empty prompt."""


class TopImages(NamedTuple):
    """The most activating images of each component."""

    active_images: Int[Tensor, " m"]
    """How many images have a non-zero activation."""
    rows: Int[Tensor, "m n"]
    """Images by falling activation; −1 in the places that a component cannot fill."""
    activation: Float[Tensor, "m n"]
    """Their activations, 0 in those places."""


def top_images(
    parts: Iterable[tuple[Codes, Bool[Tensor, "_"]]], components: int, count: int
) -> TopImages:
    """The `count` images with the largest activation of each component, of the eligible images.

    Images of equal activation come in the order of their rows, which go on from part to part.

    Args:
        parts: codes of some images, and which of these are eligible; one part is held at a time.
        components: m.
        count: n.
    """
    total = np.zeros(components, dtype=np.int64)
    rows = np.full((components, count), -1, dtype=np.int64)
    values = np.zeros((components, count), dtype=np.float32)
    end = 0
    for codes, eligible in parts:
        active = (codes.activation > 0) & eligible[:, None]
        image = end + active.nonzero()[:, 0].numpy()
        component = codes.component[active].numpy()
        activation = codes.activation[active].numpy()
        end += len(eligible)
        total += np.bincount(component, minlength=components)
        # One that is no stronger than the weakest so far comes after it; empty places are 0.
        better = activation > values[component, -1]
        _take_in(rows, values, component[better], image[better], activation[better])
    return TopImages(*(torch.from_numpy(array) for array in (total, rows, values)))


def _take_in(
    rows: np.ndarray,
    values: np.ndarray,
    component: np.ndarray,
    image: np.ndarray,
    activation: np.ndarray,
) -> None:
    """Put further images into the places [m, n] of the components that they fire."""
    touched = np.unique(component)
    places = touched.repeat(rows.shape[1]), np.tile(np.arange(rows.shape[1]), len(touched))
    taken = rows[places] >= 0
    component = np.concatenate([places[0][taken], component])
    image = np.concatenate([rows[places][taken], image])
    activation = np.concatenate([values[places][taken], activation])
    order = np.lexsort((image, -activation, component))
    component, image, activation = component[order], image[order], activation[order]
    place = np.arange(len(component)) - np.searchsorted(component, component)
    kept = place < rows.shape[1]
    rows[component[kept], place[kept]] = image[kept]
    values[component[kept], place[kept]] = activation[kept]


def among_shown(top: TopImages) -> tuple[TopImages, Int[Tensor, " shown"]]:
    """The same with rows that count only images at the top of some component; and these images."""
    filled = top.rows >= 0
    shown = top.rows[filled].unique()
    rows = torch.where(filled, torch.searchsorted(shown, top.rows), -1)
    return top._replace(rows=rows), shown


def alignment(
    rows: Int[Tensor, "q n"], u: Float[Tensor, "images p"], vocabulary: Vocabulary
) -> tuple[Float[Tensor, " q"], Int[Tensor, " q"]]:
    """Best alignment s of each group of images with a term, and the term's row (paper, Eq. 2).

    s(t) = cos(x̄, t) − cos(x̄, t_empty), x̄ the mean of the unit embeddings u of the group's images;
    in [-2, 2], negative where the empty prompt fits better than every term.

    Raises:
        ValueError: the embeddings of a group cancel out.
    """
    best, terms = [], []
    for block in rows.split(BLOCK):
        mean = unit(u[block].mean(dim=1))
        value, term = (mean @ vocabulary.t.T).max(dim=1)
        best.append(value - mean @ vocabulary.empty)
        terms.append(term)
    return torch.cat(best), torch.cat(terms)


def label_components(
    top: TopImages,
    u: Float[Tensor, "images p"],
    image_ids: np.ndarray,
    vocabulary: Vocabulary,
) -> pd.DataFrame:
    """One row a component: its name and how sure one can be of it.

    Columns: component, label, kind, alignment (`alignment`), clarity, polysemanticity,
    activations (count of images), mean_top20 (mean activation of its n top images), top_images
    (ids by falling activation). A component that fires on fewer than n images has no label, and
    NaN for what is measured on n images.
    """
    n = top.rows.shape[1]
    named = top.active_images >= n
    rows = top.rows[named]
    table = pd.DataFrame(
        {
            "component": np.arange(len(top.active_images), dtype=np.int32),
            "label": pd.Series([None] * len(top.active_images), dtype="string"),
            "kind": pd.Series([None] * len(top.active_images), dtype="string"),
            "alignment": np.nan,
            "clarity": np.nan,
            "polysemanticity": np.nan,
            "activations": top.active_images.numpy(),
            "mean_top20": np.nan,
            "top_images": [
                image_ids[row[row >= 0]].astype(object).tolist() for row in top.rows.numpy()
            ],
        }
    )
    if not len(rows):
        return table
    where = np.flatnonzero(named.numpy())
    score, term = alignment(rows, u, vocabulary)
    blocks = rows.split(BLOCK)
    measured = {
        "alignment": score,
        "clarity": torch.cat([clarity(u[block]) for block in blocks]),
        "polysemanticity": torch.cat([polysemanticity(u[block]) for block in blocks]),
        "mean_top20": top.activation[named].mean(dim=1),
    }
    for column, values in measured.items():
        table.loc[where, column] = values.double().numpy()
    for column, source in (("label", "term"), ("kind", "kind")):
        table.loc[where, column] = vocabulary.terms[source].iloc[term.numpy()].to_numpy()
    return table


def read_vocabulary_embeddings(path: Path) -> Vocabulary:
    """Terms and their embeddings, the empty prompt apart.

    Raises:
        ValueError: the table does not hold the empty prompt exactly once.
    """
    table = read_table(path)
    t = unit(torch.from_numpy(np.stack(table["t"].tolist()).astype(np.float32)))
    is_empty = (table["term"] == "").to_numpy()
    if is_empty.sum() != 1:
        raise ValueError(
            f"{path}: the empty prompt is in {is_empty.sum()} rows, not in 1; run `dvc repro`"
        )
    terms = table.loc[~is_empty, ["term", "kind"]].reset_index(drop=True)
    return Vocabulary(terms, t[np.flatnonzero(~is_empty)], t[int(is_empty.argmax())])


def read_labeler_embeddings(folder: Path, image_ids: np.ndarray) -> Float[Tensor, "images p"]:
    """The labeler's unit embeddings of these images, in their order; one shard more is held.

    Raises:
        ValueError: an image has none.
    """
    wanted = pd.Index(image_ids)
    found = np.zeros(len(wanted), dtype=bool)
    u = torch.empty(0, 0)
    for path in shards(folder):
        part = read_vectors(path, "z")
        places = wanted.get_indexer(part.image_ids)
        asked = places >= 0
        if not len(u):
            u = torch.empty(len(wanted), part.values.shape[1])
        u[places[asked]] = unit(torch.from_numpy(part.values[asked]).float())
        found[places[asked]] = True
    if not found.all():
        missing = image_ids[~found]
        raise ValueError(
            f"{folder} lacks {len(missing)} images, such as {missing[0]!r}: run `dvc repro`"
        )
    return u


def main() -> None:
    """Name an audit's components by the train images on which they fire most."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    sae = read_json(layout.sae(name) / "config.json")
    manifest = layout.manifest(audit.dataset) / "manifest.parquet"
    split = read_table(manifest, ["image_id", "split"]).set_index("image_id")["split"]
    image_ids: list[np.ndarray] = []

    def train() -> Iterator[tuple[Codes, Tensor]]:
        for part in code_shards(layout.codes(name), sae["slots"]):
            image_ids.append(part.image_ids)
            yield part.codes, torch.tensor((split.loc[part.image_ids] == "train").to_numpy())

    top = top_images(train(), sae["components"], audit.label.top_images)
    top, shown = among_shown(top)
    ids = np.concatenate(image_ids)[shown.numpy()]
    labeler = layout.concepts_embeddings(audit.dataset)
    table = label_components(
        top,
        read_labeler_embeddings(labeler, ids),
        ids,
        read_vocabulary_embeddings(labeler / "vocabulary.parquet"),
    )
    write_table(layout.labels(name), table)


if __name__ == "__main__":
    main()
