"""Small pictures of the images that fire each component most, packed into sheets for a browser, and
where it fires in them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from audits.maps.veil import black, opacity, place
from pipeline.embeddings.images import to_bytes

EDGE = 64
"""Of a picture, pixels."""
ROWS = 16
"""Components of a sheet: what is loaded to look at one of them, about 150 kB."""
MOST = 180_000
"""Pictures of an audit, about 1.2 kB each."""
QUALITY = 60
"""Of the sheets' JPEG; a picture of 75 takes a fifth more."""

PartsByPair = Mapping[tuple[str, int], Float[np.ndarray, "h w"]]
"""Image and component → map."""


class Sheet(NamedTuple):
    """One file of pictures: a row of tiles a component, in the order of its images."""

    components: list[int]
    image_ids: list[list[str]]


def sheets(labels: pd.DataFrame, first: list[int], gallery: int) -> list[Sheet]:
    """Which pictures are in which sheet.

    Components that people look at first come first, then the strongest; those that fire on no train
    image have none.

    Args:
        labels: component, mean_top20 and top_images.
        first: components, by falling importance; some may be there several times.
        gallery: pictures a component, if no more than `MOST` come together.
    """
    count = max(1, min(gallery, MOST // max(1, len(labels))))
    rank = {component: place for place, component in reversed(list(enumerate(first)))}
    order = labels[labels["top_images"].map(len) > 0].copy()
    order["rank"] = order["component"].map(rank).fillna(len(first))
    order = order.sort_values(
        ["rank", "mean_top20", "component"], ascending=[True, False, True], kind="stable"
    )
    components = order["component"].tolist()
    images = [list(ids[:count]) for ids in order["top_images"]]
    return [
        Sheet(components[start : start + ROWS], images[start : start + ROWS])
        for start in range(0, len(order), ROWS)
    ]


def tile(picture: Image.Image, preprocessing: Mapping[str, Any]) -> Tensor:
    """What a model sees of a picture, as a square: uint8 [EDGE, EDGE, 3].

    Args:
        picture: RGB.
        preprocessing: see `seen_part`.
    """
    asked, mode = preprocessing["size"], preprocessing["resize_mode"]
    high, wide = (asked, asked) if isinstance(asked, int) else asked
    if mode != "squash":
        # At the model's proportions first, with no side below EDGE.
        size = (EDGE * wide // min(high, wide), EDGE * high // min(high, wide))
        fit = ImageOps.fit if mode == "shortest" else ImageOps.pad
        picture = fit(picture, size, Image.Resampling.LANCZOS)
    return to_bytes(picture.resize((EDGE, EDGE), Image.Resampling.LANCZOS))


def drawn(sheet: Sheet, tiles: Tensor, columns: int) -> Image.Image:
    """A sheet's picture, `columns` tiles wide.

    Args:
        sheet: what is on it.
        tiles: of its images one after the other [t, EDGE, EDGE, 3].
        columns: most images of a component.
    """
    canvas = torch.zeros(len(sheet.components), columns, EDGE, EDGE, 3, dtype=torch.uint8)
    rest = iter(tiles)
    for row, ids in enumerate(sheet.image_ids):
        for column, _ in enumerate(ids):
            canvas[row, column] = next(rest)
    flat = canvas.permute(0, 2, 1, 3, 4).reshape(EDGE * len(canvas), EDGE * columns, 3)
    return Image.fromarray(flat.numpy())


def veiled(sheet: Sheet, maps: PartsByPair, columns: int) -> Image.Image | None:
    """The veils over a sheet, a pixel a patch, laid out as its tiles; None where nothing is mapped.

    Args:
        sheet: what is on it.
        maps: of one model, which all have the same patches.
        columns: as of `drawn`.
    """
    found = {
        (row, column): opacity(maps[image, component])
        for row, (component, ids) in enumerate(zip(sheet.components, sheet.image_ids, strict=True))
        for column, image in enumerate(ids)
        if (image, component) in maps
    }
    if not found:
        return None
    high, wide = next(iter(found.values())).shape
    canvas = np.zeros((len(sheet.components), high, columns, wide), dtype=np.uint8)
    for (row, column), opacities in found.items():
        canvas[row, :, column] = opacities
    return black(canvas.reshape(-1, columns * wide))


def table_of(packed: list[Sheet], maps: PartsByPair) -> pd.DataFrame:
    """One row a component, sheet by sheet: component, sheet (its number), image_ids, and places.

    A place says where in an image the component fires, see `veil.place`; it is empty where the
    image is not mapped.
    """
    rows = [
        (
            component,
            number,
            ids,
            [place(maps[i, component]) if (i, component) in maps else "" for i in ids],
        )
        for number, sheet in enumerate(packed)
        for component, ids in zip(sheet.components, sheet.image_ids, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["component", "sheet", "image_ids", "places"])
    return table.astype({"component": "int32", "sheet": "int32"})
