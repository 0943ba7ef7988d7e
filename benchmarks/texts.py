"""What class prompts and vocabularies cost, beside the bare text tower on the same prompts.

    python -m benchmarks.texts                              # ViT-B-32, 300 names of ImageNet-21k
    python -m benchmarks.texts --model MobileCLIP-S2        # its text tower sees what is padded

Weights are random. Times are the least of several repeats, taken in turns in one process. Kept are
embeddings of an earlier run of a stage, whose key is over the model's files.
"""

import argparse
import os
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks.embed import random_model
from benchmarks.measured import seconds
from pipeline.attribution.head import unit
from pipeline.embeddings.kept_texts import kept_texts
from pipeline.embeddings.texts import read_vocabulary
from pipeline.models.catalog import Clip, text_embeddings
from pipeline.models.text_tower import TEXTS

VOCABULARY = Path("vocabularies/imagenet-21k.txt")
TEMPLATES = ("{}", "a photo of a {}")


def bare(clip: Clip, prompts: list[str]) -> Tensor:
    """Every prompt as it comes, at the model's full length."""
    parts = [prompts[start : start + TEXTS] for start in range(0, len(prompts), TEXTS)]
    return unit(torch.cat([clip.model.encode_text(clip.tokenize(part)) for part in parts]))


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="ViT-B-32", help="open_clip's model name")
    parser.add_argument("--names", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the start")
    names = [term.term for term in read_vocabulary(VOCABULARY)]
    names = names[:: len(names) // args.names][: args.names]
    prompts = [template.format(name) for template in TEMPLATES for name in names]
    with TemporaryDirectory() as folder, chdir(folder):
        clip = random_model(args.model, Path("model"))
        ours = partial(text_embeddings, clip, prompts)
        first = kept_texts(clip, [[prompt] for prompt in prompts], ours)
        furthest = float((bare(clip, prompts) - first).abs().max())
        ways: dict[str, Callable[[], object]] = {
            "bare": partial(bare, clip, prompts),
            "ours": ours,
            "kept": partial(kept_texts, clip, [[prompt] for prompt in prompts], ours),
        }
        taken = {way: min(seconds(work) for _ in range(args.repeats)) for way, work in ways.items()}
    for way, took in taken.items():
        print(f"{way}: {len(prompts)} prompts in {took:.2f} s, {len(prompts) / took:.1f} a second")
    ratio = taken["bare"] / taken["ours"]
    print(f"{ratio:.2f} times as many a second, at most {furthest:.1e} apart in a coordinate")


if __name__ == "__main__":
    main()
