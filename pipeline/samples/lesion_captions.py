"""Captions of the sample dataset "lesions", in the terms of vocabularies/dermoscopy.csv."""

import numpy as np

from pipeline.samples.lesion_drawing import Lesion
from pipeline.samples.lesion_plan import STREAMS, Case, Shot

NAMES = {
    "MEL": "melanoma",
    "NV": "nevus",
    "BCC": "basal cell carcinoma",
    "BKL": "benign keratosis",
}
OPENINGS = ("a {}", "a dermoscopic image of a {}", "a photo of a {}", "dermoscopy of a {}")
PINK_BELOW = 0.75  # flush under which red skin is called pink
MENTIONED = 0.8  # share of the captions that mention something besides the diagnosis
BARE = 0.3  # share of these that mention nothing else
UNDIAGNOSED = 0.15  # share of the captions that say "skin lesion" for the diagnosis


def findings(lesion: Lesion) -> list[str]:
    """Terms of dermatology that a lesion plainly shows."""
    regular = lesion.disorder < 0.5
    shown = {
        "irregular border": lesion.irregularity > 0.62,
        "regular border": lesion.irregularity < 0.25,
        "asymmetry": lesion.asymmetry > 0.62,
        "several colours": len(lesion.blotches) >= 2,
        "regular network": lesion.network > 0 and regular,
        "atypical network": lesion.network > 0 and not regular,
        "regular globules": lesion.globules > 0 and regular,
        "irregular globules": lesion.globules > 0 and not regular,
        "blue-white veil": lesion.veil > 0,
        "streaks": lesion.streaks > 0,
        "white scar-like area": "white" in lesion.blotches,
        "black blotch": "black" in lesion.blotches,
        "milia-like cysts": lesion.cysts >= 3,
        "comedo-like openings": lesion.openings > 0,
        "arborizing vessels": lesion.vessels > 0,
        "blue-grey ovoid nests": lesion.nests > 0,
        "ulceration": lesion.ulcer > 0,
    }
    return [term for term, present in shown.items() if present]


def skin(lesion: Lesion) -> str:
    """Term for the skin around a lesion."""
    if lesion.flush == 0:
        return f"{lesion.skin} skin"
    return "pink skin" if lesion.flush < PINK_BELOW else "red skin"


def surroundings(case: Case, shot: Shot) -> list[str]:
    """Terms for what else the photograph shows."""
    shown = {
        "colour calibration patches": bool(shot.view.patches),
        "hair": case.lesion.hairs >= 10,
        "ruler marks": shot.view.ruler,
        "dark corners": shot.view.dark_corners,
        "gel bubbles": shot.view.bubbles > 0,
    }
    return [term for term, present in shown.items() if present]


def captions(case: Case, shot: Shot) -> list[str]:
    """Two captions, such as "a melanoma with blue-white veil", "a nevus on red skin" or "hair".

    Each mentions at most one thing besides the diagnosis, so that a small model can learn what
    the word stands for.
    """
    rng = np.random.default_rng([*shot.view.seed, STREAMS["captions"]])
    written = []
    for _ in range(2):
        name = "skin lesion" if rng.random() < UNDIAGNOSED else NAMES[case.diagnosis]
        caption = str(rng.choice(OPENINGS)).format(name)
        kinds = [findings(case.lesion), surroundings(case, shot), [skin(case.lesion)]]
        terms = kinds[rng.integers(len(kinds))]
        if terms and rng.random() < MENTIONED:
            term = str(rng.choice(terms))
            joined = f"{caption} {'on' if term == skin(case.lesion) else 'with'} {term}"
            caption = term if rng.random() < BARE else joined
        written.append(caption)
    return written
