"""Whether a GPU gives the CPU's results, and how near its limit it works.

    python -m benchmarks.gpu                        # CUDA or MPS: results, then times
    python -m benchmarks.gpu --device cpu --small   # the same comparisons on the CPU, no times

One table; the exit status is 1 if a result differs or something fails. Weights are random, images
and embeddings invented. Tolerances stand in the table: a GPU adds up in another order.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from audits.probe.answers import embed_pictures
from benchmarks.embed import listed, random_model
from pipeline.artifacts.stage import pick_device, set_threads
from pipeline.attribution.head import Head
from pipeline.attribution.relevance import Codes, act_grad, gradient
from pipeline.config import EmbedConfig, SaeConfig
from pipeline.datasets.pixels import SHOWN
from pipeline.embeddings.embed import embed_images, first_pixels
from pipeline.embeddings.embedder import embed_shards
from pipeline.embeddings.forward import Forward, decoders, split_preprocess
from pipeline.embeddings.images import batches, parts_left, runs
from pipeline.embeddings.vectors import read_embeddings, vector_table, write_vectors
from pipeline.models.catalog import Clip, class_tokens, load_clip, text_embeddings
from pipeline.sae import training
from pipeline.sae.blocks import EmbeddingBlocks
from pipeline.sae.health import FIGURES, Measure
from pipeline.sae.model import Sae, encode_blocks
from pipeline.sae.trainee import Frame, Trainee

SIZES = ((768, 1024), (768, 8192), (1280, 4096))
"""Width and batch of the SAE steps; m = 30,000 and k = 64."""
COMPONENTS, K = 30_000, 64
TOWER = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 2, "head_width": 32}
TEXT = {"context_length": 16, "width": 32, "layers": 1, "heads": 2}
SMALL_SAE: dict[str, Any] = {
    "kind": "topk", "components": 48, "k": 4, "tokens": "class", "loss": "variance", "epochs": 3,
    "epoch_fraction": 1.0, "batch_size": 64, "learning_rate": 0.003, "warmup": 0,
    "decay_after": [], "clip": 1.0, "centre": True, "atoms_init": "kmeans",
    "encoder_init": "transpose", "auxk": 0.0, "auxk_k": 4, "dead_after": 0.2, "revive_after": [1],
    "prefixes": [0.25, 0.5], "device": "cpu", "devices": 1,
}  # fmt: skip
EMBED: dict[str, Any] = {
    "batch_size": 256, "workers": "auto", "shard_rows": 8192, "dtype": "float32",
    "spatial_tokens": 0, "device": "cpu", "precision": "float32",
}  # fmt: skip


class Table:
    """What was found, a row each, and whether anything failed."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []
        self.failed = False

    def add(self, what: str, found: str, beside: str = "", verdict: str = "") -> None:
        """One row."""
        self.rows.append({"what": what, "found": found, "beside": beside, "": verdict})
        print(f"  {what}: {found} {beside} {verdict}", file=sys.stderr, flush=True)

    def held(self, what: str, distance: Callable[[], float], most: float) -> None:
        """A row that says whether a distance to the CPU's result is at most `most`."""
        self.attempt(what, lambda: self._judge(what, distance(), most))

    def attempt(self, what: str, work: Callable[[], None]) -> None:
        """Run it; an error is a row and a failure."""
        try:
            work()
        except Exception as error:  # every further row is still wanted
            self.failed = True
            self.add(what, f"{type(error).__name__}: {error}"[:150], verdict="FAILED")

    def _judge(self, what: str, distance: float, most: float) -> None:
        good = distance <= most  # never where it is NaN
        self.failed |= not good
        self.add(what, f"{distance:.2g}", f"at most {most:g}", "same" if good else "DIFFERS")


def blocks_of(folder: Path, n: int, width: int, tokens: int, dtype: str) -> EmbeddingBlocks:
    """Invented embeddings with directions in common, written and opened."""
    rng = np.random.default_rng(0)
    atoms = rng.normal(size=(64, width))

    def sums(count: int) -> np.ndarray:
        weight = rng.random((count, 64)) * (rng.random((count, 64)) < 0.08)
        return (weight @ atoms + 0.05 * rng.normal(size=(count, width))).astype(dtype)

    columns = {"x": sums(n)}
    if tokens:
        columns["spatial"] = sums(n * tokens).reshape(n, -1)
    ids = [f"i{row:07d}" for row in range(n)]
    folder.mkdir()
    write_vectors(folder / "part-00000.parquet", [vector_table(ids, columns)])
    manifest = pd.DataFrame({"image_id": ids, "split": "train"})
    return EmbeddingBlocks.open(folder, manifest, "train", list(columns))  # type: ignore[arg-type]


