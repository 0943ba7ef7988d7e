"""The two renderings of a report, `report.html` and `report.md`, from one set of facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from audits.report import cards, charts, limits, wording
from audits.report.gallery import Gallery
from audits.report.sources import Sources

TEMPLATES = Path(__file__).parent / "templates"
EXCLUDED = 50
ALL = "All findings"
READY_MADE = {"ready_made": "Distractors of the dataset's own"}
# Widths of charts that fill half of the page and all of it.
NARROW, WIDE = 470, 780


@dataclass(frozen=True)
class Settings:
    """What a report takes from params.yaml."""

    root: Path
    """Folder of the raw dataset."""
    gallery: int
    """Images in a row of a gallery."""
    thumbnail: int
    """Edge of a thumbnail, pixels."""
    components: int
    k: int
    positive: str | None
    """Label of the shortcut audit's class, None where the audit has none."""


def render(sources: Sources, settings: Settings, provenance: Mapping[str, Any]) -> tuple[str, str]:
    """HTML and Markdown of a report.

    The Markdown holds nothing that differs between two equal runs: no commit, no versions.
    """
    names = {entry["label"]: entry["short"] for entry in sources.dataset["classes"]}
    gallery = Gallery(sources.manifest, settings.root, names, settings.thumbnail)
    facts = context(sources, settings, gallery)
    html = _environment(html=True).get_template("report.html.j2")
    markdown = _environment(html=False).get_template("report.md.j2")
    return html.render(**facts, provenance=provenance), markdown.render(**facts)


def context(sources: Sources, settings: Settings, gallery: Gallery) -> dict[str, Any]:
    """Everything both templates show."""
    # Order matters: the short sections get their pictures before findings use up the budget.
    shortcut = _shortcut(sources, settings, gallery)
    hidden = cards.hidden_groups(sources, gallery, settings.gallery)
    found = cards.cards(sources, gallery, settings.gallery)
    metrics = sources.metrics
    robustness = {
        form: metrics["robustness"][form] for form in wording.FORMS if form in metrics["robustness"]
    }
    title, summary = _headline(sources, found, robustness, shortcut)
    return {
        "audit": sources.audit,
        "title": title,
        "summary": summary,
        "limits": limits.limits(
            sources.manifest,
            len(sources.dataset["classes"]),
            sources.model,
            metrics["accuracy"].get("short"),
            len(sources.findings),
        ),
        "dataset": sources.dataset,
        "model": sources.model,
        "settings": settings,
        "metrics": metrics,
        "cards": found,
        "hero": cards.hero(found),
        "modes": wording.MODES,
        "forms": wording.FORMS,
        "robustness": robustness,
        "robustness_charts": _robustness_charts(robustness, metrics["robustness"]),
        "shortcut": shortcut,
        "faithfulness": _faithfulness(sources),
        "methods": wording.METHODS,
        "ablation": metrics["faithfulness"]["ablation_correlation"],
        "hidden": hidden,
        "sae_charts": _sae_charts(sources.curves),
        "plants": _plants(sources),
        "excluded": sources.dataset["excluded"],
        "excluded_shown": EXCLUDED,
    }


def _headline(
    sources: Sources,
    found: list[cards.Card],
    robustness: Mapping[str, Any],
    shortcut: Mapping[str, Any] | None,
) -> tuple[str, list[str]]:
    confirmed = [card for card in found if card.confirmed]
    title = wording.failures_headline(
        len(confirmed),
        len({card.name for card in confirmed}),
        len(sources.dataset["classes"]),
        len(found),
    )
    summary = [
        wording.failures_summary(sources.metrics["failures"], [card.mode for card in confirmed])
    ]
    if "short" in robustness:
        summary.append(wording.robustness_summary(robustness))
    if shortcut is not None:
        # A classifier's shortcut is what such an audit is for; the failures come second.
        title, summary = shortcut["title"], [shortcut["summary"], f"{title}. {summary[0]}"]
    prompts = sources.plants[sources.plants["mode"] != "shortcut"]
    if len(prompts):
        fallen = prompts["fallen"]
        summary.append(
            wording.planted_summary(
                sources.metrics["failures"]["planted"],
                int(fallen.sum()),
                int((fallen & prompts["found"]).sum()),
                len(prompts),
            )
        )
    planted = sources.metrics.get("shortcut", {}).get("planted")
    if planted:
        summary.append(wording.planted_shortcuts(planted))
    return title, summary


def _robustness_charts(
    robustness: Mapping[str, Any], metrics: Mapping[str, Any]
) -> list[tuple[str, str]]:
    panels = {ALL: _auc_rows(robustness)} if robustness else {}
    panels |= {
        title: _auc_rows(metrics["by_mode"][mode])
        for mode, title in (wording.MODES | READY_MADE).items()
        if mode in metrics["by_mode"]
    }
    if not panels:
        return []
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


