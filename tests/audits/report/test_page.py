"""The report, rendered from a small invented audit."""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pandas as pd
import pytest

from audits.report.__main__ import settings_of, write_report
from audits.report.sections.shortcut import summary
from pipeline.artifacts.store import read_json, write_json, write_table
from pipeline.config import load_params
from tests.audits.report.conftest import settings, unlinked
from tests.audits.report.invented import AUDIT, CLASSES, FINDINGS

Render = Callable[..., Path]


def test_page_loads_nothing_from_outside(report: Render) -> None:
    html = (report() / "report.html").read_text()
    loads = re.findall(r"""(?:src|href|xlink:href|srcset|action|data)=["']([^"']*)""", html)
    assert len(loads) > 20
    inside = ("data:image/jpeg;base64,", "data:image/png;base64,", "#", "components.html")
    assert all(load.startswith(inside) for load in loads)
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


def test_notes_on_the_dataset_are_in_both_renderings(report: Render) -> None:
    folder = report()
    for name in ("report.html", "report.md"):
        assert "5 of 9 rows of the table have no image" in (folder / name).read_text()


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
        assert f'<tr id="{row[0]}" data-finding="{row[0]}"' in html


def test_pictures_of_components_are_veiled_where_there_are_maps(report: Render) -> None:
    html = unescape((report() / "report.html").read_text())
    seen = re.findall(r'<span class="seen" title="([^"]*)"><img [^>]*><img class="veil"', html)
    assert seen[0] == (
        "val/bat/0, labelled bat; what adds to component 12: 29% at the bottom right"
    )
    assert len(seen) == 2 * len(FINDINGS)
    assert re.search(r"takes 3[78]% of the activation, a random tenth 6\.2%", html)
    assert '<input type="checkbox" id="where">' in html
    without = (report(findings=False) / "report.html").read_text()
    assert 'class="veil"' not in without
    assert 'id="where"' not in without


def test_headline_says_how_many_classes(report: Render) -> None:
    html = unescape((report(shortcut=False) / "report.html").read_text())
    assert "<h1>On 2 of 3 classes, this model also answers to something else</h1>" in html
    assert "Two of three findings held up on images not used to find them" in html
    lede = html.partition('<p class="lede">')[2].partition("</p>")[0]
    assert "find 75% of the findings again in these halves on average, and both find 2 of 3" in lede
    markdown = (Path("reports") / AUDIT / "report.md").read_text()
    for said in (lede, markdown):
        assert "found again in 25%, so that being found again tells the class" in said
        assert "as many of any class in 3.1%, which is mostly the share of classes" in said
    assert "62% of the time with the short class name" in html
    assert "88% with the full class name in templates" in html
    assert "the model falls for 2, and the audit found 1 of these" in html


def test_what_comes_first_says_which_kinds_are_suggested(report: Render) -> None:
    folder = report(shortcut=False)
    html = unescape((folder / "report.html").read_text())
    lede = html.partition('<p class="lede">')[2].partition("</p>")[0]
    for said in (lede, (folder / "report.md").read_text()):
        assert "one of them as suggested by rule. Behind" in said
    for finding_id, whose in (("f-0001", "by a person"), ("f-0003", "suggested")):
        pair = html.partition(f'<a class="pair" href="#{finding_id}">')[2].partition("</a>")[0]
        assert f'</span> <span class="dim">{whose}</span>' in pair


