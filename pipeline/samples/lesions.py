"""The sample dataset "lesions": procedural dermoscopy in the layout of ISIC 2019.

Melanoma and nevus differ by an atypia that both spread around, so that no classifier is perfect;
a red or pink skin and coloured calibration patches are planted as shortcuts, mostly where there
is no melanoma. Everything is planned first, in the main process, and drawn afterwards: what is
drawn depends on the seed and on nothing else.
"""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd
from PIL import Image
from tqdm import tqdm

from pipeline.config import LesionsConfig
from pipeline.samples.lesion_camera import photograph
from pipeline.samples.lesion_captions import captions
from pipeline.samples.lesion_drawing import draw_canvas
from pipeline.samples.lesion_plan import Case, Rates, plan

IMAGES = "ISIC_2019_Training_Input"
GROUND_TRUTH = "ISIC_2019_Training_GroundTruth.csv"
METADATA = "ISIC_2019_Training_Metadata.csv"
DIAGNOSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")  # ISIC 2019's columns
CLASS_NAMES = {
    "MEL": "melanoma, malignant skin cancer",
    "NV": "nevus, benign mole",
    "BCC": "basal cell carcinoma, skin cancer of the basal cells",
    "BKL": "benign keratosis, seborrheic keratosis",
}
JPEG_QUALITY = 92
LICENCE = """CC0 1.0 Universal: https://creativecommons.org/publicdomain/zero/1.0/

Every image of this dataset was drawn by a program, pipeline/samples/lesions.py. None shows a
person, and none is evidence for or against any medical claim. The file layout is that of the
ISIC 2019 challenge; nothing else was taken from it.
"""


def rates(config: LesionsConfig) -> Rates:
    """The configuration as the plan wants it."""
    return Rates(
        shares={str(name): share for name, share in config.shares.items()},
        separation=config.separation,
        red_skin=(config.red_skin_other, config.red_skin_melanoma),
        patches=(config.patches_other, config.patches_melanoma),
    )


def ground_truth(cases: list[Case]) -> pd.DataFrame:
    """ISIC 2019's table of diagnoses, one-hot, one row an image in the order of image ids."""
    rows = [
        {"image": shot.image_id} | {name: float(name == case.diagnosis) for name in DIAGNOSES}
        for case in cases
        for shot in case.shots
    ]
    return pd.DataFrame(rows).sort_values("image", ignore_index=True)


def metadata(cases: list[Case]) -> pd.DataFrame:
    """ISIC 2019's table of patients; unknown values are blank, as in the real one."""
    rows = [
        {
            "image": shot.image_id,
            "age_approx": case.age,
            "anatom_site_general": case.site,
            "lesion_id": case.lesion_id,
            "sex": case.sex,
        }
        for case in cases
        for shot in case.shots
    ]
    return pd.DataFrame(rows).sort_values("image", ignore_index=True)


def truth(cases: list[Case]) -> pd.DataFrame:
    """Planted shortcuts, one row an image and plant that it carries, melanomas included."""
    rows = [
        {"image_id": shot.image_id, "plant": plant, "class": "MEL", "mode": "shortcut"}
        for case in cases
        for shot in case.shots
        for plant, carried in (
            ("red-hue", case.lesion.flush > 0),
            ("patches", bool(shot.view.patches)),
        )
        if carried
    ]
    table = pd.DataFrame(rows, columns=["image_id", "plant", "class", "mode"])
    return table.sort_values(["image_id", "plant"], ignore_index=True)


def caption_table(cases: list[Case]) -> pd.DataFrame:
    """Captions of all images, two each: path relative to the dataset's root, caption."""
    rows = [
        {"path": f"{IMAGES}/{shot.image_id}.jpg", "caption": caption}
        for case in cases
        for shot in case.shots
        for caption in captions(case, shot)
    ]
    return pd.DataFrame(rows).sort_values("path", kind="stable", ignore_index=True)


def draw_case(case: Case, folder: Path, image_size: int) -> None:
    """Draw one lesion and write its photographs to a folder."""
    canvas = draw_canvas(case.lesion, image_size)
    for shot in case.shots:
        image = Image.fromarray(photograph(canvas, shot.view, image_size))
        image.save(folder / f"{shot.image_id}.jpg", quality=JPEG_QUALITY, subsampling=0)


def drawn(cases: list[Case], folder: Path, image_size: int, workers: int) -> Iterator[None]:
    """Draw all cases with a number of processes, yielding after each."""
    draw = partial(draw_case, folder=folder, image_size=image_size)
    if workers == 1:
        yield from map(draw, cases)
        return
    # Spawned, not forked: the caller may hold threads of PyTorch, which a fork would break.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(draw, cases, chunksize=16)


def render(root: Path, config: LesionsConfig, seed: int, workers: int) -> None:
    """Write the dataset to root; the same bytes for a seed, whatever the number of workers."""
    cases = plan(rates(config), config.lesions, seed)
    folder = root / IMAGES
    folder.mkdir(parents=True)
    work = drawn(cases, folder, config.image_size, workers)
    for _ in tqdm(work, total=len(cases), desc="lesions", unit="lesion"):
        pass
    tables = {
        GROUND_TRUTH: ground_truth(cases),
        METADATA: metadata(cases),
        "classes.csv": pd.DataFrame({"label": CLASS_NAMES.keys(), "name": CLASS_NAMES.values()}),
        "captions.csv": caption_table(cases),
        "truth.csv": truth(cases),
    }
    for name, table in tables.items():
        # Not by write_table, which would write 1 where ISIC writes 1.0.
        table.to_csv(root / name, index=False, lineterminator="\n")
    (root / "LICENSE.txt").write_text(LICENCE, encoding="utf-8", newline="\n")
