"""Shortcuts of a linear classifier: what it leans on, what shows that, and what helps."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from audits.report import cards, charts, wording
from audits.report.gallery import Gallery
from audits.report.sources import Sources
from audits.report.tables import records

STANDARD = "standard"
REMEDIES = {
    STANDARD: "Standard",
    "latent_augmentation": "Latent augmentation",
    "direction_removed": "The component's direction projected out",
    "switched_off": "The component switched off",
    "shifts_removed": "What the shift does projected out",
    "shift_penalty": "What the shift does penalised",
    "shifted_copies": "Trained with shifted copies of images",
    "reweighted": "Images weighted, component as frequent on either side",
}
SETTINGS = {"latent_augmentation": "α", "shifts_removed": "directions", "shift_penalty": "λ"}
KINDS = {
    "red": "Red hue",
    "green": "Green hue",
    "blue": "Blue hue",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "blur": "Blur",
    "jpeg": "JPEG compression",
    "patch": "A coloured patch",
}
DONE = {
    "red": ("redder", "less red"),
    "green": ("greener", "less green"),
    "blue": ("bluer", "less blue"),
    "brightness": ("brighter", "darker"),
    "contrast": ("richer in contrast", "poorer in contrast"),
    "blur": ("blurred", ""),
    "jpeg": ("compressed", ""),
    "patch": ("marked with a coloured patch", ""),
}
"""Kind → what images are under it, and below 0."""
GROUPS = 6
"""Subgroups at most, the worst."""
UNITLESS = ("blur", "jpeg", "patch")


def shortcut(
    sources: Sources,
    positive: Sequence[str] | None,
    negative: Sequence[str] | None,
    gallery: Gallery,
    count: int,
) -> dict[str, Any] | None:
    """Everything the section shows, None where the audit has no classifier.

    Args:
        sources: the audit's results.
        positive: labels of the classes that are told from the rest.
        negative: labels of the rest, None for all others.
        gallery: where thumbnails come from.
        count: of thumbnails a component.

    Raises:
        ValueError: there are results, but params.yaml has no such classes.
    """
    if sources.components.empty:
        return None
    if positive is None:
        raise ValueError(
            f"data/audits/{sources.audit}/shortcut holds results, but params.yaml sets "
            f"audits.{sources.audit}.shortcut to null: run `dvc repro shortcut@{sources.audit}`"
        )
    name = " or ".join(sources.short(label) for label in positive)
    rest = "the rest" if negative is None else " or ".join(map(sources.short, negative))
    sides = {"positive": name, "negative": rest}
    metrics = sources.metrics["shortcut"]
    components = cards.shortcut_components(sources, gallery, count)
    remedies = records(sources.remedies)
    fall = first_fall(sources.shifts, metrics.get("target"))
    return {
        "name": name,
        "rest": rest,
        "components": components,
        "suspects": sorted(
            (row for row in components if row["called"] or row["suspect"]),
            key=lambda row: not row["called"],
        ),
        "title": headline(name, sides, components, fall, sources.gaps.get("shortcut.suspect")),
        "masks": bool(sources.shifts["alone"].notna().any()),
        "surroundings": surroundings(fall),
        "summary": summary(sides, fall, remedies, metrics),
        "about": (
            *(("fall",) if fall is not None else ()),
            *(("alone",) if surroundings(fall) else ()),
            *(("drop", "relief", "price", "price_matched") if remedies else ()),
            *("classifier_auroc", "classifier_accuracy"),
        ),
        "fragile": [_fragile(row, sides) for row in records(sources.shifts) if row["fragile"]],
        "fall": fall,
        "target_side": sides[metrics["target"]["side"]] if "target" in metrics else "",
        "target_component": metrics.get("target", {}).get("component"),
        "metrics": metrics,
        "remedies": [_remedy_row(row) for row in remedies],
        "charts": _charts(sources.shifts, sides),
        "sweep": _sweep(sources.sweep),
        "groups": [_group_row(row, sides) for row in records(sources.subgroups)[:GROUPS]],
        "calibration": _calibration(sources.calibration),
    }


def first_fall(shifts: pd.DataFrame, target: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The standard classifier's row of the shift and side that are to be cured, with `words`, what
    the images are under it; None where the classifier falls under none."""
    if target is None:
        return None
    of_target = shifts["shift"].eq(target["shift"]) & shifts["side"].eq(target["side"])
    (row,) = records(shifts[of_target & shifts["remedy"].eq(STANDARD)])
    return {**row, "words": words(row["kind"], float(row["strength"]))}


