"""What the page shows with pictures: findings, shortcut components, hidden concepts."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from audits.report import wording
from audits.report.gallery import Gallery, Thumbnail
from audits.report.sections import names, review
from audits.report.sources import Sources
from audits.report.tables import records

HERO = 4
RECURRENCE = ("recurrence", "recurrence_low", "recurrence_high")
CONCEPTS_A_GROUP = 6


@dataclass(frozen=True)
class Card:
    """One finding, ready to be shown."""

    finding_id: str
    label: str
    """Label of the class; two classes may have one name."""
    name: str
    """Short class name."""
    component: int
    """Its id, the same from one SAE to the next."""
    index: int | None
    """Where it is in this SAE, None where that is its id."""
    component_label: str
    also: str
    """What the class also answers to."""
    mode: str
    mode_label: str
    reading: str
    """What it probably means, in a sentence."""
    origin: str
    """Whether a person or a rule says so, and why."""
    alternatives: str
    """Other modes that something speaks for, empty where nothing does."""
    evidence: str
    """Why it is a finding, in a sentence."""
    taken: str
    """How many validation images like its own are taken for the class, in a sentence; empty where
    that was not measured."""
    taken_shares: str
    """Their share, and that of others."""
    confirmed: bool
    doubt: str
    """Why it is not confirmed, in a sentence; empty where it is."""
    by_person: bool
    """Whether a person set the mode."""
    confidence: str
    """Of the suggested mode, from 0 to 1."""
    verdict: str
    """accept or reject, empty where no person gave one."""
    verdict_label: str
    said: str
    """Verdict and note of a person, with name and date; empty where there is none."""
    status: str
    review_again: str
    """Why the verdict is to be given again, empty where it is not."""
    test: str
    """What was tested."""
    tests: tuple[tuple[str, str, str], ...]
    """Key of numbers.yaml, name and value of what the test gave."""
    images: int
    score: str
    max_z: str
    q_value: str
    stability: str
    recurrence: str
    """How often it is found again, with its interval."""
    label_fit: str
    """Alignment of the component's label with its top images."""
    worth: str
    """How well the label tells the images that fire the component, see `names.worth`."""
    clarity: str
    forms: tuple[tuple[str, float], ...]
    """Prompt form and spurious AUC."""
    labelled: str
    """What the images it fires on are labelled with."""
    class_images: tuple[Thumbnail, ...]
    examples: tuple[Thumbnail, ...]

    @property
    def holds(self) -> bool:
        """Whether it is confirmed and no person rejected it."""
        return self.confirmed and self.verdict != "reject"

    @property
    def shown(self) -> bool:
        """Whether it has pictures; those past the page's budget are listed in a table."""
        return bool(self.examples)


def ordered(findings: pd.DataFrame) -> pd.DataFrame:
    """Findings with the confirmed ones first and the rejected last, otherwise as they were."""
    rank = (findings["verdict"] == "reject") * 2 + ~findings["confirmed"].astype(bool)
    return findings.loc[rank.sort_values(kind="stable").index]


def cards(sources: Sources, gallery: Gallery, count: int) -> list[Card]:
    """All findings in order, with galleries of `count` images while the page's budget lasts."""
    return [_card(row, sources, gallery, count) for row in records(ordered(sources.findings))]


def _card(row: dict[str, Any], sources: Sources, gallery: Gallery, count: int) -> Card:
    name = sources.short(row["class"])
    forms = sources.forms[sources.forms["finding_id"] == row["finding_id"]]
    auc = dict(zip(forms["form"], forms["spurious_auc"], strict=True))
    named = sources.labels.set_index("component").loc[row["component"]]
    evidence = sources.evidence[row["finding_id"]]
    shows = evidence["shows"] or ""
    confidence = _present(row["confidence"])
    pictured = not gallery.full
    taken = _taken(forms)
    return Card(
        finding_id=row["finding_id"],
        label=row["class"],
        name=name,
        component=int(row["component_id"]),
        index=None if row["component"] == row["component_id"] else int(row["component"]),
        component_label=row["component_label"],
        also=wording.also(row["mode"], shows),
        mode=row["mode"],
        mode_label=wording.MODES[row["mode"]],
        reading=wording.finding_reading(row["mode"], name, shows),
        origin=wording.mode_origin(
            row["mode_source"], evidence["suggested_mode"], evidence["mode_reason"], confidence
        ),
        alternatives=wording.alternatives(evidence["mode_alternatives"]),
        evidence=wording.finding_evidence(
            name,
            int(row["images"]),
            int(evidence["as_high"]),
            int(row["component_id"]),
            evidence["reason"],
        ),
        taken=wording.taken(name, *taken) if taken else "",
        taken_shares=wording.taken_shares(*taken[1:]) if taken else "n/a",
        confirmed=bool(row["confirmed"]),
        doubt=""
        if row["confirmed"]
        else wording.not_confirmed(bool(row["held"]), bool(evidence["repeats"])),
        by_person=row["mode_source"] == "person",
        confidence=wording.decimal(confidence, 2),
        verdict=row["verdict"],
        verdict_label=wording.VERDICTS.get(row["verdict"], ""),
        said=_said(evidence["review"]),
        status=wording.STATUS[row["status"]],
        review_again="; ".join(evidence["review_again"]),
        test=wording.TESTS[evidence["test"]],
        tests=tests(row, evidence),
        images=int(row["images"]),
        score=wording.decimal(float(row["score"])),
        max_z=wording.z_score(float(row["max_z"])),
        q_value=wording.decimal(float(row["q_value"]), 2),
        stability=wording.decimal(float(row["stability"])),
        recurrence=wording.recurrence(*(_present(row[name]) for name in RECURRENCE)),
        label_fit=wording.decimal(float(named["alignment"]), 2),
        worth=names.worth(named.to_dict()),
        clarity=wording.decimal(float(named["clarity"]), 2),
        forms=tuple((form, float(auc[form])) for form in wording.FORMS if form in auc),
        labelled=_labels(row["example_ids"], gallery),
        class_images=tuple(gallery.of_class(row["class"], count)) if pictured else (),
        examples=tuple(gallery.images(row["example_ids"], count, row["component"]))
        if pictured
        else (),
    )


