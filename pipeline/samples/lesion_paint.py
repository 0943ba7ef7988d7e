"""Paint for procedural pictures: noise, blending, absorbing pigment, antialiased shapes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from PIL import Image, ImageDraw

SUPERSAMPLING = 3  # Pillow draws without antialiasing: draw larger, then average

Plane = Float32[np.ndarray, "h w"]
Picture = Float32[np.ndarray, "h w 3"]


def sigmoid(values: Plane) -> Plane:
    """Logistic function, safe for large values of either sign."""
    return 0.5 * (1 + np.tanh(0.5 * values))


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> Plane:
    """Random plane [size, size] of standard deviation near 1 that varies over size/cells pixels."""
    grid = rng.standard_normal((cells + 1, cells + 1)).astype(np.float32)
    return np.array(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)) * 1.4


def blend(picture: Picture, colour: Sequence[float], opacity: Plane) -> Picture:
    """Picture moved towards one colour, by an opacity of 0 (kept) to 1 (painted over)."""
    target = np.asarray(colour, dtype=np.float32)
    return picture + opacity[..., None] * (target - picture)


def absorb(picture: Picture, spectrum: Sequence[float], amount: Plane) -> Picture:
    """Picture seen through a pigment: picture · exp(-amount · spectrum)."""
    return picture * np.exp(-amount[..., None] * np.asarray(spectrum, dtype=np.float32))


class Stencil:
    """A drawing in black and white, in half-widths, read out as an antialiased plane in [0, 1]."""

    def __init__(self, size: int, half_width: float) -> None:
        self._scale = size * SUPERSAMPLING / (2 * half_width)
        self._half_width = half_width
        self._image = Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING))
        self._draw = ImageDraw.Draw(self._image)

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        return (x + self._half_width) * self._scale, (y + self._half_width) * self._scale

    def disc(self, x: float, y: float, radius: float, value: int = 255, stretch: float = 1) -> None:
        """Disc, or an ellipse `stretch` times as high as wide."""
        low = self._pixel(x - radius, y - radius * stretch)
        self._draw.ellipse((low, self._pixel(x + radius, y + radius * stretch)), fill=value)

    def line(self, points: Sequence[tuple[float, float]], width: float) -> None:
        """Line through points, at least one pixel of the enlarged drawing wide."""
        pixels = [self._pixel(x, y) for x, y in points]
        self._draw.line(pixels, fill=255, width=max(1, round(width * self._scale)), joint="curve")

    def plane(self) -> Plane:
        """The drawing at its final size."""
        return np.asarray(self._image.reduce(SUPERSAMPLING), dtype=np.float32) / 255


def curve(start: np.ndarray, bend: np.ndarray, end: np.ndarray) -> list[tuple[float, float]]:
    """Quadratic Bézier curve through 13 points, each argument an (x, y)."""
    t = np.linspace(0, 1, 13)[:, None]
    points = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    return [(float(x), float(y)) for x, y in points]
