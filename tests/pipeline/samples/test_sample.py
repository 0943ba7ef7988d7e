"""Where a sample dataset is rendered, and what that leaves alone."""

import shutil
import sys
from pathlib import Path

import pytest

from pipeline.artifacts.store import read_json
from pipeline.samples import sample

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sample", "--dataset", "scenes"])
    monkeypatch.setattr(sample.scenes, "render", draw)


def draw(folder, config, seed, workers):
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "bat.jpg").write_text("a bat")


def test_a_sample_is_rendered_to_its_own_place_again_and_again():
    for _ in range(2):
        sample.main()
        files = [path for path in Path("data/raw").rglob("*") if path.is_file()]
        assert files == [Path("data/raw/scenes/train/bat.jpg")]
    expected = {"kind": "rendered", "root": "data/raw/scenes"}
    assert read_json(Path("data/sources/scenes.json")) == expected


def test_a_person_s_files_there_are_not_deleted():
    sample.main()
    mine = Path("data/raw/scenes/thesis.txt")
    mine.write_text("years of work")
    with pytest.raises(FileExistsError, match=r"data/raw/scenes holds 1 files .*thesis\.txt"):
        sample.main()
    assert mine.read_text() == "years of work"
    assert Path("data/raw/scenes/train/bat.jpg").exists()
