"""A difference in words and figures, for `audits.diff.sections`."""

import math
import re
from collections.abc import Mapping
from typing import Any

from audits.diff.difference import Difference
from audits.diff.figures import OF_DICTIONARY, Moved
from audits.diff.origins import Origins, Pair
from audits.diff.recognition import Persisting
from audits.diff.sections import Section

__all__ = ["figure", "headline", "origins_section", "sections", "share", "signed", "title"]

HEADLINES = re.compile(
    r"accuracy\.\w+|dataset\.images|failures\.(findings|confirmed|expected_false_flags)"
    r"|failures\.planted\.(recall|precision)|recurrence\.(found_again|in_all)"
    r"|robustness\.(short|templates|extended|both|linear)\.(spurious|valid)_auc"
    r"|sae\.\w+|shortcut\.auroc\.value|stability\.matched_fraction(_apart)?"
)
"""Metrics that are always listed where they moved; others are counted."""
LISTED = 20
"""Metrics that changed, of any name, that are listed: those that changed most clearly."""
SHORT = 8
DIGITS = 4


def title(difference: Difference) -> str:
    """What is compared."""
    before, now = difference.before, difference.now
    names = now.audit if before.audit == now.audit else f"{before.audit} and {now.audit}"
    return f"{names}: {before.place} → {now.place}"


def headline(difference: Difference) -> str:
    """All of it in a line."""
    found = difference.findings
    verdicts = [one.verdict for one in difference.metrics]
    missed = len(found.only_now) + len(found.only_before)
    said = (
        f"findings: {len(found.new)} new, {len(found.fixed)} fixed"
        f"{'' if found.sure else ' (or not recognised)'}, "
        f"{len(found.persisting)} persisting"
        f"{f', {missed} missed by one audit' if missed else ''}; "
        f"metrics: {verdicts.count('changed')} changed, "
        f"{verdicts.count('within')} moved within their intervals, "
        f"{verdicts.count('no interval')} moved that have no interval"
    )
    if difference.nothing:
        return f"nothing differs: {len(found.persisting)} findings persist, and no metric moved"
    return said


def sections(difference: Difference, everything: bool) -> list[Section]:
    """What differs, and what could explain it; `everything`: all metrics that moved, and all
    findings that persist."""
    return [
        Section("In short", [headline(difference)]),
        *_findings(difference, everything),
        *_metrics(difference, everything),
        origins_section(difference.origins),
    ]


def _findings(difference: Difference, everything: bool) -> list[Section]:
    found = difference.findings
    told = found.persisting if everything else [one for one in found.persisting if one.changes]
    made = []
    or_not = "" if found.sure else ", or not recognised"
    if found.new:
        name = f"New findings{or_not}"
        made.append(Section(name, [], FINDING, [_finding(row) for row in found.new]))
    if found.fixed:
        said = ["Found before and not any more."]
        rows = [_finding(row) for row in found.fixed]
        made.append(Section(f"Fixed findings{or_not}", said, FINDING, rows))
    if found.only_now or found.only_before:
        said = [
            "Found in one version only, but the model of the other has the failure, too: "
            "further dictionaries of that version find it (others), or it is not clear that fewer "
            "of its images come close to the class there (close) than two findings have to share."
        ]
        rows = [
            [*_finding(one.row), which, f"{one.found_by} of {one.of}", share(one.close)]
            for which, those in (("now", found.only_now), ("before", found.only_before))
            for one in those
        ]
        header = [*FINDING, "only", "others", "close"]
        made.append(Section("Findings that one audit missed", said, header, rows))
    if told:
        header = ["finding", "before", "recognised by", "what changed"]
        rows = [_persisting(one) for one in told]
        made.append(Section("Persisting findings", [], header, rows))
    if made:
        notes = [f"Findings were recognised by {found.recognised_by}."]
        if not found.sure:
            notes.append(
                "That is too little for two dictionaries: a failure that both have may be listed "
                "as new and as fixed. Type `dvc fetch failures review recurrence` at the commits "
                "of both."
            )
        elif difference.origins.dictionary and (found.new or found.fixed):
            notes.append(
                "The dictionaries are not the same. A finding that few dictionaries find (again), "
                "or that chance finds as often (by chance), may come and go with them."
            )
        if found.unknown and (found.new or found.fixed):
            places = " and ".join(found.unknown)
            notes.append(
                f"What comes close to a class, and what further dictionaries find, is not all here "
                f"of {places}, so that failures that both versions have may be among new and fixed "
                "(`dvc fetch failures recurrence` at that commit, if it is of this version)."
            )
        made.append(Section("How to read the findings", notes))
    return made


