"""Stage `stability`: do further seeds of the autoencoder find the same components?

Dictionaries differ by seed. A component that every seed finds says something of the model; one
that only this seed has may be an accident of its training.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline import layout
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.artifacts.resume import workplace
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import read_table, write_table
from pipeline.config import Params
from pipeline.sae import files, training
from pipeline.sae.blocks import EmbeddingBlocks
from pipeline.sae.health import firing
from pipeline.sae.matching import match
from pipeline.sae.model import Sae
from pipeline.sae.train_sae import open_blocks, training_key


class Dictionary(NamedTuple):
    """One seed's components."""

    seed: int
    atoms: Float[Tensor, "m d"]
    alive: Bool[Tensor, " m"]
    """Components that are active on at least one image."""


class Stability(NamedTuple):
    """What `measure` finds."""

    components: pd.DataFrame
    """Component, and its stability: null for a component that is not alive or has no peers."""
    pairs: pd.DataFrame
    """Columns seed_a, seed_b, matched_fraction, mean_cosine: one row a pair of seeds."""
    metrics: dict[str, float]


def measure(own: Dictionary, others: Sequence[Dictionary], cosine: float, gaps: Gaps) -> Stability:
    """Match the components of one seed with those of each other seed.

    For a pair of seeds, every alive component of the first gets a partner among all atoms of the
    second, one-to-one, so that the cosines sum to the most. One that the second seed does not have
    gets a partner too, at the low cosine that is left, and counts with it.

    A component's stability is the mean of its cosines over the other seeds: 1 where each has the
    same direction, near 0 where none has anything like it.

    Args:
        own: the audit's dictionary.
        others: of further seeds.
        cosine: from which on two components are the same.
        gaps: takes up why nothing is matched where no component is alive.

    Returns:
        The stability of each of own's components, matched_fraction (components whose partner is the
        same) and mean_cosine of each pair of seeds, and of both their mean over own's pairs, beside
        random_cosine. Where none of own's is alive, the metrics are counts only.
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
                "matched_fraction": float((cosines >= cosine).mean()),
                "mean_cosine": float(cosines.mean()),
            }
        )
        if a is own:
            found.append(cosines)
    pairs = pd.DataFrame(rows, columns=["seed_a", "seed_b", "matched_fraction", "mean_cosine"])
    stability = np.full(len(own.atoms), np.nan, dtype=np.float32)
    metrics: dict[str, float] = {"seeds": 1 + len(others), "components": int(own.alive.sum())}
    alive = gaps.measured("stability", partial(_any_alive, own)) if others else None
    if alive:
        stability[own.alive.numpy()] = np.mean(found, axis=0)
        means = pairs[pairs["seed_a"] == own.seed].mean()
        metrics |= {key: float(means[key]) for key in ("matched_fraction", "mean_cosine")}
        metrics["random_cosine"] = random_cosine(own)
    component = np.arange(len(stability), dtype=np.int32)
    table = pd.DataFrame({"component": component, "stability": stability})
    return Stability(table, pairs, metrics)


def _any_alive(own: Dictionary) -> int:
    count = int(own.alive.sum())
    if not count:
        raise DoesNotApply(f"none of {len(own.atoms)} components fires on any image")
    return count


def random_cosine(own: Dictionary) -> float:
    """Mean cosine of alive components with partners among as many random atoms.

    What matching alone makes of dictionaries that have nothing in common.
    """
    # Not torch's generator: from the same seed it would draw the atoms that training started from.
    drawn = np.random.default_rng(own.seed).normal(size=tuple(own.atoms.shape))
    return float(match(own.atoms[own.alive], torch.from_numpy(drawn)).cosine.mean())


def train_others(name: str, params: Params, images: EmbeddingBlocks) -> Iterator[Dictionary]:
    """Train an audit's SAE anew with the seeds that follow its own, as `train_sae` does.

    What a killed run had trained is not trained again.
    """
    audit = params.audit(name)
    blocks, measure = open_blocks(params, name)
    with workplace(layout.audit(name, "stability"), training_key(name, params)) as place:
        for seed in range(params.seed + 1, params.seed + audit.stability.seeds):
            checkpoints = place / str(seed)
            checkpoints.mkdir(exist_ok=True)
            sae, _ = training.train(blocks, audit.sae, seed, measure, checkpoints)
            yield dictionary(seed, sae, images)


def dictionary(seed: int, sae: Sae, images: EmbeddingBlocks) -> Dictionary:
    """An SAE's atoms, and which are alive on some images."""
    return Dictionary(seed, sae.atoms.data, torch.from_numpy(firing(sae, images) > 0))


def main() -> None:
    """Train further seeds and match them with the audit's SAE."""
    name, params = begin(__doc__)
    manifest = layout.manifest(params.audit(name).dataset) / "manifest.parquet"
    table = read_table(manifest, ["image_id", "split"])
    images = EmbeddingBlocks.open(layout.embeddings(name), table, None)
    own = dictionary(params.seed, files.load(layout.sae(name)), images)
    others = list(train_others(name, params, images))
    gaps = Gaps()
    found = measure(own, others, params.audit(name).stability.cosine, gaps)
    folder = layout.audit(name, "stability")
    write_table(folder / "components.parquet", found.components)
    write_table(folder / "pairs.csv", found.pairs)
    gaps.write_metrics(folder / "metrics.json", {"stability": found.metrics})


if __name__ == "__main__":
    main()