def _auc_rows(figures: Mapping[str, Any]) -> list[charts.Row]:
    return [
        charts.Row(
            wording.FORMS[form],
            tuple(
                # The standard error of a single finding is undefined and left out.
                charts.Interval(figures[form][f"{kind}_auc"], figures[form].get(f"{kind}_sem"))
                for kind in ("valid", "spurious")
            ),
        )
        for form in wording.FORMS
        if form in figures
    ]


def _shortcut(sources: Sources, settings: Settings, gallery: Gallery) -> dict[str, Any] | None:
    if sources.components.empty:
        return None
    if settings.positive is None:
        raise ValueError(
            f"data/audits/{sources.audit}/shortcut holds results, but params.yaml sets "
            f"audits.{sources.audit}.shortcut to null: run `dvc repro shortcut@{sources.audit}`"
        )
    name = sources.short(settings.positive)
    accuracy = sources.metrics["shortcut"]["accuracy"]
    components = cards.shortcut_components(sources, gallery, settings.gallery)
    suspects = [row for row in components if row["suspect"]]
    sides = {"positive": wording.sentence(name), "negative": "All others"}
    share = sum(float(row["share"]) for row in suspects)
    return {
        "name": name,
        "components": components,
        "suspects": suspects,
        "title": wording.shortcut_headline(name, suspects),
        "summary": wording.shortcut_summary(name, accuracy, share, len(suspects)),
        "accuracy": accuracy,
        "auroc": sources.metrics["shortcut"]["auroc"],
        "red_name": next(
            f"component {row['component']} ({row['label'] or 'no label'})"
            for row in components
            if row["component"] == sources.metrics["shortcut"]["red"]["component"]
        ),
        "shifts": wording.SHIFTS,
        "sides": sides,
        "charts": _accuracy_charts(sides, accuracy),
    }


def _accuracy_charts(sides: Mapping[str, str], accuracy: Mapping[str, Any]) -> list[Any]:
    panels = {
        label: [
            charts.Row(
                text,
                tuple(
                    charts.Interval(
                        accuracy[shift][side][model]["mean"], accuracy[shift][side][model]["sem"]
                    )
                    for model in ("robust", "standard")
                ),
            )
            for shift, text in wording.SHIFTS.items()
        ]
        for side, label in sides.items()
    }
    low = charts.axis_start([row for rows in panels.values() for row in rows])
    return [
        (label, charts.intervals(rows, ("robust", "standard"), f"Accuracy: {label}", low, NARROW))
        for label, rows in panels.items()
    ]


def _faithfulness(sources: Sources) -> list[dict[str, Any]]:
    protocols = []
    for protocol, (title, better) in wording.PROTOCOLS.items():
        table = sources.faithfulness[sources.faithfulness["protocol"] == protocol]
        if table.empty:
            continue
        curves = []
        for method, name in wording.METHODS.items():
            curve = table[table["method"] == method].sort_values("step")
            if len(curve):
                columns = (tuple(map(float, curve[key])) for key in ("step", "y", "sem"))
                curves.append(charts.Line(name, *columns))
        figures = sources.metrics["faithfulness"][protocol]
        dropped = sources.metrics["faithfulness"]["error_dropped"][protocol]
        order = min if better.startswith("lower") else max
        protocols.append(
            {
                "title": title,
                "better": better,
                "chart": charts.lines(curves, f"{title}: mean output y", "components switched", 3),
                "auc": {method: figures[method] for method in wording.METHODS if method in figures},
                "dropped": {method: dropped[method]["auc"] for method in dropped},
                "best": order(figures, key=lambda method: figures[method]["auc"]),
            }
        )
    return protocols


def _sae_charts(curves: pd.DataFrame) -> list[tuple[str, str]]:
    def line(name: str, column: str) -> charts.Line:
        values = tuple(map(float, curves[column]))
        return charts.Line(
            name, tuple(map(float, curves["epoch"])), values, tuple(0.0 for _ in values)
        )

    shares = [
        line("Explained var.", "explained_variance"),
        line("Alive", "alive_fraction"),
        line("Cosine", "cosine"),
    ]
    return [
        ("Reconstruction, fractions", charts.lines(shares, "SAE by epoch", "epoch")),
        ("Training loss", charts.lines([line("Loss", "loss")], "SAE loss by epoch", "epoch", 3)),
    ]


def _plants(sources: Sources) -> list[dict[str, Any]]:
    return [
        {
            **{str(key): value for key, value in row.items()},
            "name": sources.short(row["class"]),
            "mode_label": wording.MODES.get(row["mode"], wording.sentence(row["mode"])),
        }
        for row in sources.plants.to_dict("records")
    ]


@cache
def _environment(html: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["percent"] = wording.percent
    environment.filters["decimal"] = wording.decimal
    environment.filters["capitalize_first"] = wording.sentence
    environment.filters["svg"] = Markup
    environment.filters["cell"] = cell
    return environment


def cell(text: object) -> str:
    """Text that Markdown shows as it is, inside a table too."""
    shown = str(text).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    for mark in "\\`*_[]|":
        shown = shown.replace(mark, "\\" + mark)
    return shown
