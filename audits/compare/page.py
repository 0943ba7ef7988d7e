"""`reports/<dataset>.html`: models on one dataset, after Figures 5 and 14 of the paper."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audits.compare.benchmark import CommonSet
from audits.compare.sources import Compared
from audits.report import charts, wording
from audits.report.numbers import Numbers
from audits.report.templating import environment
from audits.robustness.averages import ALL, BASE
from audits.robustness.distractors import READY_MADE

TEMPLATES = Path(__file__).parent / "templates"
TITLES = {ALL: "All sets", **wording.MODES, READY_MADE: "Distractors of the dataset's own"}
CAPTIONS = {
    "spurious": "Spurious AUC: true images against distractors",
    "valid": "Valid AUC: true images against all others",
}
WIDTH = 1000
LABEL = 18
"""Characters of an audit's name that fit beside a chart."""
SERIES = ("short", "templates", "extended", "both", "linear")
"""Prompt forms in the order of the charts' colours."""


def render(dataset: str, audited: Sequence[Compared], sets: Sequence[CommonSet]) -> str:
    """The page of a dataset, of one or more audits; self-contained, the same for the same input.

    sets: the common benchmark that the comparable ones are measured on.
    """
    template = environment(TEMPLATES).get_template("compare.html.j2")
    return template.render(**context(dataset, audited, sets), numbers=Numbers())


def context(dataset: str, audited: Sequence[Compared], sets: Sequence[CommonSet]) -> dict[str, Any]:
    """Everything the template shows."""
    return {
        "dataset": dataset,
        "title": title(dataset, len(audited)),
        "lede": lede(audited),
        "audited": audited,
        "versions": len({one.fingerprint for one in audited}),
        "others": [one.audit for one in audited if not one.comparable],
        "measured": sum(one.common is not None for one in audited),
        "benchmark": benchmark(audited, sets),
        "found": {one.audit: sum(one.audit in found.audits for found in sets) for one in audited},
        "sets": len(sets),
        "panels": panels(audited),
        "gains": gains(audited),
        "modes": {mode: name for mode, name in wording.MODES.items() if _counted(audited, mode)},
        "forms": {form: wording.FORMS[form] for form in SERIES},
        "base": BASE,
    }


def benchmark(audited: Sequence[Compared], sets: Sequence[CommonSet]) -> str:
    """What the models are measured on, in plain sentences."""
    common = [one.common for one in audited if one.common is not None]
    count, left_out = wording.counted(len(sets), "set"), len(common[0].left_out)
    if len(common) == 1:
        text = f"The model is measured on {count} of distractors, those of its own findings."
    else:
        shared = sum(len(found.audits) > 1 for found in sets)
        audits = "both audits" if len(common) == 2 else f"all {wording.number(len(common))} audits"
        text = (
            f"All models are measured on the same {count} of distractors: those of the findings of "
            f"{audits}, whichever model they were found with. "
        ) + wording.sentence(
            f"{wording.counted(shared, 'set')} {'was' if shared == 1 else 'were'} found with more "
            f"than one model and {'counts' if shared == 1 else 'count'} once."
        )
    if left_out:
        were = "was" if left_out == 1 else "were"
        text += f" {wording.sentence(wording.counted(left_out, 'set'))} {were} left out, having "
        text += "too few images or nothing to be ranked against."
    return text


def title(dataset: str, count: int) -> str:
    """What the page is about."""
    if count == 1:
        return f"One audit of {dataset}, so far nothing to compare it with"
    return wording.sentence(f"{wording.number(count)} audits of {dataset}, side by side")


def lede(audited: Sequence[Compared]) -> str:
    """From which audit to which the spurious AUC of the short class name goes."""
    auc = {
        one.audit: one.common.forms[BASE]["spurious_auc"]
        for one in audited
        if one.common is not None and BASE in one.common.forms
    }
    if not auc:
        return "No finding of these audits had enough distractors to measure robustness with."
    least, most = min(auc, key=lambda name: auc[name]), max(auc, key=lambda name: auc[name])
    text = "Of a true image and a distractor, the true one scores higher"
    if len(auc) == 1:
        return (
            f"{text} {wording.percent(auc[most])} of the time with the short class name ({most})."
        )
    return (
        f"{text} from {wording.percent(auc[least])} ({least}) to {wording.percent(auc[most])} "
        f"({most}) of the time with the short class name."
    )


def labels(names: Sequence[str]) -> list[str]:
    """Names short enough to stand beside a chart, each different from the others."""
    short = [name if len(name) <= LABEL else f"{name[:8]}…{name[-9:]}" for name in names]
    return [
        label if short.count(label) == 1 else f"{index}. {name}"[:LABEL]
        for index, (name, label) in enumerate(zip(names, short, strict=True), start=1)
    ]


def gains(audited: Sequence[Compared]) -> list[dict[str, Any]]:
    """Rows of the paper's Table 1, one for each mode and audit: gains of the forms over BASE."""
    forms = [form for form in SERIES if form != BASE]
    rows = []
    for mode, name in TITLES.items():
        found = [
            (one, [one.common.gain(form, mode) for form in forms])
            for one in audited
            if one.common is not None
        ]
        found = [(one, cells) for one, cells in found if any(cells)]
        for index, (one, cells) in enumerate(found):
            count = max(int(cell["findings"]) for cell in cells if cell)
            rows.append(
                {
                    "title": name,
                    "span": len(found) if index == 0 else 0,
                    "one": one,
                    "sets": count,
                    "cells": cells,
                }
            )
    return rows


def panels(audited: Sequence[Compared]) -> list[dict[str, Any]]:
    """For all findings and for each mode the charts of its AUCs, all on the same axis.

    Of a mode only the spurious AUC is drawn: the valid one differs little, and its numbers stand
    beside the chart.
    """
    names = labels([one.audit for one in audited])
    shown = [("spurious", mode) for mode in TITLES] + [("valid", ALL)]
    rows = {key: _rows(audited, names, *key) for key in shown}
    rows = {key: found for key, found in rows.items() if found}
    lows = {
        kind: charts.axis_start([row for key in rows if key[0] == kind for row in rows[key]])
        for kind in CAPTIONS
    }
    return [
        {
            "mode": mode,
            "title": title,
            "charts": [
                (
                    kind,
                    caption,
                    charts.intervals(
                        rows[kind, mode], SERIES, f"{caption}, {title}", lows[kind], WIDTH
                    ),
                )
                for kind, caption in CAPTIONS.items()
                if (kind, mode) in rows
            ],
        }
        for mode, title in TITLES.items()
        if ("spurious", mode) in rows
    ]


def _counted(audited: Sequence[Compared], mode: str) -> bool:
    return any(one.modes.get(mode) for one in audited)


def _rows(
    audited: Sequence[Compared], names: Sequence[str], kind: str, mode: str
) -> list[charts.Row]:
    """A row for each audit that has figures of the mode, a value for each form."""
    figures = [{} if one.common is None else one.common.figures(mode) for one in audited]
    return [
        charts.Row(
            name,
            tuple(
                charts.Interval.of_auc(found[form], kind) if form in found else None
                for form in SERIES
            ),
        )
        for name, found in zip(names, figures, strict=True)
        if found
    ]
