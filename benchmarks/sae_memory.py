"""What memory and time an SAE's training takes on embeddings that do not fit in memory.

    python -m benchmarks.sae_memory --work DIR [--images 1300000] [--width 1280] [--epochs 1]

Another process writes shards of random numbers in float16 (3.5 GB as it stands) into --work, where
a later run finds them. Then this process opens them as the stage `train_sae` does and trains once,
with the held-out images measured and a checkpoint after each epoch. The peak is reset at the start
of each part (Linux only), so that each has its own. It begins at random directions, for k-means
goes over the same blocks eleven times before the epoch, which takes hours at this size.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.blocks import write_shards
from pipeline.artifacts.store import atomic, read_table, write_table
from pipeline.config import SaeConfig, load_params
from pipeline.sae import checkpoint, files, training
from pipeline.sae.blocks import Batch, EmbeddingBlocks
from pipeline.sae.health import Measure
from pipeline.sae.model import Sae


class Parts:
    """Seconds and peak of resident memory of each part of a run."""

    def __init__(self) -> None:
        self.peak = 0.0
        """Of all parts, GiB."""
        self.start("start of Python")

    def start(self, name: str) -> None:
        """Begin a part."""
        self._name, self._begun = name, time.perf_counter()
        Path("/proc/self/clear_refs").write_text("5")

    def end(self) -> None:
        """Print the part that ends."""
        status = Path("/proc/self/status").read_text().splitlines()
        (line,) = (line for line in status if line.startswith("VmHWM"))
        peak = int(line.split()[1]) / 2**20
        self.peak = max(self.peak, peak)
        seconds = time.perf_counter() - self._begun
        print(f"{self._name:28} {seconds:8.1f} s   peak {peak:.2f} GiB", flush=True)

    def next(self, name: str) -> None:
        """End a part and begin another."""
        self.end()
        self.start(name)


class Timed(EmbeddingBlocks):
    """Blocks that say when each batch of an epoch was asked for."""

    parts: Parts
    asked: list[float]

    def batches(self, *args: Any, **kwargs: Any) -> Iterator[Batch]:
        """See EmbeddingBlocks."""
        self.parts.next("epoch, or k-means or revival")
        self.asked = []
        for batch in super().batches(*args, **kwargs):
            self.asked.append(time.perf_counter())
            yield batch
        self.asked.append(time.perf_counter())


def make(folder: Path, images: int, held_out: int, width: int) -> None:
    """Write the shards and the manifest of some train and some other images."""
    with atomic(folder) as temporary:
        (temporary / "embeddings").mkdir(parents=True)
        manifest = write_shards(temporary / "embeddings", images + held_out, width, 0)
        manifest["split"] = ["train"] * images + ["held out"] * held_out
        write_table(temporary / "manifest.parquet", manifest)


def train(folder: Path, config: SaeConfig, seed: int) -> None:
    """Train once and print what it takes."""
    parts = Parts()
    parts.next("opening")
    manifest = read_table(folder / "manifest.parquet", ["image_id", "split"])
    blocks = Timed.open(folder / "embeddings", manifest, "train")
    assert isinstance(blocks, Timed), "open makes what it is called on"
    blocks.parts = parts
    held_out = EmbeddingBlocks.open(folder / "embeddings", manifest, "held out")
    measured = Measure(held_out)

    def measure(sae: Sae) -> dict[str, float | list[int]]:
        parts.next("measuring")
        found = measured(sae)
        parts.next("checkpoint")
        return found

    with TemporaryDirectory(dir=folder.parent) as temporary:
        place = Path(temporary)
        parts.next("mean and scale")
        sae, _ = training.train(blocks, config, seed, measure, place)
        files.save(sae, place, config.model_dump())
        parts.end()
        seconds = [end - begin for begin, end in zip(blocks.asked, blocks.asked[1:], strict=False)]
        print(
            f"{len(seconds)} steps an epoch: {statistics.mean(seconds):.3f} s a step, median "
            f"{statistics.median(seconds):.3f}, least {min(seconds):.3f}"
        )
        shards = sum(path.stat().st_size for path in (folder / "embeddings").iterdir())
        sizes = {"embeddings": shards} | {
            name: (place / name).stat().st_size for name in (checkpoint.FILE, "sae.safetensors")
        }
        print(", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in sizes.items()))
    print(f"peak of the training process {parts.peak:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the shards")
    parser.add_argument("--images", type=int, default=1_300_000, help="to train on")
    parser.add_argument("--held-out", type=int, default=50_000, help="images beside them")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--components", type=int, default=30000)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--atoms-init", choices=["kmeans", "random"], default="random")
    parser.add_argument("--revive-after", type=int, nargs="*", default=[])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    folder = args.work / f"{args.images}-{args.held_out}-{args.width}"
    if not folder.exists():
        sizes = (folder, args.images, args.held_out, args.width)
        maker = multiprocessing.get_context("spawn").Process(target=make, args=sizes)
        maker.start()
        maker.join()
        if maker.exitcode:
            raise RuntimeError(f"the shards of {folder} could not be written: see above")
    torch.set_num_threads(args.threads)
    params = load_params()
    changes = {
        "components": args.components,
        "k": args.k,
        "batch_size": args.batch,
        "epochs": args.epochs,
        "atoms_init": args.atoms_init,
        "revive_after": args.revive_after,
    }
    config = next(iter(params.audits.values())).sae.model_copy(update=changes)
    train(folder, config, params.seed)


if __name__ == "__main__":
    main()
