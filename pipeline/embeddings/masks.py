"""Where the object of a picture is: masks of the dataset's own, or a rule for dermoscopy."""

import hashlib
import io
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage
from torch import Tensor

from pipeline.config import ConfigError
from pipeline.datasets.files import read_bytes
from pipeline.embeddings.images import Preprocess
from pipeline.places import Place

SMOOTH = 0.02
"""Standard deviation of the Gaussian that takes hairs away, as a share of the shorter side."""
CENTRED = 0.6
"""Standard deviation of what a pixel counts by its distance from the centre, half an edge being 1:
who photographs a lesion puts it there."""
RING = 0.8
"""Distance from the centre from which on, to 1, the skin's colour is taken."""
BLACK = 40
"""Brightest channel up to which a pixel is outside a dermoscope's round field, of 255."""
CLOSED, MARGIN = 0.08, 0.04
"""Radius over which gaps of a lesion are closed, and of what is added around it since its border is
soft, as shares of the shorter side."""
LEAST = 0.05
"""Share of a picture that surroundings have to be, else nothing is known of them."""


def lesion(pixels: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Where the lesion of a dermoscopic picture is.

    A lesion absorbs more light than the skin around it, and it is in the middle: the share of the
    skin's colour (the median of a ring) that a pixel lacks, times what it counts by its place, is
    cut at Otsu's threshold, and of the connected parts the one with the most of it is taken, closed
    and widened by a margin. All is True, nothing being known of surroundings, where no part is.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    smooth = ndimage.gaussian_filter(pixels.astype(float), (SMOOTH * short, SMOOTH * short, 0))
    y, x = (2 * np.arange(size) / (size - 1) - 1 for size in (height, width))
    distance = np.hypot(y[:, None], x)
    field = smooth.max(axis=-1) > BLACK
    ring = field & (distance > RING) & (distance < 1)
    if not ring.any():
        return np.ones((height, width), dtype=bool)
    skin = np.median(smooth[ring], axis=0)
    lacking = (1 - smooth / skin).clip(0).mean(axis=-1) * np.exp(-((distance / CENTRED) ** 2) / 2)
    parts, count = ndimage.label(lacking > otsu(lacking[field]))
    if not count:
        return np.ones((height, width), dtype=bool)
    most = ndimage.sum_labels(lacking, parts, np.arange(1, count + 1)).argmax()
    edge = int(CLOSED * short) + 1
    part = np.pad(parts == 1 + most, edge)
    wide = ndimage.distance_transform_edt(~part) <= CLOSED * short
    depth = ndimage.distance_transform_edt(ndimage.binary_fill_holes(wide))
    found: np.ndarray = (depth > (CLOSED - MARGIN) * short)[edge:-edge, edge:-edge]
    return found


def otsu(values: Float[np.ndarray, " n"], bins: int = 256) -> float:
    """The cut between two groups of values that leaves most of the variance between them."""
    counts, edges = np.histogram(values, bins)
    middle = (edges[1:] + edges[:-1]) / 2
    below, total = np.cumsum(counts)[:-1], np.cumsum(counts * middle)
    above = counts.sum() - below
    apart = total[:-1] / below.clip(1) - (total[-1] - total[:-1]) / above.clip(1)
    return float(middle[np.argmax(below * above * apart**2)])


def objects(
    pixels: UInt8[Tensor, "n h w 3"],
    image_ids: list[str],
    root: Place,
    mask: str,
    preprocess: Preprocess,
) -> Bool[Tensor, "n h w"]:
    """Where the object of each picture is; all of it where nothing is known of its surroundings.

    Args:
        pixels: the pictures as the model sees them.
        image_ids: theirs.
        root: of the dataset.
        mask: of the section `shortcut`: `dermoscopy` or where the dataset's own masks are.
        preprocess: the model's, from an RGB picture to pixels.

    Raises:
        ConfigError: a mask of the dataset's own is missing or is no image.
    """
    if mask == "dermoscopy":
        found = torch.from_numpy(np.stack([lesion(picture) for picture in pixels.numpy()]))
    else:
        own = [_read(root, mask.format(image=image_id)) for image_id in image_ids]
        found = torch.stack([preprocess(picture)[..., 0] > 127 for picture in own])
    known = (~found).double().mean(dim=(1, 2)) >= LEAST
    return found | ~known[:, None, None]


def version(root: Place, mask: str | None, image_ids: Iterable[str]) -> str | None:
    """SHA-256 of the dataset's own masks of some images; None where masks are a rule or none.

    Raises:
        ConfigError: a mask is missing.
    """
    if mask in (None, "dermoscopy"):
        return None
    digest = hashlib.sha256()
    for image_id in image_ids:
        digest.update(hashlib.sha256(_content(root, mask.format(image=image_id))).digest())
    return digest.hexdigest()


def _content(root: Place, path: str) -> bytes:
    try:
        return read_bytes(root, path)
    except OSError as error:
        raise _unreadable(root, path, error) from error


def _unreadable(root: Place, path: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"shortcut.mask: {root / path} cannot be read ({error}); every image that is shifted "
        "needs its mask: add it, or set shortcut.mask to dermoscopy or null"
    )


def _read(root: Place, path: str) -> Image.Image:
    try:
        return Image.open(io.BytesIO(_content(root, path))).convert("RGB")
    except OSError as error:
        raise _unreadable(root, path, error) from error
