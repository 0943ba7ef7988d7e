"""Benchmarks work in a folder that a person names: what else lies there stays."""

import importlib.util
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from benchmarks import failures, names, worlds
from benchmarks.mistaken import by_chance, mistaken
from benchmarks.sheets import Pictures, write_sheets
from pipeline.artifacts.store import write_json, write_table
from tests.conftest import PLANTED

FINDINGS = pd.DataFrame(
    {
        "finding_id": ["f1", "f2", "f3", "f4"],
        "class": ["bat", "bat", "sun", "sun"],
        "component_label": ["club", None, "flower", "lamp"],
        "mode": ["polysemy", "spurious", "compound", "unclear"],
        "confidence": [0.9, 0.5, 0.8, 0.6],
        "confirmed": [True, True, False, True],
        "images": [4, 3, 2, 2],
        "q_value": [0.01, 0.02, 0.03, 0.04],
    }
)
PLANTS = pd.DataFrame(
    {
        "plant": ["p1", "p2", "p3", "p4"],
        "mode": ["polysemy", "typography", "compound", "compound"],
        "fallen": [True, True, True, None],
    }
)
RIGHT = {"f1": "p1", "f2": "p2", "f3": None, "f4": None}


def test_a_folder_with_files_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    monkeypatch.setattr(sys, "argv", ["failures", "--work", str(tmp_path)])
    with pytest.raises(SystemExit):
        failures.main()
    assert "holds files: name an empty or a new folder" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.fixture
def no_runs(monkeypatch):
    """What would be run, instead of running it."""
    ran = []
    monkeypatch.setattr(worlds, "run", lambda folder, *command: ran.append(command))
    return ran


def test_a_copy_of_the_workflow_is_put_beside_what_is_there(tmp_path, no_runs):
    mine = tmp_path / "null-3" / "pipeline" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    for _ in range(2):
        found = worlds.scenes(tmp_path, 3, null=True, changes={"failures.q": 0.01})
        assert found == (tmp_path / "null-3", "scenes-tiny", 3)
    assert (mine.parent / "layout.py").exists()
    assert (tmp_path / "null-3" / "reviews" / "scenes-tiny.csv").exists()
    assert mine.read_text() == "years of work"
    params = yaml.safe_load((tmp_path / "null-3" / "params.yaml").read_text())
    assert (params["seed"], params["audits"]["scenes-tiny"]["failures"]["q"]) == (3, 0.01)
    assert set(params["samples"]["scenes"]["ambiguity"].values()) == {0.0}
    with pytest.raises(KeyError, match=r"audits\.scenes-tiny\.failures\.unheard"):
        worlds.scenes(tmp_path, 3, null=True, changes={"failures.unheard": 1})


def test_a_folder_is_audited_with_the_settings_of_audit_add(tmp_path, monkeypatch):
    root = tmp_path / "birds" / "raw"
    for name in ("train/tit", "train/house_finch", "val/tit"):
        (root / name).mkdir(parents=True)
    model = tmp_path / "model"

    def add(folder, *command):
        if command[0] == "audits.command":
            from audits.command.__main__ import main

            monkeypatch.chdir(folder)
            main([str(part) for part in command[1:]])

    monkeypatch.setattr(worlds, "run", add)
    for seed in (2, 5):
        world = worlds.photographs(tmp_path, worlds.Source(root, model, None), seed, {})
    params = yaml.safe_load((world.folder / "params.yaml").read_text())
    assert world.folder == tmp_path / "birds-raw"
    assert params["seed"] == 5
    assert params["datasets"]["world"]["root"] == str(root)
    assert params["models"]["world"]["name"] == f"local-dir:{model}"
    vocabulary = Path(params["datasets"]["world"]["vocabulary"])
    assert vocabulary.read_text().split("\n") == ["house finch", "tit"]


def test_what_is_run_is_there():
    stages = yaml.safe_load((worlds.ROOT / "dvc.yaml").read_text())["stages"]
    assert set(worlds.STAGES) <= set(stages)
    for command in (*failures.STAGES, "dvc", "audits.command"):
        assert importlib.util.find_spec(command.split()[0]) is not None, command


def test_figures_of_findings():
    found = worlds.figures(FINDINGS, RIGHT, PLANTS)
    assert found == {
        "fallen": 3,
        "recall": pytest.approx(2 / 3),
        "precision": pytest.approx(2 / 4),
        "confirmed_right": pytest.approx(2 / 3),
        "modes_right": pytest.approx(1 / 2),
        **{"polysemy": "1/1", "compound": "0/1", "typography": "1/1", "spurious": "0/0"},
        "natural": 2,
    }
    nothing = worlds.figures(FINDINGS[:0], {}, PLANTS[:0])
    assert [nothing[key] for key in worlds.SHARES] == [None] * 4


def test_totals_are_over_all_seeds():
    row = {"recall": 0.5, "precision": None, "confirmed_right": 1.0, "modes_right": 1.0}
    row |= {"found_again": 0.9, "all_images": None}
    row |= {"polysemy": "1/2", "compound": "0/0", "typography": "0/3", "spurious": "2/2"}
    lines = list(worlds.totals(pd.DataFrame([row, row | {"recall": 1.0, "polysemy": "3/3"}])))
    assert "found_again: 0.900 ± 0.000 (least 0.900)" in lines
    assert lines[0] == "recall: 0.750 ± 0.354 (least 0.500)"
    assert "polysemy: 4/5 = 0.800" in lines
    assert not any(line.startswith(("precision", "compound")) for line in lines)


