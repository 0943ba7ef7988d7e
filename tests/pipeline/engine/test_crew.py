"""The seam between stages and engines, with an invented Ray; tests/pipeline/engine/test_ray.py has
the real one."""

import socket
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from pipeline.config import ConfigError
from pipeline.datasets import opening
from pipeline.datasets.opening import open_all
from pipeline.datasets.pixels import SHOWN
from pipeline.engine import cluster
from pipeline.engine.crew import LOCAL, TRIES, Engine, Needs
from tests.pipeline.engine.invented_ray import Ray

RAY = Engine("ray", threads=1, seed=0)


class Squares:
    """Writes the square of each number into a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def about(self) -> str:
        return "squares"

    def each(self, units: Iterable[int]) -> Iterator[int]:
        for unit in units:
            if unit == 99:
                raise OSError("99.png: it is gone")
            (self.folder / str(unit)).write_text(str(unit**2))
            yield unit**2


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """What processes set is set back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TQDM_DISABLE", "")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def joined(monkeypatch):
    """Put an invented Ray in the place of the real one."""

    def put(ray: Ray) -> Ray:
        monkeypatch.setitem(sys.modules, "ray", ray)
        monkeypatch.setattr(cluster, "_connected", lambda: ray)
        return ray

    return put


def dying_once(units: set[int]):
    """Kills the first process that is asked for one of these units."""
    left = set(units)

    def kills(unit: int) -> bool:
        dies = unit in left
        left.discard(unit)
        return dies

    return kills


def results(engine: Engine, folder: Path, units: list[int], needs: Needs | None = None) -> dict:
    folder.mkdir(exist_ok=True)
    with engine.crew(partial(Squares, folder), needs or Needs(), len(units)) as crew:
        assert crew.about == "squares"
        return dict(crew.each(units, "squares", lambda unit: 1, folder))


def test_engines_do_the_same(joined, tmp_path):
    ray = joined(Ray())
    expected = {unit: unit**2 for unit in range(9)}
    for engine in (LOCAL, RAY):
        folder = tmp_path / engine.name
        assert results(engine, folder, list(range(9))) == expected
        assert {int(p.name): int(p.read_text()) for p in folder.iterdir()} == expected
    assert Counter(unit for unit, _ in ray.done_by) == dict.fromkeys(range(9), 1)
    assert len({process for _, process in ray.done_by}) == 2
    assert not list((tmp_path / "data").iterdir())


def test_a_unit_whose_process_dies_is_done_again_and_nothing_half_written_is_left(
    joined, tmp_path, capsys
):
    ray = joined(Ray(kills=dying_once({0, 4, 8})))
    out = tmp_path / "out"
    half = out / ".part-00004.parquet-0123abcd"
    half.mkdir(parents=True)
    (half / "lock").touch()
    assert results(RAY, out, list(range(9))) == {unit: unit**2 for unit in range(9)}
    assert Counter(unit for unit, _ in ray.done_by) == dict.fromkeys(range(9), 1)
    assert {path.name for path in out.iterdir()} == set("012345678")
    assert capsys.readouterr().err.count("1 images were lost with a process (the process") == 3


def test_a_unit_that_kills_every_process_stops_the_stage(joined, tmp_path):
    joined(Ray(kills=lambda unit: unit == 3))
    with pytest.raises(RuntimeError, match=r"4 processes of the cluster died over the same images"):
        results(RAY, tmp_path / "out", list(range(9)))


def test_processes_that_died_while_they_had_nothing_to_do_cost_a_unit_nothing(joined, tmp_path):
    joined(Ray(nodes=6))
    with RAY.crew(partial(Squares, tmp_path), Needs(), 6) as crew:
        first = dict(crew.each(list(range(20)), "squares", lambda unit: 1))
        assert first == {unit: unit**2 for unit in range(20)}
        assert len(crew.idle) > TRIES
        for process in crew.idle:
            process.dead = True
        assert dict(crew.each([7], "squares", lambda unit: 1)) == {7: 49}


def test_an_error_of_a_unit_is_the_one_that_it_is_here(joined, tmp_path):
    joined(Ray())
    with pytest.raises(OSError, match=r"^99\.png: it is gone$"):
        results(RAY, tmp_path / "out", [1, 99])


def test_an_image_that_kills_its_process_costs_itself_alone(joined, tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "CHUNK", 3)
    paths = [f"{number}.png" for number in range(8)]
    for number, path in enumerate(paths):
        Image.effect_noise((20, 20), 10 + number).save(tmp_path / path)
    here = open_all(paths, tmp_path, SHOWN, 1)
    joined(Ray(kills=lambda images: any(image.path == "4.png" for image in images)))
    there = open_all(paths, tmp_path, SHOWN, 1, RAY)
    assert there[:4] + there[5:] == here[:4] + here[5:]
    assert there[4].fault == opening.KILLED


def test_a_node_that_does_not_see_a_folder_is_named(joined, tmp_path):
    joined(Ray())
    needs = Needs(sees=(tmp_path / "photos",))
    with pytest.raises(ConfigError, match=r"node 10\.0\.0\.7 does not see .*photos: the reposit"):
        results(RAY, tmp_path / "out", [1], needs)


def test_a_node_with_another_library_is_named(joined, tmp_path, monkeypatch):
    joined(Ray())
    monkeypatch.setattr(cluster, "_versions", lambda: {"numpy": "0.1"})
    with pytest.raises(ConfigError, match=r"node 10\.0\.0\.7 has numpy .* this machine 0\.1"):
        results(RAY, tmp_path / "out", [1])


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        (Needs("cuda"), "no node of the cluster at this machine has 1 GPU"),
        (Needs("mps", "sae.device"), "sae.device is mps, which Ray does not hand out"),
    ],
)
def test_a_cluster_without_what_is_needed_is_refused(joined, tmp_path, needs, said):
    joined(Ray())
    with pytest.raises(ConfigError, match=said):
        results(RAY, tmp_path / "out", [1], needs)


def test_ray_that_is_not_installed_is_said_with_key_and_remedy(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"engine is ray .* not installed: `pip install -e '\.\["):
        results(RAY, tmp_path / "out", [1])


def test_an_address_where_nothing_answers_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "_imported", lambda: Ray())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(ConfigError, match=f"nothing answers at RAY_ADDRESS={address}"):
            results(RAY, tmp_path / "out", [1])


def test_no_stage_is_stale_for_another_engine():
    root = Path(__file__).parents[3]
    stages = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert "engine" not in {
        key for stage in stages.values() for key in stage.get("do", stage).get("params", []) if key
        if isinstance(key, str)
    }  # fmt: skip
