"""A report of an audit of which little could be measured."""

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from audits.report.__main__ import write_report
from audits.report.sections import gaps
from audits.report.sections.shortcut import headline
from pipeline.artifacts.gaps import KEY
from pipeline.artifacts.store import read_json, write_json, write_table
from tests.audits.report.conftest import settings
from tests.audits.report.invented import AUDIT, build

ROOT = Path(__file__).parents[3]


def test_every_figure_that_a_stage_may_leave_out_has_words() -> None:
    code = [
        path.read_text() for part in ("audits", "pipeline") for path in (ROOT / part).rglob("*.py")
    ]
    figures = {name for text in code for name in re.findall(r'measured\(\s*f?"([\w.]+)', text)}
    assert figures >= {"sae", "concepts", "faithfulness.sem", "shortcut.suspect"}
    for figure in figures:
        assert gaps.sentence(figure.rstrip("."), "of this").endswith(", because of this.")


def test_a_reason_stands_in_its_section() -> None:
    found = gaps.gaps({"accuracy": "a", "stability": "b", "planted.red": "c"})
    assert {section: len(texts) for section, texts in found.items() if texts} == {
        "robustness": 1,
        "sae": 1,
        "planted": 1,
    }
    assert gaps.named(found) == ["planted truth", "prompts", "health of the autoencoder"]


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """The report of an audit of a few images without a validation split."""
    monkeypatch.chdir(tmp_path)
    build(tmp_path, shortcut=False, planted=False, findings=False)
    audit = tmp_path / "data/audits" / AUDIT

    def leave(stage: str, metrics: dict, reasons: dict[str, str]) -> None:
        write_json(audit / stage / "metrics.json", {**metrics, KEY: reasons})

    failures = {"flags": 0, "findings": 0, "held": 0, "mistaken": 9, "mistaken_found": 0}
    leave("failures", {"failures": failures}, {"failures": "no class has 2 train images"})
    leave("sae", {"sae": {"alive_fraction": 0.0}}, {"sae": "there are no other images"})
    stability = {"seeds": 3, "components": 0}
    leave("stability", {"stability": stability}, {"stability": "none of 64 components fires"})
    leave("faithfulness", {}, {"faithfulness": "no validation image has a label"})
    concepts = {"components": 0, "left_out": 64, "hidden": 0, "unique_labels": {"sae": 0}}
    reasons = {"concepts": "no component has a name", "concepts.bases": "one image has no axes"}
    leave("concepts", {"concepts": concepts}, reasons)
    robustness = {"by_mode": {}, "differences": {}, "findings": 0, "left_out": 0}
    reasons = {"accuracy": "no image has a label", "robustness.linear": "there is 1 class"}
    leave("robustness", {"robustness": robustness}, reasons)
    leave("shortcut", {}, {"shortcut": "0 of 4 held-out images are 'bat'"})
    for path in (audit / "concepts/hidden.csv", audit / "faithfulness/curves.csv"):
        write_table(path, pd.read_csv(path).iloc[:0])
    curves = tmp_path / "data/saes" / AUDIT / "curves.csv"
    first = pd.read_csv(curves).iloc[:1]
    write_table(curves, first.assign(**dict.fromkeys(first.columns[2:-1], None)))
    density = curves.with_name("density.csv")
    write_table(density, pd.read_csv(density).assign(count=0))
    stable = audit / "stability/components.parquet"
    write_table(stable, pd.read_parquet(stable).assign(stability=float("nan")))

    def report() -> Path:
        write_report(AUDIT, settings(tmp_path), seed=7)
        return tmp_path / "reports" / AUDIT

    return report


