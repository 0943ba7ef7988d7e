"""The report, rendered from a small invented audit."""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from audits.report import charts, wording
from audits.report.__main__ import settings_of, write_report
from audits.report.gallery import Gallery
from audits.report.metrics import merge, rounded
from audits.report.page import Settings, cell
from audits.report.provenance import git_state, lock_hashes
from audits.report.sources import input_paths, read_sources
from pipeline.config import load_params
from pipeline.store import write_json, write_table

AUDIT, DATASET = "zoo-small", "zoo"
CLASSES = [
    {"label": "bat", "name": "bat, flying mammal", "short": "bat"},
    {"label": "bold", "name": "<b>, a tag", "short": "<b>"},
    {"label": "club", "name": "cricket club | stick", "short": "club|stick"},
]
FORMS = ("short", "templates", "extended", "both", "linear")
FINDINGS = [
    # id, class, component, component_label, mode, score, confirmed, verdict
    ("f-0007", "bold", 31, "<script>alert(1)</script>", "typography", 9.0, False, ""),
    ("f-0001", "bat", 12, "cricket bat", "polysemy", 4.5, True, "polysemy"),
    ("f-0003", "club", 5, "", "spurious", 7.25, True, ""),
]


def image_ids(label: str) -> list[str]:
    return [f"val/{label}/{i}" for i in range(5)]


def build(
    root: Path, *, shortcut: bool = True, planted: bool = True, findings: bool = True
) -> None:
    """Leave under root what the stages of an audit leave."""
    data = root / "data"
    _dataset(root)
    write_json(
        data / "heads" / AUDIT / "model.json",
        {
            "name": "ViT-test",
            "model": "test",
            "pretrained": "tag-1",
            "weights_sha256": "ab" * 32,
            "preprocessing": {"size": 64, "mean": [0.5, 0.5, 0.5]},
            "d_pre": 48,
            "d_post": 32,
            "device": "cpu",
            "dtype": "float32",
            "precision": "float32",
            "cosine_to_float32": 1.0,
            "parameters": 9_700_000,
            "note": "Fine-tuned on the zoo's own pictures.",
        },
    )
    _sae(data)
    audit = data / "audits" / AUDIT
    rows = FINDINGS if findings else []
    _findings(audit, rows)
    _faithfulness(audit / "faithfulness")
    _concepts(audit / "concepts")
    _shortcut(audit / "shortcut", applies=shortcut)
    _validate(audit / "validate", planted, shortcut)


def _dataset(root: Path) -> None:
    rows = []
    for shade, entry in enumerate(CLASSES):
        for i, image_id in enumerate(image_ids(entry["label"])):
            path = root / "raw" / f"{image_id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), (80 * shade, 50 * i, 90)).save(path)
            rows.append((image_id, f"{image_id}.png", "val", entry["label"]))
    manifest = pd.DataFrame(rows, columns=["image_id", "path", "split", "label"])
    folder = root / "data" / "manifests" / DATASET
    write_table(folder / "manifest.parquet", manifest)
    about = {
        "name": DATASET,
        "fingerprint": "0123456789abcdef" * 4,
        "counts": {"images": 15, "splits": {"val": 15}, "labels": {}, "groups": 15},
        "classes": CLASSES,
        "licence": None,
        "excluded_classes": [{"label": "gnu", "reason": "it has no train image"}],
        "excluded": [{"path": "val/bat/broken.png", "reason": "truncated <image>"}],
    }
    write_json(folder / "dataset.json", about)


def _sae(data: Path) -> None:
    folder = data / "saes" / AUDIT
    columns = ["epoch", "loss", "explained_variance", "cosine", "l0", "alive_fraction"]
    curves = [(1, 0.5, 0.6, 0.8, 4.0, 0.99), (2, 0.2, 0.9, 0.95, 4.0, 0.97)]
    write_table(folder / "curves.csv", pd.DataFrame(curves, columns=columns))
    sae = {"explained_variance": 0.9123456789, "alive_fraction": 0.97, "cosine": 0.95, "l0": 4.0}
    write_json(data / "audits" / AUDIT / "sae" / "metrics.json", {"sae": sae})
    labels = pd.DataFrame(
        {
            "component": [31, 5, 12],
            "label": ["x", None, "cricket bat"],
            "alignment": [0.1, float("nan"), 0.3125],
            "clarity": [0.2, float("nan"), 0.7],
            "activations": [30, 3, 50],
            "mean_top20": [1.0, 0.1, 5.0],
            "top_images": [image_ids("bold"), [], image_ids("bat")],
        }
    )
    write_table(data / "labels" / f"{AUDIT}.parquet", labels)


