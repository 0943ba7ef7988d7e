"""What the sample dataset "lesions" shows: every lesion and every photograph, before drawing.

Each lesion has an atypia, a standard normal number around its diagnosis' mean. Every visible
feature is drawn from it with noise of its own, so that features agree in tendency only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pipeline.samples.lesion_camera import PATCH_COLOURS, View
from pipeline.samples.lesion_drawing import BLOTCHES, SKIN_TONES, Lesion

SHOTS = (0.60, 0.27, 0.13)  # share of the lesions with one, two and three photographs
MIMICS = 0.2  # share of keratoses and carcinomas that look like a nevus or a melanoma
SITES = (
    "anterior torso",
    "posterior torso",
    "upper extremity",
    "lower extremity",
    "head/neck",
    "palms/soles",
)
AGES = {"MEL": 62, "NV": 45, "BCC": 67, "BKL": 63}  # mean, years
BLANKS = 0.04  # share of unknown ages, sites and sexes, each
HAIRS = ((0, 1), (1, 6), (14, 34))  # none, few, many: count from, to (excluded)
STREAMS = {
    "shares": 0,
    "lesion": 1,
    "canvas": 2,
    "view": 3,
    "captions": 4,
}  # independent streams of one seed


class Rates(NamedTuple):
    """How often things occur; pairs are (other lesions, melanomas), shares are fractions."""

    shares: dict[str, float]
    separation: float
    red_skin: tuple[float, float]
    patches: tuple[float, float]


@dataclass(frozen=True)
class Shot:
    """One photograph."""

    image_id: str
    view: View


@dataclass(frozen=True)
class Case:
    """One lesion of one patient; None where ISIC's table would be blank."""

    diagnosis: str
    lesion: Lesion
    shots: tuple[Shot, ...]
    lesion_id: str | None
    age: float | None
    site: str | None
    sex: str | None


def plan(rates: Rates, lesions: int, seed: int) -> list[Case]:
    """All cases of a dataset; image ids are dealt at random, so that they tell nothing."""
    rng = np.random.default_rng([seed, STREAMS["shares"]])
    diagnoses = deal(rates.shares, lesions, rng)
    shots = deal({str(count + 1): share for count, share in enumerate(SHOTS)}, lesions, rng)
    counts = [int(count) for count in shots]
    numbers = iter(rng.permutation(sum(counts)) + 1)
    return [
        plan_case(rates, diagnosis, [int(next(numbers)) for _ in range(count)], (seed, index))
        for index, (diagnosis, count) in enumerate(zip(diagnoses, counts, strict=True))
    ]


def deal(shares: dict[str, float], count: int, rng: np.random.Generator) -> list[str]:
    """Keys in random order, each as often as its share of count, rounded."""
    edges = np.round(np.cumsum([0.0, *shares.values()]) * count).astype(int)
    keys = np.repeat(list(shares), np.diff(edges))
    return [str(key) for key in rng.permutation(keys)]


def plan_case(
    rates: Rates, diagnosis: str, numbers: Sequence[int], origin: tuple[int, int]
) -> Case:
    """One case with a photograph for each image number; origin is (seed, index of the lesion)."""
    seed, index = origin
    rng = np.random.default_rng([seed, STREAMS["lesion"], index])
    is_melanoma = diagnosis == "MEL"
    flush = 0.0
    if rng.random() < rates.red_skin[is_melanoma]:
        flush = float(rng.choice([rng.uniform(0.45, 0.65), rng.uniform(0.85, 1.15)]))
    with_patches = rng.random() < rates.patches[is_melanoma]
    lesion = plan_lesion(rng, diagnosis, rates.separation, flush)
    lesion = replace(lesion, seed=(seed, STREAMS["canvas"], index))
    shots = tuple(
        Shot(
            f"ISIC_{number:07d}",
            plan_view(rng, (seed, STREAMS["view"], index, order), with_patches),
        )
        for order, number in enumerate(numbers)
    )
    age = 5.0 * round(float(np.clip(rng.normal(AGES[diagnosis], 15), 10, 85)) / 5)
    site, sex = str(rng.choice(SITES, p=(0.3, 0.25, 0.15, 0.18, 0.1, 0.02))), rng.random() < 0.48
    blank = rng.random(4) < BLANKS
    # Without its id, a lesion of several photographs would be taken for several lesions.
    unnamed = len(shots) == 1 and blank[0]
    return Case(
        diagnosis=diagnosis,
        lesion=lesion,
        shots=shots,
        lesion_id=None if unnamed else f"SYN_{index + 1:07d}",
        age=None if blank[1] else age,
        site=None if blank[2] else site,
        sex=None if blank[3] else ("female" if sex else "male"),
    )


def squash(value: float) -> float:
    """Logistic function."""
    return float(1 / (1 + np.exp(-value)))


