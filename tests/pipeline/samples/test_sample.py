"""Where a sample dataset is rendered, and what that leaves alone."""

import shutil
import sys
from pathlib import Path

import pytest

from pipeline.artifacts.store import read_json
from pipeline.samples import sample

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True, params=["scenes", "lesions"])
def name(tmp_path, monkeypatch, request):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sample", "--dataset", request.param])
    monkeypatch.setattr(getattr(sample, request.param), "render", draw)
    return request.param


def draw(folder, config, seed, workers):
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "bat.jpg").write_text("a bat")


def test_a_sample_is_rendered_to_its_own_place_again_and_again(name):
    for _ in range(2):
        sample.main()
        files = [path for path in Path("data/raw").rglob("*") if path.is_file()]
        assert files == [Path("data/raw", name, "train/bat.jpg")]
    expected = {"kind": "rendered", "root": f"data/raw/{name}"}
    assert read_json(Path(f"data/sources/{name}.json")) == expected


def test_a_person_s_files_there_are_not_deleted(name):
    sample.main()
    mine = Path("data/raw", name, "thesis.txt")
    mine.write_text("years of work")
    with pytest.raises(FileExistsError, match=rf"data/raw/{name} holds 1 files .*thesis\.txt"):
        sample.main()
    assert mine.read_text() == "years of work"
    assert Path("data/raw", name, "train/bat.jpg").exists()