def photos(folder: Path, count: int, size: tuple[int, int]) -> pd.DataFrame:
    """JPEGs of coarse noise, and their manifest rows."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
        coarse.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=90)
    return listed(folder, count)


def away(found: Tensor | np.ndarray, expected: Tensor | np.ndarray) -> float:
    """1 − the least cosine of rows."""
    one, other = (torch.as_tensor(value).double().flatten(1).cpu() for value in (found, expected))
    return float(1 - torch.cosine_similarity(one, other).min())


def apart(found: Any, expected: Any) -> float:
    """Largest difference, as a part of the largest number."""
    one, other = (torch.as_tensor(value).cpu().double() for value in (found, expected))
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-30))


def compare_saes(table: Table, device: str, folder: Path) -> None:
    """Training of all kinds, revival, health, encoding and attribution."""
    blocks = blocks_of(folder / "small", 600, 32, 3, "float32")
    measure = Measure(blocks)

    def trained(where: str, **changes: Any) -> tuple[Sae, pd.DataFrame]:
        config = SaeConfig(**{**SMALL_SAE, **changes, "device": where})
        return training.train(blocks, config, 0, measure)

    for changes in (
        {"kind": "topk"},
        {"kind": "batch_topk"},
        {"kind": "matryoshka"},
        {"kind": "topk", "loss": "unit", "auxk": 0.03},
        {"kind": "batch_topk", "tokens": "both", "auxk": 0.03},
        {"kind": "topk", "tokens": "spatial"},
    ):

        def curves(changes: dict[str, Any] = changes) -> float:
            columns = ["loss", "explained_variance", "cosine"]
            found, expected = (trained(where, **changes)[1][columns] for where in (device, "cpu"))
            again = trained(device, **changes)[1][columns]
            if not found.equals(again):
                raise RuntimeError("two runs on the device differ")
            return apart(found.to_numpy(), expected.to_numpy())

        name = " ".join(str(value) for value in changes.values())
        table.held(f"training and revival, {name}: curves, twice", curves, 0.02)

    x = torch.cat([batch.x for batch in blocks.in_order(256) if batch.x is not None])
    sae = trained("cpu")[0]
    components, width = sae.atoms.shape
    there = Sae(components, width, sae.slots, sae.threshold).to(device)
    there.load_state_dict(sae.state_dict())
    codes = encode_blocks(sae, x)

    def encoded() -> float:
        found = encode_blocks(there, x)
        dense = [torch.zeros(len(x), 48).scatter(1, *each) for each in (found, codes)]
        return apart(*dense)

    def healthy() -> float:
        found, expected = measure(there), measure(sae)
        return apart([found[name] for name in FIGURES], [expected[name] for name in FIGURES])

    def attributed() -> float:
        draw = torch.Generator().manual_seed(2)
        head = Head(torch.rand(32, generator=draw), torch.rand(32, generator=draw), 1e-5,
                    torch.randn(32, 24, generator=draw))  # fmt: skip
        t = torch.nn.functional.normalize(torch.randn(len(x), 24, generator=draw), dim=1)
        expected = act_grad(gradient(x, t, head), codes, sae.atoms.data)
        gamma, beta, w_proj = (v.to(device) for v in (head.gamma, head.beta, head.w_proj))
        g = gradient(x.to(device), t.to(device), Head(gamma, beta, head.eps, w_proj))
        moved = Codes(*(column.to(device) for column in codes))
        return apart(act_grad(g, moved, there.atoms.data), expected)

    table.held("encode: codes", encoded, 1e-4)
    table.held("health: figures", healthy, 1e-4)
    table.held("attribution: relevance", attributed, 1e-3)


def small_clip(folder: Path) -> Callable[[], Clip]:
    """What loads a small CLIP of random weights."""
    name = "clip-audit-small"
    config = {"embed_dim": 48, "vision_cfg": TOWER, "text_cfg": TEXT}
    open_clip.factory._MODEL_CONFIGS[name] = config
    random_model(name, folder)
    return lambda: load_clip(folder)


def compare_embeddings(table: Table, device: str, folder: Path) -> None:
    """Images, spatial tokens, texts and the probe's pictures through a small model."""
    clip = small_clip(folder / "clip")
    images = photos(folder / "few", 40, (80, 60))

    def embedded(where: str, precision: str, tokens: int) -> np.ndarray:
        config = EmbedConfig(**{**EMBED, "device": where, "precision": precision, "batch_size": 16,
                                "shard_rows": 24, "spatial_tokens": tokens})  # fmt: skip
        out = folder / f"e-{where}-{precision}-{tokens}-{len(list(folder.iterdir()))}"
        embed_images(clip(), images, folder / "few", SHOWN, config, out, "embed")
        return read_embeddings(out, "spatial" if tokens else "x").values

    def probed(where: str) -> Tensor:
        rng = np.random.default_rng(3)
        config = EmbedConfig(**{**EMBED, "device": where, "workers": 0})
        pictures = (Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8))
                    for _ in range(12))  # fmt: skip
        return embed_pictures(clip(), pictures, 12, config)

    def spoken(where: str) -> Tensor:
        model = clip()
        model.model.to(where)
        return text_embeddings(model, ["a photo of a bat", "a ship", "text in the image"])

    def tokens_away(tokens: int) -> float:
        return away(embedded(device, "float32", tokens), embedded("cpu", "float32", tokens))

    for tokens in (0, 2):
        what = "embed: spatial tokens" if tokens else "embed: class tokens"
        table.held(f"{what}, float32", partial(tokens_away, tokens), 1e-5)
    table.held(
        "embed: class tokens, precision auto",
        lambda: away(embedded(device, "auto", 0), embedded("cpu", "float32", 0)),
        1e-3,
    )
    table.held("embed_texts", lambda: away(spoken(device), spoken("cpu")), 1e-5)
    table.held("probe: pictures", lambda: away(probed(device), probed("cpu")), 1e-5)


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
        torch.backends.cuda.matmul.allow_tf32 = True
        found["product, TF32"] = timed(lambda: torch.mm(x, weight.T, out=out), device)
        torch.backends.cuda.matmul.allow_tf32 = False
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
        except ImportError as error:
            table.add(what, "not run", str(error))
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
    start = time.perf_counter()
    out = folder / f"out-{name}"
    parts = parts_left(images, config.shard_rows, out)
    how = (root, SHOWN, pixels_of, lambda pixels, _: forward(pixels), "x", config, out, "embed")
    list(embed_shards(parts, *how))
    stage = count / (time.perf_counter() - start)
    beside = (
        f"{stage / rate:.2f} of bare {rate:.0f}, {stage / decoding:.2f} of decoding {decoding:.0f}"
    )
    table.add(f"embed {name}, {ran.precision}, {decoders(config)} workers",
              f"{stage:.0f} images/s", beside)  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--small", action="store_true", help="compare results only")
    parser.add_argument("--count", type=int, default=4096, help="images for each model")
    args = parser.parse_args()
    device = pick_device(args.device, "--device")
    set_threads(2 if device == "cpu" else min(16, os.cpu_count() or 1), 0)
    table = Table()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["DVC_ROOT"] = temporary  # where unfinished work is kept
        table.attempt("comparing SAEs", lambda: compare_saes(table, device, folder))
        table.attempt("comparing embeddings", lambda: compare_embeddings(table, device, folder))
        if not args.small:
            table.attempt("timing SAEs", lambda: time_saes(table, device, folder))
            for name in ("ViT-B-32", "ViT-L-14"):
                time_it = partial(time_embedding, table, device, folder, name, args.count)
                table.attempt(f"timing {name}", time_it)
    card = torch.cuda.get_device_name() if device == "cuda" else device
    print(f"{card}, torch {torch.__version__}, {os.cpu_count()} cores")
    print(pd.DataFrame(table.rows).to_string(index=False))
    sys.exit(table.failed)


if __name__ == "__main__":
    main()
