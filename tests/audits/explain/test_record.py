"""The explanation as JSON, held to the audit's cached artifacts."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from audits.inputs import load_inputs
from audits.reference.expected import class_relevance
from pipeline import layout
from pipeline.artifacts.store import write_table
from pipeline.attribution.head import cosine_outputs
from tests.audits.explain.invented import CLASSES, explained, params

HALF = 1e-3
"""Relative precision of stored codes, twice that of half precision."""


def test_an_image_of_the_dataset_has_the_numbers_of_the_cached_artifacts(audited, capsys):
    found = explained(capsys, "--image", "raw/n02/10.png", "--class", "n01", "--class", "n03")
    assert found["image"]["in_dataset"] == {"image_id": "id10", "split": "val", "label": "n02"}
    inputs = load_inputs(params(), "a")
    row = torch.tensor([inputs.images["image_id"].tolist().index("id10")])
    y = cosine_outputs(inputs.tokens(row), inputs.texts["short"], inputs.head)[0]
    ((component,), (activations,)) = inputs.coded(row)
    for position, explanation in zip((0, 2), found["explanations"], strict=True):
        assert explanation["y"] == pytest.approx(float(y[position]), abs=1e-6)
        t = inputs.texts["short"][position]
        cached = class_relevance(inputs, row, t)[0].tolist()
        slots = component.tolist()
        activation = dict(zip(slots, activations.tolist(), strict=True))
        relevance = dict(zip(slots, cached, strict=True))
        here = {c["component"]: c for c in explanation["components"]}
        assert set(here) == set(slots)
        for j in slots:
            assert here[j]["activation"] == pytest.approx(activation[j], rel=HALF)
            assert here[j]["relevance"] == pytest.approx(relevance[j], rel=HALF, abs=1e-6)
    usual = inputs.split("train") & (inputs.class_index == 2)
    own = cosine_outputs(inputs.tokens(usual), inputs.texts["short"][2, None], inputs.head)
    assert found["explanations"][1]["usual"]["y_mean"] == pytest.approx(float(own.mean()), abs=1e-5)
    assert found["explanations"][1]["usual"]["images"] == 3
    scores = {score["class"]: score["y"] for score in found["class_scores"]}
    direct = {c["label"]: float(v) for c, v in zip(CLASSES, y, strict=True)}
    assert scores == pytest.approx(direct, abs=1e-6)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)


def test_any_image_and_any_prompt_will_do(audited, capsys):
    Image.effect_noise((200, 31), 60).save("mine.webp")
    found = explained(capsys, "--image", "mine.webp", "--prompt", "a photo", "--prompt", "bat")
    assert found["image"]["in_dataset"] is None
    assert [e["prompt"] for e in found["explanations"]] == ["a photo", "bat"]
    assert [e["class"] for e in found["explanations"]] == [None, None]
    by_class = explained(capsys, "--image", "mine.webp", "--class", "n01")["explanations"][0]
    assert by_class["prompt"] == "bat"
    assert found["explanations"][1]["y"] == pytest.approx(by_class["y"], abs=1e-6)


def test_a_prompt_of_ones_own_is_of_no_class(audited, capsys):
    found = explained(capsys, "--image", "raw/n02/10.png", "--prompt", "<b>")["explanations"][0]
    assert {f["of_class"] for c in found["components"] for f in c["findings"]} == {False}


def test_components_carry_what_the_audit_knows_of_them(audited, capsys):
    found = explained(capsys, "--image", "raw/n02/10.png", "--class", "n02")["explanations"][0]
    inputs = load_inputs(params(), "a")
    row = torch.tensor([inputs.images["image_id"].tolist().index("id10")])
    best, unnamed, part, *others = inputs.coded(row).component[0].tolist()
    here = {c["component"]: c for c in found["components"]}
    for j in (best, part):
        assert here[j]["label"] == f"thing {j} <i>"
        assert here[j]["findings"] == [
            {
                "finding_id": f"n02-{best}",
                "class": "n02",
                "mode": "polysemy",
                "confirmed": True,
                "of_class": True,
            }
        ]
    assert here[unnamed]["label"] is here[unnamed]["alignment"] is None
    assert here[unnamed]["top_images"] == []
    assert all(here[j]["findings"] == [] for j in (unnamed, *others))
    assert {c["stability"] for c in found["components"]} == {None}


def test_json_holds_all_that_is_documented(audited, capsys):
    """Of tables in single precision, as the stages write them."""
    path = layout.audit("a", "stability") / "components.parquet"
    table = pd.read_parquet(path)
    measured = (table["component"] / 100).where(table["component"] % 2 == 0).astype("float32")
    write_table(path, table.assign(stability=measured))
    labels = pd.read_parquet(layout.labels("a"))
    single = labels.assign(
        **{key: labels[key].astype("float32") for key in ("alignment", "clarity")}
    )
    write_table(layout.labels("a"), single)
    found = explained(capsys, "--image", "raw/n01/0.png", "--class", "n01")
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    documented = readme[readme.index("`--json` prints") :].partition("\n\n")[0]
    (explanation,) = found["explanations"]
    for keys in (found, explanation, explanation["components"][0]):
        assert [key for key in keys if f"`{key}`" not in documented] == []
    stability = {c["component"]: c["stability"] for c in explanation["components"]}
    assert {j % 2 for j, value in stability.items() if value is None} <= {1}
    assert {type(value) for value in stability.values()} <= {float, type(None)}


def test_stability_is_shown_once_it_is_measured(audited, capsys):
    path = layout.audit("a", "stability") / "components.parquet"
    table = pd.read_parquet(path)
    write_table(path, table.assign(stability=table["component"] / 100))
    found = explained(capsys, "--image", "raw/n01/0.png", "--class", "n01")["explanations"][0]
    for component in found["components"]:
        assert component["stability"] == pytest.approx(component["component"] / 100)
