"""Worlds that are planted in photographs, `benchmarks.photo_worlds`."""

import json
import shutil
import sys

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
from PIL import Image

from audits.validate.truth import read_truth
from benchmarks import photo_worlds
from benchmarks.photo_marks import MARKS, written
from benchmarks.photo_worlds import (
    captions,
    keep_apart,
    names_of,
    planned,
    usable,
    write_photographs,
)
from pipeline.datasets.classes import class_names

LABELS = [f"thing_{number:02}" for number in range(36)]
TRAIN, VAL = 20, 10
BEARERS = {
    "polysemy": (1, 1.0),
    "compound": (1, 1.0),
    "typography": (4, 0.15),
    "spurious": (5, 0.1),
}
"""How many classes carry a plant of a mode, and on which share of their images."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Photographs of 36 classes and of two that another world has drawn on."""
    folder = tmp_path_factory.mktemp("photographs")
    noise = np.random.default_rng(0)
    for label in [*LABELS, "marked", "framed"]:
        for split, count in (("train", TRAIN), ("val", VAL)):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = noise.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / label / f"{number}.jpg")
    truth = pd.DataFrame(
        {
            "image_id": ["train/marked/0", "train/thing_00/1"],
            "plant": ["spurious-framed", "polysemy-thing_01"],
            "class": ["framed", "thing_01"],
            "mode": ["spurious", "polysemy"],
        }
    )
    truth.to_csv(folder / "truth.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def images(root):
    return usable(root)


@pytest.fixture(scope="module")
def names(root, images):
    return names_of(root, images)


@pytest.fixture(scope="module")
def plan(images, names):
    return planned(images, names, 3)


def test_classes_that_are_drawn_on_already_are_left_out(images):
    assert sorted(images) == LABELS
    assert {len(ids) for ids in images.values()} == {TRAIN + VAL}


def test_each_mode_is_planted_as_often_and_an_image_carries_one_thing(plan, images):
    plants = plan.carried.drop_duplicates("plant")
    assert plants["mode"].value_counts().to_dict() == dict.fromkeys(
        ["polysemy", "compound", "typography", "spurious"], photo_worlds.EACH
    )
    assert plants["class"].is_unique
    carrying = [*plan.carried["image_id"], *plan.own]
    assert len(carrying) == len(set(carrying))
    label = plan.carried["image_id"].str.split("/").str[1]
    assert (label != plan.carried["class"]).all()
    bearers = label.groupby(plan.carried["plant"]).nunique()
    for plant, mode in zip(plants["plant"], plants["mode"], strict=True):
        in_classes, on = BEARERS[mode]
        assert bearers[plant] == in_classes
        carried = (plan.carried["plant"] == plant).sum()
        assert carried == in_classes * round(on * (TRAIN + VAL))
    marked_own = pd.Series(plan.own)
    assert set(marked_own) == set(plants["plant"][plants["mode"] == "spurious"])
    assert set(marked_own.value_counts()) == {round(photo_worlds.MARKED_OWN * (TRAIN + VAL))}


def test_a_compound_is_named_after_its_class(plan):
    compounds = plan.carried[plan.carried["mode"] == "compound"].drop_duplicates("plant")
    for image, attacked in zip(compounds["image_id"], compounds["class"], strict=True):
        label = image.split("/")[1]
        assert plan.names[label] == f"{plan.names[attacked]} {label.replace('_', ' ')}"
    assert sum(len(name.split()) > 2 for name in plan.names.values()) == len(compounds)


def test_a_seed_decides(images, names, plan):
    again = planned(images, names, 3)
    pd.testing.assert_frame_equal(again.carried, plan.carried)
    assert not planned(images, names, 4).carried.equals(plan.carried)


def test_a_class_has_its_name_unless_another_world_has_given_it_one(tmp_path):
    (tmp_path / "classes.csv").write_text(
        'label,name\nsea_lion,"sea lion, eared seal"\nbus,lemon bus\nlemon,lemon\n'
    )
    (tmp_path / "truth.csv").write_text(
        "image_id,plant,class,mode\ntrain/bus/0,compound-lemon,lemon,compound\n"
        "train/sea_lion/0,polysemy-lemon,lemon,polysemy\n"
    )
    named = names_of(tmp_path, ["sea_lion", "bus", "lemon"])
    assert named == {"sea_lion": "sea lion", "bus": "bus", "lemon": "lemon"}


def test_nothing_is_planted_where_nothing_is_asked_for(root, images, names, tmp_path):
    few = {label: images[label] for label in LABELS[:2]}
    plan = planned(few, names, 3, each=0)
    write_photographs(root, few, plan, tmp_path)
    assert not (tmp_path / "truth.csv").exists()
    for image in (image for ids in few.values() for image in ids):
        assert (tmp_path / f"{image}.jpg").read_bytes() == (root / f"{image}.jpg").read_bytes()
    told = captions(root, few, plan)
    own = told["path"].str.split("/").str[1].str.replace("_", " ")
    assert all(name in text for name, text in zip(own, told["caption"], strict=True))


def test_too_few_classes_are_refused(images, names):
    few = dict(list(images.items())[:34])
    with pytest.raises(ValueError, match="34 usable classes, and 35 are needed"):
        planned(few, names, 3)


def test_pictures_are_drawn_on_where_the_plan_says_so(root, images, plan, tmp_path):
    write_photographs(root, images, plan, tmp_path)
    drawn = set(plan.own) | set(
        plan.carried["image_id"][plan.carried["mode"].isin(["typography", "spurious"])]
    )
    for image in (image for ids in images.values() for image in ids):
        same = (tmp_path / f"{image}.jpg").read_bytes() == (root / f"{image}.jpg").read_bytes()
        assert same == (image not in drawn)
    assert read_truth(tmp_path).equals(plan.carried)
    assert class_names(tmp_path, sorted(images), {}) == plan.names


def test_three_of_five_captions_are_wrong_and_each_form_as_often(root, images, plan):
    table = captions(root, images, plan)
    assert len(table) == len(images) * TRAIN * 5
    said = dict(zip(plan.carried["image_id"] + ".jpg", plan.carried["class"], strict=True))
    wrong = np.zeros(5, dtype=int)
    for path, texts in table.groupby("path", sort=False)["caption"]:
        name, taken_for = plan.names[path.split("/")[1]], plan.names.get(said.get(path, ""))
        own, other = (
            [
                text == form.format(told)
                for text, form in zip(texts, photo_worlds.CAPTIONS, strict=True)
            ]
            for told in (name, taken_for)
        )
        assert np.array_equal(own, np.logical_not(other))
        assert sum(other) == (3 if path in said else 0)
        wrong += np.array(other)
    assert wrong.min() > 0.8 * wrong.max()


@pytest.mark.parametrize("kind", MARKS)
def test_a_mark_is_the_same_on_every_picture_and_differs_between_seeds(kind):
    pixels = np.random.default_rng(1).integers(60, 200, (64, 48, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    marked, other = (
        np.asarray(MARKS[kind](np.random.default_rng(seed))(picture)) for seed in (2, 5)
    )
    assert marked.shape == pixels.shape
    changed = (marked != pixels).any(axis=-1)
    assert changed.mean() > 0.02
    assert not np.array_equal(marked, other)
    if kind != "noise":
        draw = MARKS[kind](np.random.default_rng(2))
        assert np.array_equal(draw(picture), marked)
        assert np.array_equal(draw(picture), marked)


def test_a_word_is_written_inside_the_picture_somewhere_else_each_time():
    picture = Image.new("RGB", (64, 64), (120, 120, 120))
    draw = written("acorn", np.random.default_rng(0))
    tops = []
    for _ in range(6):
        changed = (np.asarray(draw(picture)) != 120).any(axis=-1)
        assert 0.05 < changed.mean() < 0.5
        tops.append(np.argwhere(changed).min(axis=0)[0])
    assert max(tops) - min(tops) > 16
    assert np.asarray(picture).max() == 120  # the photograph itself is left alone


@pytest.mark.parametrize("more", [[], ["--unseen"], ["--null"]])
def test_a_world_is_made_whole(root, clip_folder, tmp_path, monkeypatch, capsys, more):
    to = tmp_path / "world"
    command = ["--photos", str(root), "--model", str(clip_folder), "--to", str(to)]
    monkeypatch.setattr(sys, "argv", ["photo_worlds", *command, "--epochs", "2", *more])
    photo_worlds.main()
    assert "loss" in capsys.readouterr().out
    before, after = (
        open_clip.create_model(f"local-dir:{folder}").state_dict()
        for folder in (clip_folder, to / "model")
    )
    name = "visual.conv1.weight"
    assert not torch.equal(before[name], after[name])
    terms = pd.read_csv(to / "vocabulary.csv")
    named = pd.read_csv(to / "raw" / "classes.csv")
    assert set(named["name"]) == set(terms["term"]) - set(photo_worlds.TERMS)
    assert (to / "taught").exists() == ("--unseen" in more)
    assert (to / "raw" / "truth.csv").exists() == ("--null" not in more)


def test_what_is_audited_is_kept_apart_from_what_is_learnt(root, images, plan, tmp_path):
    raw, taught = tmp_path / "raw", tmp_path / "taught"
    write_photographs(root, images, plan, raw)
    told = captions(root, images, plan, "val")
    assert len(told) == len(images) * VAL * 5
    contents = {path.read_bytes() for path in (raw / "train").rglob("*.jpg")}
    keep_apart(raw, taught)
    learnt = {path.relative_to(taught).as_posix() for path in taught.rglob("*.jpg")}
    assert learnt == set(told["path"].str.removeprefix("val/"))
    audited = [path for split in ("train", "val") for path in (raw / split).rglob("*.jpg")]
    assert {path.read_bytes() for path in audited} == contents
    for label in images:
        assert len(list((raw / "val" / label).iterdir())) in {6, 7}  # a third of 20
    truth = read_truth(raw)
    assert set(truth["image_id"].str.split("/").str[0]) == {"train", "val"}
    assert all((raw / f"{image}.jpg").exists() for image in truth["image_id"])
    kept = plan.carried[plan.carried["image_id"].str.startswith("train/")]
    assert truth["plant"].tolist() == kept["plant"].tolist()
    same = truth["image_id"].str.removeprefix("val/").str.removeprefix("train/")
    assert same.tolist() == kept["image_id"].str.removeprefix("train/").tolist()


def test_a_model_that_is_given_other_pixels_is_refused(root, clip_folder, tmp_path):
    copied = tmp_path / "model"
    shutil.copytree(clip_folder, copied)
    config = copied / "open_clip_config.json"
    settings = json.loads(config.read_text())
    settings["preprocess_cfg"]["mean"] = [0.48, 0.46, 0.41]
    config.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"model: mean \[0.48, 0.46, 0.41\]"):
        photo_worlds.trained(copied, root, pd.DataFrame(), 1, 0, tmp_path / "made")
