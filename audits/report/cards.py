"""What the page shows with pictures: findings, shortcut components, hidden concepts."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from audits.report import wording
from audits.report.gallery import Gallery, Thumbnail
from audits.report.sources import Sources

HERO = 4
CONCEPTS_A_GROUP = 6


@dataclass(frozen=True)
class Card:
    """One finding, ready to be shown."""

    finding_id: str
    name: str
    """Short class name."""
    component: int
    component_label: str
    shows: str
    """What its images show, empty where they have nothing in common that has a name."""
    mode: str
    mode_label: str
    reading: str
    """What it probably means, in a sentence."""
    evidence: str
    """Why it is a finding, in a sentence."""
    confirmed: bool
    verdict: str
    """What a reviewer said, empty where none did."""
    images: int
    score: str
    max_z: str
    q_value: str
    stability: str
    label_fit: str
    """Alignment of the component's label with its top images."""
    clarity: str
    forms: tuple[tuple[str, float], ...]
    """Prompt form and spurious AUC."""
    labelled: str
    """What the images it fires on are labelled with."""
    class_images: tuple[Thumbnail, ...]
    examples: tuple[Thumbnail, ...]

    @property
    def shown(self) -> bool:
        """Whether it has pictures; those past the page's budget are listed in a table."""
        return bool(self.examples)


def ordered(findings: pd.DataFrame) -> pd.DataFrame:
    """Findings with the confirmed ones first, otherwise in the order they were given."""
    return findings.sort_values("confirmed", ascending=False, kind="stable")


def cards(sources: Sources, gallery: Gallery, count: int) -> list[Card]:
    """All findings in order, with galleries of `count` images while the page's budget lasts."""
    return [_card(row, sources, gallery, count) for row in _records(ordered(sources.findings))]


def _card(row: dict[str, Any], sources: Sources, gallery: Gallery, count: int) -> Card:
    name = sources.short(row["class"])
    forms = sources.forms[sources.forms["finding_id"] == row["finding_id"]]
    auc = dict(zip(forms["form"], forms["spurious_auc"], strict=True))
    named = sources.labels.set_index("component").loc[row["component"]]
    evidence = sources.evidence[row["finding_id"]]
    shows = evidence["shows"] or ""
    pictured = not gallery.full
    return Card(
        finding_id=row["finding_id"],
        name=name,
        component=int(row["component"]),
        component_label=row["component_label"],
        shows=shows,
        mode=row["mode"],
        mode_label=wording.MODES[row["mode"]],
        reading=wording.finding_reading(row["mode"], name, shows, evidence["mode_reason"]),
        evidence=wording.finding_evidence(
            name, int(row["images"]), int(row["component"]), float(row["max_z"])
        ),
        confirmed=bool(row["confirmed"]),
        verdict=row["verdict"],
        images=int(row["images"]),
        score=wording.decimal(float(row["score"])),
        max_z=wording.z_score(float(row["max_z"])),
        q_value=wording.decimal(float(row["q_value"]), 2),
        stability=wording.decimal(float(row["stability"])),
        label_fit=wording.decimal(float(named["alignment"]), 2),
        clarity=wording.decimal(float(named["clarity"]), 2),
        forms=tuple((form, float(auc[form])) for form in wording.FORMS if form in auc),
        labelled=_labels(row["example_ids"], gallery),
        class_images=tuple(gallery.of_class(row["class"], count)) if pictured else (),
        examples=tuple(gallery.images(row["example_ids"], count)) if pictured else (),
    )


def _labels(image_ids: list[str], gallery: Gallery) -> str:
    counts = Counter(gallery.label_of(image_id) for image_id in image_ids)
    common = sorted(counts, key=lambda label: (-counts[label], label))
    shown = [f"{label} ({counts[label]})" for label in common[:4]]
    rest = sum(counts[label] for label in common[4:])
    return ", ".join(shown) + (f" and {rest} others" if rest else "")


def hero(found: list[Card]) -> list[Card]:
    """Up to four confirmed findings to open with: other classes and, first, other modes."""
    chosen: list[Card] = []
    pictured = [card for card in found if card.confirmed and card.shown and card.class_images]
    for new_mode in (True, False):
        for card in pictured:
            fresh = card.mode not in {other.mode for other in chosen} or not new_mode
            if fresh and card.name not in {other.name for other in chosen} and len(chosen) < HERO:
                chosen.append(card)
    return chosen


def shortcut_components(sources: Sources, gallery: Gallery, count: int) -> list[dict[str, Any]]:
    """Components of the classifier by falling relevance share, with their top images."""
    rows = _records(sources.components.sort_values("rank", kind="stable"))
    widest = max((float(row["share"]) for row in rows), default=0.0)
    return [
        {
            **row,
            "width": 100 * float(row["share"]) / widest,
            "images": gallery.images(row["top_images"], count),
        }
        for row in rows
    ]


def hidden_groups(sources: Sources, gallery: Gallery, count: int) -> list[dict[str, Any]]:
    """Hidden concepts by clarity group, the strongest of each with their top images."""
    table = sources.hidden.sort_values(
        ["mean_top20", "component"], ascending=[False, True], kind="stable"
    )
    order = table.groupby("group")["clarity"].mean().sort_values(ascending=False)
    groups = []
    for group in order.index:
        rows = _records(table[table["group"] == group])
        shown = [
            {**row, "images": gallery.images(row["top_images"], count)}
            for row in rows[:CONCEPTS_A_GROUP]
        ]
        groups.append({"group": wording.CLARITY[group], "total": len(rows), "components": shown})
    return groups


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
