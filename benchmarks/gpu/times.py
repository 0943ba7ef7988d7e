"""Times on a device beside their limits: the floor of a step, the bare model, decoding."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.embed import listed, random_model
from benchmarks.gpu.made import EMBED, SMALL_SAE, blocks_of, photos
from benchmarks.gpu.table import Table
from pipeline.config import EmbedConfig, SaeConfig
from pipeline.datasets.pixels import SHOWN
from pipeline.embeddings.embed import first_pixels
from pipeline.embeddings.embedder import embed_shards
from pipeline.embeddings.forward import Forward, decoders, split_preprocess
from pipeline.embeddings.images import batches, parts_left, runs
from pipeline.models.catalog import class_tokens
from pipeline.sae import training
from pipeline.sae.model import Sae
from pipeline.sae.trainee import Frame, Trainee

SIZES = ((768, 1024), (768, 8192), (1280, 4096))
"""Width and batch of the SAE steps; m = 30,000 and k = 64."""
COMPONENTS, K = 30_000, 64


def timed(work: Callable[[], Any], device: str, repeats: int = 20) -> float:
    """Median milliseconds on the device."""
    cuda, found = device == "cuda", []
    for _ in range(repeats + 3):
        if cuda:
            begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begun.record()
            work()
            ended.record()
            ended.synchronize()
            found.append(begun.elapsed_time(ended))
        else:
            start = time.perf_counter()
            work()
            if device != "cpu":
                torch.accelerator.synchronize()
            found.append(1e3 * (time.perf_counter() - start))
    return float(np.median(found[3:]))


def floor(table: Table, device: str, width: int, rows: int) -> float:
    """Milliseconds of product, top-k and one pass over the state; each its own row."""
    weight = torch.randn(COMPONENTS, width, device=device)
    x, out = (
        torch.randn(rows, width, device=device),
        torch.empty(rows, COMPONENTS, device=device),
    )
    found = {"product, float32": timed(lambda: torch.mm(x, weight.T, out=out), device)}
    if device == "cuda":
        torch.backends.cuda.matmul.fp32_precision = "tf32"
        found["product, TF32"] = timed(lambda: torch.mm(x, weight.T, out=out), device)
        torch.backends.cuda.matmul.fp32_precision = "none"
    found["top-k"] = timed(lambda: out.topk(K, dim=-1, sorted=False), device)
    # Weights and two moments read and written, gradients read: 7 times both matrices.
    state = torch.empty(7 * COMPONENTS * width, device=device)
    half = len(state) // 2
    copy = torch.empty(2 * half, device=device)
    found["one pass over the state"] = timed(lambda: copy[:half].copy_(state[:half]), device) * 2
    for name, ms in found.items():
        table.add(f"d {width}, batch {rows}: {name}", f"{ms:.2f} ms")
    product = found.get("product, TF32", found["product, float32"])
    return product + found["top-k"] + found["one pass over the state"]


def stepper(device: str, width: int, rows: int, kind: str) -> Callable[[], None]:
    """One training step as `training` takes it, on a batch that is there."""
    config = SaeConfig(**{**SMALL_SAE, "components": COMPONENTS, "k": K, "kind": kind})
    where = Frame(torch.zeros(width), 1.0, 1.0)
    trainee = Trainee(config, where, torch.Generator().manual_seed(0)).to(device)
    optimizer = torch.optim.AdamW(trainee.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
    x = torch.randn(rows, width, device=device)
    weight = torch.full((rows,), 1 / rows, device=device)
    dead = torch.zeros(COMPONENTS, dtype=torch.bool, device=device)

    def step() -> None:
        optimizer.zero_grad()
        done = trainee(x, weight, dead)
        done.loss.backward()
        trainee.remove_parallel_gradient()
        torch.nn.utils.clip_grad_norm_(trainee.parameters(), 1.0)
        optimizer.step()
        trainee.constrain()
        trainee.note(done.fired, rows, done.threshold)

    return step


def sparsify_stepper(device: str, width: int, rows: int) -> Callable[[], None]:
    """One step of sparsify with Adam, as in its Trainer."""
    from sparsify import SparseCoder, SparseCoderConfig

    sae = SparseCoder(width, SparseCoderConfig(num_latents=COMPONENTS, k=K)).to(device)
    optimizer = torch.optim.Adam(sae.parameters())
    x = torch.randn(rows, width, device=device)
    dead = torch.zeros(COMPONENTS, dtype=torch.bool, device=device)

    def step() -> None:
        sae.set_decoder_norm_to_unit_norm()
        out = sae(x, dead_mask=dead)
        (out.fvu + out.auxk_loss / 32).backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        optimizer.step()
        optimizer.zero_grad()

    return step


def time_saes(table: Table, device: str, folder: Path) -> None:
    """Steps beside their floor and sparsify's, and the rate of a whole training."""
    bare = float("nan")
    for width, rows in SIZES:
        least = floor(table, device, width, rows)
        for kind in ("topk", "matryoshka"):
            ms = timed(stepper(device, width, rows, kind), device)
            bare = ms if (width, rows, kind) == (768, 1024, "topk") else bare
            what = f"d {width}, batch {rows}: SAE step, {kind}"
            table.add(what, f"{ms:.2f} ms", f"{ms / least:.2f} of the floor, {least:.2f} ms")
        what = f"d {width}, batch {rows}: sparsify, Adam"
        try:
            ms = timed(sparsify_stepper(device, width, rows), device)
            table.add(what, f"{ms:.2f} ms")
        except Exception as error:  # a peer's; every further row is still wanted
            table.add(what, "not run", f"{type(error).__name__}: {error}"[:150])
    blocks, ends = blocks_of(folder / "large", 40_960, 768, 0, "float16"), []
    full = {"components": COMPONENTS, "k": K, "batch_size": 1024, "device": device}
    plain = {"atoms_init": "random", "revive_after": []}
    config = SaeConfig(**{**SMALL_SAE, **full, **plain})

    def ended(_: Sae) -> dict[str, float | list[int]]:
        ends.append(time.perf_counter())
        return {}

    training.train(blocks, config, 0, ended)
    ms = 1e3 * (ends[-1] - ends[0]) / (len(ends) - 1) / 40
    table.add(
        "training.train, d 768, batch 1024", f"{ms:.2f} ms a step", f"{bare / ms:.2f} of bare"
    )


