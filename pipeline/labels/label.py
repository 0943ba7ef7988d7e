"""Stage `label`: what each SAE component fires on, in words (paper, Sec. 3.2)."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pipeline import layout
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.artifacts.shards import read_shard, shards
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_json, read_table, write_table
from pipeline.attribution.head import unit
from pipeline.attribution.relevance import Codes
from pipeline.embeddings.vectors import read_vectors
from pipeline.labels import quality
from pipeline.labels.clarity import clarity, polysemanticity
from pipeline.labels.tops import TopImages, Tops, active, among_shown, by_chance
from pipeline.sae.codes import code_shards
from pipeline.sae.halves import half

BLOCK = 1024
RUNNERS_UP = 5
"""Terms beside a name that show how clear a choice it was."""


class Vocabulary(NamedTuple):
    """Terms that components can be named by."""

    terms: pd.DataFrame
    """Columns term and kind (null where unsaid), one row a term, the empty prompt left out."""
    t: Tensor
    """Unit text embeddings [v, p] of the terms."""
    empty: Tensor
    """Unit text embedding [p] of the empty prompt."""


class Alignment(NamedTuple):
    """The terms that describe each group of images best."""

    score: Float[Tensor, " q"]
    """s of the best term."""
    term: Int[Tensor, " q"]
    """The best term, as a row of the vocabulary."""
    runners_up: Int[Tensor, "q r"]
    """The next best, five where there are as many."""
    margin: Float[Tensor, "q r"]
    """How much better the best is than each of them: a difference of cosines."""


def alignment(
    rows: Int[Tensor, "q n"], u: Float[Tensor, "images p"], vocabulary: Vocabulary
) -> Alignment:
    """Best alignment s of each group of images with a term, and the next best (paper, Eq. 2).

    s(t) = cos(x̄, t) − cos(x̄, t_empty), x̄ the mean of the unit embeddings u of the group's images;
    in [-2, 2], negative where the empty prompt fits better than every term.

    Raises:
        ValueError: the embeddings of a group cancel out.
    """
    found = []
    count = min(RUNNERS_UP, len(vocabulary.t) - 1)
    for block in rows.split(BLOCK):
        mean = unit(u[block].mean(dim=1))
        cosine = mean @ vocabulary.t.T
        value, term = cosine.max(dim=1)
        rest = cosine.scatter(1, term[:, None], -torch.inf).topk(count, dim=1)
        margin = value[:, None] - rest.values
        found.append((value - mean @ vocabulary.empty, term, rest.indices, margin))
    return Alignment(*(torch.cat(part) for part in zip(*found, strict=True)))


def label_components(
    top: TopImages,
    u: Float[Tensor, "images p"],
    image_ids: np.ndarray,
    vocabulary: Vocabulary,
) -> pd.DataFrame:
    """One row a component: its name and how sure one can be of it.

    Columns: component, label, kind, alignment (`alignment`), clarity, polysemanticity,
    activations (count of images), mean_top20 (mean activation of its n top images), top_images
    (ids by falling activation), runners_up and margins (the next best terms, and by how much the
    label is better). A component that fires on fewer than n images has no label, and NaN for what
    is measured on n images.
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
            "runners_up": [[] for _ in top.active_images],
            "margins": [[] for _ in top.active_images],
        }
    )
    if not len(rows):
        return table
    where = np.flatnonzero(named.numpy())
    named_by = alignment(rows, u, vocabulary)
    blocks = rows.split(BLOCK)
    measured = {
        "alignment": named_by.score,
        "clarity": torch.cat([clarity(u[block]) for block in blocks]),
        "polysemanticity": torch.cat([polysemanticity(u[block]) for block in blocks]),
        "mean_top20": top.activation[named].mean(dim=1),
    }
    for column, values in measured.items():
        table.loc[where, column] = values.double().numpy()
    for column, source in (("label", "term"), ("kind", "kind")):
        table.loc[where, column] = vocabulary.terms[source].iloc[named_by.term.numpy()].to_numpy()
    terms = vocabulary.terms["term"].to_numpy(dtype=object)
    for column, lists in (
        ("runners_up", terms[named_by.runners_up.numpy()].tolist()),
        ("margins", named_by.margin.tolist()),
    ):
        of_row = dict(zip(where.tolist(), lists, strict=True))
        table[column] = [of_row.get(row, []) for row in range(len(table))]
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


class Taken(NamedTuple):
    """What one pass over an audit's codes leaves."""

    top: TopImages
    """Of the train images."""
    halves: list[TopImages]
    """Of either half of the train images; none where there are no halves."""
    drawn: TopImages
    """Any images that fire each component, drawn by chance; the activation is no activation."""
    background: Codes
    """Of the images asked for."""


