"""Drawing of one procedural skin lesion and of the photographs taken of it.

A lesion is drawn once, with the skin around it, on a canvas larger than a photograph; each
photograph is a rotated, zoomed and shifted window of that canvas under its own light. Pigment is
drawn as absorbance and turned into colour by the Beer-Lambert law, colour = skin · exp(-absorbance
· spectrum): melanin absorbs blue before red, so thin pigment looks light brown and thick pigment
black on any skin, as it does on real skin.

Lengths are in half-widths of a photograph at zoom 1: its edges lie at -1 and 1.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pipeline.samples.lesion_paint import (
    Picture,
    Plane,
    Stencil,
    absorb,
    blend,
    curve,
    sigmoid,
    smooth_noise,
)

HALF_WIDTH = 1.8  # of the canvas: the corner of a rotated, shifted window stays on it, or nearly

SKIN_TONES = {  # sRGB of unflushed skin under a dermoscope's lamp
    "pale": (0.92, 0.82, 0.75),
    "fair": (0.90, 0.75, 0.64),
    "olive": (0.82, 0.67, 0.52),
    "brown": (0.63, 0.47, 0.36),
}
MELANIN = (0.75, 1.25, 1.75)  # absorbance in red, green, blue of one unit of pigment
BLOOD = (0.14, 1.0, 0.80)
VEIL = (0.47, 0.53, 0.66)
BLOTCHES = {  # colour a patch of the lesion is blended towards
    "black": (0.13, 0.09, 0.09),
    "red": (0.66, 0.28, 0.25),
    "grey": (0.45, 0.44, 0.50),
    "white": (0.93, 0.86, 0.82),
}


@dataclass(frozen=True)
class Lesion:
    """What one lesion and the skin around it look like; fractions unless said otherwise."""

    seed: tuple[int, ...]
    """Seed of everything drawn on the canvas: the same in every photograph of the lesion."""
    skin: str
    """Key of SKIN_TONES."""
    flush: float
    """Red of the skin: 0 none, about 0.5 pink, 1 red."""
    hairs: int
    """Hairs on the canvas, count."""
    radius: float
    """Mean radius, half-widths."""
    elongation: float
    """Long axis over the round one, 1 is round."""
    irregularity: float
    """Of the border: 0 is an ellipse, 1 deeply notched."""
    asymmetry: float
    """Of the pigment: 0 is concentric, 1 all on one side."""
    softness: float
    """Width over which the border fades, half-widths."""
    pigment: float
    """Mean absorbance in units of melanin: 0.2 is pink, 0.6 light brown, 1.5 nearly black."""
    blotches: tuple[str, ...]
    """Keys of BLOTCHES, a patch of each is inside the lesion."""
    network: float
    """Strength of the pigment network, 0 is none."""
    disorder: float
    """Of network and globules: 0 is a regular grid, 1 an irregular one."""
    globules: int
    """Count."""
    veil: float
    """Opacity of the blue-white veil, 0 is none."""
    streaks: float
    """Length of the radial streaks at the border, 0 is none."""
    cysts: int
    """White milia-like cysts, count."""
    openings: int
    """Dark comedo-like openings, count."""
    vessels: int
    """Trunks of arborizing vessels, count."""
    nests: int
    """Blue-grey ovoid nests, count."""
    ulcer: float
    """Opacity of an ulcer, 0 is none."""


def draw_skin(lesion: Lesion, rng: np.random.Generator, size: int) -> Picture:
    """Bare skin [size, size, 3]: its tone, fine furrows, and the flush of reddened skin."""
    tone = np.asarray(SKIN_TONES[lesion.skin], dtype=np.float32)
    tone = tone * rng.normal(1, 0.025, 3).astype(np.float32)
    shade = 1 + 0.025 * smooth_noise(rng, size, 4) + 0.012 * smooth_noise(rng, size, size // 9)
    furrows = np.exp(-((smooth_noise(rng, size, size // 12) / 0.35) ** 2))
    skin = np.clip(shade - 0.035 * furrows, 0, 2)[..., None] * tone
    uneven = 1 + 0.13 * smooth_noise(rng, size, 5) + 0.06 * smooth_noise(rng, size, size // 8)
    return absorb(skin, BLOOD, 0.50 * lesion.flush * np.clip(uneven, 0.3, 1.8))


def outline(lesion: Lesion, rng: np.random.Generator, x: Plane, y: Plane) -> tuple[Plane, Plane]:
    """Distance to the border, positive inside, half-widths; and the angle around the centre."""
    size = len(x)
    warp = 0.015 + 0.05 * lesion.irregularity
    x = (x + warp * smooth_noise(rng, size, 14)) / math.sqrt(lesion.elongation)
    y = (y + warp * smooth_noise(rng, size, 14)) * math.sqrt(lesion.elongation)
    angle = np.arctan2(y, x)
    turns = np.linspace(-np.pi, np.pi, 721)
    swings = np.ones_like(turns)
    for lobes in range(2, 9):
        swing = (0.01 + 0.16 * lesion.irregularity) * rng.normal() / lobes**0.7
        swings += swing * np.cos(lobes * turns + rng.uniform(0, 2 * np.pi))
    radius = lesion.radius * np.interp(angle, turns, swings).astype(np.float32)
    if lesion.streaks > 0:
        rays = np.cos(int(rng.integers(17, 26)) * angle + 2.5 * smooth_noise(rng, size, 5))
        some = sigmoid(3 * np.cos(angle + rng.uniform(0, 2 * np.pi)))  # one side has more of them
        radius += 0.30 * lesion.radius * lesion.streaks * some * np.clip(rays, 0, 1)
    return radius - np.hypot(x, y), angle


def network(lesion: Lesion, rng: np.random.Generator, x: Plane, y: Plane) -> Plane:
    """Honeycomb of pigment lines in [0, 1]: three plane waves at 60°, bent where disordered."""
    size = len(x)
    bend = 0.015 + 0.09 * lesion.disorder
    x = x + bend * smooth_noise(rng, size, 20)
    y = y + bend * smooth_noise(rng, size, 20)
    turn, wavelength = rng.uniform(0, np.pi), rng.uniform(0.13, 0.16) * (1 + 0.4 * lesion.disorder)
    waves = [
        np.cos(2 * np.pi / wavelength * (math.cos(turn + a) * x + math.sin(turn + a) * y))
        for a in (0, 2 * np.pi / 3, 4 * np.pi / 3)
    ]
    lines = sigmoid(3 * (-0.15 - waves[0] - waves[1] - waves[2]))
    patchy = sigmoid(2.5 * smooth_noise(rng, size, 7) + 4 * (0.55 - lesion.disorder))
    return lines * patchy


def scatter(
    lesion: Lesion, rng: np.random.Generator, count: int, spread: float = 0.8
) -> list[tuple[float, float]]:
    """Random points inside the lesion, on one side of it as far as it is disordered."""
    side = rng.uniform(0, 2 * np.pi)
    angles = side + rng.uniform(-np.pi, np.pi, count) * (1 - 0.55 * lesion.disorder)
    radii = lesion.radius * spread * np.sqrt(rng.uniform(0, 1, count))
    stretch = math.sqrt(lesion.elongation)
    return [
        (float(r * np.cos(a) * stretch), float(r * np.sin(a) / stretch))
        for r, a in zip(radii, angles, strict=True)
    ]


def dots(
    lesion: Lesion, rng: np.random.Generator, size: int, count: int, radius: float, vary: float
) -> Plane:
    """Soft dots inside the lesion, their radius log-normal with deviation `vary`."""
    stencil = Stencil(size, HALF_WIDTH)
    for x, y in scatter(lesion, rng, count):
        stencil.disc(x, y, radius * math.exp(vary * rng.normal()))
    return stencil.plane()


def vessels(lesion: Lesion, rng: np.random.Generator, size: int) -> Plane:
    """Arborizing vessels: bent trunks that fork into thinner branches."""
    stencil = Stencil(size, HALF_WIDTH)
    for origin in scatter(lesion, rng, lesion.vessels, spread=0.7):
        start, heading = np.array(origin), rng.uniform(0, 2 * np.pi)
        twigs = [(start, heading, 0.036)]
        for _ in range(3):
            forks = []
            for at, towards, width in twigs:
                reach = lesion.radius * rng.uniform(0.25, 0.5)
                end = at + reach * np.array([np.cos(towards), np.sin(towards)])
                stencil.line(curve(at, (at + end) / 2 + rng.normal(0, 0.05, 2), end), width)
                for turn in (-rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.9)):
                    forks.append((end, towards + turn, width * 0.68))
            twigs = forks
    return stencil.plane()


def hair(lesion: Lesion, rng: np.random.Generator, size: int) -> Plane:
    """Hairs that grow the same way over the whole canvas."""
    stencil = Stencil(size, HALF_WIDTH)
    comb = rng.uniform(0, 2 * np.pi)
    for _ in range(lesion.hairs):
        start = rng.uniform(-HALF_WIDTH, HALF_WIDTH, 2)
        angle, length = comb + rng.normal(0, 0.45), rng.uniform(0.8, 2.0)
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        bend = (start + end) / 2 + rng.normal(0, 0.18, 2)
        stencil.line(curve(start, bend, end), rng.uniform(0.018, 0.032))
    return stencil.plane()


def draw_canvas(lesion: Lesion, image_size: int) -> Picture:
    """The lesion and the skin around it, for photographs of image_size pixels, sRGB in [0, 1]."""
    rng = np.random.default_rng(lesion.seed)
    size = round(HALF_WIDTH * image_size)
    axis = np.linspace(-HALF_WIDTH, HALF_WIDTH, size, dtype=np.float32)
    x, y = np.meshgrid(axis, axis)
    picture = draw_skin(lesion, rng, size)
    depth, angle = outline(lesion, rng, x, y)
    inside = sigmoid(depth / lesion.softness)
    core = sigmoid((depth - 0.35 * lesion.radius) / 0.08)

    uneven = (0.10 + 0.35 * lesion.asymmetry) * smooth_noise(rng, size, 7)
    uneven += 0.11 * smooth_noise(rng, size, size // 5)
    heavy = np.cos(angle - rng.uniform(0, 2 * np.pi)) * np.hypot(x, y) / lesion.radius
    pigment = 0.75 + 0.25 * core + uneven + 0.75 * lesion.asymmetry * heavy
    if lesion.network > 0:
        mesh = network(lesion, rng, x, y)
        pigment = pigment * (1 - 0.35 * lesion.network) + lesion.network * mesh
    if lesion.globules > 0:
        radius, vary = 0.042 + 0.015 * lesion.disorder, 0.08 + 0.4 * lesion.disorder
        pigment = pigment + 1.1 * dots(lesion, rng, size, lesion.globules, radius, vary)
    amount = np.clip(pigment, 0.12, 3) * inside * lesion.pigment
    picture = absorb(picture, MELANIN, amount)
    picture = absorb(picture, BLOOD, inside * max(0.0, 0.42 - 0.5 * lesion.pigment))
    picture = draw_colours(lesion, rng, picture, inside, core)
    picture = draw_marks(lesion, rng, picture, inside)
    strands = hair(lesion, rng, size)
    return blend(picture, (0.16, 0.11, 0.09), 0.85 * strands)


def draw_colours(
    lesion: Lesion, rng: np.random.Generator, picture: Picture, inside: Plane, core: Plane
) -> Picture:
    """Blotches of other colours and the blue-white veil, inside the lesion."""
    size = len(picture)
    for name in lesion.blotches:
        ((x, y),) = scatter(lesion, rng, 1, spread=0.65)
        stencil = Stencil(size, HALF_WIDTH)
        stencil.disc(x, y, lesion.radius * rng.uniform(0.25, 0.45), stretch=rng.uniform(0.7, 1.4))
        soft = ndimage.gaussian_filter(stencil.plane(), size * 0.022)
        ragged = np.clip(soft * (1 + 0.5 * smooth_noise(rng, size, 16)), 0, 1)
        picture = blend(picture, BLOTCHES[name], 0.8 * ragged * inside)
    if lesion.veil > 0:
        cloud = sigmoid(2.2 * smooth_noise(rng, size, 6) + 0.8) * core
        picture = blend(picture, VEIL, lesion.veil * cloud)
    return picture


def draw_marks(
    lesion: Lesion, rng: np.random.Generator, picture: Picture, inside: Plane
) -> Picture:
    """What keratoses and carcinomas show: cysts, openings, nests, vessels, an ulcer."""
    size = len(picture)
    if lesion.nests > 0:
        nests = ndimage.gaussian_filter(dots(lesion, rng, size, lesion.nests, 0.11, 0.3), 1.2)
        picture = blend(picture, (0.36, 0.38, 0.47), 0.75 * nests * inside)
    if lesion.openings > 0:
        openings = dots(lesion, rng, size, lesion.openings, 0.045, 0.35)
        picture = blend(picture, (0.20, 0.12, 0.08), 0.8 * openings * inside)
    if lesion.cysts > 0:
        cysts = ndimage.gaussian_filter(dots(lesion, rng, size, lesion.cysts, 0.05, 0.25), 0.7)
        picture = blend(picture, (0.98, 0.95, 0.86), 0.85 * cysts * inside)
    if lesion.ulcer > 0:
        sore = ndimage.gaussian_filter(dots(lesion, rng, size, 2, 0.16, 0.2), size * 0.012)
        sore = sore * sigmoid(2 * smooth_noise(rng, size, 25))
        picture = blend(picture, (0.42, 0.10, 0.07), lesion.ulcer * sore * inside)
    if lesion.vessels > 0:
        picture = absorb(picture, BLOOD, 1.5 * vessels(lesion, rng, size) * inside)
    return picture
