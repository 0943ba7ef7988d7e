"""What works again after a change, counted by the files that stages have written.

Neither what DVC says nor what it takes out of its run cache counts. Changes follow one another on
one repository, whose dataset and model are a user's: put there, and not made by the workflow.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.small_repository import run
from tests.test_dag import recipe_of, stages

pytestmark = pytest.mark.slow
COSTLY = {name for name, stage in stages().items() if recipe_of(stage)}
BEFORE_AUDITS = [
    *(f"{stage}@lesions-tiny" for stage in ("perturb", "stability", "encode", "embed_texts")),
    "embed_concepts@lesions",
]
"""Targets with all that costs hours before them."""
Stamps = dict[str, list[tuple[str, int, int]]]


@pytest.fixture(scope="module")
def changing(repository, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("changing") / "repository"
    shutil.copytree(repository, folder, symlinks=True)
    dag = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))
    for made in ("sample", "pretrain"):
        del dag["stages"][made]
    (folder / "dvc.yaml").write_text(yaml.safe_dump(dag), encoding="utf-8")
    assert worked(folder, "compare@lesions") == set()
    return folder


def stamps(folder: Path) -> Stamps:
    """Stage → name, inode and time of every file that it has written."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))
    found: Stamps = {}
    for stage, entry in lock["stages"].items():
        paths = [folder / out["path"] for out in entry.get("outs", [])]
        files = [f for p in paths for f in (sorted(p.rglob("*")) if p.is_dir() else [p])]
        found[stage] = [(str(f), f.stat().st_ino, f.stat().st_mtime_ns) for f in files]
    return found


def worked(folder: Path, *targets: str) -> set[str]:
    """Stages that write anything when targets are brought up to date, without their entry's key."""
    before = stamps(folder)
    run(folder, "dvc", "repro", "--no-run-cache", *targets)
    after = stamps(folder)
    return {stage.partition("@")[0] for stage in after if after[stage] != before.get(stage)}


def change(folder: Path, key: str, value: Any) -> None:
    """Set a dotted key of params.yaml."""
    path = folder / "params.yaml"
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    *above, last = key.split(".")
    entry = raw
    for name in above:
        entry = entry[name]
    entry[last] = value
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")


def test_the_number_of_workers_computes_nothing(changing):
    change(changing, "embeddings.lesions-tiny.workers", 1)
    assert worked(changing, "compare@lesions") == set()


def test_what_a_shift_is_judged_by_shifts_no_image(changing):
    change(changing, "audits.lesions-tiny.shortcut.min_drop", 0.07)
    # The plan is written anew and says the same.
    done = worked(changing, "compare@lesions")
    assert {"plan_shifts", "shortcut"} <= done and not done & COSTLY


def test_an_audit_of_another_dataset_computes_nothing(changing):
    raw = yaml.safe_load((changing / "params.yaml").read_text(encoding="utf-8"))
    change(changing, "audits.scenes-again", raw["audits"]["scenes-tiny"])
    assert worked(changing, "compare@lesions") == set()


def test_the_note_on_a_model_is_for_those_who_show_it(changing):
    change(changing, "models.tiny.note", "Trained on few pictures.")
    done = worked(changing, "compare@lesions")
    assert {"report"} <= done <= {"report", "publish", "compare"}


def test_a_term_of_the_vocabulary_embeds_no_image(changing):
    with (changing / "vocabularies/dermoscopy.csv").open("a", encoding="utf-8") as file:
        file.write("a red stain,,\n")
    done = worked(changing, "compare@lesions")
    assert done & COSTLY == {"embed_concepts"}
    assert {"label", "failures"} <= done
    assert not done & {"embed_texts", "probe", "reference"}


def test_a_licence_is_for_those_who_show_it(changing):
    (changing / "data/raw/lesions/LICENSE.txt").unlink(missing_ok=True)
    change(changing, "datasets.lesions.licence", "CC0")
    # `validate` reads dataset.json for the version of the planted truth.
    done = worked(changing, "compare@lesions")
    assert {"prepare", "report"} <= done <= {"prepare", "validate", "report", "publish", "compare"}


def test_a_template_of_prompts_is_for_those_who_ask_them(changing):
    change(changing, "datasets.lesions.templates", ["{}", "a photo of a {}"])
    done = worked(changing, "compare@lesions")
    assert done & COSTLY == {"encode"}
    assert {"embed_texts", "reference", "failures", "report"} <= done
    assert not done & {"label", "probe"}


def test_another_audit_of_a_model_on_a_dataset_shares_its_embeddings(changing):
    audit = yaml.safe_load((changing / "params.yaml").read_text())["audits"]["lesions-tiny"]
    again = audit | {"sae": audit["sae"] | {"k": 4}, "shortcut": None}
    change(changing, "audits.lesions-again", again)
    reviews = changing / "reviews"
    shutil.copy(reviews / "lesions-tiny.csv", reviews / "lesions-again.csv")
    shutil.copytree(reviews / "lesions-tiny", reviews / "lesions-again")
    stages = ("perturb", "stability", "encode", "embed_texts")
    done = worked(changing, *(f"{stage}@lesions-again" for stage in stages))
    # No shifted images are asked for, so that `perturb` writes an empty folder.
    trained = {"train_sae", "train_further", "stability"}
    assert done == trained | {"plan_shifts", "perturb", "embed_texts", "encode"}
    assert list((changing / "data/embeddings/lesions-again-perturbed").iterdir()) == []
    rest = worked(changing, "compare@lesions")
    assert {"failures", "report", "publish", "compare"} <= rest and not rest & COSTLY


def test_the_name_of_a_class_is_for_texts_and_audits(changing):
    names = "label,name\nMEL,a bad one\nNV,mole\nBCC,basal cell carcinoma\nBKL,keratosis\n"
    (changing / "data/raw/lesions/classes.csv").write_text(names, encoding="utf-8")
    assert worked(changing, *BEFORE_AUDITS) == {"prepare", "embed_texts", "encode"}


def test_what_counts_as_the_same_component_trains_nothing(changing):
    change(changing, "audits.lesions-tiny.stability.cosine", 0.6)
    assert worked(changing, *BEFORE_AUDITS) == {"stability"}


def test_splits_are_for_those_who_learn(changing):
    change(changing, "datasets.lesions.splits", {"train": 0.6, "val": 0.4})
    done = worked(changing, *BEFORE_AUDITS)
    trained = {"train_sae", "train_further", "stability"}
    assert done == trained | {"prepare", "plan_shifts", "perturb", "encode"}


def test_a_comment_in_the_code_computes_nothing_that_costs_hours(changing):
    for name in ("artifacts/store", "attribution/head", "config/samples", "sae/training"):
        with (changing / "pipeline" / f"{name}.py").open("a", encoding="utf-8") as file:
            file.write("# a comment\n")
    done = worked(changing, *BEFORE_AUDITS)
    assert done & COSTLY == set()
    assert "embed_texts" in done, "a cheap stage depends on what it imports"


def test_the_number_of_a_recipe_computes_what_it_covers(changing):
    path = changing / "recipes.yaml"
    text = path.read_text(encoding="utf-8")
    assert "\nencode: 1 " in text
    path.write_text(text.replace("\nencode: 1 ", "\nencode: 2 "), encoding="utf-8")
    assert worked(changing, *BEFORE_AUDITS) == {"encode"}