def take_up(
    parts: Iterable[Codes],
    train: Bool[Tensor, " images"],
    halves: list[Tensor],
    background: Int[np.ndarray, " s"],
    size: tuple[int, int],
) -> Taken:
    """Go over codes, part by part.

    Args:
        parts: codes of all images in order; one part is held at a time.
        train: which are train images.
        halves: masks of the halves of these.
        background: rows, rising, of the images whose codes are kept.
        size: components m, and top images n of each.
    """
    components, count = size
    tops = [Tops(components, count) for _ in (train, *halves)]
    drawn = Tops(components, quality.FRESH + count)
    kept: list[Codes] = []
    first = 0
    for codes in parts:
        rows = slice(first, first + len(codes.component))
        for top, eligible in zip(tops, (train, *halves), strict=True):
            top.add(codes, eligible[rows], first)
        image, component, _ = active(codes, torch.ones_like(train[rows]), first)
        drawn.put(component, image, by_chance(image * components + component))
        asked = background[slice(*np.searchsorted(background, [rows.start, rows.stop]))] - first
        kept.append(Codes(*(part[asked] for part in codes)))
        first = rows.stop
    whole = Codes(*(torch.cat(parts) for parts in zip(*kept, strict=True)))
    found, *of_halves = (top.found() for top in tops)
    return Taken(found, of_halves, drawn.found(), whole)


def measure_names(
    table: pd.DataFrame,
    taken: Taken,
    group: Int[Tensor, " images"],
    images: quality.Images,
    background: quality.Background,
    vocabulary: Vocabulary,
) -> pd.DataFrame:
    """The same table with what its names are worth (`quality`), missing where too few images tell.

    Columns: name_auroc (`quality.quality`), name_chance (`quality.chance`, the same in each row),
    name_fits (whether it is above that, and the alignment above 0), name_rank
    (`quality.worst_rank`).
    """
    term = torch.from_numpy(pd.Index(vocabulary.terms["term"]).get_indexer(table["label"]))
    count = taken.top.rows.shape[1]
    rows = quality.fresh_rows(taken.drawn.rows, taken.top.rows, group)
    dealt = quality.deal(term)
    near = quality.cosines(images, rows, vocabulary.t, [term, dealt])
    own, others = (
        quality.quality(cosine, terms, background, vocabulary.t, count)
        for cosine, terms in zip(near, (term, dealt), strict=True)
    )
    chance = quality.chance(others)
    fits = pd.Series((own > chance) & (table["alignment"].to_numpy() > 0), dtype="boolean")
    table = table.assign(
        name_auroc=own,
        name_chance=chance,
        name_fits=fits.mask(np.isnan(own) | np.isnan(chance)),
        name_rank=pd.Series(pd.NA, index=table.index, dtype="Int64"),
    )
    enough = [(half.active_images >= count) & (term >= 0) for half in taken.halves]
    if enough and (both := torch.stack(enough).all(dim=0)).any():
        mean = torch.stack([images.mean(half.rows[both]) for half in taken.halves])
        rank = quality.worst_rank(mean, term[both], vocabulary.t)
        table.loc[both.numpy(), "name_rank"] = rank.numpy()
    return table


def main() -> None:
    """Name an audit's components by the train images on which they fire most."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    sae = read_json(layout.sae(name) / "config.json")
    codes = layout.codes(name)
    ids = np.concatenate([read_shard(path, ["image_id"])["image_id"] for path in shards(codes)])
    manifest = read_table(
        layout.manifest(audit.dataset) / "manifest.parquet", ["image_id", "split", "group_id"]
    )
    manifest = manifest.set_index("image_id").loc[ids]
    try:
        halves = [half(manifest, params.seed, number) for number in (1, 2)]
    except DoesNotApply:
        halves = []
    rows = quality.background_rows(len(ids))
    taken = take_up(
        (part.codes for part in code_shards(codes, sae["slots"])),
        torch.tensor((manifest["split"] == "train").to_numpy()),
        [torch.from_numpy(mask) for mask in halves],
        rows,
        (sae["components"], audit.label.top_images),
    )
    top, shown = among_shown(taken.top)
    labeler = layout.concepts_embeddings(audit.dataset)
    vocabulary = read_vocabulary_embeddings(labeler / "vocabulary.parquet")
    shown_ids = ids[shown.numpy()]
    table = label_components(
        top, read_labeler_embeddings(labeler, shown_ids), shown_ids, vocabulary
    )
    background = quality.Background(read_labeler_embeddings(labeler, ids[rows]), taken.background)
    group = torch.from_numpy(pd.factorize(manifest["group_id"])[0])
    table = measure_names(
        table, taken, group, quality.Images(labeler, pd.Index(ids)), background, vocabulary
    )
    write_table(layout.labels(name), table)


if __name__ == "__main__":
    main()
