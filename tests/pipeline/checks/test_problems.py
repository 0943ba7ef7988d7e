"""What an audit lacks is said before anything costly, and all of it in one go."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from audits.command.__main__ import main
from pipeline import layout
from pipeline.checks import check_model, check_texts, locate
from pipeline.checks.problems import of_audit
from pipeline.config import load_params

ROOT = Path(__file__).parents[3]
BIRDS = ["--dataset", "birds", "--kind", "image_folder", "--root", "raw", "--vocabulary", "v.csv"]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A current directory with an audit `birds` of a model in a folder, of which all is missing."""
    for name in ("params.yaml", "catalog.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    model = ["--labeler", "tiny", "--model", "mine", "--model-name", "local-dir:weights"]
    main(["add", "birds", *BIRDS, *model])
    return tmp_path


def put_right(here: Path) -> None:
    for split in ("train", "val"):
        (here / "raw" / split / "wren").mkdir(parents=True)
    (here / "v.csv").write_text("term,kind\nbeak,lesion\n", encoding="utf-8")
    put_model(here / layout.model("mine"))


def put_model(folder: Path, **vision: Any) -> None:
    """A model whose weights nobody has looked at yet."""
    tower = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 2, "head_width": 32}
    text = {"context_length": 8, "width": 32, "layers": 1, "heads": 2}
    model = {"embed_dim": 48, "vision_cfg": tower | vision, "text_cfg": text}
    preprocess = {"size": 32, "mean": [0.5] * 3, "std": [0.25] * 3}
    folder.mkdir(parents=True, exist_ok=True)
    config = json.dumps({"model_cfg": model, "preprocess_cfg": preprocess})
    (folder / "open_clip_config.json").write_text(config, encoding="utf-8")
    (folder / "open_clip_model.safetensors").write_text("")


def change(here: Path, edit: Any) -> None:
    params = yaml.safe_load((here / "params.yaml").read_text(encoding="utf-8"))
    edit(params)
    (here / "params.yaml").write_text(json.dumps(params), encoding="utf-8")


