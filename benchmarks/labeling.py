"""What the stage `label` takes, in memory and time, of made-up codes of any size.

    python -m benchmarks.labeling --work DIR [--images 100000 400000] [--components 30000]
    python -m benchmarks.labeling --work DIR --code OLD   # the stage of another checkout

Writes sparse codes, the labeler's embeddings and a vocabulary, all random, into a folder for each
size below --work, where a later run finds them; runs the stage there in a process of its own; and
prints its time, that of processors, its largest resident memory and its result's hash.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from pipeline import layout
from pipeline.artifacts.shards import write_shard
from pipeline.artifacts.store import atomic, vector_column, write_json, write_table
from pipeline.attribution.relevance import Codes
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.sae.codes import codes_table

ROOT = Path(__file__).parents[1]
AUDIT, DATASET = "scenes-tiny", "scenes"
SHARD = 8192
SLOTS = 32
WIDTH = 512
MIB = 2**10


def made(folder: Path, images: int, components: int, names: int) -> None:
    """Write what the stage reads; a quarter of the images are held out."""
    for name in ("params.yaml", "catalog.yaml"):
        shutil.copy(ROOT / name, folder / name)
    rng = np.random.default_rng(0)
    labeler = layout.concepts_embeddings(DATASET)
    with chdir(folder):
        write_json(layout.sae(AUDIT) / "config.json", {"components": components, "slots": SLOTS})
        for number, ids in enumerate(_ids(images)):
            codes = codes_table(np.array(ids), _codes(len(ids), components, rng))
            write_shard(layout.codes(AUDIT), number, codes)
            z = rng.standard_normal((len(ids), WIDTH), dtype=np.float32).astype(np.float16)
            table = vector_table(ids, {"z": z})
            write_vectors(labeler, number, [table])
        ids = [image for shard in _ids(images) for image in shard]
        split = np.where(rng.random(images) < 0.75, "train", "val")
        manifest = pd.DataFrame({"image_id": ids, "split": split, "group_id": ids})
        write_table(layout.manifest(DATASET) / "manifest.parquet", manifest)
        terms = {"term": ["", *(f"term {n}" for n in range(names))], "kind": [None] * (names + 1)}
        t = rng.standard_normal((names + 1, WIDTH), dtype=np.float32)
        write_table(labeler / "vocabulary.parquet", pa.table(terms | {"t": vector_column(t)}))


def _ids(images: int) -> Iterator[list[str]]:
    for first in range(0, images, SHARD):
        yield [f"train/class/{row:08d}" for row in range(first, min(first + SHARD, images))]


def _codes(rows: int, components: int, rng: np.random.Generator) -> Codes:
    """Every slot takes from components of its own, few of which fire often."""
    each = components // SLOTS
    drawn = (each * rng.random((rows, SLOTS)) ** 2).astype(np.int64)
    component = drawn + each * np.arange(SLOTS)
    activation = rng.gamma(2.0, size=(rows, SLOTS)).astype(np.float32)
    return Codes(torch.from_numpy(component), torch.from_numpy(activation))


def run(folder: Path, code: Path) -> tuple[float, float, float, str]:
    """Seconds, those of processors, MiB at most and the result's hash of the stage in a folder."""
    command = (sys.executable, "-m", "pipeline.labels.label", "--audit", AUDIT)
    before = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(code)})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed in {folder}")
    seconds = time.perf_counter() - before
    result = (folder / layout.labels(AUDIT)).read_bytes()
    worked = usage.ru_utime + usage.ru_stime
    return seconds, worked, usage.ru_maxrss / MIB, hashlib.md5(result).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of all that is made up")
    parser.add_argument("--images", type=int, nargs="+", default=[100_000, 400_000])
    parser.add_argument("--components", type=int, default=30_000)
    parser.add_argument("--names", type=int, default=1000, help="terms of the vocabulary")
    parser.add_argument("--code", type=Path, default=ROOT, help="checkout whose stage is run")
    args = parser.parse_args()
    for images in args.images:
        folder = args.work / f"{images}-{args.components}-{args.names}"
        if not folder.exists():
            with atomic(folder) as temporary:
                temporary.mkdir()
                made(temporary, images, args.components, args.names)
        seconds, worked, peak, digest = run(folder, args.code.resolve())
        said = f"{seconds:7.1f} s, {worked:7.1f} s of processors, {peak:7.0f} MiB at most, {digest}"
        print(f"{images:>9} images  {said}", flush=True)


if __name__ == "__main__":
    main()
