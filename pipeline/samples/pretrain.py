"""Stage `pretrain`: a small CLIP, trained on the captions of the sample datasets.

The model is open_clip's own `CLIP` with a ViT that pools its class token, so that an audit takes
the same path through the code as with a ViT-B/32. It is written as an open_clip model folder,
which `local-dir:<folder>` loads.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int64, UInt8
from open_clip import CLIP, ClipLoss, get_tokenizer
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms import Compose
from tqdm import tqdm

from pipeline import layout
from pipeline.artifacts.stage import set_threads, train_deterministically
from pipeline.artifacts.store import atomic, read_table, write_json, write_table
from pipeline.config import PretrainConfig, load_params
from pipeline.datasets.pixels import SHOWN
from pipeline.embeddings.images import batches, runs

MEAN = (0.5, 0.5, 0.5)
"""Subtracted from pixels in 0 to 1."""
STD = (0.25, 0.25, 0.25)
"""Divides them thereafter."""


class Captioned(NamedTuple):
    """Images with their captions, ready for training."""

    pixels: UInt8[Tensor, "n 3 h w"]
    """Decoded and resized once."""
    tokens: Int64[Tensor, "q context"]
    """Every distinct caption."""
    choices: list[list[int]]
    """For each image the rows of tokens that are captions of it."""


def model_config(config: PretrainConfig) -> dict[str, Any]:
    """open_clip's model_cfg."""
    tower = {"width": config.width, "mlp_ratio": 4.0}
    return {
        "embed_dim": config.width,
        "vision_cfg": tower
        | {
            "image_size": config.image_size,
            "patch_size": config.patch_size,
            "layers": config.layers,
            "head_width": 32,
        },
        "text_cfg": tower
        | {
            "context_length": config.context_length,
            "layers": config.text_layers,
            "heads": config.width // 32,
        },
    }


def preprocess_config(config: PretrainConfig) -> dict[str, Any]:
    """open_clip's preprocess_cfg."""
    return {
        "size": config.image_size,
        "mode": "RGB",
        "mean": list(MEAN),
        "std": list(STD),
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }


def build(config: PretrainConfig) -> CLIP:
    """The model with random weights, drawn from torch's seed."""
    return CLIP(**model_config(config))


def resizing(config: PretrainConfig) -> Callable[[Any], Tensor]:
    """What inference does to an image up to pixels in 0 to 1, without the normalisation."""
    whole = image_transform_v2(PreprocessCfg(**preprocess_config(config)), is_train=False)
    return Compose(whole.transforms[:-1])


def normalised(pixels: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3 h w"]:
    """What inference does to pixels after `resizing`."""
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return (pixels.float() / 255 - mean) / std


def read_captions(datasets: list[str]) -> pd.DataFrame:
    """Columns path (relative to the raw folder) and caption of the datasets' train images.

    Raises:
        FileNotFoundError: a dataset has no captions.csv or no manifest.
    """
    tables = []
    for dataset in datasets:
        table = read_table(layout.DATA / "raw" / dataset / "captions.csv", ["path", "caption"])
        images = read_table(layout.manifest(dataset) / "manifest.parquet", ["path", "split"])
        train = table["path"].isin(images.loc[images["split"] == "train", "path"])
        tables.append(table[train].assign(path=f"{dataset}/" + table["path"]))
    return pd.concat(tables, ignore_index=True)


def captioned(table: pd.DataFrame, root: Path, config: PretrainConfig) -> Captioned:
    """Decode each image of a table of path and caption once, and tokenize each caption once."""
    images, of_image = np.unique(table["path"].to_numpy(dtype=str), return_inverse=True)
    texts, of_text = np.unique(table["caption"].to_numpy(dtype=str), return_inverse=True)
    choices: list[list[int]] = [[] for _ in images]
    for image, text in zip(of_image, of_text, strict=True):
        choices[image].append(int(text))
    # open_clip's own tokenizer, which every model name without a special one has
    tokenize = get_tokenizer("ViT-B-32", context_length=config.context_length)
    manifest = pd.DataFrame({"image_id": images, "path": images})
    rows = runs(len(manifest), 256)
    stream = batches(manifest, root, SHOWN, resizing(config), rows, config.workers, "decode")
    pixels = torch.cat([(batch.pixels * 255).round().to(torch.uint8) for batch in stream])
    return Captioned(pixels, tokenize(texts.tolist()), choices)


def save(model: CLIP, config: PretrainConfig, curves: pd.DataFrame, folder: Path) -> None:
    """Write an open_clip model folder, with the training curves beside."""
    with atomic(folder) as temporary:
        temporary.mkdir()
        write_json(
            temporary / layout.MODEL_CONFIG,
            {"model_cfg": model_config(config), "preprocess_cfg": preprocess_config(config)},
        )
        tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        save_file(tensors, temporary / layout.MODEL_WEIGHTS)
        write_table(temporary / "curves.csv", curves)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's groups: matrices decay, vectors and scalars do not."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def rate(step: int, steps: int) -> float:
    """Learning rate at a step, as a fraction of the highest: warm-up, then a cosine to 0."""
    warm_up = max(1, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def train(
    model: CLIP, data: Captioned, config: PretrainConfig, seed: int
) -> Iterator[dict[str, float]]:
    """Train in place; yields epoch and loss (mean over the epoch).

    Both towers see a batch once; a caption that occurs twice in a batch is encoded once.
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(data.pixels)
    steps_per_epoch = max(1, n // config.batch_size)
    steps = config.epochs * steps_per_epoch
    groups = parameter_groups(model, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, steps))
    loss_of = ClipLoss()
    model.train()
    with tqdm(total=steps, desc="pretrain", unit="step") as bar:
        for epoch in range(config.epochs):
            total = 0.0
            order = torch.randperm(n, generator=generator)
            draws = torch.rand(n, generator=generator).tolist()
            for batch in order[: steps_per_epoch * config.batch_size].chunk(steps_per_epoch):
                rows = [data.choices[i][int(draws[i] * len(data.choices[i]))] for i in batch]
                distinct, where = torch.unique(torch.tensor(rows), return_inverse=True)
                image = model.encode_image(normalised(data.pixels[batch]), normalize=True)
                text = model.encode_text(data.tokens[distinct], normalize=True)[where]
                loss = loss_of(image, text, model.logit_scale.exp())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                with torch.no_grad():  # CLIP's bound: a scale of at most 100
                    model.logit_scale.clamp_(0, math.log(100))
                total += float(loss.detach())
                bar.update()
            bar.set_postfix(loss=f"{total / steps_per_epoch:.3f}")
            yield {"epoch": epoch + 1, "loss": total / steps_per_epoch}
    model.eval()


def main() -> None:
    """Train the small CLIP and write data/models/tiny."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    params = load_params()
    config = params.pretrain
    set_threads(params.threads, params.seed)
    train_deterministically()
    data = captioned(read_captions(config.datasets), layout.DATA / "raw", config)
    model = build(config)
    curves = pd.DataFrame(list(train(model, data, config, params.seed)))
    save(model, config, curves, layout.model(layout.PRETRAINED))


if __name__ == "__main__":
    main()
