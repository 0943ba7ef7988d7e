"""The section on the sparse autoencoder."""

import re
from pathlib import Path

import pandas as pd
import pytest

from audits.report.sections.health import (
    changes_class,
    distrusted,
    figures,
    health,
    sentences,
    trust,
)
from audits.report.sources import read_sources
from tests.audits.report.conftest import settings
from tests.audits.report.invented import AUDIT, build

SAE = {
    "explained_variance": 0.9,
    "cosine": 0.96,
    "l0": 15.5,
    "alive_fraction": 0.75,
    "zero_shot_agreement": 0.95,
}
STABILITY = {"seeds": 3, "matched_fraction": 0.6, "mean_cosine": 0.8}
STABILITY |= {"matched_fraction_apart": 0.55, "image_fraction": 0.15}
COMPONENTS = pd.DataFrame({"component": [3, 1, 2, 0], "stability": [0.9, 0.2, None, 0.5]})


def test_every_figure_says_what_its_ends_mean() -> None:
    found = {figure.name: figure for figure in figures(SAE, 0.25, STABILITY, 16)}
    assert {name: figure.value for name, figure in found.items()} == {
        "explained variance": "0.9",
        "cosine to the input": "0.96",
        "zero-shot agreement": "0.95",
        "active an image (L0)": "15.5",
        "alive": "0.75",
        "dead at the end of training": "0.25",
        "found again from other seeds": "0.6",
        "found again with no image in common": "0.55",
        "among random images": "0.15",
        "cosine over seeds": "0.8",
    }
    for name, figure in found.items():
        if name.startswith("active"):
            assert "k = 16" in figure.meaning
        else:
            assert "0:" in figure.meaning and "1:" in figure.meaning


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.0, "No validation image changes its predicted class"),
        (0.05, "1 in 20 validation images changes its predicted class"),
        (0.0004, "1 in 2,500 validation images changes its predicted class"),
        (0.6, "60% of the validation images change their predicted class"),
    ],
)
def test_a_fraction_of_images_in_words(fraction: float, text: str) -> None:
    assert changes_class(fraction) == text


def test_a_dictionary_is_judged_against_the_model() -> None:
    assert not distrusted(SAE, 0.95)
    assert trust(SAE, 0.9).endswith("The model itself names 10% of them wrong.")
    assert distrusted(SAE, 0.96)
    assert "more than the model itself names wrong (4.0%)" in trust(SAE, 0.96)
    assert not distrusted(SAE, None)
    assert trust(SAE, None).endswith("is replaced by its reconstruction.")
    useless = SAE | {"explained_variance": 0.0}
    assert distrusted(useless, None)
    assert "no better than the mean image" in trust(useless, 0.1)


def test_findings_on_components_that_other_seeds_lack_are_counted() -> None:
    findings = pd.DataFrame({"component": [1, 1, 2, 3]})
    said = " ".join(sentences(SAE, STABILITY, 0.9, COMPONENTS, findings))
    assert "leaves 10% of the variance of x out" in said
    assert "60% of the components are found again" in said
    # Component 2 has no stability; the median of the others is 0.5.
    assert "Of three findings, two rest on a component less stable than half of all." in said
    assert "finding" not in " ".join(sentences(SAE, STABILITY, 0.9, COMPONENTS, findings[:0]))


def test_one_seed_says_nothing_of_stability() -> None:
    nothing = COMPONENTS.assign(stability=float("nan"))
    said = sentences(SAE, {"seeds": 1}, 0.9, nothing, pd.DataFrame({"component": [1]}))
    assert "one seed only" in said[-1]
    assert [figure.value for figure in figures(SAE, 0.0, {"seeds": 1}, 4)][-2:] == ["n/a", "n/a"]


def test_seeds_of_which_nothing_is_alive_are_not_compared() -> None:
    nothing = COMPONENTS.assign(stability=float("nan"))
    dead = {"seeds": 3, "components": 0}
    said = " ".join(sentences(SAE, dead, 0.9, nothing, pd.DataFrame({"component": []})))
    assert "seed" not in said


def test_charts_show_curves_density_and_stability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tmp_path)
    monkeypatch.chdir(tmp_path)
    sources = read_sources(AUDIT, settings(tmp_path))
    curves, loss, density, stability = (chart for *_, chart in health(sources, 4)["charts"])
    assert curves.count("<polyline") == 3 and "Cosine" in curves
    assert loss.count("<polyline") == 1
    # Five cells that are not empty and two bars.
    assert density.count("<rect") == 5 + 2 and ">10%<" in density
    assert stability.count("<rect") == 20
    # Of the findings' components, 31 has no stability.
    assert len(re.findall(r'y1="215.0"', stability)) == 2