def stopped(monkeypatch: pytest.MonkeyPatch, stage: Any, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    with pytest.raises(SystemExit) as stop:
        stage.main()
    return str(stop.value)


ALL = (
    "datasets.birds.root is 'raw', which does not exist",
    "v.csv does not exist",
    "vocabularies/descriptions/birds.csv",
    "weights is no folder",
    "reviews/birds.csv is missing",
)


def test_all_that_is_missing_is_listed_together_by_whichever_stage_comes_first(here, monkeypatch):
    (here / layout.descriptions("birds")).write_text("label\nwren\n", encoding="utf-8")
    (here / "reviews" / "birds.csv").unlink()
    located = stopped(monkeypatch, locate, "--dataset", "birds")
    fetched = stopped(monkeypatch, check_model, "--model", "mine")
    for said in (located, fetched):
        assert "Errno" not in said
        assert all(part in said for part in ALL), said
        assert len(said.splitlines()) == len(ALL)
    assert not (here / "data").exists()


def test_the_command_that_adds_says_what_is_missing_and_writes_all_the_same(here, capsys):
    capsys.readouterr()
    main(["add", "again", *BIRDS[:2], "--model", "tiny"])
    said = capsys.readouterr().out
    assert "missing      datasets.birds.root is 'raw', which does not exist" in said
    assert "missing      vocabulary v.csv does not exist" in said
    assert "again" in load_params().audits


def test_the_command_that_checks_begins_the_tables_and_fails_while_something_is_missing(
    here, capsys
):
    shutil.rmtree(here / "reviews")
    (here / layout.descriptions("birds")).unlink()
    with pytest.raises(SystemExit, match=r"audit check: this is missing\n(.|\n)*v.csv does not"):
        main(["check", "birds"])
    assert (here / "reviews" / "birds.csv").exists() and (here / "reviews" / "birds").is_dir()
    assert (here / layout.descriptions("birds")).read_text() == "label,description\n"
    put_right(here)
    capsys.readouterr()
    main(["check", "birds"])
    assert capsys.readouterr().out == "nothing is missing: dvc repro publish@birds\n"


@pytest.mark.parametrize(
    ("file", "content"),
    [("v.csv", "word\nbeak\n"), ("v.csv", ""), ("raw/classes.csv", "label\nwren\n")],
)
def test_a_table_that_cannot_be_read_is_a_problem(here, file, content):
    put_right(here)
    assert of_audit(load_params(), "birds") == []
    (here / file).write_text(content, encoding="utf-8")
    (problem,) = of_audit(load_params(), "birds")
    assert Path(file).name in problem


def test_rows_of_a_table_of_images_are_looked_at(here):
    put_right(here)
    entry = {"kind": "csv", "splits": {"train": 0.5, "val": 0.5}}
    change(here, lambda params: params["datasets"]["birds"].update(entry))
    (here / "raw" / "images.csv").write_text("path,label\ngone.png,wren\n", encoding="utf-8")
    (problem,) = of_audit(load_params(), "birds")
    assert "gone.png" in problem


def test_a_folder_without_weights_and_a_wordnet_without_nouns_are_problems(here):
    put_right(here)
    (here / layout.model("mine") / "open_clip_model.safetensors").unlink()
    change(here, lambda params: params["models"]["mine"].update(name="local-dir:data/models/mine"))
    change(here, lambda params: params["outside"].update(models=[]))
    change(here, lambda params: params["audits"]["birds"]["modes"].update(wordnet="wn"))
    weights, wordnet = of_audit(load_params(), "birds")
    assert weights.startswith("data/models/mine/open_clip_model.safetensors is missing: put")
    assert wordnet == "audits.birds.modes.wordnet is 'wn', which holds no data.noun"


def test_a_model_is_fetched_if_one_of_its_audits_can_be_run(here, monkeypatch):
    def elsewhere(params: dict[str, Any]) -> None:
        for model in ("mine", "tiny"):
            shared = params["embeddings"][f"birds-{model}"] | {"dataset": "owls"}
            params["embeddings"][f"owls-{model}"] = shared
        owls = {"root": "owls", "embeddings": "owls-tiny"}
        params["datasets"]["owls"] = params["datasets"]["birds"] | owls
        params["outside"]["datasets"].append("owls")
        of = {"dataset": "owls", "embeddings": "owls-mine"}
        params["audits"]["owls"] = params["audits"]["birds"] | of

    put_right(here)
    change(here, elsewhere)
    assert of_audit(load_params(), "birds") == []
    assert of_audit(load_params(), "owls")
    assert check_model.in_vain(load_params(), "mine") == []
    (here / "v.csv").unlink()
    problems = check_model.in_vain(load_params(), "mine")
    assert sum("v.csv" in problem for problem in problems) == 1
    assert any("'owls', which does not exist" in problem for problem in problems)


def test_words_of_a_sample_are_read_before_it_is_prepared(here, monkeypatch):
    folder = here / layout.descriptions("scenes").parent
    shutil.copy(ROOT / "vocabularies" / "descriptions" / "scenes.csv", folder)
    target = here / "vocabularies" / "scenes.csv"
    target.write_text("term\nmeadow\n", encoding="utf-8")
    assert "scenes.csv" in stopped(monkeypatch, check_texts, "--dataset", "scenes")
    shutil.copy(ROOT / "vocabularies" / "scenes.csv", target)
    check_texts.main()
    first = layout.checked_texts("scenes").read_bytes()
    target.write_text("term,kind\nmeadow,background\n", encoding="utf-8")
    check_texts.main()
    assert layout.checked_texts("scenes").read_bytes() == first


@pytest.mark.parametrize(
    ("name", "tag", "said"),
    [
        ("ViT-B-16", "openai", "set name to ViT-B-16-quickgelu"),
        ("ViT-B-16", "openia", "'openia': it is neither"),
        ("ViT-B/16", "openai", "near to it are"),
    ],
)
def test_a_tag_of_another_model_is_refused_before_anything_is_written(here, name, tag, said):
    before = (here / "params.yaml").read_bytes()
    asked = ["--dataset", "birds", "--model", "b16", "--model-name", name, "--pretrained", tag]
    with pytest.raises(SystemExit, match=r"audit add: models\.b16") as caught:
        main(["add", "b16", *asked])
    assert said in str(caught.value)
    assert (here / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("template", ["a {} {}", "a {name}", "a {} of {place}", "a {} }"])
def test_templates_that_could_not_be_filled_in_are_refused(here, template):
    change(here, lambda params: params["datasets"]["birds"].update(templates=[template]))
    with pytest.raises(ValueError, match="exactly one"):
        load_params()


def ask_for_classes(here: Path) -> None:
    """Have the audit of birds ask for what its dataset of one class, wren, has not."""

    def edit(params: dict[str, Any]) -> None:
        params["datasets"]["birds"]["descriptions"] = "table"
        params["audits"]["birds"]["shortcut"] = {
            **params["audits"]["lesions-tiny"]["shortcut"],
            "positive": ["Wren"],
        }

    change(here, edit)
    (here / "raw" / "classes.csv").write_text("label,name\nrobin,robin\n", encoding="utf-8")


CLASSES = (
    "no name for wren (1 classes) in classes.csv: give every class a row label,name in raw/",
    "vocabularies/descriptions/birds.csv has no description of 1 of 1 classes: wren; give each",
    "audits.birds.shortcut.positive has 'Wren', which is no label of the dataset; is 'wren' meant?",
)


def test_classes_that_are_asked_for_and_are_not_there_are_problems_before_any_image_is_opened(
    here, monkeypatch
):
    put_right(here)
    ask_for_classes(here)
    for stage, key in ((locate, "dataset"), (check_texts, "dataset"), (check_model, "model")):
        name = "birds" if key == "dataset" else "mine"
        said = stopped(monkeypatch, stage, f"--{key}", name)
        assert all(part in said for part in CLASSES), said
        assert len(said.splitlines()) == len(CLASSES)
    assert "datasets.birds has wren: name one of these in params.yaml" in said


def test_all_that_is_wrong_with_classes_model_and_words_is_said_together(here):
    put_right(here)
    ask_for_classes(here)
    (here / "v.csv").unlink()
    put_model(here / layout.model("mine"), timm_model_name="resnet18")
    said = of_audit(load_params(), "birds")
    assert len(said) == len(CLASSES) + 2
    assert "v.csv does not exist" in said[0]
    assert said[-1].startswith("audits.birds.model is 'mine': the image tower is a open_clip.timm")


@pytest.mark.parametrize(
    ("name", "tag"), [("RN50-quickgelu", "openai"), ("coca_ViT-B-32", "laion2b_s13b_b90k")]
)
def test_a_tower_that_cannot_be_audited_is_refused_before_its_weights_are_fetched(
    here, monkeypatch, name, tag
):
    put_right(here)
    shutil.rmtree(here / layout.model("mine"))
    monkeypatch.setattr("pipeline.models.places.Repository.look", lambda *_: None)
    change(here, lambda params: params["models"].update(mine={"name": name, "pretrained": tag}))
    [said] = of_audit(load_params(), "birds")
    assert said.startswith("audits.birds.model is 'mine': the image tower ")
    assert said.endswith("this model can still be a labeler; name another model there")
    assert check_model.in_vain(load_params(), "mine") == [said]
    audited, named = {"embeddings": "birds-tiny"}, {"embeddings": "birds-mine"}
    change(here, lambda params: params["audits"]["birds"].update(model="tiny", **audited))
    change(here, lambda params: params["datasets"]["birds"].update(labeler="mine", **named))
    assert of_audit(load_params(), "birds") == []


@pytest.mark.parametrize("vision", [{"layers": [1, 1, 1, 1]}, {"pool_type": "avg"}])
def test_a_folder_whose_tower_cannot_be_audited_is_refused_unread(here, vision):
    put_right(here)
    shutil.rmtree(here / layout.model("mine"))
    put_model(here / "weights", **vision)
    (here / "weights" / "open_clip_model.safetensors").write_bytes(b"\x02" + bytes(7) + b"{}")
    [said] = of_audit(load_params(), "birds")
    assert said.startswith("audits.birds.model is 'mine': the image tower ")


def test_a_model_that_another_entry_has_fetched_is_looked_at_anew(here):
    put_right(here)
    record = {"name": "local-dir:elsewhere", "pretrained": None}
    (here / layout.model("mine") / "source.json").write_text(json.dumps(record))
    [said] = of_audit(load_params(), "birds")
    assert "weights is no folder" in said
    record["name"] = "local-dir:weights"  # as the entry says
    (here / layout.model("mine") / "source.json").write_text(json.dumps(record))
    assert of_audit(load_params(), "birds") == []
