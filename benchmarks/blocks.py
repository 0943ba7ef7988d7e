"""How fast training data come from shards that do not fit in memory, and what is held of them.

    python -m benchmarks.blocks [--images 1300000] [--width 1280] [--tokens 0] [--fractions 0.1 1.0]

Writes shards of random numbers in float16 (3.3 GB as it stands) into a temporary folder, reads one
epoch for each fraction without training on it, and deletes them. All the numbers are read from disk
and decompressed for each line, whatever the fraction.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from benchmarks.measured import peak
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.sae.blocks import POOL_BYTES, Column, EmbeddingBlocks

SHARD_ROWS = 8192
WRITTEN = 512  # images that are made at a time


def tables(ids: list[str], width: int, tokens: int, rng: np.random.Generator) -> Iterator[pa.Table]:
    """Random embeddings of images, some at a time."""
    for first in range(0, len(ids), WRITTEN):
        part = ids[first : first + WRITTEN]
        columns = {"x": width} | ({"spatial": tokens * width} if tokens else {})
        vectors = {
            name: rng.standard_normal((len(part), size), dtype=np.float32).astype(np.float16)
            for name, size in columns.items()
        }
        yield vector_table(part, vectors)


def write_shards(folder: Path, images: int, width: int, tokens: int) -> pd.DataFrame:
    """Shards of random embeddings; the manifest of their images, all of them to train on."""
    rng = np.random.default_rng(0)
    ids = [f"train/n{row // 1300:08d}/{row:08d}" for row in range(images)]
    for number, first in enumerate(range(0, images, SHARD_ROWS)):
        part = ids[first : first + SHARD_ROWS]
        write_vectors(folder, number, tables(part, width, tokens, rng))
    return pd.DataFrame({"image_id": ids, "split": "train"})


def timed(what: str, begun: tuple[float, float], size: float | None = None) -> None:
    """Print how long something took since `begun`, wall and processor, and the peak of memory."""
    wall, cpu = time.perf_counter() - begun[0], time.process_time() - begun[1]
    rate = f"   {size / wall / 1e6:6.0f} MB/s" if size else ""
    print(f"{what:32} {wall:7.1f} s   {cpu:7.1f} s cpu{rate}   peak {peak():.2f} GiB", flush=True)


def now() -> tuple[float, float]:
    """Wall and processor time."""
    return time.perf_counter(), time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_300_000)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--tokens", type=int, default=0, help="spatial tokens an image")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1, 1.0])
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--pool-bytes", type=int, default=POOL_BYTES)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        begun = now()
        manifest = write_shards(folder, args.images, args.width, args.tokens)
        size = args.images * args.width * (1 + args.tokens) * 2
        disk = sum(path.stat().st_size for path in folder.iterdir())
        timed("write", begun, size)
        print(f"{size / 1e9:.2f} GB in memory, {disk / 1e9:.2f} GB on disk")
        read(folder, manifest, args, size)


def read(folder: Path, manifest: pd.DataFrame, args: argparse.Namespace, size: int) -> None:
    """Open the shards, take the mean, and go through an epoch of each fraction."""
    columns: tuple[Column, ...] = ("x", "spatial") if args.tokens else ("x",)
    begun = now()
    blocks = EmbeddingBlocks.open(folder, manifest, "train", columns, args.pool_bytes)
    timed("open", begun)
    begun = now()
    blocks.mean_and_scale("both" if args.tokens else "x")
    timed("mean and scale", begun, size)
    for epoch, fraction in enumerate(args.fractions):
        begun = now()
        count = sum(batch.images for batch in blocks.batches(args.batch_size, fraction, 0, epoch))
        timed(f"epoch of {fraction}: {count} images", begun, size)


if __name__ == "__main__":
    main()
