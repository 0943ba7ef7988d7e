"""What settings of an SAE give on as many embeddings as ImageNet has images.

    python -m benchmarks.sae_sizes --work DIR                # the catalog's settings for ImageNet
    python -m benchmarks.sae_sizes --work DIR --set components=1875 k=32 learning_rate=0.0008
    python -m benchmarks.sae_sizes --work DIR --dataset isic2019 --images 25331 --classes 100

Embeddings are invented, of 768 numbers, with class centres and concepts planted
(`benchmarks/planted.py`). Two dictionaries are trained side by side, of other seeds, on disjoint
halves of the train images, each with its share of --threads, by the catalog's settings for
--dataset but for what --set names. A line of CSV: explained variance on the images held out and
living components, means of both; how many of one's living components the other has (cosine 0.7,
one-to-one); how many of the living are a planted centre or concept, and how many of these have one
(cosine 0.7).
"""

import argparse
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from jaxtyping import Float
from torch import Tensor

from benchmarks import planted
from benchmarks.planted import DATASET, Size
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.stage import set_threads
from pipeline.artifacts.store import atomic, read_json, read_table, write_json, write_table
from pipeline.attribution.head import unit
from pipeline.config import SaeConfig
from pipeline.config.catalog import default_audit, read_catalog
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.sae import files, training
from pipeline.sae.blocks import EmbeddingBlocks
from pipeline.sae.halves import half
from pipeline.sae.health import Measure
from pipeline.sae.matching import match

SAME = 0.7
"""Cosine from which on two directions are the same one."""
MANIFEST, EMBEDDINGS, FIGURES = "manifest.parquet", "x", "figures.json"


def write(folder: Path, size: Size) -> None:
    """Embeddings and their manifest."""
    target = planted.targets(size)
    ids = np.array([f"{number:08d}" for number in range(size.images)])
    split = np.where(np.arange(size.images) < size.train, "train", "val")
    table = pd.DataFrame({"image_id": ids, "split": split, "group_id": ids, "class": target})
    folder.mkdir()
    write_table(folder / MANIFEST, table)
    for number, (rows, x, _) in enumerate(planted.parts(size, planted.world(size))):
        parts = [vector_table(ids[rows].tolist(), {"x": x})]
        write_vectors(folder / EMBEDDINGS, number, parts)


def directions(size: Size) -> Float[Tensor, "p d"]:
    """What is planted: class centres less their mean, and concepts."""
    made = planted.world(size)
    return unit(torch.cat([made.centre - made.centre.mean(dim=0), made.concept]))


def settings(dataset: str, changes: Mapping[str, Any]) -> SaeConfig:
    """The catalog's, but for some."""
    return SaeConfig(**{**default_audit(read_catalog(), dataset)["sae"], **changes})


def train_half(folder: Path, number: int, config: SaeConfig, threads: int, out: Path) -> None:
    """Train on a half, measure on the images held out, and write both."""
    set_threads(threads, number)
    table = read_table(folder / MANIFEST, ["image_id", "split", "group_id"])
    part = table.assign(split=np.where(half(table, 0, number), "half", table["split"]))
    blocks = EmbeddingBlocks.open(folder / EMBEDDINGS, part, "half")
    measure = Measure(EmbeddingBlocks.open(folder / EMBEDDINGS, part, "val"))
    start = time.perf_counter()
    sae, _ = training.train(blocks, config, number, lambda _: {})
    seconds = time.perf_counter() - start
    health = measure.health(sae)
    explained = health.figures(Gaps())["explained_variance"]
    assert explained is not None, "there are images held out"
    files.save(sae, out, {})
    alive = np.flatnonzero(health.fired).tolist()
    about = {"components": config.components, "seconds": seconds}
    write_json(out / FIGURES, {**about, "explained": explained, "alive": alive})


def train(folder: Path, config: SaeConfig, threads: int) -> list[Path]:
    """Train on both halves side by side, and say where the dictionaries are."""
    outs = [folder / f"half-{number}" for number in (1, 2)]
    spawn = multiprocessing.get_context("spawn")
    jobs = [
        spawn.Process(target=train_half, args=(folder, number, config, threads, out))
        for number, out in enumerate(outs, start=1)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
        if job.exitcode:
            raise RuntimeError("a training failed")
    return outs


def figures(outs: Sequence[Path], wanted: Float[Tensor, "p d"]) -> dict[str, float]:
    """Of two dictionaries and what is planted: a row of the table."""
    found = [read_json(out / FIGURES) for out in outs]
    living = [
        files.load(out).atoms.data[one["alive"]] for out, one in zip(outs, found, strict=True)
    ]
    few, many = sorted(living, key=len)
    near = living[0] @ wanted.T >= SAME
    share = [len(one["alive"]) / one["components"] for one in found]
    return {
        "explained": float(np.mean([one["explained"] for one in found])),
        "alive": float(np.mean(share)),
        "found again": float((match(few, many).cosine >= SAME).mean()),
        "planted": float(near.any(dim=1).float().mean()),
        "of planted": float(near.any(dim=0).float().mean()),
        "seconds": max(one["seconds"] for one in found),
    }


def main() -> None:
    """Print a line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of all that is made up")
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--dataset", default=DATASET, help="of the catalog (%(default)s)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the SAE")
    parser.add_argument("--threads", type=int, default=1, help="of each of the two trainings")
    args = parser.parse_args()
    changes = {key: yaml.safe_load(value) for key, value in (s.split("=", 1) for s in args.set)}
    config = settings(args.dataset, changes)
    size = Size(args.images, args.classes, config.components, config.k, 0)
    folder = args.work / f"{size.images}-{size.classes}"
    if not folder.exists():
        with atomic(folder) as temporary:
            write(temporary, size)
    found = figures(train(folder, config, args.threads), directions(size))
    print(pd.DataFrame([{"settings": " ".join(args.set), **found}]).round(4).to_csv(index=False))


if __name__ == "__main__":
    main()