def _taken(forms: pd.DataFrame) -> tuple[int, float, float] | None:
    """Of a finding's forms, its distractors, and shares of them and of others taken for its class
    by the short name; None where that was not measured."""
    short = forms[forms["form"] == "short"]
    if short.empty:
        return None
    (row,) = short.to_dict("records")
    return int(row["distractors"]), float(row["distractors_taken"]), float(row["others_taken"])


def _labels(image_ids: list[str], gallery: Gallery) -> str:
    counts = Counter(gallery.label_of(image_id) for image_id in image_ids)
    common = sorted(counts, key=lambda label: (-counts[label], label))
    shown = [f"{label} ({counts[label]})" for label in common[:4]]
    rest = sum(counts[label] for label in common[4:])
    return ", ".join(shown) + (f" and {rest} others" if rest else "")


def tests(row: dict[str, Any], evidence: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """What the test of a finding gave, each with its key of numbers.yaml and its name."""
    return (
        ("p_train", "p-value (Fisher, train images)", wording.decimal(evidence["p_value"], 2)),
        ("q_value", "q-value", wording.decimal(float(row["q_value"]), 2)),
        ("tail", "empirical tail", wording.decimal(evidence["tail"], 2)),
        ("p_fresh", "p-value (validation images)", wording.decimal(evidence["confirmation_p"], 2)),
    )


def _said(given: dict[str, str] | None) -> str:
    """A person's verdict in words: "Rejected by Ada on 2026-01-31: it is a bat."."""
    if given is None:
        return ""
    by = f" by {given['reviewer']}" if given["reviewer"] else ""
    on = f" on {given['date']}" if given["date"] else ""
    note = f": {review.unguarded(given['note'])}" if given["note"] else ""
    return wording.sentence(f"{wording.VERDICTS[given['verdict']]}{by}{on}{note}")


def _present(value: float | int | None) -> float | None:
    """The number, None where a table holds none; a column of whole numbers is read as such."""
    return None if value is None or value != value else float(value)


def hero(found: list[Card]) -> list[Card]:
    """Up to four findings that hold to open with: other classes and, first, other clear modes."""
    chosen: list[Card] = []
    pictured = [card for card in found if card.holds and card.shown and card.class_images]
    for new_mode in (True, False):
        for card in pictured:
            known = {"unclear", *(other.mode for other in chosen)}
            fresh = card.mode not in known or not new_mode
            if fresh and card.label not in {other.label for other in chosen} and len(chosen) < HERO:
                chosen.append(card)
    return chosen


def shortcut_components(sources: Sources, gallery: Gallery, count: int) -> list[dict[str, Any]]:
    """Candidates by rank, with the plain picture that each answers to, or null, and top images."""
    rows = records(sources.components.sort_values("rank", kind="stable"))
    plain = dict(zip(sources.plain["component"], sources.plain["picture"], strict=True))
    named = sources.labels.set_index("component")
    widest = max((float(row["share"]) for row in rows), default=0.0)
    return [
        {
            **row,
            "width": 100 * float(row["share"]) / widest,
            "plain": plain.get(row["component"]),
            "none_fits": names.none_fits(named.loc[row["component"]].to_dict()),
            "images": gallery.images(row["top_images"], count, row["component"]),
        }
        for row in rows
    ]


def hidden_groups(sources: Sources, gallery: Gallery, count: int) -> list[dict[str, Any]]:
    """Hidden concepts by clarity group, the strongest of each with their top images."""
    table = sources.hidden
    named = sources.labels.set_index("component")
    groups = []
    for group in wording.CLARITY:
        rows = records(table[table["group"] == group])
        if not rows:
            continue
        shown = [
            {
                **row,
                "worth": names.worth(named.loc[row["component"]].to_dict()),
                "matters_for": sources.short(row["class"]) if row["class"] else "",
                "images": gallery.images(row["top_images"], count, row["component"]),
            }
            for row in rows[:CONCEPTS_A_GROUP]
        ]
        groups.append({"group": wording.CLARITY[group], "total": len(rows), "components": shown})
    return groups