def plan_lesion(
    rng: np.random.Generator, diagnosis: str, separation: float, flush: float
) -> Lesion:
    """Features of one lesion, drawn from its diagnosis."""
    mimics = diagnosis in ("BCC", "BKL") and rng.random() < MIMICS
    mean = {"MEL": 0.5, "NV": -0.5, "BCC": 0.05, "BKL": -0.05}[diagnosis] * separation
    lesion = melanocytic(rng, float(rng.normal(mean)), flush)
    if diagnosis == "BKL":
        lesion = keratosis(rng, lesion, mimics)
    elif diagnosis == "BCC":
        lesion = carcinoma(rng, lesion, mimics)
    elif rng.random() < 0.07:  # cysts occur in nevi and melanomas too
        lesion = replace(lesion, cysts=int(rng.integers(2, 5)))
    return lesion


def melanocytic(rng: np.random.Generator, atypia: float, flush: float) -> Lesion:
    """A nevus or a melanoma of some atypia: 0 is in between, 1 one standard deviation worse."""

    def graded(slope: float, offset: float) -> float:
        return squash(slope * atypia + offset + rng.normal(0, 1.0))

    def occurs(slope: float, offset: float) -> bool:
        return bool(rng.random() < squash(slope * atypia + offset))

    colours = rng.permutation(list(BLOTCHES))[: rng.binomial(3, graded(1.3, -1.0))]
    pattern = rng.choice(["network", "globules", "both", "neither"], p=(0.42, 0.24, 0.1, 0.24))
    meshed, dotted = pattern in ("network", "both"), pattern in ("globules", "both")
    return Lesion(
        seed=(),
        skin=str(rng.choice(list(SKIN_TONES), p=(0.34, 0.36, 0.2, 0.1))),
        flush=flush,
        hairs=int(rng.integers(*HAIRS[int(rng.choice(3, p=(0.5, 0.25, 0.25)))])),
        radius=float(np.clip(rng.normal(0.47 + 0.03 * atypia, 0.08), 0.28, 0.72)),
        elongation=float(rng.uniform(1.0, 1.6)),
        irregularity=graded(1.3, -0.3),
        asymmetry=graded(1.2, -0.4),
        softness=float(rng.uniform(0.025, 0.08)),
        pigment=float(np.clip(rng.normal(0.66 + 0.09 * atypia, 0.18), 0.3, 1.4)),
        blotches=tuple(str(colour) for colour in colours),
        network=float(rng.uniform(0.75, 1.15)) if meshed else 0.0,
        disorder=graded(1.5, -0.1),
        globules=int(rng.integers(14, 34)) if dotted else 0,
        veil=float(rng.uniform(0.5, 0.8)) if occurs(1.4, -1.6) else 0.0,
        streaks=float(rng.uniform(0.5, 1.0)) if occurs(1.2, -2.0) else 0.0,
        cysts=0,
        openings=0,
        vessels=0,
        nests=0,
        ulcer=0.0,
    )


def keratosis(rng: np.random.Generator, lesion: Lesion, mimics: bool) -> Lesion:
    """A benign keratosis: sharply cut, waxy, with cysts and openings; a mimic keeps the rest."""
    if mimics:
        return replace(lesion, cysts=int(rng.integers(1, 4)))
    return replace(
        lesion,
        softness=float(rng.uniform(0.012, 0.025)),
        pigment=lesion.pigment * float(rng.uniform(0.6, 1.0)),
        blotches=lesion.blotches[:1],
        network=lesion.network if rng.random() < 0.25 else 0.0,
        globules=0,
        veil=0.0,
        streaks=0.0,
        cysts=int(rng.integers(4, 13)) if rng.random() < 0.8 else 0,
        openings=int(rng.integers(4, 14)) if rng.random() < 0.75 else 0,
    )


def carcinoma(rng: np.random.Generator, lesion: Lesion, mimics: bool) -> Lesion:
    """A basal cell carcinoma: pink, with vessels and blue-grey nests; a mimic is pigmented."""
    if mimics:
        return replace(lesion, nests=int(rng.integers(2, 5)))
    return replace(
        lesion,
        pigment=float(rng.uniform(0.15, 0.32)),
        blotches=(),
        network=0.0,
        globules=0,
        veil=0.0,
        streaks=0.0,
        vessels=int(rng.integers(2, 5)) if rng.random() < 0.85 else 0,
        nests=int(rng.integers(3, 9)) if rng.random() < 0.65 else 0,
        ulcer=float(rng.uniform(0.6, 0.9)) if rng.random() < 0.35 else 0.0,
    )


def plan_view(rng: np.random.Generator, seed: tuple[int, ...], with_patches: bool) -> View:
    """How one photograph is taken; traces other than patches tell nothing about the diagnosis."""
    colours = rng.permutation(list(PATCH_COLOURS))[: rng.integers(1, 4)]
    return View(
        seed=seed,
        angle=float(rng.uniform(0, 2 * np.pi)),
        zoom=float(rng.uniform(0.85, 1.2)),
        shift=(float(rng.normal(0, 0.1)), float(rng.normal(0, 0.1))),
        exposure=float(rng.uniform(0.92, 1.06)),
        warmth=float(rng.normal(0, 0.02)),
        bubbles=int(rng.integers(4, 12)) if rng.random() < 0.12 else 0,
        ruler=bool(rng.random() < 0.15),
        dark_corners=bool(rng.random() < 0.2),
        patches=tuple(str(colour) for colour in colours) if with_patches else (),
    )
