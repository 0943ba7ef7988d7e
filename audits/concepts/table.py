"""The table of an audit's components: how each fires, on what, and which others are near."""

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float

from audits.auroc import auroc
from audits.concepts.classes import Coded, tell_classes
from audits.concepts.components import about_components
from audits.concepts.interpretability import BLOCK, STRONGEST, Similarity, embedded
from audits.inputs import Inputs
from pipeline import layout
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.attribution.relevance import blocks
from pipeline.labels.tops import top_images
from pipeline.sae.halves import half


def table_of_components(
    inputs: Inputs,
    dataset: str,
    labels: pd.DataFrame,
    direction: Float[np.ndarray, " d"],
    seed: int,
) -> pd.DataFrame:
    """One row a component.

    Args:
        inputs: of the audit.
        dataset: whose images the labeler has embedded.
        labels: one row a component, by number: label, top_images and activations.
        direction: in which words that are written on pictures move x (stage `probe`).
        seed: of the halves by which classes are told.

    Returns:
        Columns of `about_components` and `tell_classes`, and mean_top5 (mean activation of its
        strongest train images), mean_activation and firing_rate (over all train images),
        redundancy (cosine with the nearest component). Of those that have a label, else NaN:
        monosemanticity (`Similarity`) and written (`written` along the direction).
    """
    train, m = inputs.split("train"), len(inputs.atoms)
    table = about_components(inputs.codes, train, inputs.atoms).join(told_classes(inputs, seed))
    parts = ((inputs.coded(rows), train[rows]) for rows in blocks(len(train), BLOCK))
    ids = inputs.images["image_id"].to_numpy()
    similarity: Similarity | None = None
    for rows, u in embedded(layout.concepts_embeddings(dataset), ids, train):
        similarity = similarity or Similarity(m, u.shape[1])
        similarity.add(inputs.codes, rows, u)
    similarity = similarity or Similarity(m, 0)
    along = torch.tensor(direction, dtype=torch.float32)
    # One tensor for all: small ones kept between large ones cut up the heap.
    scores = torch.empty(len(train))
    for block in blocks(len(train), BLOCK):
        scores[block] = inputs.tokens(block) @ along
    carried = written(scores.numpy(), train.numpy(), ids, labels["top_images"])
    named = labels["label"].notna().to_numpy()
    return table.assign(
        mean_top5=top_images(parts, m, STRONGEST).activation.mean(dim=1).numpy(),
        mean_activation=similarity.mean_activation,
        firing_rate=labels["activations"] / max(int(train.sum()), 1),
        redundancy=[cosines[0] if len(cosines) else np.nan for cosines in table["cosines"]],
        monosemanticity=np.where(named, similarity.monosemanticity, np.nan),
        written=np.where(named, carried, np.nan),
    )


def told_classes(inputs: Inputs, seed: int) -> pd.DataFrame:
    """`tell_classes` by half of the train images, measured on the other; none without halves."""
    try:
        halves = [torch.from_numpy(half(inputs.images, seed, number)) for number in (1, 2)]
    except DoesNotApply:
        halves = [torch.zeros(len(inputs.images), dtype=torch.bool)] * 2
    chosen, measured = (Coded(inputs.codes, mask, inputs.class_index) for mask in halves)
    return tell_classes(chosen, measured, len(inputs.atoms), inputs.classes["label"])


def written(
    scores: Float[np.ndarray, " n"],
    train: Bool[np.ndarray, " n"],
    image_ids: np.ndarray,
    top: pd.Series,
) -> Float[np.ndarray, " m"]:
    """How much more writing the top images of each component carry than train images do.

    Args:
        scores: how much writing each image carries.
        train: which of them are train images.
        image_ids: of each [n].
        top: ids of each component's top images [m].

    Returns:
        AUROC of top images against all train images: 1 where each carries more than all others,
        0.5 by chance; NaN without top images.
    """
    ranked, rows = np.sort(scores[train]), pd.Index(image_ids)
    return np.array(
        [auroc(scores[rows.get_indexer(ids)], ranked) if len(ids) else np.nan for ids in top]
    )