def _findings(audit: Path, rows: list[tuple[Any, ...]]) -> None:
    table = pd.DataFrame(
        rows,
        columns=[
            "finding_id",
            "class",
            "component",
            "component_label",
            "mode",
            "score",
            "confirmed",
            "verdict",
        ],
    )
    table["images"], table["max_z"], table["q_value"], table["stability"] = 17, 21.5, 0.003, None
    table["example_ids"] = " ".join(image_ids("bat")[:2] + image_ids("club")[:3])
    write_table(audit / "failures" / "findings.csv", table)
    reason = "the images' own classes say so"
    evidence = {
        row[0]: {"mode_reason": reason, "shows": row[3], "images": image_ids("bat")} for row in rows
    }
    write_json(audit / "failures" / "evidence.json", evidence)
    confirmed = int(table["confirmed"].sum()) if rows else 0
    failures = {
        "flags": 2 * len(rows),
        "findings": len(rows),
        "confirmed": confirmed,
        "expected_false_flags": 0.25,
    }
    write_json(audit / "failures" / "metrics.json", {"failures": failures})
    auc = {"spurious_auc": 0.625, "spurious_sem": 0.03, "valid_auc": 0.96875, "valid_sem": 0.01}
    better = auc | {"spurious_auc": 0.875}
    by_form = {form: better if form == "both" else auc for form in FORMS}
    single = {form: {"spurious_auc": 0.5, "valid_auc": 0.9} for form in FORMS}
    robustness: dict[str, Any] = {"by_mode": {}, "findings": 0}
    if rows:
        robustness = {**by_form, "by_mode": {"polysemy": single}, "findings": len(rows)}
    accuracy = {"short": 0.8}
    found = {"robustness": robustness, "accuracy": accuracy}
    write_json(audit / "robustness" / "metrics.json", found)
    forms = [(row[0], form, 0.61, 0.97) for row in rows for form in FORMS]
    columns = ["finding_id", "form", "spurious_auc", "valid_auc"]
    write_table(audit / "robustness" / "findings.csv", pd.DataFrame(forms, columns=columns))


def _faithfulness(folder: Path) -> None:
    rows = []
    for protocol, sign in (("deletion_local", -1), ("insertion_local", 1)):
        for rank, method in enumerate(("act_grad", "energy", "random")):
            rows += [
                (protocol, method, step, 0.3 + sign * 0.02 * step / (1 + rank), 0.002)
                for step in range(4)
            ]
    columns = ["protocol", "method", "step", "y", "sem"]
    write_table(folder / "curves.csv", pd.DataFrame(rows, columns=columns))
    auc = {
        name: {"auc": value, "sem": 0.001}
        for name, value in (("act_grad", 0.21), ("energy", 0.25), ("random", 0.28))
    }
    faithfulness = {
        "deletion_local": auc,
        "insertion_local": auc,
        "error_dropped": {"deletion_local": auc, "insertion_local": auc},
        "ablation_correlation": {"act_grad": 0.9},
    }
    write_json(folder / "metrics.json", {"faithfulness": faithfulness})


def _concepts(folder: Path) -> None:
    concepts = {
        "components": 60,
        "hidden": 2,
        "clarity_activation_correlation": 0.7,
        "unique_labels": {"sae": 40, "pca": 9, "neuron": 11},
    }
    write_json(folder / "metrics.json", {"concepts": concepts})
    columns = ["component", "label", "alignment", "clarity", "group", "mean_top20", "top_images"]
    ids = " ".join(image_ids("club"))
    rows: list[tuple[Any, ...]] = [
        (8, "stick", 0.05, 0.3, "low", 6.0, ids),
        (9, "wing", 0.04, 0.8, "high", 5.0, ids),
    ]
    write_table(folder / "hidden.csv", pd.DataFrame(rows, columns=columns))


