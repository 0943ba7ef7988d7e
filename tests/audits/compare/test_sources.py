"""The comparison of a dataset's audits: what it reads, says and flags."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audits.compare import __main__ as stage
from audits.compare import page
from audits.compare.measure import Measured
from audits.compare.sources import audits_of, headline_table, read_compared
from audits.robustness.distractors import READY_MADE
from pipeline.artifacts.store import read_json
from pipeline.config import AuditConfig, ConfigError, DatasetConfig, Params
from tests.audits.compare.invented import (
    LARGE,
    SETS,
    SMALL,
    compared,
    measured,
    page_of,
    write_report,
)


def params_of(**audits: str) -> Params:
    return Params.model_construct(
        seed=0,
        threads=1,
        datasets={name: DatasetConfig.model_construct() for name in {"birds", *audits.values()}},
        audits={
            name: AuditConfig.model_construct(dataset=dataset) for name, dataset in audits.items()
        },
    )


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def two() -> None:
    """Reports; on its own findings the large model is worse, on common sets better."""
    write_report("large", measured(0.4, 3))
    write_report("small", measured(0.5, 3))


def test_the_audits_of_a_dataset_are_those_with_a_report(two):
    params = params_of(small="birds", other="fish", gone="birds", large="birds")
    assert audits_of(params, "birds") == ["small", "large"]


def test_no_report_at_all_is_said(two):
    with pytest.raises(FileNotFoundError, match=r"of fish in params.yaml; it has \['other'\]"):
        audits_of(params_of(small="birds", other="fish"), "fish")


def test_an_unknown_dataset_is_named(two):
    with pytest.raises(ConfigError, match=r"no datasets\.fishes"):
        audits_of(params_of(small="birds"), "fishes")


def test_headline_figures_are_of_the_common_benchmark(two):
    table = headline_table(compared(large=LARGE, small=SMALL))
    assert table["audit"].tolist() == ["large", "small"]
    assert table["short_spurious_auc"].tolist() == [pytest.approx(0.83), pytest.approx(0.61)]
    assert table["linear_spurious_auc"].tolist() == [pytest.approx(0.87), pytest.approx(0.65)]
    assert table["short_valid_auc"].tolist() == [pytest.approx(0.95)] * 2
    assert table["own_findings_spurious_auc"].tolist() == [pytest.approx(0.42), pytest.approx(0.52)]
    assert table["found_with_it_spurious_auc"].tolist() == [0.625] * 2
    assert table["found_with_others_spurious_auc"].isna().all()
    assert table["sets"].tolist() == [4, 2]
    assert table["comparable"].tolist() == [True, True]
    assert table["stability"].isna().all()


def test_where_the_distractors_come_from(two):
    html = page_of(compared(large=LARGE, small=SMALL))
    cells = re.sub(r"<[^>]*>|\s+", " ", html.split("Where the distractors come from")[1])
    assert re.search(r"large +0\.830 +on 3 +0\.625 +on 2 +n/a +0\.420 +on 3", cells)
    assert re.search(r"small +0\.610 +on 3 +0\.625 +on 2 +n/a +0\.520 +on 3", cells)


def test_what_the_common_benchmark_is(two):
    audited = compared(large=LARGE, small=SMALL)
    assert page.benchmark(audited, SETS) == (
        "All models are measured on the same three sets of distractors: those of the findings of "
        "both audits, whichever model they were found with. One set was found with more than one "
        "model and counts once."
    )
    one = replace(audited[0].common, left_out=frozenset({"v", "w"}))
    assert page.benchmark([replace(audited[0], common=one)], SETS[:2]) == (
        "The model is measured on two sets of distractors, those of its own findings. Two sets "
        "were left out, having too few images or nothing to be ranked against."
    )


def test_an_audit_without_measured_sets_has_no_auc(two):
    write_report("none", measured(0.5, 0))
    audited = compared(large=LARGE, none=measured(0.5, 0))
    assert np.isnan(headline_table(audited)["short_spurious_auc"][1])
    assert "n/a" in page_of(audited)


def test_only_audits_without_measured_sets():
    write_report("none", measured(0.5, 0))
    html = page_of(compared(none=measured(0.5, 0)))
    assert html.count("no finding had enough distractors") == 2
    assert "No finding of these audits had enough distractors" in html


def test_another_version_of_the_dataset_is_flagged_and_not_measured(two):
    write_report("old", measured(0.1, 2), fingerprint="bb22" * 16)
    audited = compared(old=measured(0.1, 2), large=LARGE, small=SMALL)
    assert [one.comparable for one in audited] == [False, True, True]
    html = page_of(audited)
    assert "on 2 versions of the dataset. old, marked" in re.sub(r"<[^>]*>", "", html)
    assert ">old</text>" not in html
    assert "from 61% (small) to 83% (large)" in html  # not from old's
    table = headline_table(audited).set_index("audit")
    assert np.isnan(table["short_spurious_auc"]["old"])
    assert table["own_findings_spurious_auc"]["old"] == pytest.approx(0.11)


def test_one_version_is_not_flagged(two):
    assert "versions of the dataset" not in page_of(compared(large=LARGE, small=SMALL))


def test_rejected_findings_are_not_counted(two):
    (one,) = read_compared(["large"])
    assert one.modes == {"polysemy": 2}


def test_the_page_is_self_contained_escaped_and_repeatable(two):
    audited = compared(large=LARGE, small=SMALL)
    html = page_of(audited)
    assert page_of(audited) == html
    assert "ViT &lt;large&gt;" in html
    assert set(re.findall(r'(?:href|src)="([^"#][^"]*)"', html)) == {
        "large/report.html",
        "small/report.html",
    }
    assert "url(" not in html
    assert "@import" not in html


def test_every_mode_has_a_chart_and_the_axis_of_the_others(two):
    found = page.panels(compared(large=LARGE, small=SMALL))
    assert [panel["mode"] for panel in found] == ["all", "polysemy", "compound"]
    assert [len(panel["charts"]) for panel in found] == [2, 1, 1]
    polysemy, compound = (panel["charts"][0][2] for panel in found[1:])
    assert ">small</text>" in polysemy
    assert ">small</text>" not in compound  # it has no such set
    axes = [re.findall(r'class="axis"[^>]*>([^<]+)', chart) for chart in (polysemy, compound)]
    assert axes[0] == axes[1]


def test_distractors_of_the_dataset_s_own_are_a_panel(two):
    found = page.panels(compared(large=measured(0.7, 4, ("polysemy", READY_MADE))))
    assert [panel["mode"] for panel in found] == ["all", "polysemy", READY_MADE]


def test_gains_are_those_of_each_set(two):
    rows = page.gains(compared(large=LARGE, small=SMALL))
    assert [(row["title"], row["one"].audit, row["sets"]) for row in rows] == [
        ("All sets", "large", 4),
        ("All sets", "small", 2),
        ("Two meanings", "large", 2),
        ("Two meanings", "small", 2),
        ("Part of another name", "large", 2),
    ]
    assert [row["span"] for row in rows] == [2, 0, 2, 0, 1]
    assert [cell["mean"] for cell in rows[0]["cells"]] == [
        pytest.approx(gain) for gain in (0.01, 0.02, 0.03, 0.04)
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "imagenet-vit-b-32"], ["a", "imagenet-vit-b-32"]),
        (["imagenet-vit-b-32-laion400m"], ["imagenet…laion400m"]),
        (
            ["imagenet-b32-datacomp-xl", "imagenet-b16-datacomp-xl"],
            ["1. imagenet-b32-da", "2. imagenet-b16-da"],
        ),
    ],
)
def test_labels_fit_and_differ(names, expected):
    found = page.labels(names)
    assert found == expected
    assert len(set(found)) == len(found)
    assert max(map(len, found)) <= page.LABEL


def test_a_single_audit_is_nothing_to_compare(two):
    html = page_of(compared(small=SMALL))
    assert "One audit of birds, so far nothing to compare it with" in html
    assert "Where the distractors come from" not in html
    assert "the very models that are compared" not in html


def test_an_old_report_is_named(two):
    path = Path("reports/small/metrics.json")
    metrics = read_json(path)
    del metrics["robustness"]["findings"]
    path.write_text(json.dumps(metrics))
    with pytest.raises(ValueError, match=r"small/metrics\.json lacks robustness\.findings"):
        read_compared(["large", "small"])


def test_a_report_may_say_why_it_lacks_a_figure(two):
    path = Path("reports/small/metrics.json")
    metrics = read_json(path)
    del metrics["accuracy"], metrics["faithfulness"]
    del metrics["sae"]["explained_variance"], metrics["sae"]["cosine"]
    reasons = {"accuracy": "a", "faithfulness": "b", "sae.explained_variance": "c"}
    path.write_text(json.dumps(metrics | {"does_not_apply": reasons}))
    with pytest.raises(ValueError, match=r"metrics\.json lacks sae\.cosine: it is older"):
        read_compared(["large", "small"])
    path.write_text(json.dumps(metrics | {"does_not_apply": reasons | {"sae": "d"}}))
    assert "n/a" in page_of(compared(large=LARGE, small=SMALL))
    table = headline_table(read_compared(["large", "small"])).set_index("audit")
    assert table.loc["small", ["accuracy", "explained_variance"]].isna().all()
    assert table.loc["large", "accuracy"] == 0.75


def test_the_stage_measures_comparable_audits_and_writes_the_same_bytes_twice(two, monkeypatch):
    write_report("old", measured(0.1, 2), fingerprint="bb22" * 16)
    common = {"large": Measured(LARGE, 0.75, 0.5, frozenset(), 90)}
    common["small"] = replace(common["large"], robustness=SMALL)
    asked = []

    def measure_all(params, dataset, audits):
        asked.append((dataset, audits))
        return SETS, common

    monkeypatch.setattr(stage, "measure_all", measure_all)
    monkeypatch.setattr(sys, "argv", ["compare", "--dataset", "birds"])
    names = ("old", "small", "large")
    monkeypatch.setattr(stage, "load_params", lambda: params_of(**dict.fromkeys(names, "birds")))
    written = []
    for _ in range(2):
        stage.main()
        written.append([Path(f"reports/birds.{end}").read_bytes() for end in ("html", "csv")])
    assert asked == [("birds", ["small", "large"])] * 2
    assert written[0] == written[1]
    assert b"small" in written[0][0]
    rows = written[0][1].decode().splitlines()
    assert [row.split(",")[0] for row in rows] == ["audit", *names]
