"""Findings as FiftyOne imports them: each image with a classification for each of its findings."""

from pathlib import Path

import pandas as pd
import pytest
from upath import UPath

from audits.command.export import export_findings
from audits.export.fiftyone import labels
from pipeline import layout
from pipeline.artifacts.store import read_json, write_json, write_table
from pipeline.config import load_params
from pipeline.places import place

MANIFEST = pd.DataFrame(
    {
        "image_id": ["a.b/1", "a.b/2", "c/3"],
        "path": ["a.b/1.png", "a.b/2.png", "c.tar/3.png"],
        "label": ["hat", None, "cat"],
    }
)
FINDINGS = pd.DataFrame(
    {
        "finding_id": ["bat-4", "bat-7"],
        "class": ["bat", "bat"],
        "component": [4, 7],
        "component_label": ["cricket bat", "bat"],
        "mode": ["polysemy", "typography"],
        "confirmed": [True, False],
        "verdict": [None, "reject"],
        "example_ids": ["a.b/2 a.b/1", "a.b/1 c/3"],
    }
)


def test_an_image_has_a_classification_for_each_of_its_findings(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / "a.b").mkdir(exist_ok=True)
        (tmp_path / "a.b" / f"{name}.png").touch()
    made, left_out = labels(FINDINGS, MANIFEST, tmp_path)
    assert left_out == ["c/3"]
    assert made["classes"] == ["bat: cricket bat", "bat: typography"]
    # An image in an archive cannot be opened there.
    one, two = (str(tmp_path / "a.b" / f"{name}.png") for name in "12")
    assert list(made["labels"]) == [one, two]
    assert [found["label"] for found in made["labels"][one]] == made["classes"]
    assert made["labels"][two] == [
        {
            "label": "bat: cricket bat",
            "attributes": {
                "finding_id": "bat-4",
                "class": "bat",
                "component": 4,
                "mode": "polysemy",
                "confirmed": True,
                "verdict": "",
                "image_id": "a.b/2",
                "labelled": "",
            },
        }
    ]


@pytest.mark.parametrize(
    ("mode", "named", "shows", "also"),
    [
        ("polysemy", "wood", {"bat-4": "cricket bat"}, "cricket bat"),
        ("typography", "wood", {"bat-4": "cricket bat"}, "writing in the picture"),
        ("unclear", "wood", {"bat-4": None}, "other things"),
        ("unclear", "wood", {}, "wood"),
        ("unclear", "bat", {}, "unclear"),
        ("unclear", None, {}, "unclear"),
    ],
)
def test_a_class_answers_to_what_the_card_says(
    tmp_path: Path,
    mode: str,
    named: str | None,
    shows: dict[str, str | None],
    also: str,
) -> None:
    (tmp_path / "a.b").mkdir()
    (tmp_path / "a.b" / "1.png").touch()
    finding = FINDINGS[:1].assign(mode=mode, component_label=named)
    assert labels(finding, MANIFEST, tmp_path, shows)[0]["classes"] == [f"bat: {also}"]


def test_a_folder_is_what_the_importer_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """labels.json with whole paths, and a folder `data`, without which FiftyOne stops."""
    params = load_params()
    monkeypatch.chdir(tmp_path)
    root = params.dataset("scenes").root
    for name in ("1", "2"):
        (root / "a.b").mkdir(parents=True, exist_ok=True)
        (root / "a.b" / f"{name}.png").touch()
    write_table(layout.manifest("scenes") / "manifest.parquet", MANIFEST)
    write_table(layout.report("scenes-tiny") / "findings.csv", FINDINGS)
    evidence = {"bat-4": {"shows": "cricket bat"}, "bat-7": {"shows": None}}
    write_json(layout.audit("scenes-tiny", "review") / "evidence.json", evidence)
    said = export_findings(params, "scenes-tiny", Path("out"))
    assert said == "out: 2 images of 2 findings; 1 left out, which are no files, such as c/3"
    assert sorted(path.name for path in Path("out").iterdir()) == ["data", "labels.json"]
    assert Path("out/data").is_dir()
    made = read_json(Path("out/labels.json"))
    assert made["classes"] == ["bat: cricket bat", "bat: writing in the picture"]
    found = made["labels"]
    assert len(found) == 2 and all(Path(path).is_absolute() for path in found)


def test_images_in_a_store_are_left_out_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(UPath, "is_file", asked)
    made, left_out = labels(FINDINGS, MANIFEST, place("s3://data/birds"))
    assert made["labels"] == {}
    assert left_out == ["a.b/1", "a.b/2", "c/3"]