def _shortcut(folder: Path, applies: bool) -> None:
    def side(standard: float, robust: float) -> dict[str, Any]:
        return {
            "standard": {"mean": standard, "sem": 0.02},
            "robust": {"mean": robust, "sem": 0.02},
        }

    accuracy = {
        "plain": {"positive": side(0.81, 0.79), "negative": side(0.68, 0.7)},
        "added": {"positive": side(0.59, 0.74), "negative": side(0.83, 0.72)},
        "removed": {"positive": side(0.84, 0.8), "negative": side(0.6, 0.69)},
    }
    shares = {"12": {"share": 0.061, "label": "red hue"}, "5": {"share": 0.03, "label": "border"}}
    red = {"component": 12, "rise": 1.5}
    metrics = {"shortcut": {**shares, "accuracy": accuracy, "auroc": 0.83, "red": red}}
    write_json(folder / "metrics.json", metrics if applies else {})
    columns = ["component", "label", "kind", "share", "rank", "suspect", "top_images"]
    ids = " ".join(image_ids("bold"))
    rows = [
        (12, "red hue", "colour", 0.061, 1, True, ids),
        (5, "border", "lesion", 0.03, 2, False, ids),
    ]
    table = pd.DataFrame(rows if applies else [], columns=columns)
    write_table(folder / "components.csv", table)


def _validate(folder: Path, planted: bool, shortcut: bool) -> None:
    columns = ["plant", "class", "mode", "images", "spurious_auc", "fallen", "found", "finding_ids"]
    columns += ["component", "encoding_auc", "rank"]
    rows: list[tuple[Any, ...]] = [
        ("polysemy-bat", "bat", "polysemy", 20, 0.71, True, True, "f-0001", None, None, None),
        ("spurious-club", "club", "spurious", 18, 0.88, True, False, "", None, None, None),
        ("typography-bold", "bold", "typography", 22, 0.99, False, False, "", None, None, None),
    ]
    metrics: dict[str, Any] = {"failures": {"planted": {"recall": 0.5, "precision": 2 / 3}}}
    if shortcut:
        rows.append(("red-hue", "bat", "shortcut", 9, None, None, None, "", 12, 0.98, 1))
        found = {"component": 12, "encoding_auc": 0.98, "rank": 1}
        metrics["shortcut"] = {"planted": {"red-hue": found}}
    write_table(folder / "plants.csv", pd.DataFrame(rows if planted else [], columns=columns))
    write_json(folder / "metrics.json", metrics if planted else {})


Render = Callable[..., Path]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Render:
    """Build an audit, write its report, return the folder."""
    monkeypatch.chdir(tmp_path)

    def make(positive: str | None = "bat", **kinds: bool) -> Path:
        build(tmp_path, **kinds)
        settings = Settings(tmp_path / "raw", 3, 16, 64, 4, positive)
        write_report(AUDIT, DATASET, settings, seed=7)
        return tmp_path / "reports" / AUDIT

    return make


def test_page_loads_nothing_from_outside(report: Render) -> None:
    html = (report() / "report.html").read_text()
    loads = re.findall(r"""(?:src|href|xlink:href|srcset|action|data)=["']([^"']*)""", html)
    assert len(loads) > 20
    assert all(load.startswith(("data:image/jpeg;base64,", "#")) for load in loads)
    assert not re.search(r"url\(|@import|https?:", html)
    anchors = {load[1:] for load in loads if load.startswith("#")}
    assert anchors <= set(re.findall(r' id="([^"]*)"', html))


def test_page_escapes_names_from_the_data(report: Render) -> None:
    html = (report() / "report.html").read_text()
    assert "<script>alert" not in html
    assert "<b></b>" not in html
    assert "“<b>”" not in html
    assert "&lt;b&gt;" in html
    assert "truncated &lt;image&gt;" in html


def test_every_finding_is_in_both_renderings(report: Render) -> None:
    folder = report()
    html, markdown = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for row in FINDINGS:
        assert f'id="{row[0]}"' in html
        assert f"| {row[0]} |" in markdown
    # Confirmed ones first, then in the order of the stage.
    places = [
        html.index(f'<article class="card" id="{row}"') for row in ("f-0001", "f-0003", "f-0007")
    ]
    assert places == sorted(places)


