"""How near the stage `embed` comes to the bare forward pass, and what it holds in memory.

    python -m benchmarks.embed --images FOLDER [--model ViT-B-32] [--count 640] [--repeats 3]

The bare pass runs the same model, of random weights, in the same batches over pixels that are
already decoded, preprocessed and in memory; the stage reads, checks, decodes and preprocesses files
and writes shards. Both are timed in turns in one process.
"""

import argparse
import hashlib
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import open_clip
import pandas as pd
import torch
from safetensors.torch import save_file

from pipeline.config import EmbedConfig
from pipeline.embed import embed_audit
from pipeline.images import batches, runs
from pipeline.models.catalog import Clip, class_tokens, load_clip
from pipeline.store import write_json

SUFFIXES = (".jpg", ".jpeg", ".png")


def random_model(name: str, folder: Path) -> Clip:
    """An open_clip model of random weights, loaded as a stage loads it."""
    torch.manual_seed(0)
    model = open_clip.create_model(name, pretrained=None, pretrained_text=False)
    folder.mkdir()
    tensors = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    preprocess = {key: value for key, value in open_clip.get_model_preprocess_cfg(model).items()}
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": preprocess}
    write_json(folder / "open_clip_config.json", config)
    return load_clip(folder)


def listed(root: Path, count: int) -> pd.DataFrame:
    """The first images of a folder, as manifest rows."""
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)[:count]
    names = [path.relative_to(root).as_posix() for path in paths]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return pd.DataFrame({"image_id": names, "path": names, "sha256": hashes})


def seconds(work: Callable[[], object]) -> float:
    """Wall time of some work."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of images")
    parser.add_argument("--model", default="ViT-B-32", help="open_clip's model name")
    parser.add_argument("--count", type=int, default=640, help="images")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    root = args.images.resolve()
    images = listed(root, args.count)
    config = EmbedConfig(
        batch_size=args.batch_size,
        workers=args.workers,
        shard_rows=max(args.batch_size, len(images) // 4),
        dtype="float32",
        device="cpu",
        precision="float32",
    )
    rows = runs(len(images), config.batch_size, config.shard_rows)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.chdir(folder)  # unfinished work is kept relative to the current directory
        clip = random_model(args.model, folder / "model")
        stream = batches(images, root, clip.preprocess, rows, 0, "read into memory")
        ready = [batch.pixels for batch in stream]
        before = peak()

        def bare() -> None:
            for pixels in ready:
                class_tokens(clip.model, pixels)

        def stage(name: str) -> None:
            embed_audit(clip, images, root, config, folder / name, name)

        bare()  # warm
        times = [(seconds(bare), seconds(partial(stage, f"run{i}"))) for i in range(args.repeats)]
        after = peak()
    rates = [(len(images) / b, len(images) / s, b / s) for b, s in times]
    for b, s, ratio in rates:
        print(f"bare {b:.2f} images/s   stage {s:.2f} images/s   ratio {ratio:.3f}")
    print(f"median ratio {statistics.median(ratio for *_, ratio in rates):.3f}")
    print(f"peak memory {before:.2f} GiB before the stage, {after:.2f} GiB after")


def peak() -> float:
    """Largest resident size of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
