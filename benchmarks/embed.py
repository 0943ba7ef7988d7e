"""How near the stage `embed` comes to the bare forward pass, and what it holds in memory.

    python -m benchmarks.embed --images FOLDER [--model ViT-B-32] [--count 640] [--repeats 3]

The bare pass runs the same model, of random weights, in the same batches over pixels that are
already decoded, preprocessed and in memory; the stage reads, checks, decodes and preprocesses files
and writes shards. Both are timed in turns, batch by batch.
"""

import argparse
import hashlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import open_clip
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.measured import peak
from pipeline import layout
from pipeline.artifacts.store import write_json
from pipeline.config import EmbedConfig
from pipeline.datasets.pixels import SHOWN
from pipeline.embeddings.embed import first_pixels
from pipeline.embeddings.embedder import check_head, embed_shards
from pipeline.embeddings.forward import Forward, split_preprocess
from pipeline.embeddings.images import batches, parts_left, runs
from pipeline.models.catalog import Clip, class_tokens, head_of, load_clip

SUFFIXES = (".jpg", ".jpeg", ".png")


def random_model(name: str, folder: Path) -> Clip:
    """An open_clip model of random weights, loaded as a stage loads it."""
    torch.manual_seed(0)
    model = open_clip.create_model(name, pretrained=None, pretrained_text=False)
    folder.mkdir()
    tensors = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    save_file(tensors, folder / layout.MODEL_WEIGHTS)
    preprocess = {key: value for key, value in open_clip.get_model_preprocess_cfg(model).items()}
    config = {"model_cfg": open_clip.get_model_config(name), "preprocess_cfg": preprocess}
    write_json(folder / layout.MODEL_CONFIG, config)
    return load_clip(folder)


def listed(root: Path, count: int) -> pd.DataFrame:
    """The first images of a folder, as manifest rows."""
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)[:count]
    names = [path.relative_to(root).as_posix() for path in paths]
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return pd.DataFrame({"image_id": names, "path": names, "sha256": hashes})


class Times(NamedTuple):
    """Seconds of one round."""

    bare: float
    """The forward pass alone."""
    stage: float
    """Reading, checking, decoding, preprocessing, the forward pass and writing."""
    before: float
    """What the stage does before its first batch: the precision and the head."""


def in_turns(
    clip: Clip,
    images: pd.DataFrame,
    root: Path,
    config: EmbedConfig,
    ready: list[Tensor],
    out: Path,
) -> Times:
    """One run of the stage, with the bare pass over the same batch before each of its own."""
    start = time.perf_counter()
    pixels_of, normalize = split_preprocess(clip)
    first = first_pixels(images, root, SHOWN, pixels_of)
    forward = Forward(clip, class_tokens, normalize, config, first)
    check_head(clip.model, forward.normalized(first), head_of(clip.model))
    before = time.perf_counter() - start
    bare: list[float] = []

    def both(pixels: Tensor, _: Sequence[str]) -> Tensor:
        begun = time.perf_counter()
        class_tokens(clip.model, ready[len(bare)])
        bare.append(time.perf_counter() - begun)
        return forward(pixels)

    out.mkdir()
    start = time.perf_counter()
    parts = parts_left(images, config.shard_rows, out)
    list(embed_shards(parts, root, SHOWN, pixels_of, both, "x", config, out, out.name))
    return Times(sum(bare), time.perf_counter() - start - sum(bare), before)


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
        spatial_tokens=0,
        device="cpu",
        precision="float32",
    )
    rows = runs(len(images), config.batch_size, config.shard_rows)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clip = random_model(args.model, folder / "model")
        stream = batches(images, root, SHOWN, clip.preprocess, rows, 0, "read into memory")
        ready = [batch.pixels for batch in stream]
        before = peak()
        class_tokens(clip.model, ready[0])  # warm
        rounds = [
            in_turns(clip, images, root, config, ready, folder / f"round{i}")
            for i in range(args.repeats)
        ]
        after = peak()
    n = len(images)
    for times in rounds:
        print(
            f"bare {n / times.bare:.2f} images/s   stage {n / times.stage:.2f} images/s   "
            f"ratio {times.bare / times.stage:.3f}   before the first batch {times.before:.2f} s"
        )
    total = [sum(column) for column in zip(*rounds, strict=True)]
    print(f"ratio over all rounds {total[0] / total[1]:.3f}")
    print(f"peak memory {before:.2f} GiB before the stage, {after:.2f} GiB after")


if __name__ == "__main__":
    main()
