"""Photographs of a drawn lesion: window, light, and the traces a dermoscope leaves."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from scipy import ndimage

from pipeline.samples.lesion_drawing import HALF_WIDTH
from pipeline.samples.lesion_paint import Picture, Plane, Stencil, blend, sigmoid, smooth_noise

PATCH_COLOURS = {  # the stickers photographed beside a lesion to calibrate colours
    "blue": (0.16, 0.34, 0.72),
    "green": (0.20, 0.58, 0.33),
    "yellow": (0.93, 0.80, 0.22),
    "orange": (0.92, 0.50, 0.16),
    "black": (0.12, 0.12, 0.13),
}


@dataclass(frozen=True)
class View:
    """How one photograph of a lesion was taken."""

    seed: tuple[int, ...]
    angle: float
    """Rotation, radians, counter-clockwise."""
    zoom: float
    """Magnification, 1 shows two half-widths."""
    shift: tuple[float, float]
    """Offset of the lesion from the centre (x, y), half-widths."""
    exposure: float
    """Brightness, 1 is neutral."""
    warmth: float
    """White balance: positive is warmer, negative cooler; 0.05 is plain to see."""
    bubbles: int
    """Gel bubbles, count."""
    ruler: bool
    dark_corners: bool
    patches: tuple[str, ...]
    """Keys of PATCH_COLOURS, in their order along the edge of the photograph."""


def window(
    canvas: Float32[np.ndarray, "m m 3"], view: View, image_size: int
) -> Float32[np.ndarray, "n n 3"]:
    """The part of the canvas that a view shows, bilinear, n = image_size."""
    step = 2 / image_size / view.zoom * (len(canvas) / (2 * HALF_WIDTH))  # canvas pixels a pixel
    turn = np.array(
        [[np.cos(view.angle), np.sin(view.angle)], [-np.sin(view.angle), np.cos(view.angle)]]
    )
    centre = np.full(2, (len(canvas) - 1) / 2)
    lesion_at = (image_size - 1) / 2 + np.array(view.shift[::-1]) * image_size / 2  # (row, column)
    matrix = turn * step
    offset = centre - matrix @ lesion_at
    planes = [
        ndimage.affine_transform(
            canvas[..., channel],
            matrix,
            offset,
            output_shape=(image_size, image_size),
            order=1,
            mode="reflect",
        )
        for channel in range(3)
    ]
    return np.stack(planes, axis=-1)


def draw_bubbles(view: View, rng: np.random.Generator, picture: Picture) -> Picture:
    """Bubbles in the contact gel: a bright rim, a clear middle and a small glint."""
    size = len(picture)
    rims, glints = Stencil(size, 1.0), Stencil(size, 1.0)
    nest = rng.uniform(-0.8, 0.8, 2)
    for _ in range(view.bubbles):
        (x, y), radius = nest + rng.normal(0, 0.35, 2), rng.uniform(0.035, 0.11)
        rims.disc(x, y, radius, 255)
        rims.disc(x, y, radius * 0.72, 40)
        glints.disc(x - radius * 0.35, y - radius * 0.35, radius * 0.25)
    picture = blend(picture, (0.97, 0.96, 0.94), 0.42 * rims.plane())
    return blend(picture, (1.0, 1.0, 1.0), 0.85 * glints.plane())


def draw_ruler(rng: np.random.Generator, picture: Picture) -> Picture:
    """Ruler marks along one edge, every fifth one longer."""
    size = len(picture)
    stencil = Stencil(size, 1.0)
    spacing, start = rng.uniform(0.085, 0.12), rng.uniform(-1.1, -1.0)
    for tick in range(26):
        at, length = start + tick * spacing, 0.22 if tick % 5 == 0 else 0.12
        stencil.line([(at, 1.02), (at, 0.94 - length)], 0.022)
    marks = np.rot90(stencil.plane(), int(rng.integers(4)))
    return blend(picture, (0.10, 0.10, 0.12), 0.85 * np.ascontiguousarray(marks))


def draw_patches(view: View, rng: np.random.Generator, picture: Picture) -> Picture:
    """Coloured calibration stickers, round, cut off by one edge of the photograph."""
    size = len(picture)
    side, at = int(rng.integers(4)), rng.uniform(-0.6, -0.25)
    for name in view.patches:
        radius = rng.uniform(0.28, 0.40)
        stencil, shadow = Stencil(size, 1.0), Stencil(size, 1.0)
        y = 1.0 - radius * rng.uniform(0.1, 0.55)
        stencil.disc(at, y, radius)
        shadow.disc(at + 0.02, y + 0.01, radius * 1.06)
        cast = ndimage.gaussian_filter(shadow.plane(), size * 0.012)
        cast, paint = np.rot90(cast, side), np.rot90(stencil.plane(), side)
        picture = blend(picture, (0.15, 0.10, 0.08), 0.35 * np.ascontiguousarray(cast))
        colour = np.asarray(PATCH_COLOURS[name]) * rng.normal(1, 0.05)
        picture = blend(picture, colour.tolist(), 0.95 * np.ascontiguousarray(paint))
        at += radius + 0.42
    return picture


def light(view: View, rng: np.random.Generator, size: int) -> Picture:
    """Factor on each channel [size, size, 3]: exposure, white balance, fall-off to one side."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    angle = rng.uniform(0, 2 * np.pi)
    slope = 0.06 * (math.cos(angle) * x + math.sin(angle) * y)
    fall = 1.03 + slope - rng.uniform(0.06, 0.16) * (x**2 + y**2)
    balance = np.array([1 + view.warmth, 1, 1 - view.warmth], dtype=np.float32)
    return view.exposure * fall[..., None] * balance


def corners(rng: np.random.Generator, size: int) -> Plane:
    """Opacity of the black outside the round field of a dermoscope."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    dx, dy = rng.normal(0, 0.05), rng.normal(0, 0.05)
    radius = rng.uniform(1.02, 1.15)
    return sigmoid((np.hypot(x - dx, y - dy) - radius) / 0.018)


def photograph(
    canvas: Float32[np.ndarray, "m m 3"], view: View, image_size: int
) -> UInt8[np.ndarray, "n n 3"]:
    """One photograph of a drawn lesion, sRGB bytes, n = image_size."""
    rng = np.random.default_rng(view.seed)
    picture = window(canvas, view, image_size)
    if view.bubbles:
        picture = draw_bubbles(view, rng, picture)
    if view.patches:
        picture = draw_patches(view, rng, picture)
    if view.ruler:
        picture = draw_ruler(rng, picture)
    picture = picture * light(view, rng, image_size)
    if view.dark_corners:
        picture = blend(picture, (0.03, 0.02, 0.03), corners(rng, image_size))
    blur = rng.uniform(0.35, 0.75) * image_size / 128
    picture = ndimage.gaussian_filter(picture, (blur, blur, 0))
    grain = rng.standard_normal(picture.shape, dtype=np.float32)
    mottle = smooth_noise(rng, image_size, image_size // 3)[..., None]
    picture = picture + 0.012 * grain + 0.006 * mottle
    return np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