def time_embedding(table: Table, device: str, folder: Path, name: str, count: int) -> None:
    """The stage beside the bare forward pass, and beside decoding and resizing alone."""
    root = folder / "photos"
    few = listed(root, 256) if root.exists() else photos(root, 256, (500, 375))
    images = pd.concat([few] * (count // len(few)), ignore_index=True)
    clip = random_model(name, folder / name)
    config = EmbedConfig(**{**EMBED, "device": device, "precision": "auto"})
    pixels_of, normalize = split_preprocess(clip)
    first = first_pixels(images, root, SHOWN, pixels_of)
    forward = Forward(clip, class_tokens, normalize, config, first)
    there = forward.normalized(first.repeat(32, 1, 1, 1))
    ran = forward.ran()

    def bare() -> None:
        half = ran.precision != "float32"
        with torch.inference_mode(), torch.autocast(device, forward.dtype, enabled=half):
            clip.model.encode_image(there)

    rate = 1e3 * len(there) / timed(bare, device, 5)
    rows = runs(count, config.batch_size)
    start = time.perf_counter()
    for _ in batches(images, root, SHOWN, pixels_of, rows, decoders(config), "decode"):
        pass
    decoding = count / (time.perf_counter() - start)
    out = folder / f"out-{name}"
    out.mkdir()
    start = time.perf_counter()
    parts = parts_left(images, config.shard_rows, out)
    how = (root, SHOWN, pixels_of, lambda pixels, _: forward(pixels), "x", config, out, "embed")
    list(embed_shards(parts, *how))
    stage = count / (time.perf_counter() - start)
    beside = (
        f"{stage / rate:.2f} of bare {rate:.0f}, {stage / decoding:.2f} of decoding {decoding:.0f}"
    )
    table.add(f"embed {name}, {ran.precision}, {decoders(config)} workers",
              f"{stage:.0f} images/s", beside)  # fmt: skip
