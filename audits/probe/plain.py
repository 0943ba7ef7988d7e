"""Plain colours and textures: what a component answers to when nothing is to be seen."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Float
from PIL import Image

from audits.auroc import auroc_of_columns

COLOURS = {
    "red": (205, 40, 40),
    "orange": (230, 130, 30),
    "yellow": (230, 210, 50),
    "green": (50, 150, 70),
    "blue": (40, 80, 190),
    "purple": (130, 60, 160),
    "pink": (240, 150, 170),
    "brown": (110, 70, 45),
    "white": (250, 250, 250),
    "grey": (128, 128, 128),
    "black": (10, 10, 10),
}
"""Red, green and blue of each at full light, by what it is called."""
TEXTURES = ("stripes", "checks", "dots", "noise")
"""In grey."""
EDGE = 224
"""Of a picture, pixels."""
VARIANTS = 6
"""Pictures of each kind: shades of a colour, scales and contrasts of a texture."""


def pictures() -> Iterator[tuple[str, Image.Image]]:
    """VARIANTS of every colour and every texture, with its name."""
    for name, colour in COLOURS.items():
        for number in range(VARIANTS):
            yield name, _shade(colour, number)
    for name in TEXTURES:
        for number in range(VARIANTS):
            yield name, _texture(name, number)


def _shade(colour: tuple[int, int, int], number: int) -> Image.Image:
    """Light from one side, lighter or darker with each number, so that no two are the same."""
    light = np.linspace(0.8, 1.05, EDGE)[:, None, None] * (0.85 + 0.06 * number)
    values = light * np.array(colour) * np.ones((EDGE, EDGE, 1))
    return Image.fromarray(np.rot90(values.clip(0, 255), number).astype(np.uint8))


def _texture(name: str, number: int) -> Image.Image:
    """Finer and of more contrast with each number; noise of another draw, too."""
    size = EDGE // (6 + 3 * number)
    y, x = np.mgrid[:EDGE, :EDGE]
    light = {
        "stripes": x // size % 2,
        "checks": (x // size + y // size) % 2,
        "dots": np.hypot(x % (2 * size) - size, y % (2 * size) - size) < 0.6 * size,
        "noise": np.random.default_rng(number).random((EDGE, EDGE)),
    }[name]
    values = 128 + (40 + 12 * number) * (2 * light.astype(float) - 1)
    return Image.fromarray(np.repeat(values[..., None], 3, axis=2).astype(np.uint8))


def plain_table(
    activation: Float[np.ndarray, "n m"], names: np.ndarray, least: float
) -> pd.DataFrame:
    """Columns component, picture and answer, the AUROC of a component's activation on one kind of
    plain picture against all others; its largest, where that is at least so much.

    Args:
        activation: of the components on the pictures.
        names: [n] what each picture is.
        least: from 0.5, no answer, to 1.
    """
    kinds = np.array(list(dict.fromkeys(names)))
    found = np.stack([auroc_of_columns(activation, names == kind) for kind in kinds])
    best, answer = found.argmax(axis=0), found.max(axis=0)
    table = pd.DataFrame(
        {
            "component": np.arange(activation.shape[1], dtype=np.int32),
            "picture": kinds[best],
            "answer": answer.astype(np.float32),
        }
    )
    return table[answer >= least].reset_index(drop=True)
