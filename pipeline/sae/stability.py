"""Stage `stability`: do further seeds of the autoencoder find the same components?

Dictionaries differ by seed and by the images they learn from. A component that is found again says
something of the model; one that only this dictionary has may be an accident of its training. So
each further seed has a start and an order of its own and learns from half of the train images
(`pipeline.sae.halves`). The further dictionaries are kept, for `audits.recurrence`.
"""

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline import layout
from pipeline.artifacts.gaps import KEY, DoesNotApply, Gaps
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_json, read_table, write_table
from pipeline.sae import files
from pipeline.sae.blocks import EmbeddingBlocks
from pipeline.sae.halves import apart
from pipeline.sae.health import firing
from pipeline.sae.matching import match
from pipeline.sae.model import Sae


class Dictionary(NamedTuple):
    """One seed's components."""

    number: int
    """0 is the audit's own."""
    seed: int
    atoms: Float[Tensor, "m d"]
    alive: Bool[Tensor, " m"]
    """Components that are active on at least one image."""


class Stability(NamedTuple):
    """What `measure` finds."""

    components: pd.DataFrame
    """Component, and its stability: null for a component that is not alive or has no peers."""
    pairs: pd.DataFrame
    """PAIRS, one row a pair of seeds; apart: whether they share no image."""
    metrics: dict[str, float]


PAIRS = ["seed_a", "seed_b", "apart", "matched_fraction", "mean_cosine"]


def measure(
    own: Dictionary,
    others: Sequence[Dictionary],
    images: Float[Tensor, "i d"],
    cosine: float,
    gaps: Gaps,
) -> Stability:
    """Match the components of one seed with those of each other seed.

    For a pair of seeds, every alive component of the first gets a partner among all atoms of the
    second, one-to-one, so that the cosines sum to the most. One that the second seed does not have
    gets a partner too, at the low cosine that is left, and counts with it.

    A component's stability is the mean of its cosines over the other seeds: 1 where each has the
    same direction, near 0 where none has anything like it.

    Args:
        own: the audit's dictionary.
        others: of further seeds.
        images: random images less the mean of all, as many as there are components; where there are
            fewer than living ones, nothing is looked for among them.
        cosine: from which on two components are the same.
        gaps: takes up why nothing is matched where no component is alive.

    Returns:
        The stability of each of own's components, matched_fraction (components whose partner is the
        same) and mean_cosine of each pair of seeds, and of both their mean over own's pairs and,
        with `_apart` behind, over the pairs that share no image; beside them what own's components
        find among random atoms (`random_fraction`, `random_cosine`) and among the directions of
        random images (`image_fraction`, `image_cosine`). Where none of own's is alive, the metrics
        are counts only.
    """
    rows, found = [], []
    # Of a seed without living components there is nothing to match.
    for a, b in combinations([own, *others], 2):
        if not bool(a.alive.any()):
            continue
        cosines = match(a.atoms[a.alive], b.atoms).cosine
        rows.append(
            {
                "seed_a": a.seed,
                "seed_b": b.seed,
                "apart": apart(a.number, b.number),
                "matched_fraction": float((cosines >= cosine).mean()),
                "mean_cosine": float(cosines.mean()),
            }
        )
        if a is own:
            found.append(cosines)
    pairs = pd.DataFrame(rows, columns=PAIRS)
    stability = np.full(len(own.atoms), np.nan, dtype=np.float32)
    metrics: dict[str, float] = {"seeds": 1 + len(others), "components": int(own.alive.sum())}
    alive = gaps.measured("stability", partial(_any_alive, own)) if others else None
    if alive:
        stability[own.alive.numpy()] = np.mean(found, axis=0)
        for behind, which in (("", pairs["seed_a"] == own.seed), ("_apart", pairs["apart"])):
            for key in ("matched_fraction", "mean_cosine") if which.any() else ():
                metrics[key + behind] = float(pairs.loc[which, key].mean())
        # Not torch's generator: from the same seed it would draw the atoms that training started
        # from.
        drawn = np.random.default_rng(own.seed).normal(size=tuple(own.atoms.shape))
        for name, atoms in (("random", torch.from_numpy(drawn)), ("image", images)):
            if len(atoms) < metrics["components"]:
                continue
            cosines = match(own.atoms[own.alive], atoms).cosine
            metrics[f"{name}_fraction"] = float((cosines >= cosine).mean())
            metrics[f"{name}_cosine"] = float(cosines.mean())
    component = np.arange(len(stability), dtype=np.int32)
    table = pd.DataFrame({"component": component, "stability": stability})
    return Stability(table, pairs, metrics)


def _any_alive(own: Dictionary) -> int:
    count = int(own.alive.sum())
    if not count:
        raise DoesNotApply(f"none of {len(own.atoms)} components fires on any image")
    return count


def dictionary(number: int, seed: int, sae: Sae, images: EmbeddingBlocks) -> Dictionary:
    """An SAE's atoms, and which are alive on some images."""
    return Dictionary(number, seed, sae.atoms.data, torch.from_numpy(firing(sae, images) > 0))


def directions(images: EmbeddingBlocks, count: int, seed: int) -> Float[Tensor, "c d"]:
    """Random images less the mean of all, count at most."""
    mean, _ = images.mean_and_scale()
    (batch, *_) = images.batches(count, 1.0, seed, 0)
    assert batch.x is not None, "blocks are of class tokens"
    found = batch.x - mean.float()
    return found[found.norm(dim=1) > 0]


def main() -> None:
    """Match further seeds with the audit's SAE."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    manifest = layout.manifest(audit.dataset) / "manifest.parquet"
    table = read_table(manifest, ["image_id", "split"])
    images = EmbeddingBlocks.open(layout.embeddings(audit.embeddings), table, None)
    own = dictionary(0, params.seed, files.load(layout.sae(name)), images)
    index = read_json(layout.further_saes(name) / "index.json")
    gaps = Gaps()
    gaps.reasons |= index.get(KEY, {})
    others = []
    for number in index["numbers"]:
        sae = files.load(layout.further_sae(name, number))
        others.append(dictionary(number, params.seed + number, sae, images))
    random = directions(images, len(own.atoms), params.seed)
    found = measure(own, others, random, audit.stability.cosine, gaps)
    folder = layout.audit(name, "stability")
    write_table(folder / "components.parquet", found.components)
    write_table(folder / "pairs.csv", found.pairs)
    gaps.write_metrics(folder / "metrics.json", {"stability": found.metrics})


if __name__ == "__main__":
    main()
