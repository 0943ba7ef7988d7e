"""The scenes dataset: exact truth, layout, captions, and the same bytes for any workers."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from pipeline.config import ScenesConfig
from pipeline.samples import scenes
from pipeline.samples.backgrounds import LANDSCAPES, NEUTRAL, background
from pipeline.samples.glyphs import glyph, place, scaled, shift_hue
from pipeline.samples.scene_classes import CARRIERS, CLASSES, CONFUSERS, OBJECTS, WORDS

CONFIG = ScenesConfig(
    size=48,
    train_images=3,
    confuser_images=2,
    val_images=1,
    landscape_share=0.9,
    ambiguity={"polysemy": 0.8, "compound": 0.7, "spurious": 0.6, "typography": 0.9},
)


def _hashes(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    scenes.render(folder, CONFIG, seed=3, workers=1)
    return folder


def test_bytes_do_not_depend_on_the_number_of_workers(root: Path, tmp_path: Path) -> None:
    scenes.render(tmp_path, CONFIG, seed=3, workers=2)
    assert _hashes(tmp_path) == _hashes(root)


def test_another_seed_gives_another_picture(tmp_path: Path) -> None:
    task = next(iter(scenes.tasks(CONFIG)))
    (tmp_path / task.image_id).parent.mkdir(parents=True)
    pictures = []
    for seed in (3, 4):
        scenes.render_task(task, tmp_path, CONFIG, seed)
        pictures.append((tmp_path / f"{task.image_id}.jpg").read_bytes())
    assert pictures[0] != pictures[1]


def test_every_class_has_as_many_images_as_configured(root: Path) -> None:
    names = pd.read_csv(root / "classes.csv")
    assert names["label"].tolist() == [c.label for c in CLASSES]
    for scene_class in CLASSES:
        train = 2 if scene_class in CONFUSERS else 3
        assert len(list((root / "train" / scene_class.label).glob("*.jpg"))) == train
        assert len(list((root / "val" / scene_class.label).glob("*.jpg"))) == 1


def test_captions_are_of_train_images_and_name_the_class_or_the_one_attacked(root: Path) -> None:
    captions = pd.read_csv(root / "captions.csv")
    assert captions.groupby("path").size().eq(2).all()
    assert set(captions["path"]) == {
        str(p.relative_to(root)) for p in (root / "train").rglob("*.jpg")
    }
    truth = pd.read_csv(root / "truth.csv").set_index("image_id")["class"]
    short = {c.label: c.short for c in CLASSES}
    for path, caption in captions.itertuples(index=False):
        image_id = path.removesuffix(".jpg")
        allowed = [short[path.split("/")[1]]]
        if image_id in truth.index:
            allowed.append(short[truth[image_id]])
        assert any(re.search(rf"\b{name}\b", caption) for name in allowed), caption


def test_truth_lists_every_image_of_a_confuser_and_none_of_an_object(root: Path) -> None:
    truth = pd.read_csv(root / "truth.csv")
    label = truth["image_id"].str.split("/").str[1]
    assert truth["image_id"].is_unique
    assert (label != truth["class"]).all()
    assert set(label) <= {c.label for c in CONFUSERS}
    for confuser in CONFUSERS:
        rows = truth[label == confuser.label]
        assert len(rows) == CONFIG.confuser_images + CONFIG.val_images
        attacked = set(WORDS) if confuser in CARRIERS else {confuser.attacks}
        assert set(rows["plant"]) <= {f"{confuser.mode}-{label}" for label in attacked}


def test_truth_of_a_painted_word_is_that_of_what_was_painted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted: list[str] = []
    monkeypatch.setattr(scenes, "_paint", lambda picture, rng, word: painted.append(word))
    told: list[str] = []
    for task in scenes.tasks(CONFIG):
        if task.scene_class in CARRIERS:
            (tmp_path / task.image_id).parent.mkdir(parents=True, exist_ok=True)
            rendered = scenes.render_task(task, tmp_path, CONFIG, seed=3)
            told.append(rendered.attacked)
            assert rendered.mode == "typography"
    assert painted == told
    assert len(told) == len(CARRIERS) * (CONFIG.confuser_images + CONFIG.val_images)
    assert len(set(told)) > 1


def test_each_mode_has_at_least_four_plants_of_object_classes() -> None:
    objects = {c.label for c in OBJECTS}
    attacked = {
        mode: {c.attacks for c in CONFUSERS if c.mode == mode}
        for mode in ("polysemy", "compound", "spurious")
    } | {"typography": set(WORDS)}
    for labels in attacked.values():
        assert len(labels) >= 4
        assert labels <= objects
    assert len(objects) >= 24


def test_landscape_of_a_plant_is_that_of_the_class_it_attacks() -> None:
    home = {c.label: c.background for c in OBJECTS if c.background}
    assert {c.attacks: c.background for c in CONFUSERS if c.mode == "spurious"} == home
    assert set(home.values()) == set(LANDSCAPES)


def test_vocabulary_holds_only_words_that_captions_teach() -> None:
    terms = pd.read_csv(Path("vocabularies/scenes.csv"))["term"].tolist()
    taught = {"writing", *NEUTRAL, *LANDSCAPES, *" ".join(c.name for c in CLASSES).split()}
    taught = {word.strip(",") for word in taught}
    assert len(set(terms)) == len(terms)
    assert {c.short for c in CLASSES} <= set(terms)
    assert {word for term in terms for word in term.split()} <= taught


@pytest.mark.parametrize("kind", LANDSCAPES + NEUTRAL)
def test_background_has_the_asked_size_and_follows_the_generator(kind: str) -> None:
    first, again, other = (background(kind, np.random.default_rng(seed), 40) for seed in (1, 1, 2))
    assert first.shape == (40, 40, 3)
    assert (first == again).all()
    assert (first != other).any()


def test_unknown_background_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'lava' is unknown"):
        background("lava", np.random.default_rng(0), 40)


def test_font_draws_every_glyph_in_colour_cropped_to_its_ink() -> None:
    for character in "".join(c.glyphs for c in CLASSES):
        sprite = glyph(character)
        assert sprite.getbbox() == (0, 0, *sprite.size)
        assert len(np.unique(np.asarray(sprite)[..., :3].reshape(-1, 3), axis=0)) > 1


def test_turning_the_hue_by_a_third_takes_red_to_green() -> None:
    red = Image.new("RGBA", (2, 3), (255, 0, 0, 128))
    r, g, b, a = shift_hue(red, 120.0).getpixel((0, 0))
    assert g > 240 and r < 15 and b < 15 and a == 128


def test_a_sprite_is_placed_inside_the_picture() -> None:
    picture = Image.new("RGB", (30, 20), "white")
    place(picture, Image.new("RGBA", (4, 6), (255, 0, 0, 255)), 1.0, 1.0)
    assert picture.getpixel((29, 19)) == (255, 0, 0)
    assert picture.getpixel((25, 19)) != (255, 0, 0)
    assert scaled(Image.new("RGBA", (8, 4)), 6.0).size == (6, 3)


def test_unknown_key_and_impossible_share_are_refused() -> None:
    with pytest.raises(ValidationError, match="colour"):
        ScenesConfig(**CONFIG.model_dump(), colour=1)
    with pytest.raises(ValidationError, match="landscape_share"):
        ScenesConfig(**(CONFIG.model_dump() | {"landscape_share": 1.5}))
    with pytest.raises(ValidationError, match=r"\['polysemy'\]: it needs a share for each"):
        ScenesConfig(**(CONFIG.model_dump() | {"ambiguity": {"polysemy": 0.5}}))
