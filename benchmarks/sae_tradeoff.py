"""What a dictionary gains in variance against what another seed finds again of it.

    python -m benchmarks.sae_tradeoff --audits scenes-tiny --components 64 256 --k 16 24 \\
        --rates 3e-4 1e-3 --starts kmeans random

Trains, for every combination of the settings asked for, the audit's dictionary and two of other
seeds on disjoint halves of the train groups, on embeddings that `dvc repro` has made in --root, and
prints explained variance and zero-shot agreement on the images held out beside the share of
components found again (cosine at `stability.cosine`): by the halves, and between them, where
nothing is shared.
"""

import argparse
import os
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import layout
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.stage import set_threads
from pipeline.artifacts.store import read_table
from pipeline.config import Params, SaeConfig, load_params
from pipeline.sae import training
from pipeline.sae.blocks import EmbeddingBlocks
from pipeline.sae.encode import best_class
from pipeline.sae.halves import half
from pipeline.sae.model import Sae
from pipeline.sae.stability import dictionary, directions, measure
from pipeline.sae.train_sae import open_blocks

FIGURES = (
    "matched_fraction",
    "matched_fraction_apart",
    "mean_cosine_apart",
    "image_fraction",
)


def nothing(sae: Sae) -> dict[str, float | list[int]]:
    """No curves."""
    return {}


def row(params: Params, name: str, config: SaeConfig, seed: int) -> dict[str, float]:
    """Figures of one combination of settings."""
    blocks, health = open_blocks(params, name)
    own, _ = training.train(blocks, config, seed, nothing)
    audit = params.audit(name)
    embeddings, manifest = layout.embeddings(audit.embeddings), layout.manifest(audit.dataset)
    health.best_class = best_class(name, manifest, layout.head(audit.embeddings))
    table = read_table(manifest / "manifest.parquet", ["image_id", "split", "group_id"])
    images = EmbeddingBlocks.open(embeddings, table, None)
    others = []
    for number in (1, 2):
        which = np.where(half(table, seed, number), "half", "")
        part = EmbeddingBlocks.open(
            embeddings,
            table.assign(split=which),
            "half",
            training.COLUMNS[config.tokens],
        )
        sae, _ = training.train(part, config, seed + number, nothing)
        others.append(dictionary(number, seed + number, sae, images))
    stable = measure(
        dictionary(0, seed, own, images),
        others,
        directions(images, config.components, seed),
        audit.stability.cosine,
        Gaps(),
    ).metrics
    figures = health.health(own).figures(Gaps())
    return {
        "explained variance": figures["explained_variance"] or 0.0,
        "agreement": figures["zero_shot_agreement"] or 0.0,
        **{key: stable.get(key, float("nan")) for key in FIGURES},
    }


def main() -> None:
    """Print a table for each audit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path(), help="repository with embeddings")
    parser.add_argument("--audits", nargs="+", required=True)
    parser.add_argument("--starts", nargs="+", default=["kmeans"])
    parser.add_argument("--components", type=int, nargs="+", required=True)
    parser.add_argument("--k", type=int, nargs="+", required=True)
    parser.add_argument("--rates", type=float, nargs="+", required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.chdir(args.root)
    params = load_params()
    set_threads(params.threads, args.seed)
    for name in args.audits:
        print(name)
        grid = product(args.starts, args.components, args.k, args.rates)
        for first, (start, components, k, rate) in enumerate(grid):
            changes = {"atoms_init": start, "components": components, "k": k}
            changes["learning_rate"] = rate
            config = params.audit(name).sae.model_copy(update=changes)
            found = pd.DataFrame([{**changes, **row(params, name, config, args.seed)}])
            print(found.round(4).to_string(index=False, header=first == 0), flush=True)


if __name__ == "__main__":
    main()
