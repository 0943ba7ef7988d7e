"""benchmarks/scale.py in small form: stages run on what it invents, and it says what they take."""

import importlib
import json
import subprocess
import sys
import time

import pandas as pd
import pytest

from benchmarks import planted, sae_sizes, scale
from benchmarks.planted import Size
from pipeline.artifacts.store import read_json, read_table
from pipeline.config.catalog import read_catalog
from pipeline.sae import files

SMALL = ["--components", "64", "--k", "8", "--names", "80", "--classes", "12"]


def in_this_process(name, folder):
    """A stage without a process of its own, which would import everything once more."""
    module = importlib.import_module(scale.STAGES[name].module)
    if hasattr(module, "__path__"):
        module = importlib.import_module(f"{scale.STAGES[name].module}.__main__")
    before = time.perf_counter()
    with scale.chdir(folder), pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", [name, "--audit", planted.AUDIT])
        module.main()
    seconds = time.perf_counter() - before
    return seconds, seconds, 1.0


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """Run the benchmark on so many images below tmp_path."""
    monkeypatch.setattr(scale, "run", in_this_process)
    monkeypatch.setattr(scale, "in_process", lambda work, *arguments: work(*arguments))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["scale", "--work", str(tmp_path), *arguments, *SMALL])
        scale.main()

    return run


def test_every_stage_runs_on_what_is_invented(ran, tmp_path, capsys):
    ran("--sizes", "780")
    (folder,) = tmp_path.iterdir()
    measured = read_table(folder / "measured.csv")
    assert measured["stage"].tolist() == list(scale.STAGES)
    assert (measured[["seconds", "floor"]] >= 0).all(axis=None)
    audit = folder / "data" / "audits" / planted.AUDIT
    assert (folder / "reports" / planted.AUDIT / "report.html").exists()
    # What was planted is there: classes are told, and concepts reconstruct.
    assert read_json(audit / "robustness" / "metrics.json")["accuracy"]["short"] > 0.9
    assert read_json(audit / "sae" / "metrics.json")["sae"]["explained_variance"] > 0.3
    assert read_json(audit / "concepts" / "metrics.json")["concepts"]["components"] > 20
    said = capsys.readouterr().out
    assert "| 780 | train_sae |" in said
    assert "of 1 planted hold on validation images" in said
    first = (folder / "data" / "embeddings").stat().st_mtime
    ran("--sizes", "780", "520", "--stages", "train_sae", "encode")
    said = capsys.readouterr().out
    assert (folder / "data" / "embeddings").stat().st_mtime == first
    assert "| 520 | encode |" in said and "| 520 | label |" not in said
    assert "exponent" in said


def test_a_process_is_measured_alone(tmp_path):
    """Not together with this one, which is large."""
    for megabytes in (0, 200):
        command = f"x = bytearray({megabytes} * 2**20)"
        script = scale.ROOT / "benchmarks" / "used.py"
        used = [sys.executable, "-S", script, tmp_path / "used", sys.executable, "-c", command]
        subprocess.run(used, check=True)
        seconds, processor, kilobytes = json.loads((tmp_path / "used").read_text())
        assert processor > 0 and seconds > 0
        assert megabytes <= kilobytes / 2**10 < megabytes + 100
    failed = subprocess.run([*used[:-1], "raise SystemExit(3)"])
    assert failed.returncode == 3


def test_growth_is_an_exponent_and_memory_an_image():
    rows = [(n, "flat", 9, 5.0, 0, 2.0) for n in (1000, 2000, 4000)]
    rows += [(n, "square", 9, (n / 1000) ** 2, 0, n / 2**20) for n in (1000, 2000, 4000)]
    rows += [(n, "late", 9, cost, 0, 1.0) for n, cost in ((1000, 1), (2000, 1), (4000, 4))]
    found = scale.growth(pd.DataFrame(rows, columns=scale.COLUMNS).iloc[::-1]).set_index("stage")
    assert found["exponent"].to_dict() == pytest.approx({"flat": 0, "square": 2, "late": 1})
    assert found["exponent_last"].to_dict() == pytest.approx({"flat": 0, "square": 2, "late": 2})
    assert found["kib_an_image"].to_dict() == pytest.approx({"flat": 0, "square": 1, "late": 0})


def test_what_is_planted_does_not_depend_on_shards_or_sizes():
    size = planted.Size(520, 12, 64, 8, 80)
    made = planted.world(size)
    (rows, x, z), *others = planted.parts(size, made)
    assert not others and rows == slice(0, 520)
    assert x.shape == (520, 768) and z.shape == (520, 512)
    assert planted.targets(size)[[0, 499, 500, 519]].tolist() == [0, 11, 0, 11]
    assert (size.train, size.val) == (500, 20)
    assert planted.attacked(1000)[:3] == range(0, 30, 10)


@pytest.mark.parametrize(("dataset", "train"), [("imagenet", 1_281_167), ("isic2019", 20_265)])
def test_an_epoch_of_the_catalog_has_a_centroid_for_each_component(dataset, train):
    every = read_catalog()["datasets"][dataset].get("every") or 1
    config = sae_sizes.settings(dataset, {})
    assert config.epoch_fraction * train // every >= config.components


def test_two_dictionaries_of_halves_are_measured_by_what_is_planted(tmp_path, monkeypatch):
    monkeypatch.setattr(sae_sizes, "set_threads", lambda *_: None)
    size = Size(2000, 1000, 24, 4, 0)
    folder = tmp_path / "made"
    sae_sizes.write(folder, size)
    changes = {"components": 24, "k": 4, "epochs": 2, "epoch_fraction": 1.0, "batch_size": 64}
    config = sae_sizes.settings("imagenet", {**changes, "decay_after": [], "revive_after": []})
    assert config.learning_rate == sae_sizes.settings("imagenet", {}).learning_rate
    outs = [tmp_path / str(number) for number in (1, 2)]
    for number, out in enumerate(outs, start=1):
        sae_sizes.train_half(folder, number, config, 1, out)
    wanted = sae_sizes.directions(size)
    assert wanted.shape == (5000, planted.WIDTH)
    found = sae_sizes.figures(outs, wanted)
    assert 0 < found["explained"] < 1
    assert 0 < found["alive"] <= 1
    # The same dictionary twice has all of its components again, and is what is planted where that
    # is its own atoms.
    atoms = files.load(outs[0]).atoms.data
    twice = sae_sizes.figures(outs[:1] * 2, atoms)
    assert twice["found again"] == twice["planted"] == 1
    living = read_json(outs[0] / sae_sizes.FIGURES)["alive"]
    few = sae_sizes.figures(outs[:1] * 2, atoms[living[:3]])
    assert few["of planted"] == 1 > few["planted"]