def test_findings_of_no_plant_are_shown_first(tmp_path):
    rows = []
    for at, label in enumerate(["bat", "bat", "sun", "sun", "sun"]):
        Image.new("RGB", (9, 7), (50 * at, 0, 0)).save(tmp_path / f"{at}.png")
        rows.append((f"i{at}", f"{at}.png", label, "train"))
    manifest = pd.DataFrame(rows, columns=["image_id", "path", "label", "split"])
    write_table(tmp_path / "manifest.parquet", manifest)
    names = [{"label": n, "name": n, "short": n} for n in ("bat", "sun")]
    write_json(tmp_path / "dataset.json", {"classes": names, "pixels": {"as": "shown", "bits": 8}})
    pictures = Pictures(tmp_path, tmp_path)
    images = {f"f{n}": ["i0", "i2", "i3", "i4"] for n in (1, 2, 3, 4)}
    evidence = {key: {"images": value} for key, value in images.items()}
    table = worlds.listed(FINDINGS, evidence, RIGHT, PLANTS, pictures)
    assert table["classes"].tolist() == ["sun 75%, bat 25%"] * 4
    assert table["planted_mode"].tolist()[:2] == ["polysemy", "typography"]
    assert table["planted_mode"].isna().tolist() == [False, False, True, True]
    write_sheets(tmp_path / "sheets", table, images, pictures)
    page = (tmp_path / "sheets" / "index.html").read_text()
    order = [page.index(f"{finding}.png") for finding in ("f3", "f4", "f1", "f2")]
    assert order == sorted(order)
    with Image.open(tmp_path / "sheets" / "f3.png") as sheet:
        assert sheet.getpixel((5 + 3 * 96, sheet.height - 300)) == (200, 0, 0)


@pytest.mark.parametrize("component", [PLANTED, 9])  # which fires by chance
def test_mistakes_of_held_out_images_are_told_by_a_component(inputs, component):
    images, codes = inputs.images, inputs.codes
    fires = ((codes.component == component) & (codes.activation > 0)).any(dim=1).numpy()
    own = images["image_id"][(images["split"] == "train") & fires & (images["label"] != "n01")]
    about = {"finding_id": "f", "class": "n01", "component": component, "mode": "unclear"}
    finding = pd.DataFrame([about | {"verdict": None}])
    (row,) = mistaken(inputs, finding, {"f": {"images": own.tolist()}}).to_dict("records")
    held_out = (images["split"] == "val") & (images["label"] != "n01")
    if component != PLANTED:
        assert row["distractors"] < (held_out & fires).sum()
        assert row["p"] > 0.05
        return
    assert row["distractors"] == (held_out & fires).sum() == 15
    assert row["taken"] == 1.0 > row["others_taken"]
    assert row["p"] < 1e-6
    assert row["off"] == 0.0 < row["other_off"] == 1.0


def test_by_chance_few_components_tell_who_is_taken_for_a_class(inputs):
    nothing = pd.DataFrame({"class": [], "component": []})
    planted = pd.DataFrame({"class": ["n01"], "component": [PLANTED]})
    without, all_pairs = (by_chance(inputs, known, 5) for known in (planted, nothing))
    assert len(all_pairs) == len(without) + 1 > 9
    assert min(set(all_pairs) - set(without)) < 1e-3
    assert (without <= 0.01).mean() < 0.2


class TestNames:
    """Six held-out images: two of each class, on the last of which "bat" is written."""

    classes: ClassVar = [
        {"label": "cricket_bat", "short": "bat", "name": "bat, club"},
        {"label": "sun", "short": "sun", "name": "sun"},
        {"label": "moon", "short": "moon", "name": "moon"},
    ]
    images = pd.DataFrame(
        {"image_id": list("abcdef"), "label": ["cricket_bat"] * 2 + ["sun"] * 2 + ["moon"] * 2}
    )
    truth = pd.DataFrame({"image_id": ["f"], "class": ["cricket_bat"], "mode": ["typography"]})

    def test_things_and_what_they_may_be_called(self):
        called, right, shown = names.things(self.images, self.classes, self.truth)
        assert called == ["cricket_bat", "cricket_bat written", "sun", "moon"]
        assert right[0] == {"cricket bat", "bat", "club"}
        assert right[1] == right[0] | {"writing"}
        assert shown.sum(axis=0).tolist() == [2, 1, 2, 2]

    def test_where_nothing_is_planted_things_are_the_classes(self):
        called, *_ = names.things(self.images, self.classes, names.NOTHING)
        assert called == ["cricket_bat", "sun", "moon"]

    def test_a_component_is_judged_by_what_it_tells_best(self):
        called, right, shown = names.things(self.images, self.classes, self.truth)
        activation = np.zeros((6, 4))
        activation[:2, 0] = 1, 2  # bats
        activation[[2, 5], 1] = 1  # one sun and the writing: tells neither
        activation[5, 2] = 3  # the writing
        activation[4:, 3] = 1, 1  # moons
        auroc = names.told(activation, shown)
        assert auroc[0, 0] == 1 and auroc[1, 1] == pytest.approx(0.9)
        labels = pd.DataFrame(
            {"component": [1, 0, 2, 3], "label": ["sun", "Club", "Writing", None]}
        )
        table = names.judged(labels, auroc, called, right)
        assert table["thing"].to_dict() == {0: "cricket_bat", 2: "cricket_bat written", 3: "moon"}
        assert table["right"].to_dict() == {0: True, 2: True, 3: False}
        assert names.share(table) == "2 of 3 named right = 0.667"

    def test_a_component_that_writing_fires_has_it_on_most_top_images(self):
        labels = pd.DataFrame(
            {"component": [4, 2, 7], "top_images": [["f", "f", "a"], ["f", "a"], ["a", "b"]]}
        )
        answer = pd.Series({2: 0.95, 4: 0.9, 7: 0.1})
        said = names.probed(labels, self.truth, answer)
        assert said == "1 of 1 that writing fires, 1 of 2 others"
