"""Results on a device beside the CPU's, at small size."""

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

from audits.maps.parts import component_parts
from audits.probe.answers import embed_pictures
from benchmarks.embed import random_model
from benchmarks.gpu.made import EMBED, SMALL_SAE, blocks_of, photos
from benchmarks.gpu.table import Table
from pipeline.attribution.head import Head
from pipeline.attribution.relevance import Codes, act_grad, gradient
from pipeline.config import EmbedConfig, SaeConfig
from pipeline.datasets.pixels import SHOWN
from pipeline.embeddings.embed import embed_images
from pipeline.embeddings.forward import Forward, split_preprocess
from pipeline.embeddings.vectors import read_embeddings
from pipeline.models.catalog import Clip, image_embeddings, load_clip, text_embeddings
from pipeline.sae import training
from pipeline.sae.health import FIGURES, Measure
from pipeline.sae.model import Sae, encode_blocks
from pipeline.sae.trainee import Frame, Trainee

TOWER = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 2, "head_width": 32}
TEXT = {"context_length": 16, "width": 32, "layers": 1, "heads": 2}


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

    def displaced() -> float:
        """Tokens with other components than float32 chooses, which may be within its rounding."""
        config = SaeConfig(**{**SMALL_SAE, "components": 30_000, "k": 64})
        frame, draw = Frame(torch.zeros(768), 1.0, 1.0), torch.Generator().manual_seed(4)
        trainee = Trainee(config, frame, draw).to(device)
        tokens = torch.randn(1024, 768, generator=draw).to(device)
        found = trainee.strongest(tokens, trainee.pre_activations(tokens))[1].sort().values
        expected = (tokens @ trainee.encoder_weight.detach().T).topk(64).indices.sort().values
        return float((found != expected).any(dim=1).float().mean())

    table.held("SAE step: tokens with other components, m 30,000", displaced, 0.002)
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

    draw = torch.Generator().manual_seed(5)
    pixels = torch.randint(256, (12, 32, 32, 3), generator=draw, dtype=torch.uint8)

    def named(where: str) -> Tensor:
        model, config = clip(), EmbedConfig(**{**EMBED, "device": where})
        normalize = split_preprocess(model)[1]
        return Forward(model, image_embeddings, normalize, config, pixels)(pixels)

    def mapped(where: str) -> Tensor:
        model = clip().model.to(where)
        sae = Sae(6, TOWER["width"], 2).requires_grad_(False)
        sae.encoder_weight.normal_(generator=torch.Generator().manual_seed(6))
        seen = pixels.permute(0, 3, 1, 2) / 255 - 0.5
        return component_parts(model, seen, sae, [row % 6 for row in range(12)]).patches

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
    table.held("embed_concepts", lambda: away(named(device), named("cpu")), 1e-5)
    table.held("maps: parts", lambda: apart(mapped(device), mapped("cpu")), 1e-3)
    table.held("embed_texts", lambda: away(spoken(device), spoken("cpu")), 1e-5)
    table.held("probe: pictures", lambda: away(probed(device), probed("cpu")), 1e-5)
