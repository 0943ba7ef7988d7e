"""Where in a picture a component fires: what adds nothing to its activation is veiled."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from PIL import Image

DARKEST = 0.75
"""Opacity of the veil over patches that add nothing."""
PLACES = (
    ("at the top left", "at the top", "at the top right"),
    ("at the left", "in the middle", "at the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)


@dataclass(frozen=True)
class Veil:
    """A map as a picture that lies over the one which it is of."""

    uri: str
    """A PNG of one pixel a patch as a `data:` URI: black, clear on the patch that adds most."""
    width: float
    height: float
    """Of what the model sees, in percent of the square in the middle of the picture, which is what
    a page shows of it. The veil lies centred on that."""
    place: str
    """Where it adds most, see `place`."""
    words: str
    """The same as a sentence of its own."""


def veil(parts: Float[np.ndarray, "h w"], component: int, seen: tuple[float, float]) -> Veil:
    """The veil of one map.

    Args:
        parts: what each patch adds to the component's activation, by rows from the top left.
        component: its number.
        seen: width and height as in `Veil`.
    """
    buffer = io.BytesIO()
    black(opacity(parts)).save(buffer, "PNG", optimize=True)
    uri = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    found = place(parts)
    return Veil(uri, *seen, found, f"what adds to component {component}: {found}")


def opacity(parts: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Of the veil over each patch: 0 where most is added, `DARKEST` of 255 where nothing is."""
    adds = np.maximum(parts, 0)
    share = adds / adds.max() if adds.any() else adds
    return np.rint(255 * DARKEST * (1 - share)).astype(np.uint8)


def black(opacities: UInt8[np.ndarray, "h w"]) -> Image.Image:
    """A black picture of those opacities."""
    return Image.merge("LA", (Image.new("L", opacities.shape[::-1]), Image.fromarray(opacities)))


def place(parts: Float[np.ndarray, "h w"]) -> str:
    """The brightest ninth of a map, and its share of all that adds: "52% at the top left"."""
    adds = np.maximum(parts, 0)
    if not adds.any():
        return "nothing in the picture"
    ninths = [
        np.array_split(band, min(3, band.shape[1]), axis=1)
        for band in np.array_split(adds, min(3, len(adds)), axis=0)
    ]
    means = np.array([[ninth.mean() for ninth in band] for band in ninths])
    row, column = np.unravel_index(means.argmax(), means.shape)
    places = PLACES if means.shape == (3, 3) else (("in it",) * 3,) * 3
    share = ninths[row][column].sum() / adds.sum()
    return f"{share:.0%} {places[row][column]}"


def seen_part(size: tuple[int, int], preprocessing: Mapping[str, Any]) -> tuple[float, float]:
    """Width and height of what a model sees of a picture, in percent of the picture's short side.

    Args:
        size: width and height of the picture.
        preprocessing: open_clip's: `shortest` cuts what the model sees out of the middle, `longest`
            fills up what is missing, `squash` distorts.
    """
    asked = preprocessing["size"]
    high, wide = (asked, asked) if isinstance(asked, int) else asked
    short = min(size)
    if preprocessing["resize_mode"] == "squash":
        width, height = float(size[0]), float(size[1])
    else:
        fit = max if preprocessing["resize_mode"] == "shortest" else min
        scale = fit(wide / size[0], high / size[1])
        width, height = wide / scale, high / scale
    return 100 * width / short, 100 * height / short


def parts_by_pair(table: pd.DataFrame) -> Mapping[tuple[str, int], Float[np.ndarray, "h w"]]:
    """Image and component → map, of a table with image_id, component, rows, columns and parts."""
    return {
        (row["image_id"], row["component"]): row["parts"].reshape(row["rows"], row["columns"])
        for row in table.to_dict("records")
    }


class Maps:
    """The maps of an audit, by image and component."""

    def __init__(self, table: pd.DataFrame, preprocessing: Mapping[str, Any]) -> None:
        """
        Args:
            table: as of `parts_by_pair`; the audit `maps` leaves it.
            preprocessing: of the audited model.
        """
        self._parts = parts_by_pair(table)
        self._preprocessing = preprocessing

    def veil(self, image_id: str, component: int, size: tuple[int, int]) -> Veil | None:
        """The veil over a picture of that width and height; None where it was not mapped."""
        parts = self._parts.get((image_id, component))
        if parts is None:
            return None
        return veil(parts, component, seen_part(size, self._preprocessing))