def test_classes_of_one_name_are_counted_and_shown_apart(
    report: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    for entry in CLASSES:
        monkeypatch.setitem(entry, "short", "bat")
    html = (report(shortcut=False) / "report.html").read_text()
    assert "<h1>On 2 of 3 classes, this model also answers to something else</h1>" in html
    assert "cricket club | stick" in html


def test_a_card_has_the_label_of_its_own_component(report: Render) -> None:
    html = (report() / "report.html").read_text()
    card = unlinked(html[html.index('id="f-0001"') : html.index('id="f-0003"')])
    assert "<dt>fit of the label</dt><dd>0.31</dd>" in card
    assert "cricket bat" in card
    assert "<dt>largest z</dt><dd>21.5</dd>" in card
    assert "Labelled club|stick (3), bat (2)" in card
    assert 'Short name <b class="low">61%</b>' in card


def test_a_component_is_named_by_its_id(report: Render) -> None:
    folder = report()
    html, markdown = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    assert '<a href="components.html#12">Component 12</a> fires on</figcaption>' in html
    # The page of components goes by the index in this SAE.
    led = '<a href="components.html#31">Component 726</a> (index 31 of this SAE) fires on'
    assert f"<figcaption>{led}</figcaption>" in html
    assert "and component 726 pushes" in html
    assert "cricket bat (component 12) |" in markdown
    assert "(component 726, index 31 of this SAE) |" in markdown


def test_headline_of_a_classifier_is_its_shortcut(report: Render) -> None:
    html = unlinked(unescape((report() / "report.html").read_text()))
    assert (
        "<h1>The bat classifier leans on red hue: its accuracy on bat falls from 81% to 59% where "
        "images are redder by 2 standard deviations</h1>" in html
    )
    assert "Of 22 points (12 to 32) that it loses, the recommended remedy (what the shift" in html
    assert "brings back 16 (6.5 to 26), at a price of 1.0 points (-9.0 to 11)" in html
    assert "Red hue (stress at 4)" in html and "bat, remedy" in html
    assert "shown by red 2" in html and "λ = 100" in html and "5.5 (-4.5 to 16)" in html
    assert "red-hue in component 5, number 2 (it tells" in html
    assert "of those called a shortcut component 12, number 1, does best, with 0.81" in html
    assert "answers to plain red" in html and "with the object covered, 20% with all around" in html
    assert "the object is as it was, it loses 22 points (12 to 32)" in html
    assert "<arm>" not in (report() / "report.html").read_text()


def test_a_remedy_for_where_the_shortcut_earns_nothing(report: Render) -> None:
    fall = {"kind": "red"}
    metrics = {
        "auroc": {"value": 0.8, "low": 0.7, "high": 0.9},
        "accuracy": {side: {"value": 0.8} for side in ("positive", "negative")},
    }
    row = {"remedy": "standard", "recommended": False, "recommended_matched": False}
    for name, value in {"drop": 0.6, "relief": 0.4, "price": 0.05, "price_matched": 0.01}.items():
        row |= {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
    others = [
        {**row, "remedy": "shift_penalty", "recommended_matched": True},
        {**row, "remedy": "shifts_removed", "relief": 0.5},
    ]
    sides = {"positive": "bat", "negative": "the rest"}
    told = summary(sides, fall, [row, *others], metrics)
    assert "The cheapest that would, were the shortcut to earn nothing (what the shift" in told
    assert "costs 5.0 points (-5.0 to 15) of balanced accuracy there, and 1.0 (-9.0 to 11)" in told
    unknown = [{**one, "recommended_matched": False, "price_matched": None} for one in others]
    told = summary(sides, fall, [row, *unknown], metrics)
    assert "The one that brings back most (what the shift does projected out), brings" in told
    assert "does not tell the sides apart" not in told


def test_sections_that_do_not_apply_say_so(report: Render) -> None:
    folder = report(positive=None, shortcut=False, planted=False, findings=False)
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text()
        assert "No failure was found on 3 classes" in text
        assert "this audit has no classifier to look into" in text
        assert "nothing was planted in this dataset" in text
        assert "Does not apply: there is no finding." in text


def test_two_runs_write_the_same_bytes_and_nothing_of_the_machine(
    report: Render, tmp_path: Path
) -> None:
    folder = report()
    first = {name: (folder / name).read_bytes() for name in ("report.md", "metrics.json")}
    assert {name: (report() / name).read_bytes() for name in first} == first
    for text in first.values():
        assert str(tmp_path).encode() not in text
    source = tmp_path / "data" / "audits" / AUDIT / "review" / "findings.csv"
    assert (folder / "findings.csv").read_bytes() == source.read_bytes()


def test_metrics_are_those_of_all_stages(report: Render) -> None:
    metrics = json.loads((report() / "metrics.json").read_text())
    assert metrics["dataset"] == {"images": 15}
    assert metrics["sae"]["explained_variance"] == 0.912346
    assert metrics["failures"]["flags"] == 6
    assert metrics["failures"]["accepted"] == 1
    assert metrics["stability"]["matched_fraction"] == 0.6
    assert metrics["failures"]["planted"] == {"precision": 0.666667, "recall": 0.5}
    assert metrics["shortcut"]["recommended"] == "shift_penalty"
    assert metrics["recurrence"]["found_again"] == 0.75
    stages = {"concepts", "failures", "faithfulness", "probe", "recurrence", "robustness"}
    stages |= {"maps", "shortcut"}
    assert set(metrics) == {"accuracy", "dataset", "sae", "stability", *stages}


def test_provenance_names_inputs_weights_and_versions(report: Render, tmp_path: Path) -> None:
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
    assert origin["dvc_lock"] == {f"data/labels/{AUDIT}.parquet": "22"}
    assert "git" not in origin
    assert {"torch", "open_clip_torch", "dvc", "mlflow", "pyarrow"} <= set(origin["packages"])


def test_settings_come_from_params() -> None:
    params = load_params(Path(__file__).parents[3] / "params.yaml")
    for name, audit in params.audits.items():
        found = settings_of(params, name)
        assert found.root == params.datasets[audit.dataset].root
        assert (found.positive is None) == (audit.shortcut is None)
        assert (found.components, found.k) == (audit.sae.components, audit.sae.k)
        assert (found.gallery, found.thumbnail) == (
            audit.report.gallery,
            audit.report.thumbnail,
        )
        assert found.q == audit.failures.q


def test_what_was_left_out_is_told(report: Render) -> None:
    folder = report()
    html = (folder / "report.html").read_text()
    assert "<code>val/bat/broken.png</code>" in html
    assert "All of class <b>gnu</b>: it has no train image" in html
    assert "not stated" in html
    assert "| class left out | gnu: it has no train image |" in (folder / "report.md").read_text()


def card(html: str, finding_id: str) -> str:
    start = html.index(f'<article class="card" id="{finding_id}"')
    return unescape(html[start : html.index("</article>", start)])


def test_a_card_says_what_a_finding_lacks(report: Render) -> None:
    alone = "No dictionary that has learnt from other images finds it again, so take it as a hint."
    html = (report() / "report.html").read_text()
    assert alone in card(html, "f-0007") and "not confirmed" in card(html, "f-0007")
    assert "as a hint" not in card(html, "f-0001") + card(html, "f-0003")
    path = Path("data/audits") / AUDIT / "review" / "findings.csv"
    write_table(path, pd.read_csv(path).assign(held=False, confirmed=False))
    write_report(AUDIT, settings(Path()), seed=7)
    html = (Path("reports") / AUDIT / "report.html").read_text()
    low = "Most of its images do not score as high as the class's own, so take it as a hint."
    for finding_id in ("f-0001", "f-0003", "f-0007"):
        assert low in unescape(card(html, finding_id))
    path = Path("data/audits") / AUDIT / "review" / "evidence.json"
    write_json(path, {key: v | {"repeats": False} for key, v in read_json(path).items()})
    write_report(AUDIT, settings(Path()), seed=7)
    html = (Path("reports") / AUDIT / "report.html").read_text()
    for finding_id in ("f-0001", "f-0003", "f-0007"):
        assert "On fresh images this did not repeat" in card(html, finding_id)
        assert "eleven as high as most of its own; the others stand out" in card(html, finding_id)
    assert alone not in html


def test_a_card_says_how_many_images_are_taken_for_its_class(report: Render) -> None:
    folder = report()
    html = (folder / "report.html").read_text()
    said = (
        "Of the nine validation images of other classes on which the component is as strong, the "
        "model takes 44% for “bat”, of all others 1.6%."
    )
    assert said in card(html, "f-0001")
    # of which robustness was not measured
    assert "the component is as strong" not in card(html, "f-0007")
    markdown = (folder / "report.md").read_text()
    for finding_id, shares in (("f-0001", "44% (others 1.6%)"), ("f-0007", "n/a")):
        rows = [line.split(" | ") for line in markdown.splitlines()]
        (row,) = [row for row in rows if row[0] == f"| {finding_id}" and len(row) > 12]
        assert row[12] == shares


def test_a_card_says_whose_verdict_and_mode_it_has(report: Render) -> None:
    html = (report() / "report.html").read_text()
    mine = unlinked(card(html, "f-0001"))
    assert "accepted by a person" in mine and "by a person</span>" in mine
    assert "the rule suggested “Part of another name” (confidence 0.62)" in mine
    assert "Accepted by Ada on 2026-01-31: =the </script> bat" in mine
    assert "To be reviewed again:</b> shares 31% of its images" in mine
    assert "<dt>stability of the component</dt><dd>0.25</dd>" in mine
    assert "<dt>found again (95% interval)</dt><dd>50% (9.4% to 91%)</dd>" in mine
    assert "(validation images)</dt><dd>0.013</dd>" in mine
    assert "<dt>empirical tail</dt><dd>0.031</dd>" in mine
    assert "<dt>test</dt><dd>more relevant than on the class's own images</dd>" in mine
    assert "component 12 pushes them there: on 9 of 17 candidates the component" in mine
    assert "Something speaks for “Written word” (0.25: it is written) too." in mine
    other = card(html, "f-0003")
    assert "Mode suggested by rule (confidence 0.62), because the images' own" in other
    assert ">new</span>" in other and "review again" not in other


def test_before_the_first_review_nothing_is_called_new(report: Render) -> None:
    html = (report(reviewed=False) / "report.html").read_text()
    assert ">new</span>" not in html
    assert "Since the last review" not in html
    assert "a verdict on 0 of 3 findings" in html


def test_findings_that_are_gone_are_listed(report: Render) -> None:
    folder = report()
    html = (folder / "report.html").read_text()
    row = '<th scope="row">gnu</th><td>rejected</td><td></td>'
    row += "<td>gone, &lt;b&gt;</td><td><code>f-0009</code>"
    assert row in html
    assert '<th scope="row">bat</th><td>none</td>' in html
    assert "| f-0009 | gnu | rejected |" in (folder / "report.md").read_text()


def test_a_rejected_finding_is_last_and_not_in_the_headline(report: Render, tmp_path: Path) -> None:
    report(shortcut=False)
    path = tmp_path / "data" / "audits" / AUDIT / "review" / "findings.csv"
    table = pd.read_csv(path)
    table["verdict"] = table["verdict"].replace("accept", "reject")
    write_table(path, table)
    write_report(AUDIT, settings(tmp_path), seed=7)
    html = unescape((tmp_path / "reports" / AUDIT / "report.html").read_text())
    assert "<h1>On 1 of 3 classes" in html
    assert html.index('card" id="f-0007"') < html.index('card rejected" id="f-0001"')
    assert 'class="pair" href="#f-0001"' not in html
