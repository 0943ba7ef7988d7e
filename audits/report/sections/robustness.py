"""Robustness: how well a class is told from its distractors, by prompt form and by mode."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audits.report import charts, wording
from audits.report.sources import Sources
from audits.robustness.distractors import READY_MADE

ALL = "All findings"
TITLES = wording.MODES | {READY_MADE: "Distractors of the dataset's own"}
# Widths of charts that fill half of the page and all of it.
NARROW, WIDE = 470, 780


def robustness(sources: Sources) -> dict[str, Any]:
    """Charts and tables of the section; `forms` is empty where no finding was measured, and
    `nothing` says why."""
    metrics = sources.metrics["robustness"]
    forms = by_form(metrics)
    groups = ({ALL: forms} if forms else {}) | {
        title: by_form(metrics["by_mode"][mode])
        for mode, title in TITLES.items()
        if mode in metrics["by_mode"]
    }
    return {
        "forms": forms,
        "groups": groups,
        "charts": _charts(groups),
        "differences": differences(metrics["differences"]),
        "left_out": sources.left_out.to_dict("records"),
        "ready_made": ready_made(sources.forms),
        "nothing": nothing(sources.findings),
    }


def nothing(findings: pd.DataFrame) -> str:
    """Why no finding was measured."""
    if findings.empty:
        return "Does not apply: there is no finding."
    if (findings["verdict"] == "reject").all():
        return "Does not apply: persons rejected every finding."
    return "Does not apply: no finding has enough validation images."


def by_form(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of each prompt form, in the order that forms are shown."""
    return {form: figures[form] for form in wording.FORMS if form in figures}


def differences(paired: Mapping[str, Any]) -> dict[str, Any]:
    """Gain in spurious AUC over the short name, paired by finding.

    Returns:
        `columns`: mode → title, all findings first; `rows`: title of the form and, for each
        column, mean, low, high and findings, None where there is no such finding.
    """
    found = [form for form in wording.FORMS if form in paired]
    modes = {"all": ALL} | TITLES
    columns = {
        mode: title for mode, title in modes.items() if any(mode in paired[form] for form in found)
    }
    rows = [(wording.FORMS[form], [paired[form].get(mode) for mode in columns]) for form in found]
    return {"columns": columns, "rows": rows}


def ready_made(forms: pd.DataFrame) -> list[dict[str, Any]]:
    """Distractor sets that the dataset brings: name, images, and spurious AUC by form."""
    own = forms[forms["mode"] == READY_MADE]
    return [
        {
            "name": name,
            "distractors": int(rows["distractors"].iloc[0]),
            "auc": dict(zip(rows["form"], map(float, rows["spurious_auc"]), strict=True)),
        }
        for name, rows in own.groupby("finding_id")
    ]


def summary(forms: Mapping[str, Mapping[str, Any]]) -> str:
    """What the class name alone achieves against the distractors, and what helps."""
    auc = {form: forms[form]["spurious_auc"] for form in wording.FORMS if form in forms}
    best = max((form for form in auc if form != "linear"), key=lambda form: auc[form])
    parts = [f"{wording.percent(auc['short'])} of the time {wording.FORM_PHRASES['short']}"]
    if best != "short":
        parts.append(f"{wording.percent(auc[best])} {wording.FORM_PHRASES[best]}")
    if "linear" in auc:
        parts.append(f"{wording.percent(auc['linear'])} {wording.FORM_PHRASES['linear']}")
    text = (
        "Of a true image and such a distractor, the true one scores higher "
        f"{wording.listed(parts)}."
    )
    return text if best != "short" else f"{text} No other prompt does better."


def _charts(groups: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    panels = {title: _rows(forms) for title, forms in groups.items()}
    low = charts.axis_start([row for rows in panels.values() for row in rows])
    return [
        (
            title,
            charts.intervals(
                rows,
                ("valid", "spurious"),
                f"AUC by prompt form: {title}",
                low,
                WIDE if title == ALL else NARROW,
            ),
        )
        for title, rows in panels.items()
    ]


def _rows(forms: Mapping[str, Any]) -> list[charts.Row]:
    return [
        charts.Row(
            wording.FORMS[form],
            tuple(charts.Interval.of_auc(figures, kind) for kind in ("valid", "spurious")),
        )
        for form, figures in forms.items()
    ]
