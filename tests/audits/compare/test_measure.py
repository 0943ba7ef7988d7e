"""Models on the common benchmark."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from audits.compare import measure as module
from audits.compare.benchmark import CommonSet
from audits.compare.measure import measure, measure_all, placed
from audits.robustness.distractors import READY_MADE
from audits.robustness.forms import CLASSIFIER, SETS, fit_linear, form_scores
from audits.robustness.separability import separability
from pipeline import layout
from pipeline.artifacts.store import read_json, write_json, write_table
from tests.audits.robustness.invented import CONFIG, params_of, run


@pytest.fixture
def audits(inputs, permuted, tmp_path, monkeypatch):
    """Two audits that the stage has measured: the images of `two` are in another order."""
    made = {"one": inputs, "two": permuted}
    monkeypatch.chdir(tmp_path)
    ready_made = {"image_id": inputs.images["image_id"][240:246], "label": "n01", "set": "wings"}
    write_table(layout.manifest("scenes") / "distractors.csv", pd.DataFrame(ready_made))
    monkeypatch.setattr(module, "load_inputs", lambda _, name: made[name])
    for name, its in made.items():
        run(monkeypatch, name, its)
    return made


def common(name: str, images: pd.Series, *audits: str, label: str = "n01") -> CommonSet:
    return CommonSet(name, "compound", label, tuple(images), audits)


def test_one_audit_has_the_figures_of_its_report(audits):
    sets, measured = measure_all(params_of("one"), "scenes", ["one"])
    own = read_json(layout.audit("one", "robustness") / "metrics.json")["robustness"]
    del own["left_out"], own["classifier"]
    assert measured["one"].robustness == own
    assert own["by_mode"][READY_MADE]
    assert [found.audits for found in sets] == [("one",)]
    assert measured["one"].found_with_it == own["short"]["spurious_auc"]
    assert measured["one"].found_with_others is None


def test_what_two_audits_found_counts_once(audits):
    sets, measured = measure_all(params_of("one", "two"), "scenes", ["one", "two"])
    assert [found.audits for found in sets] == [("one", "two")]
    one, two = (measured[name].forms["short"]["spurious_auc"] for name in ("one", "two"))
    assert measured["two"].robustness["findings"] == 1
    assert [found.found_with_others for found in measured.values()] == [None, None]
    assert one == pytest.approx(two, abs=1e-5)


def test_a_mean_for_sets_found_with_it_and_with_others(inputs):
    ids, classifier = inputs.images["image_id"], fit_linear(inputs, CONFIG, seed=0)
    parts = {"x": (range(150, 160), "a"), "y": (range(160, 172), "b"), "z": (range(240, 249), "b")}
    sets = [common(name, ids.iloc[rows], audit) for name, (rows, audit) in parts.items()]
    found = measure("b", inputs, classifier, sets, [], CONFIG.min_images)
    scores = dict(form_scores(inputs, torch.arange(len(ids)), classifier))["short"][:, 0]
    auc = {
        name: separability(scores[60:90], scores[rows]).auroc for name, (rows, _) in parts.items()
    }
    assert found.found_with_it == pytest.approx((auc["y"] + auc["z"]) / 2)
    assert found.found_with_others == pytest.approx(auc["x"])
    assert found.forms["short"]["spurious_auc"] == pytest.approx(sum(auc.values()) / 3)
    assert (found.images, found.left_out) == (90, frozenset())


def test_a_set_that_cannot_be_measured_is_no_part_of_the_benchmark(audits):
    params = params_of("one")
    config = params.audits["one"]
    strict = CONFIG.model_copy(update={"min_images": 16})
    params.audits["two"] = config.model_copy(update={"robustness": strict})
    sets, measured = measure_all(params, "scenes", ["one", "two"])
    assert sets == []
    assert measured["one"].left_out == {"one/n01-23", "wings"}  # 15 and 6 images


def test_an_image_or_a_class_that_is_not_there_is_named(inputs):
    ids = inputs.images["image_id"]
    gone = common("a/f", pd.Series([ids[3], "gone.png"]), "a")
    with pytest.raises(ValueError, match=r"^b lacks image gone\.png of the distractors a/f: run"):
        placed([gone], inputs, "b")
    with pytest.raises(ValueError, match=r"^b lacks class n07 of .* `dvc repro publish@b`"):
        placed([common("a/f", ids[:2], "a", label="n07")], inputs, "b")


def test_embeddings_of_fewer_images_are_refused(audits):
    rows = np.delete(np.arange(270), 62)  # a validation image of n01
    few = audits["one"]
    images = few.images.iloc[rows].reset_index(drop=True)
    audits["one"] = replace(few, images=images, x=few.x[rows])
    with pytest.raises(ValueError, match=r"different images \(\{'one': 89, 'two': 90\}"):
        measure_all(params_of("one", "two"), "scenes", ["one", "two"])


def test_an_audit_without_a_linear_classifier_is_measured_by_its_prompts(audits):
    folder = layout.audit("two", "robustness")
    (folder / CLASSIFIER).unlink()
    metrics = read_json(folder / "metrics.json")
    write_json(folder / "metrics.json", metrics | {"does_not_apply": {"robustness.linear": "no"}})
    _, measured = measure_all(params_of("one", "two"), "scenes", ["one", "two"])
    assert set(measured["one"].forms) - set(measured["two"].forms) == {"linear"}


@pytest.mark.parametrize("name", [SETS, CLASSIFIER])
def test_data_that_is_not_there_is_named(audits, name):
    (layout.audit("two", "robustness") / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"two/robustness/{name}.*publish@.*of one, two"):
        measure_all(params_of("one", "two"), "scenes", ["one", "two"])
