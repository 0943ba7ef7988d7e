"""Embeddings in which a shortcut of known direction and effect is planted."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from audits.inputs import Inputs
from audits.shortcut.images import PLAIN, Images, Shifted, parts, seen
from pipeline.attribution.head import Head
from pipeline.config import COVERED, STATISTICS, SURROUNDINGS, ShortcutConfig
from pipeline.embeddings.shifts import shift_name
from pipeline.sae.model import Sae, encode_blocks

WIDTH, COMPONENTS, K = 12, 6, 6
RED, LESION, OTHER = 4, 2, 1
BASE, HEIGHT = 6.0, 2.0
SHIFTS = {"red": [1.0], "blue": [1.0]}


def config(**changes: object) -> ShortcutConfig:
    """Settings for few and easy images."""
    settings: dict = {
        "positive": ["MEL"],
        "negative": None,
        "repeats": 4,
        "folds": 3,
        "regularisation": [10.0, 1000.0],
        "bootstrap": 100,
        "top": 4,
        "train_images": 2000,
        "held_out_images": 2000,
        "shifts": SHIFTS,
        "mask": None,
        "in_range": 0.25,
        "min_drop": 0.05,
        "max_price": 0.05,
        "alpha": [1.0, 4.0],
        "directions": [1, 2],
        "penalty": [100.0, 100000.0],
        "quantiles": (0.4, 0.9),
        "acquisition": None,
        "min_group": 20,
    }
    return ShortcutConfig(**settings | changes)


@dataclass(frozen=True)
class World:
    """Invented images, their dictionary, and the same images under shifts."""

    inputs: Inputs
    sae: Sae
    train: Images
    held_out: Images
    shifted: tuple[Shifted, Shifted]
    shifts: pd.DataFrame
    labels: pd.DataFrame


def directions() -> torch.Tensor:
    """Orthonormal rows [WIDTH, WIDTH], orthogonal to LayerNorm's mean but for the last."""
    g = torch.Generator().manual_seed(1)
    start = torch.cat([torch.ones(WIDTH, 1), torch.randn(WIDTH, WIDTH - 1, generator=g)], dim=1)
    return torch.linalg.qr(start).Q.T.flip(0)


def world(
    n: int,
    seed: int,
    planted: bool = True,
    settings: ShortcutConfig | None = None,
    outside: tuple[bool, bool] | None = None,
) -> World:
    """Lesions: MEL has more of LESION; red skin, component RED, is rare with it where planted.

    Under `red` every image has red skin; under `blue` nothing that the classifier sees changes.
    Two images a group, of one label.

    Args:
        outside: with masks whether the shifts act by the surroundings, and whether these are red
            where the image is; else red is the object's. None without masks.
    """
    settings = settings or config()
    rng = np.random.default_rng(seed)
    positive = np.repeat(rng.random(n // 2) < 0.4, 2)
    red = rng.random(n) < np.where(positive & planted, 0.05, 0.5)
    v = directions()
    lesion = 1.5 + rng.normal(0.7 * positive, 0.7)

    def embeddings(red_amount: np.ndarray, blue: float) -> torch.Tensor:
        parts_of = {RED: HEIGHT * red_amount, LESION: lesion, OTHER: rng_other + blue}
        x = BASE * v[8].repeat(n, 1) + noise
        for component, amount in parts_of.items():
            x = x + torch.tensor(amount).float()[:, None] * v[component]
        return x

    rng_other = 1 + 0.2 * rng.random(n)
    noise = torch.tensor(rng.normal(0, 0.05, (n, WIDTH))).float()
    x = embeddings(red.astype(float), 0.0)
    moved = {"red": embeddings(np.ones(n), 0.0), "blue": embeddings(red.astype(float), 0.3)}
    sae = Sae(COMPONENTS, WIDTH, K)
    with torch.no_grad():
        sae.atoms.copy_(v[:COMPONENTS])
        sae.encoder_weight.copy_(v[:COMPONENTS])
        sae.encoder_bias.zero_()
    images = pd.DataFrame(
        {
            "image_id": [f"i{row}" for row in range(n)],
            "split": np.where(np.arange(n) // 2 % 3 == 0, "val", "train"),
            "label": np.where(positive, "MEL", "NV"),
            "group_id": [f"g{row // 2}" for row in range(n)],
        }
    )
    head = Head(torch.ones(WIDTH), torch.zeros(WIDTH), 1e-5, torch.eye(WIDTH))
    classes = pd.DataFrame({"label": ["MEL", "NV"]})
    codes = encode_blocks(sae, x)
    inputs = Inputs(images, x, codes, head, sae.atoms.data, torch.zeros(WIDTH), classes, {})
    train, held_out = parts(inputs, settings)
    statistics = pd.DataFrame(rng.normal(0, 1, (n, len(STATISTICS))), columns=list(STATISTICS))
    statistics["red"] += 2 * red

    def under(part: Images) -> Shifted:
        rows = torch.from_numpy(part.rows)
        views = {shift_name(k, 1.0): seen(moved[k][rows], head) for k in SHIFTS}
        of_part = statistics.iloc[part.rows].reset_index(drop=True)
        if outside is None:
            return Shifted(part, of_part, None, {PLAIN: part.view, **views}, {})
        acts, red_around = outside
        views |= {
            f"{name}_{SURROUNDINGS}": view if acts else part.view for name, view in views.items()
        }
        around = of_part if red_around else of_part.assign(red=0.0)
        none = seen(embeddings(np.zeros(n), 0.0)[rows], head)
        covered = dict(zip(COVERED, (part.view, none) if acts else (none, part.view), strict=True))
        return Shifted(part, of_part, around, {PLAIN: part.view, **views}, covered)

    shifts = pd.DataFrame(
        {
            "shift": [shift_name(kind, 1.0) for kind in SHIFTS],
            "kind": list(SHIFTS),
            "strength": 1.0,
            "beyond": 0.1,
            "in_range": True,
            "alone": None
            if outside is None
            else [f"{shift_name(k, 1.0)}_{SURROUNDINGS}" for k in SHIFTS],
        }
    )
    kinds: list[str | None] = [None, None, "lesion", None, "context", None]
    labels = pd.DataFrame(
        {
            "component": range(COMPONENTS),
            "label": [None if kind is None else f"term {i}" for i, kind in enumerate(kinds)],
            "kind": pd.array(kinds, dtype="string"),
            "top_images": [["a", "b"]] * COMPONENTS,
        }
    )
    return World(inputs, sae, train, held_out, (under(train), under(held_out)), shifts, labels)