def _fragile(row: Mapping[str, Any], sides: Mapping[str, str]) -> str:
    before = wording.percent(row["accuracy"] + row["drop"])
    return (
        f"{sides[row['side']]} {words(row['kind'], float(row['strength']))} "
        f"({before} to {wording.percent(row['accuracy'])})"
    )


def words(kind: str, strength: float) -> str:
    """What images are under a shift: "redder by 2 of their own standard deviations"."""
    more, less = DONE[kind]
    if kind in UNITLESS:
        return f"{more} (strength {strength:g})"
    plural = "" if abs(strength) == 1 else "s"
    return f"{more if strength > 0 else less} by {abs(strength):g} standard deviation{plural}"


def headline(
    name: str,
    sides: Mapping[str, str],
    components: Sequence[Mapping[str, Any]],
    fall: Mapping[str, Any] | None,
    unjudged: str | None,
) -> str:
    """The main sentence of a classifier's audit: what it leans on, if anything shows that.

    Args:
        name: of the positive side.
        sides: name of each side.
        components: candidates by rank, each with suspect, kind (empty where unknown), label and
            component.
        fall: of `first_fall`.
        unjudged: why nothing tells which names are beside the point; None where something does.
    """
    if fall is not None and fall["proven"]:
        before = wording.percent(fall["accuracy"] + fall["drop"])
        return (
            f"The {name} classifier leans on {KINDS[fall['kind']].lower()}: its accuracy on "
            f"{sides[fall['side']]} falls from {before} to {wording.percent(fall['accuracy'])} "
            f"where images are {fall['words']}"
        )
    shown = f"No shift within the range of the images shows a shortcut of the {name} classifier"
    if fall is not None:
        shown = (
            f"That the {name} classifier leans on {KINDS[fall['kind']].lower()} is not confirmed "
            "on held-out images"
        )
    if unjudged is not None:
        why = unjudged.partition(":")[0]
        return f"{shown}; whether what decides should cannot be judged by name, because {why}"
    known, count = sum(bool(row["kind"]) for row in components), len(components)
    suspects = [row for row in components if row["suspect"]]
    if suspects:
        top = suspects[0]
        label = f"“{top['label']}”" if top["label"] else f"component {top['component']}"
        return f"{shown}; by its name {label} should not decide"
    which = "" if known == count else f" the {known} that have a kind of"
    return f"{shown}; nothing suspect by name among{which} the {count} first candidates"


def surroundings(fall: Mapping[str, Any] | None) -> str:
    """What is left of the fall where only the surroundings are shifted, empty without masks."""
    if fall is None or pd.isna(fall["alone"]):
        return ""
    return (
        f"Where only the surroundings are {fall['words']}, and the object is as it was, it loses "
        f"{points(fall['alone'])} points ({between(fall, 'alone')})."
    )


def points(fraction: float) -> str:
    """A difference of fractions in points: whole from 10 on, else one decimal."""
    value = 100 * fraction
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}"


def between(row: Mapping[str, Any], name: str) -> str:
    """The interval of a difference, in points."""
    return f"{points(row[f'{name}_low'])} to {points(row[f'{name}_high'])}"


def summary(
    sides: Mapping[str, str],
    fall: Mapping[str, Any] | None,
    remedies: Sequence[Mapping[str, Any]],
    metrics: Mapping[str, Any],
) -> str:
    """What helps, and at which price; how good the classifier is."""
    auroc = metrics["auroc"]
    good = (
        f"On held-out images the classifier has an AUROC of {wording.decimal(auroc['value'])} "
        f"({wording.decimal(auroc['low'])} to {wording.decimal(auroc['high'])}) and is right on "
        f"{wording.percent(metrics['accuracy']['positive']['value'])} of {sides['positive']} and "
        f"{wording.percent(metrics['accuracy']['negative']['value'])} of {sides['negative']}."
    )
    if fall is None or not remedies:
        return good
    standard, *others = remedies
    lost = f"Of {points(standard['drop'])} points ({between(standard, 'drop')}) that it loses"
    chosen = [row for row in others if row["recommended"]]
    if chosen:
        row = chosen[0]
        return (
            f"{lost}, the recommended remedy ({REMEDIES[row['remedy']].lower()}) brings back "
            f"{points(row['relief'])} ({between(row, 'relief')}), at a price of "
            f"{points(row['price'])} points ({between(row, 'price')}) of balanced accuracy on "
            f"images as they are. {good}"
        )
    if not others:
        return f"{lost}, no remedy could be tried. {good}"
    matched = [row for row in others if row["recommended_matched"]]
    best = matched[0] if matched else max(others, key=lambda row: float(row["relief"]))
    which = (
        "The cheapest that would, were the shortcut to earn nothing"
        if matched
        else "The one that brings back most"
    )
    return (
        f"{lost}, none of the remedies brings back two thirds at the price that is allowed on "
        f"images as they are. {which} ({REMEDIES[best['remedy']].lower()}), brings back "
        f"{points(best['relief'])} ({between(best, 'relief')}) and costs {points(best['price'])} "
        f"points ({between(best, 'price')}) of balanced accuracy there"
        f"{_matched(best, fall)}. {good}"
    )


