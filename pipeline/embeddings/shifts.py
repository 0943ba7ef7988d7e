"""Shifts of pictures as a model sees them: hues, brightness, contrast, blur, JPEG, a patch.

Hues, brightness and contrast have a statistic of their own, in whose spread over the train images a
strength is stated; the others have none in the data, and their unit is stated here.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from pipeline.config import COVERED, HUES, STATISTICS

LUMINANCE = (0.299, 0.587, 0.114)
BLUR = 0.01
"""Standard deviation of the Gaussian at strength 1, as a share of the shorter side."""
PATCH = 0.025
"""Area of the patch at strength 1, as a share of the picture's."""
PATCH_COLOURS = ((220, 40, 40), (40, 160, 60), (40, 70, 200), (230, 200, 40))


def statistics(
    pixels: UInt8[Tensor, "n h w 3"], among: Bool[Tensor, "n h w"] | None = None
) -> Float[Tensor, "n s"]:
    """STATISTICS of each picture: three hues, brightness and contrast.

    Hue of a channel: log of its mean over the geometric mean of the other two. Brightness: log of
    the mean luminance. Contrast: log of the luminance's standard deviation. Logs are of 1 + value.

    Args:
        pixels: the pictures.
        among: which pixels count, None for all; NaN where none does.
    """
    values = pixels.double()
    among = torch.ones(pixels.shape[:3], dtype=torch.bool) if among is None else among
    logs = _means(values, among).log1p()
    hues = 1.5 * logs - 0.5 * logs.sum(dim=1, keepdim=True)
    luminance = (values @ torch.tensor(LUMINANCE, dtype=torch.float64))[..., None]
    mean = _means(luminance, among)
    variance = _means((luminance - mean[:, None, None]) ** 2, among)
    return torch.column_stack([hues, mean.log1p(), variance.sqrt().log1p()]).float()


def surrounding_colour(
    pixels: UInt8[Tensor, "n h w 3"], objects: Bool[Tensor, "n h w"]
) -> Float[Tensor, "n 3"]:
    """Mean colour of what is around the object of each picture, NaN where nothing is."""
    return _means(pixels.double(), ~objects)


def alone(
    pixels: UInt8[Tensor, "n h w 3"],
    moved: UInt8[Tensor, "n h w 3"],
    objects: Bool[Tensor, "n h w"],
) -> UInt8[Tensor, "n h w 3"]:
    """Shifted pictures with their objects as they were."""
    return torch.where(objects[..., None], pixels, moved)


def covered(
    pixels: UInt8[Tensor, "n h w 3"], objects: Bool[Tensor, "n h w"], usual: Float[Tensor, " 3"]
) -> dict[str, UInt8[Tensor, "n h w 3"]]:
    """COVERED → pictures with the object in the mean colour of its own surroundings, and with the
    surroundings in the usual colour of surroundings, so that nothing of them is left.

    Args:
        pixels: the pictures.
        objects: where the object is.
        usual: mean colour of the train images' surroundings.
    """
    own = surrounding_colour(pixels, objects)
    own = _bytes(torch.where(own.isnan(), usual, own))[:, None, None]
    there = objects[..., None]
    parts = torch.where(there, own, pixels), torch.where(there, pixels, _bytes(usual))
    return dict(zip(COVERED, parts, strict=True))


def _means(values: Float[Tensor, "n h w q"], among: Bool[Tensor, "n h w"]) -> Float[Tensor, "n q"]:
    weight = among[..., None].double()
    return (values * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2))


def shifted(pixels: UInt8[Tensor, "n h w 3"], kind: str, amount: float) -> UInt8[Tensor, "n h w 3"]:
    """Pictures under a shift.

    A hue is shifted by taking from the other two channels, or, below 0, from its own, so that
    nothing saturates as it does under red' = red (1 − δ) of the paper (Eq. 32).

    Args:
        pixels: the pictures.
        kind: of SHIFTS in pipeline/config.
        amount: for a kind of STATISTICS how far its statistic moves; else the strength.

    Raises:
        ValueError: there is no such kind.
    """
    if kind in HUES:
        channel = list(HUES).index(kind)
        others = torch.tensor([place != channel for place in range(3)])
        return _bytes(pixels * torch.where(others == (amount > 0), np.exp(-abs(amount)), 1.0))
    if kind == "brightness":
        return _bytes(pixels * float(np.exp(amount)))
    if kind == "contrast":
        mean = pixels.float().mean(dim=(1, 2), keepdim=True)
        return _bytes(mean + (pixels - mean) * float(np.exp(amount)))
    if kind == "blur":
        sigma = amount * BLUR * min(pixels.shape[1:3])
        size = 2 * max(1, round(3 * sigma)) + 1
        planes = gaussian_blur(pixels.permute(0, 3, 1, 2), [size, size], [sigma, sigma])
        return planes.permute(0, 2, 3, 1).contiguous()
    if kind == "jpeg":
        return torch.stack([_compressed(picture, quality(amount)) for picture in pixels])
    if kind == "patch":
        return _patched(pixels, amount)
    raise ValueError(f"{kind!r} is no shift")


def quality(strength: float) -> int:
    """JPEG quality at a strength: 50 at 1, half of it with each unit more."""
    return max(1, round(100 * 2**-strength))


def amounts(
    shifts: Mapping[Any, Sequence[float]], spread: Float[Tensor, " s"]
) -> dict[str, tuple[str, float]]:
    """Name of each shift, as `shift_name` gives it, → its kind and the amount for `shifted`.

    Args:
        shifts: kind → strengths.
        spread: standard deviation of each of STATISTICS over the train images.
    """
    unit = dict(zip(STATISTICS, spread.tolist(), strict=True))
    return {
        shift_name(kind, strength): (kind, strength * unit.get(kind, 1.0))
        for kind, strengths in shifts.items()
        for strength in strengths
    }


def shift_name(kind: str, strength: float) -> str:
    """What a shift is called: `red_2`, `red_-1`."""
    return f"{kind}_{strength:g}"


def _bytes(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


def _compressed(picture: UInt8[Tensor, "h w 3"], at: int) -> Tensor:
    buffer = io.BytesIO()
    Image.fromarray(picture.numpy()).save(buffer, "JPEG", quality=at)
    return torch.from_numpy(np.array(Image.open(buffer)))


def _patched(pixels: Tensor, strength: float) -> Tensor:
    """A coloured square in one of four corners, either by the picture's own bytes."""
    height, width = pixels.shape[1:3]
    edge = min(height, width, max(1, round((strength * PATCH * height * width) ** 0.5)))
    result = pixels.clone()
    for picture in result:
        number = int(picture.sum())
        rows = slice(0, edge) if number % 2 else slice(height - edge, height)
        columns = slice(0, edge) if number // 2 % 2 else slice(width - edge, width)
        picture[rows, columns] = torch.tensor(PATCH_COLOURS[number // 4 % 4], dtype=torch.uint8)
    return result