def test_findings_past_the_budget_stay_listed(
    report: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audits.report.gallery.BUDGET_BYTES", 0)
    html = (report() / "report.html").read_text()
    assert '<article class="card"' not in html
    assert "3 more, without pictures" in html
    for row in FINDINGS:
        assert f'<tr id="{row[0]}">' in html


def test_headline_says_how_many_classes(report: Render) -> None:
    html = unescape((report(shortcut=False) / "report.html").read_text())
    assert "<h1>On 2 of 3 classes, this model also answers to something else</h1>" in html
    assert "Two of three findings held up on images not used to find them" in html
    assert "62% of the time with the short class name" in html
    assert "88% with the full class name in templates" in html
    assert "the model falls for 2, and the audit found 1 of these" in html


def test_a_card_has_the_label_of_its_own_component(report: Render) -> None:
    html = (report() / "report.html").read_text()
    card = html[html.index('id="f-0001"') : html.index('id="f-0003"')]
    assert "<dt>fit of the label</dt><dd>0.31</dd>" in card
    assert "cricket bat" in card
    assert "up to 21.5 standard deviations" in card
    assert "Labelled club|stick (3), bat (2)" in card
    assert 'Short name <b class="low">61%</b>' in card


def test_headline_of_a_classifier_is_its_shortcut(report: Render) -> None:
    html = unescape((report() / "report.html").read_text())
    assert "<h1>The bat classifier leans on “red hue”, its strongest component</h1>" in html
    assert "One suspect component carries 6.1% of the relevance" in html
    assert "accuracy on bat from 81% to 59%" in html
    assert "from 79% to 74%" in html
    assert "component 12 (red hue) answers most to added red" in html
    assert "red-hue in component 12, number 1 by relevance" in html


def test_sections_that_do_not_apply_say_so(report: Render) -> None:
    folder = report(positive=None, shortcut=False, planted=False, findings=False)
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text()
        assert "No failure was found on 3 classes" in text
        assert "this audit has no classifier to look into" in text
        assert "nothing was planted in this dataset" in text
        assert "no finding has enough validation images" in text


def test_two_runs_write_the_same_bytes_and_nothing_of_the_machine(
    report: Render, tmp_path: Path
) -> None:
    folder = report()
    first = {name: (folder / name).read_bytes() for name in ("report.md", "metrics.json")}
    assert {name: (report() / name).read_bytes() for name in first} == first
    for text in first.values():
        assert str(tmp_path).encode() not in text
    source = tmp_path / "data" / "audits" / AUDIT / "failures" / "findings.csv"
    assert (folder / "findings.csv").read_bytes() == source.read_bytes()


def test_metrics_are_those_of_all_stages(report: Render) -> None:
    metrics = json.loads((report() / "metrics.json").read_text())
    assert metrics["dataset"] == {"images": 15}
    assert metrics["sae"]["explained_variance"] == 0.912346
    assert metrics["failures"]["flags"] == 6
    assert metrics["failures"]["planted"] == {"precision": 0.666667, "recall": 0.5}
    assert metrics["shortcut"]["accuracy"]["added"]["positive"]["standard"]["mean"] == 0.59
    stages = {"concepts", "failures", "faithfulness", "robustness", "shortcut"}
    assert set(metrics) == {"accuracy", "dataset", "sae", *stages}


def test_provenance_names_code_weights_and_versions(report: Render, tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(
        f"""
schema: '2.0'
stages:
  label@{AUDIT}:
    cmd: x
    deps: [{{path: data/raw/zoo, hash: md5, md5: 11.dir}}]
    outs: [{{path: data/labels/{AUDIT}.parquet, hash: md5, md5: '22'}}]
"""
    )
    origin = json.loads((report() / "provenance.json").read_text())
    assert origin["model"]["weights_sha256"] == "ab" * 32
    assert origin["dataset"]["fingerprint"].startswith("0123")
    assert origin["seeds"] == {"seed": 7}
    assert origin["dvc_lock"][f"label@{AUDIT}"]["deps"] == {"data/raw/zoo": "11.dir"}
    assert {"torch", "open_clip_torch", "dvc", "mlflow", "pyarrow"} <= set(origin["packages"])


@pytest.mark.parametrize("path", [str(path) for path in input_paths(AUDIT, DATASET)])
def test_a_missing_input_names_the_file_and_its_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    build(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path(path).unlink()
    stage = input_paths(AUDIT, DATASET)[Path(path)]
    with pytest.raises(FileNotFoundError, match=re.escape(path)) as error:
        read_sources(AUDIT, DATASET)
    assert f"dvc repro {stage}" in str(error.value)


def test_a_missing_image_or_column_is_named(tmp_path: Path, report: Render) -> None:
    report()
    settings = Settings(tmp_path / "raw", 3, 16, 64, 4, "bat")
    (tmp_path / "raw" / "val" / "bat" / "0.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"val/bat/0\.png"):
        write_report(AUDIT, DATASET, settings, seed=7)
    write_table(
        tmp_path / "data" / "audits" / AUDIT / "concepts" / "hidden.csv",
        pd.DataFrame({"component": [1]}),
    )
    with pytest.raises(ValueError, match=r"hidden\.csv lacks the columns \['label'"):
        write_report(AUDIT, DATASET, settings, seed=7)


def test_classes_that_look_like_numbers_stay_text(tmp_path: Path) -> None:
    build(tmp_path)
    path = tmp_path / "data" / "audits" / AUDIT / "failures" / "findings.csv"
    table = pd.read_csv(path)
    table["class"], table["verdict"] = 7, None
    write_table(path, table)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        findings = read_sources(AUDIT, DATASET).findings
    assert list(findings["class"]) == ["7"] * 3
    assert list(findings["verdict"]) == [""] * 3
    assert findings["example_ids"][0] == image_ids("bat")[:2] + image_ids("club")[:3]


def test_settings_come_from_params() -> None:
    params = load_params(Path(__file__).parents[2] / "params.yaml")
    for name, audit in params.audits.items():
        settings = settings_of(params, name)
        assert settings.root == params.datasets[audit.dataset].root
        assert (settings.positive is None) == (audit.shortcut is None)
        assert (settings.components, settings.k) == (audit.sae.components, audit.sae.k)
        assert (settings.gallery, settings.thumbnail) == (
            audit.report.gallery,
            audit.report.thumbnail,
        )


def test_what_was_left_out_is_told(report: Render) -> None:
    folder = report()
    html = (folder / "report.html").read_text()
    assert "<code>val/bat/broken.png</code>" in html
    assert "All of class <b>gnu</b>: it has no train image" in html
    assert "not stated" in html
    assert "| class left out | gnu: it has no train image |" in (folder / "report.md").read_text()


def test_merge_joins_branches_and_refuses_a_leaf_twice() -> None:
    assert merge([{"a": {"b": 1}}, {"a": {"c": 2}, "d": 3}]) == {"a": {"b": 1, "c": 2}, "d": 3}
    for second in ({"a": {"b": 1}}, {"a": 2}):
        with pytest.raises(ValueError, match=r"a"):
            merge([{"a": {"b": 1}}, second])
    with pytest.raises(ValueError, match=r"a\.b"):
        merge([{"a": {"b": 1}}, {"a": {"b": {"c": 2}}}])


def test_rounded_keeps_six_digits_of_floats_only() -> None:
    tree = {"a": 0.123456789, "b": [12345678.9, 1234567], "c": "0.123456789", "d": True}
    assert rounded(tree) == {
        "a": 0.123457,
        "b": [12345700.0, 1234567],
        "c": "0.123456789",
        "d": True,
    }


def test_lock_hashes_follows_dependencies_upwards_only() -> None:
    lock = {
        "stages": {
            "prepare": {"outs": [{"path": "data/m", "hash": "md5", "md5": "1.dir"}]},
            "embed": {
                "deps": [{"path": "data/m/manifest.parquet", "md5": "2"}],
                "outs": [{"path": "data/x", "md5": "3"}],
            },
            "other": {
                "deps": [{"path": "data/x", "md5": "3"}],
                "outs": [{"path": "data/xy", "md5": "4"}],
            },
        }
    }
    assert lock_hashes(lock, ["data/x/model.json"]) == {
        "embed": {"deps": {"data/m/manifest.parquet": "2"}, "outs": {"data/x": "3"}},
        "prepare": {"deps": {}, "outs": {"data/m": "1.dir"}},
    }


def test_git_state_outside_a_checkout_is_none(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {"commit": None, "dirty": None}


def test_gallery_scales_down_and_spreads_over_a_class(tmp_path: Path) -> None:
    build(tmp_path)
    manifest = pd.read_parquet(tmp_path / "data" / "manifests" / DATASET / "manifest.parquet")
    manifest.loc[manifest["image_id"] == "val/bold/1", "label"] = None
    gallery = Gallery(manifest, tmp_path / "raw", {"bat": "bat", "bold": "b", "club": "c"}, 16)
    images = gallery.of_class("bat", 2)
    assert [image.image_id for image in images] == ["val/bat/0", "val/bat/2"]
    assert gallery.spent == sum(len(image.uri) for image in images)
    assert gallery.of_class("nothing", 2) == []
    assert [image.label for image in gallery.images(["val/bold/1", "val/bold/2"], 2)] == [
        "no label",
        "b",
    ]
    with pytest.raises(ValueError, match="val/bat/99"):
        gallery.images(["val/bat/99"], 1)


def test_interval_chart_places_values_on_its_axis() -> None:
    rows = [
        charts.Row("a <form>", (charts.Interval(0.5, 0.0), charts.Interval(1.0, 0.0))),
        charts.Row("b", (charts.Interval(0.75, 0.0), None)),
    ]
    svg = charts.intervals(rows, ("valid", "spurious"), "T", charts.axis_start(rows), 500)
    x = [float(value) for value in re.findall(r'<circle cx="([\d.]+)"', svg)]
    edges = [float(value) for value in re.findall(r'<rect x="([\d.]+)"', svg)]
    assert x[1] - x[0] > 20
    assert x[1] - x[0] == pytest.approx((edges[0] + 5 - x[0]) * (0.25 / 0.5), abs=0.2)
    assert max(float(value) for value in re.findall(r' x="([\d.]+)"', svg)) <= 500
    assert 'viewBox="0 0 500 ' in svg
    assert "a &lt;form&gt;" in svg
    assert svg.count("n/a") == 1
    with pytest.raises(ValueError, match="no values"):
        charts.intervals([charts.Row("a", (None,))], ("valid",), "T", 0.5, 500)


def test_line_chart_names_each_curve_apart() -> None:
    curve = charts.Line("one", (0.0, 1.0), (0.2, 0.4), (0.0, 0.0))
    other = charts.Line("two", (0.0, 1.0), (0.2, 0.4), (0.1, 0.1))
    svg = charts.lines([curve, other], "T", "steps")
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" class="label"', svg)]
    assert len(heights) == 2
    assert abs(heights[0] - heights[1]) >= 16
    assert svg.count("<polygon") == 1
    # Three names that all want the top stay inside the drawing.
    svg = charts.lines([curve, curve, curve], "T", "steps")
    heights = [float(y) for y in re.findall(r'y="([\d.]+)" class="label"', svg)]
    assert min(heights) >= 14
    with pytest.raises(ValueError, match="no points"):
        charts.lines([], "T", "steps")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0%"), (0.0612, "6.1%"), (0.625, "62%"), (0.997, "99%"), (1.0, "100%"), (-0.2, "-20%")],
)
def test_percent(value: float, text: str) -> None:
    assert wording.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12.345, "12.3"),
        (123456.0, "123,456"),
        (3e-7, "3.0e-07"),
        (float("nan"), "n/a"),
        (None, "n/a"),
    ],
)
def test_decimal(value: float | None, text: str) -> None:
    assert wording.decimal(value) == text


def test_failures_summary_counts_in_words() -> None:
    metrics = {"flags": 1, "findings": 1, "confirmed": 0, "expected_false_flags": 0.254}
    assert wording.failures_summary(metrics, []) == (
        "The one finding did not hold up on images not used to find it. "
        "Behind it is one flag, where chance alone would give 0.25."
    )


def test_robustness_summary_does_not_claim_a_gain_there_is_not() -> None:
    same = {form: {"spurious_auc": 0.9} for form in ("short", "both")}
    assert "No other prompt does better" in wording.robustness_summary(same)


@pytest.mark.parametrize(
    ("parts", "text"),
    [([], ""), (["a, b"], "a, b"), (["a", "b, c"], "a and b, c"), (["a", "b", "c"], "a, b and c")],
)
def test_listed(parts: list[str], text: str) -> None:
    assert wording.listed(parts) == text


def test_cell_keeps_a_table_whole() -> None:
    assert cell("a|b <i>\n*c*") == "a\\|b &lt;i> \\*c\\*"
