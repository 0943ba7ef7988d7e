"""`audit plan` says what stale stages cost, and that fresh ones cost nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from tqdm import tqdm

from audits.command import plan, status
from audits.command.__main__ import main
from audits.plan import beginning
from audits.plan.costs import Cost
from pipeline.config import load_params
from pipeline.places import place

STANDS = {
    "audit": "scenes-tiny",
    "stale": {"embed@scenes-tiny": ["output data: deleted"], "report@scenes-tiny": ["code"]},
    "after": ["encode@scenes-tiny"],
    "fresh": ["prepare@scenes", "label@scenes-tiny"],
}
COSTS = {
    "prepare@scenes": Cost(12370, 24.2, 3_700_000, 10**9),
    "embed@scenes-tiny": Cost(12370, 47.9, 6_300_000, 1_200_000_000),
    "encode": Cost(12370, 1200.0, 1_600_000, 10**9),
}


MEASURED = plan.plan


@pytest.fixture(autouse=True)
def planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "states", lambda names: [STANDS])
    monkeypatch.setattr(plan, "plan", lambda params, name, stages: COSTS)


def scenes_at(monkeypatch: pytest.MonkeyPatch, root: Path, outside: Sequence[str] = ()) -> None:
    """Has the images of the scenes lie in a folder, and perhaps come from elsewhere."""
    params = load_params()
    dataset = params.datasets["scenes"].model_copy(update={"root": root})
    changed = {
        "datasets": params.datasets | {"scenes": dataset},
        "outside": params.outside.model_copy(update={"datasets": list(outside)}),
    }
    monkeypatch.setattr(plan, "load_params", lambda: params.model_copy(update=changed))


def test_a_row_a_stage_that_is_not_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "scenes-tiny"])
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert said[1:5] == [
        ["embed@scenes-tiny", "12,370", "48", "s", "6.3", "MB", "1.2", "GB"],
        ["report@scenes-tiny", "–", "–", "–", "–"],
        ["encode@scenes-tiny", "12,370", "20", "min", "1.6", "MB", "1.0", "GB"],
        ["all,", "memory", "the", "most", "–", "21", "min", "7.9", "MB", "1.2", "GB"],
    ]
    assert said[-1][:3] == ["2", "stages", "are"]


def test_json_has_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "scenes-tiny", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["fresh"] == STANDS["fresh"]
    assert found["stages"][0] == {
        "stage": "embed@scenes-tiny",
        **COSTS["embed@scenes-tiny"]._asdict(),
    }
    assert found["stages"][1] == {"stage": "report@scenes-tiny"}


def test_shards_that_lie_elsewhere_are_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = place("s3://bucket/shards")
    params = load_params().model_copy(update={"shards": store})
    monkeypatch.setattr(plan, "load_params", lambda: params)
    main(["plan", "scenes-tiny"])
    assert capsys.readouterr().out.endswith(" lies at s3://bucket/shards and not here.\n")
    main(["plan", "scenes-tiny", "--json"])
    assert json.loads(capsys.readouterr().out)["shards"] == "s3://bucket/shards"
    late = STANDS | {"stale": {"report@scenes-tiny": ["code"]}, "after": []}
    monkeypatch.setattr(status, "states", lambda names: [late])
    main(["plan", "scenes-tiny"])
    assert "s3://" not in capsys.readouterr().out


def test_what_is_fresh_costs_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = STANDS | {"stale": {}, "after": []}
    monkeypatch.setattr(status, "states", lambda names: [fresh])
    # Nothing is measured then.
    monkeypatch.setattr(plan, "plan", lambda params, name, stages: pytest.fail("measured"))
    main(["plan", "scenes-tiny"])
    assert capsys.readouterr().out == "scenes-tiny: all 2 stages are fresh, a run costs nothing\n"


def test_what_is_measured_shows_no_progress(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*asked: object) -> None:
        list(tqdm(range(3), desc="train SAE"))
        raise OSError("an image cannot be read")

    monkeypatch.setattr(plan, "plan", MEASURED)
    monkeypatch.setattr(plan, "begin", lambda module: None)
    monkeypatch.setattr(plan, "_rates", measure)
    scenes_at(monkeypatch, tmp_path)
    for split in ("train", "val"):
        (tmp_path / split / "bat").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / split / "bat" / "0.jpg")
    monkeypatch.setattr(plan.layout, "manifest", lambda name: tmp_path / "none")
    with pytest.raises(SystemExit, match="an image cannot be read"):
        main(["plan", "scenes-tiny"])
    assert capsys.readouterr().err == "measuring this machine, about half a minute\n"


@pytest.mark.parametrize(
    ("outside", "remedy"),
    [
        (["scenes"], "which does not exist: put the dataset there, or name its place there in"),
        ([], "a sample that is not rendered yet: `dvc repro sample@scenes` renders it"),
    ],
)
def test_a_root_that_is_not_there_is_named_with_its_key_and_what_to_do(
    outside: list[str], remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "plan", MEASURED)
    monkeypatch.setattr(plan, "begin", lambda module: None)
    scenes_at(monkeypatch, tmp_path / "none", outside)
    with pytest.raises(SystemExit) as stopped:
        main(["plan", "scenes-tiny"])
    said = str(stopped.value)
    assert said.startswith(f"audit plan: datasets.scenes.root is {str(tmp_path / 'none')!r}, ")
    assert remedy in said


def test_windows_does_not_say_what_processes_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "plan", MEASURED)
    monkeypatch.setattr(beginning, "sys", SimpleNamespace(platform="win32"))
    with pytest.raises(SystemExit, match="Windows Subsystem for Linux"):
        main(["plan", "scenes-tiny"])