FINDING = ["finding", "class", "label", "mode", "images", "confirmed", "again", "by chance"]
"""Header of `_finding`; again and by chance are recurrence and its random control."""


def _finding(row: Mapping[str, Any]) -> list[str]:
    shown = ["finding_id", "class", "component_label", "mode", "images", "confirmed"]
    again = [share(row.get(name)) for name in ("recurrence", "recurrence_random")]
    return [*(figure(row.get(name)) for name in shown), *again]


def _persisting(one: Persisting) -> list[str]:
    before, now = str(one.before["finding_id"]), str(one.now["finding_id"])
    changes = "; ".join(f"{key}: {_pair(pair)}" for key, pair in one.changes.items())
    return [now, "" if before == now else before, one.by, changes]


METRIC = ["metric", "before", "now", "difference", "95 % of the difference"]


def _metrics(difference: Difference, everything: bool) -> list[Section]:
    made = []
    for verdict, name, said in (
        ("changed", "Metrics that changed", "By more than their intervals allow for."),
        ("within", "Within their intervals", "Noise explains these as well."),
        (
            "no interval",
            "Without an interval",
            "Nothing says how far these move by chance: no change is claimed.",
        ),
    ):
        chosen = [one for one in difference.metrics if one.verdict == verdict]
        most = sorted(chosen, key=_strength)[-LISTED:] if verdict == "changed" else []
        told = [one for one in chosen if everything or one in most or HEADLINES.fullmatch(one.name)]
        if chosen:
            rest = len(chosen) - len(told)
            note = [said]
            if difference.origins.dictionary and any(
                one.name.startswith(OF_DICTIONARY) for one in chosen
            ):
                note.append("Intervals of faithfulness are over images, of one dictionary each.")
            note += [f"{rest} more: --all lists them."] if rest else []
            rows = [_metric(one) for one in told]
            made.append(Section(name, note, METRIC, rows))
    return made


def _strength(one: Moved) -> float:
    """Difference in widths of its interval."""
    if one.interval is None or one.difference is None:
        return 0.0
    low, high = one.interval
    return abs(one.difference) / (high - low) if high > low else math.inf


def _metric(one: Moved) -> list[str]:
    low_high = "" if one.interval is None else " to ".join(map(signed, one.interval))
    moved = "" if one.difference is None else signed(one.difference)
    return [one.name, figure(one.before), figure(one.now), moved, low_high]


def origins_section(why: Origins) -> Section:
    """What could explain it, with what could not be compared."""
    said = [f"Not compared: {what}." for what in why.unknown]
    rows = []
    if why.dataset is not None:
        counts = why.images or {}
        change = ", ".join(f"{count} images {kind}" for kind, count in counts.items() if count)
        rows.append(["dataset", change, *_ends(why.dataset)])
    for kind, pairs in (("model", why.model), ("setting", why.settings)):
        rows += [[kind, key, *_ends(pair)] for key, pair in pairs.items()]
    if why.code:
        packages = dict.fromkeys("/".join(path.split("/")[:2]) for path in why.code)
        said.append(f"Code: {', '.join(packages)}.")
    if why.files:
        said.append(f"Files that no stage makes: {', '.join(why.files)}.")
    rows += [["machine", key, *_ends(pair)] for key, pair in why.machine.items()]
    if why.nothing:
        same = "what could be compared is" if why.unknown else "dataset, settings and code are"
        said.insert(0, f"Nothing: {same} the same.")
    if why.dictionary:
        said.append("The dictionary (SAE) is another one, made from these.")
    return Section("What could explain it", said, ["what", "which", "before", "now"], rows)


def _ends(pair: Pair) -> list[str]:
    return [value[:SHORT] if _is_hash(value) else figure(value) for value in pair]


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32,64}", value) is not None


def _pair(pair: Pair) -> str:
    return " → ".join(map(figure, pair))


def figure(value: Any) -> str:
    """A value of a table; what is not there is a dash."""
    if value is None or value != value:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def share(value: Any) -> str:
    """A fraction in two digits."""
    return "-" if value is None or value != value else f"{value:.2f}"


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{value:+.{DIGITS}g}"
