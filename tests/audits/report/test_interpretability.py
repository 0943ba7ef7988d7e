"""The section on what components are like."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from audits.report.sections.interpretability import figures, interpretability, logarithmic
from audits.report.sources import read_sources
from tests.audits.report.conftest import settings
from tests.audits.report.invented import AUDIT, build

CONCEPTS: dict[str, Any] = {
    "components": 1060,
    "left_out": 4,
    "clarity": {"sae": 0.554, "pca": 0.12, "neuron": 0.31},
    "monosemanticity": 0.42,
    "unique_labels": {"sae": 1040, "pca": 9, "neuron": 11},
}


def test_figures_are_beside_those_of_other_bases() -> None:
    found = {figure.name: (figure.value, figure.meaning) for figure in figures(CONCEPTS)}
    assert found["components measured"][0] == "1,060"
    assert "4 fire on too few" in found["components measured"][1]
    assert found["clarity"][0] == "0.55"
    assert found["clarity"][1].endswith("; 0.31 of neurons and 0.12 of principal axes")
    assert found["different labels"] == ("1,040", "a count; 11 of neurons and 9 of principal axes")
    assert found["monosemanticity"][0] == "0.42"


def test_what_was_not_measured_is_not_said() -> None:
    bare = {"components": 0, "left_out": 7, "unique_labels": {"sae": 0}}
    found = {figure.name: (figure.value, figure.meaning) for figure in figures(bare)}
    assert found["clarity"][0] == found["monosemanticity"][0] == "n/a"
    assert found["different labels"] == ("0", "a count")


@pytest.fixture
def charts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    monkeypatch.chdir(tmp_path)
    build(tmp_path)
    return list(interpretability(read_sources(AUDIT, settings(tmp_path)))["charts"])


def test_clarity_is_drawn_by_basis_and_by_what_goes_with_it(
    charts: list[tuple[str, str, str]],
) -> None:
    labels = [label for _, label, _ in charts]
    assert labels == [
        "Clarity, of components and of other bases",
        "Different labels, of components and of other bases",
        "Clarity and mean activation of the 5 strongest images, r = 0.70",
        "Clarity and mean activation of all images, logarithmic, r = 0.20",
        "Clarity and share of images that fire it, logarithmic, r = −0.10",
    ]
    by_basis = charts[0][2]
    assert by_basis.count("<polyline") == 3
    for points in re.findall(r'<polyline points="([^"]+)"', by_basis):
        down = [float(point.split(",")[1]) for point in points.split()]
        assert down == sorted(down)  # the clearest first
    assert re.findall(r'class="label"[^>]*>([^<]+)<', by_basis) == ["PCA", "Neurons", "Components"]


def test_without_other_bases_and_correlations_there_is_less_to_draw(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build(tmp_path)
    sources = read_sources(AUDIT, settings(tmp_path))
    concepts = {"components": 2, "left_out": 0, "unique_labels": {"sae": 2}}
    sources.metrics["concepts"] = concepts
    object.__setattr__(sources, "bases", sources.bases[:0])
    labels = [label for _, label, _ in interpretability(sources)["charts"]]
    assert len(labels) == 4 and not any("r = " in label for label in labels)
    object.__setattr__(sources, "labels", sources.labels.assign(label=pd.NA))
    assert interpretability(sources)["charts"] == []


def test_the_section_is_in_both_renderings(report: Callable[..., Path]) -> None:
    folder = report()
    html = (folder / "report.html").read_text()
    section = html[html.index('<section id="interpretability">') : html.index('<section id="sae">')]
    assert section.count('<svg class="chart"') == 5
    assert section.count('href="#n-correlations"') == 4
    said = "mean activation of the 5 strongest images {}, its logarithm {}, its logarithm {}."
    assert said.format("<b>0.70</b>", "<b>0.20</b>", "<b>−0.10</b>") in section
    assert said.format("0.70", "0.20", "−0.10") in (folder / "report.md").read_text()
    assert "| monosemanticity | 0.42 |" in (folder / "report.md").read_text()


def test_a_short_logarithmic_axis_has_ticks_between_powers_of_ten() -> None:
    assert [said for _, said in logarithmic(-3.0, -0.5, percent=True)][:4] == [
        *("0.1%", "1%", "10%", "100%")
    ]
    short = dict(logarithmic(-0.5, 0.3, percent=False))
    assert {"0.5", "1", "2"} <= set(short.values())
    assert min(short) == -1