def test_the_report_comes_and_says_what_does_not_apply(bare: Callable[[], Path]) -> None:
    folder = bare()
    for name in ("report.html", "report.md"):
        text = unescape((folder / name).read_text()).replace("\\_", "_")
        for sentence in (
            "The search for failures does not apply, because no class has 2 train images.",
            "Faithfulness does not apply, because no validation image has a label.",
            "Hidden concepts do not apply, because no component has a name.",
            "A comparison with other bases does not apply, because one image has no axes.",
            "The linear classifier does not apply, because there is 1 class.",
            "Accuracy does not apply, because no image has a label.",
            "The autoencoder's health on fresh images does not apply, because there are no other",
            "Stability over seeds does not apply, because none of 64 components fires.",
            "The classifier's audit does not apply, because 0 of 4 held-out images are 'bat'.",
            "Failures cannot be looked for on three classes",
            "This dataset does not allow everything to be measured (hidden concepts, failures, ",
        ):
            assert sentence in text, (name, sentence)
        for untrue in (
            "No failure was found",
            "No component was more",
            "has no classifier",
            ">nan<",
        ):
            assert untrue not in text, (name, untrue)
        assert "None: every strong component" not in text
    metrics = read_json(folder / "metrics.json")
    assert len(metrics[KEY]) == 9
    assert "accuracy" not in metrics and "faithfulness" not in metrics
    assert "null" not in (folder / "metrics.json").read_text()


def test_curves_without_standard_errors_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build(tmp_path)
    folder = tmp_path / "data/audits" / AUDIT / "faithfulness"
    write_table(folder / "curves.csv", pd.read_csv(folder / "curves.csv").assign(sem=None))
    metrics = read_json(folder / "metrics.json")["faithfulness"]
    bare = {method: {"auc": found["auc"]} for method, found in metrics["deletion_local"].items()}
    both = {"deletion_local": bare, "insertion_local": bare}
    reasons = {"faithfulness.sem": "6 images cannot make 9 subsets"}
    write_json(
        folder / "metrics.json", {"faithfulness": {**both, "error_dropped": both}, KEY: reasons}
    )
    write_report(AUDIT, settings(tmp_path), seed=7)
    html = (tmp_path / "reports" / AUDIT / "report.html").read_text()
    section = html[html.index('<section id="faithfulness">') : html.index('<section id="hidden">')]
    assert section.count('<svg class="chart"') == 2
    assert "<polygon" not in section and "NaN" not in section and "nan" not in section
    assert "Standard errors do not apply, because 6 images cannot make 9 subsets." in section
    assert "Bands show" not in section and "Correlation with" not in section


ROWS = [{"suspect": False, "kind": kind, "label": "x", "component": 1, "rank": 1} for kind in "aab"]


SIDES = {"positive": "bat", "negative": "the rest"}
NO_SHIFT = "No shift within the range of the images shows a shortcut of the bat classifier"


def test_nothing_suspect_is_said_of_what_was_judged() -> None:
    said = headline("bat", SIDES, ROWS, None, None)
    assert said == f"{NO_SHIFT}; nothing suspect by name among the 3 first candidates"
    unknown = [*ROWS, {**ROWS[0], "kind": ""}]
    assert headline("bat", SIDES, unknown, None, None) == (
        f"{NO_SHIFT}; nothing suspect by name among the 3 that have a kind of the 4 first "
        "candidates"
    )
    named = headline("bat", SIDES, [*ROWS, {**ROWS[0], "suspect": True}], None, None)
    assert named == f"{NO_SHIFT}; by its name “x” should not decide"


def test_what_nothing_judges_is_not_called_innocent() -> None:
    said = headline("bat", SIDES, ROWS, None, "the vocabulary has no kinds: a CSV has")
    assert said == (
        f"{NO_SHIFT}; whether what decides should cannot be judged by name, because the "
        "vocabulary has no kinds"
    )


def test_what_held_out_images_do_not_confirm_is_no_headline() -> None:
    fall = {"proven": False, "kind": "red", "side": "positive", "drop": 0.1, "accuracy": 0.6}
    said = headline("bat", SIDES, ROWS, fall | {"words": "redder"}, None)
    assert said.startswith("That the bat classifier leans on red hue is not confirmed on held-out")