def _matched(row: Mapping[str, Any], fall: Mapping[str, Any]) -> str:
    """What a remedy costs where the shortcut earns nothing, empty where that is not known."""
    if pd.isna(row["price_matched"]):
        return ""
    return (
        f", and {points(row['price_matched'])} ({between(row, 'price_matched')}) among images of "
        f"which {KINDS[fall['kind']].lower()} does not tell the sides apart"
    )


def _remedy_row(row: Mapping[str, Any]) -> dict[str, Any]:
    setting = row["setting"]
    shown = "" if pd.isna(setting) else f"{SETTINGS[row['remedy']]} = {setting:g}"
    return {
        **row,
        "name": REMEDIES[row["remedy"]],
        "shown_setting": shown,
        **{
            f"{key}_points": f"{points(row[key])} ({between(row, key)})"
            for key in ("drop", "relief", "price")
        },
        "price_matched_points": (
            ""
            if pd.isna(row["price_matched"])
            else f"{points(row['price_matched'])} ({between(row, 'price_matched')})"
        ),
        "other": (
            "" if not row["other_shift"] else f"{points(row['other_drop'])} ({row['other_shift']})"
        ),
    }


def _group_row(row: Mapping[str, Any], sides: Mapping[str, str]) -> dict[str, Any]:
    return {**row, "side": sides[row["side"]]}


def _charts(shifts: pd.DataFrame, sides: Mapping[str, str]) -> list[tuple[str, str]]:
    """Dose and response: a chart for each kind, a curve for each side and classifier."""
    found = []
    for kind, of_kind in shifts.groupby("kind", sort=False):
        curves = []
        for remedy, of_remedy in of_kind.groupby("remedy", sort=False):
            for side, text in sides.items():
                rows = records(of_remedy[of_remedy["side"] == side])
                as_is = rows[0]["accuracy"] + rows[0]["drop"]
                plain = {"strength": 0.0, "accuracy": as_is, "accuracy_low": None}
                course = sorted([*rows, plain], key=lambda row: float(row["strength"]))
                cured = "" if remedy == STANDARD else ", remedy"
                curves.append(
                    charts.Line(
                        f"{text}{cured}",
                        tuple(float(row["strength"]) for row in course),
                        tuple(float(row["accuracy"]) for row in course),
                        tuple(_half_width(row) for row in course),
                    )
                )
        known = of_kind[(of_kind["remedy"] == STANDARD) & (of_kind["side"] == "positive")]
        stress = [f"{strength:g}" for strength in known.loc[~known["in_range"], "strength"]]
        unit = "strength" if kind in UNITLESS else "standard deviations of train images"
        marked = f" (stress at {wording.listed(stress)})" if stress else ""
        title = f"{KINDS[str(kind)]}{marked}"
        found.append((title, charts.lines(curves, f"Accuracy: {title}", unit)))
    return found


def _half_width(row: Mapping[str, Any]) -> float:
    low = row["accuracy_low"]
    return 0.0 if low is None else (float(row["accuracy_high"]) - float(low)) / 2


def _sweep(sweep: pd.DataFrame) -> list[dict[str, Any]]:
    """Settings of latent augmentation, as Fig. 15 of the paper has them, and of the others."""
    return [
        {
            "name": REMEDIES[row["remedy"]],
            "setting": f"{SETTINGS[row['remedy']]} = {row['setting']:g}",
            "drop": f"{points(row['drop'])} ({between(row, 'drop')})",
            "price": f"{points(row['price'])} ({between(row, 'price')})",
        }
        for row in records(sweep)
        if not pd.isna(row["setting"])
    ]


def _calibration(table: pd.DataFrame) -> str | None:
    """Predicted against observed share of positives."""
    if table.empty:
        return None
    predicted, observed = (tuple(table[key].astype(float)) for key in ("predicted", "observed"))
    nothing = (0.0,) * len(predicted)
    curves = (
        charts.Line("observed", predicted, observed, nothing),
        charts.Line("as predicted", predicted, predicted, nothing),
    )
    return charts.lines(curves, "Calibration", "predicted probability")
