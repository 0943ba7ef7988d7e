"""The section on prompt forms."""

import re
from html import unescape

import pandas as pd
import pytest

from audits.report.sections import robustness


def test_summary_does_not_claim_a_gain_there_is_not() -> None:
    same = {form: {"spurious_auc": 0.9} for form in ("short", "both")}
    assert "No other prompt does better" in robustness.summary(same)


def test_differences_line_up_by_mode() -> None:
    gain = {"mean": 0.1, "findings": 2}
    found = robustness.differences(
        {"linear": {"all": gain}, "templates": {"spurious": gain | {"mean": 0.3}, "all": gain}}
    )
    assert list(found["columns"].values()) == ["All findings", "Surroundings"]
    assert [title for title, _ in found["rows"]] == ["Name in templates", "Linear classifier"]
    assert [[c and c["mean"] for c in cells] for _, cells in found["rows"]] == [
        [0.1, 0.3],
        [0.1, None],
    ]


def test_sets_of_the_dataset_are_apart_from_findings() -> None:
    forms = pd.DataFrame(
        {
            "finding_id": ["f-1", "feeder", "feeder"],
            "mode": ["spurious", "ready_made", "ready_made"],
            "form": ["short", "short", "both"],
            "distractors": [5, 8, 8],
            "spurious_auc": [0.1, 0.5, 0.75],
        }
    )
    assert robustness.ready_made(forms) == [
        {"name": "feeder", "distractors": 8, "auc": {"short": 0.5, "both": 0.75}}
    ]


def test_why_no_finding_was_measured() -> None:
    found = pd.DataFrame({"verdict": ["reject", None]})
    assert robustness.nothing(found).endswith("no finding has enough validation images.")
    assert robustness.nothing(found[:1]).endswith("persons rejected every finding.")
    assert robustness.nothing(found[:0]).endswith("there is no finding.")


def test_page_and_markdown_have_the_same_figures(report) -> None:
    folder = report()
    html = unescape((folder / "report.html").read_text())
    section = html[html.index('<section id="robustness">') : html.index('<section id="faith')]
    assert section.count("<svg") == 3  # in total, one mode, ready-made sets
    chart = section[section.index("<svg") : section.index("</svg>")]
    whiskers = re.findall(
        r'<line x1="([\d.]+)"[^>]*x2="([\d.]+)"[^>]*stroke="var\(--orange\)"', chart
    )
    widths = [float(high) - float(low) for low, high in whiskers]
    # The interval goes from 0.5625 to 0.75.
    (start, end) = (float(x) for x in re.findall(r'x="([\d.]+)"[^>]*>(?:0.6|1)<', chart))
    assert widths == pytest.approx([(end - start) * 0.1875 / 0.4] * 5, abs=0.3)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", section))
    markdown = (folder / "report.md").read_text()
    for said in (text, markdown):
        assert "0.625 ± 0.03" in said
        assert "0.562 to 0.75" in said
        assert "0.906" in said and "0.537" in said
        assert "+0.250" in said and "−0.013" in said and "+0.062 to +0.375" in said
        assert "bird feeder" in said
        assert "all other images but the distractors of a finding" in said
        assert re.search(r"Not measured: +1? *f-0007 +\(3 distractors of 5\)", said)
    # A gain whose interval holds 0 stands back.
    assert '<b class="weak">−0.013</b>' in section
    assert "<b>+0.250</b>" in section
    assert "| Name in templates | −0.013 (−0.125 to +0.375), 3 | n/a |" in markdown
