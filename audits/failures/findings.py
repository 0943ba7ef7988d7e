"""Findings: flags that share their images, confirmed on images that had no part in them."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from audits.failures.expectation import (
    Close,
    Expectation,
    close_images,
    expectations,
    surprise,
    view,
)
from audits.failures.flags import EXCESS, Flag, chance, count, hits
from audits.failures.mode_evidence import what_is_shown
from audits.failures.modes import Mode
from audits.inputs import Inputs
from audits.names import distinct_names
from audits.reference.expected import own_images
from pipeline.config import FailuresConfig

FINDING_COLUMNS = [
    "finding_id",
    "class",
    "component",
    "component_label",
    "mode",
    "confidence",
    "score",
    "images",
    "max_z",
    "q_value",
    "confirmed",
    "stability",
    "verdict",
    "example_ids",
]

EXAMPLES = 12
"""Images of a finding that stand for it, those with the strongest activation."""

Pair = tuple[int, int, str]
"""What a flag is about: class position, component and test."""

Suggest = Callable[[str, int, object, np.ndarray], Mode]
"""Suggested mode of a class label, component, its name, and rows of images."""


def about(flag: Flag) -> Pair:
    """What a flag is about."""
    return flag.position, flag.component, flag.test


def gather(flags: list[Flag], overlap: float) -> list[list[Flag]]:
    """Flags of one class that share their images, as groups, the most telling flag first.

    Two flags belong together where the images they share are at least `overlap` of the smaller
    set; groups are the connected components of that relation. A flag is as strong as the relevance
    that is too much, over all its images. First is the strongest EXCESS flag with at least
    `overlap` of the group's images, since its component tells them from the class's own; else the
    strongest flag.
    """
    groups: list[list[Flag]] = []
    for position in sorted({flag.position for flag in flags}):
        mine = [flag for flag in flags if flag.position == position]
        count, number = connected_components(_linked(mine, overlap), directed=False)
        for group in range(count):
            members = [flag for flag, n in zip(mine, number, strict=True) if n == group]
            groups.append(_ranked(members, overlap))
    return sorted(groups, key=lambda group: -_strength(group[0]))


def _ranked(group: list[Flag], overlap: float) -> list[Flag]:
    images = len(np.unique(np.concatenate([flag.rows for flag in group])))

    def rank(flag: Flag) -> tuple[bool, float, int]:
        telling = flag.test == EXCESS and len(flag.rows) >= overlap * images
        return not telling, -_strength(flag), flag.component

    return sorted(group, key=rank)


def _linked(flags: list[Flag], overlap: float) -> csr_array:
    """Which flags [f, f] share enough of their images."""
    sizes = np.array([len(flag.rows) for flag in flags])
    rows = np.concatenate([flag.rows for flag in flags])
    starts = np.concatenate([[0], sizes.cumsum()])
    shown = csr_array((np.ones(len(rows), dtype=np.int64), rows, starts))
    shared = (shown @ shown.T).toarray()
    return csr_array(shared >= overlap * np.minimum(sizes[:, None], sizes))


def _strength(flag: Flag) -> float:
    return flag.score * len(flag.rows)


def confirmations(
    inputs: Inputs,
    flags: Iterable[Flag],
    table: pd.DataFrame,
    classes: pd.DataFrame,
    config: FailuresConfig,
) -> dict[Pair, float]:
    """p-value of every flag on validation images, which had no part in finding it.

    The flag's own test, validation candidates against the class's own validation images that come
    as close, with what is expected from train images; 1 where a class lacks either.
    """
    asked: dict[int, list[Flag]] = {}
    for flag in flags:
        asked.setdefault(flag.position, []).append(flag)
    flagged = classes[classes["class"].isin(inputs.classes["label"][list(asked)])]
    close = close_images(inputs, flagged, "val", config.candidate_deviations)
    known = dict(own_images(inputs, "train"))
    found: dict[Pair, float] = {}
    for expected in expectations(inputs, table, flagged):
        at = expected.position
        found |= _confirmed(inputs, asked[at], expected, close[at], known[at], config)
    return found


def _confirmed(
    inputs: Inputs,
    flags: list[Flag],
    expected: Expectation,
    close: Close,
    known: Int[Tensor, " t"],
    config: FailuresConfig,
) -> dict[Pair, float]:
    if len(close.own) == 0 or len(close.candidates) == 0:
        return {about(flag): 1.0 for flag in flags}
    seen = view(inputs, expected, *close, known, config)
    sizes = int(seen.own.sum()), int((~seen.own).sum())
    z = surprise(seen, expected, new=True)
    counted = {
        test: count(seen, slots, len(expected.mean))
        for test, slots in hits(seen, z, expected.mean, config).items()
    }
    found = {}
    for flag in flags:
        a, b = (side[[flag.component]] for side in counted[flag.test])
        found[about(flag)] = float(chance(a, b, *sizes, at_least=b)[0])
    return found


def report_findings(
    inputs: Inputs,
    groups: list[list[Flag]],
    confirmed: Mapping[Pair, float],
    labels: pd.DataFrame,
    stability: Mapping[int, float],
    suggest: Suggest,
    config: FailuresConfig,
) -> tuple[pd.DataFrame, dict[str, dict[str, object]]]:
    """A row for each group of flags, and the evidence behind it.

    Args:
        inputs: the audit's artifacts.
        groups: flags that share their images, the strongest first.
        confirmed: p-value on validation images of what every flag is about.
        labels: names of components, one row a component.
        stability: component → mean cosine of its atom with those of other seeds.
        suggest: what suggests a mode.
        config: `confirm_p`.

    Returns:
        Findings with FINDING_COLUMNS, in the order of groups; and for each finding_id its
        components, images (ids), groups (count), what they show (the class of most of them, else
        the component's name, null where neither is another class), the test of its first flag with
        a reason in words, p-value, empirical tail probability, counts of groups and the p-value on
        validation images, the same of every flag, and what speaks for its mode and for others.
    """
    named = labels.set_index("component")["label"]
    shown = inputs.images[["image_id", "group_id", "label"]].astype(object).to_numpy()
    names = distinct_names(inputs.classes.to_dict("records"))
    findings: list[dict[str, object]] = []
    evidence: dict[str, dict[str, object]] = {}
    for group in groups:
        best = group[0]
        rows = np.unique(np.concatenate([flag.rows for flag in group]))
        label, name = inputs.classes["label"][best.position], named[best.component]
        mode = suggest(label, best.component, name, rows)
        finding_id = f"{label}-{best.component}"
        examples = shown[_strongest(inputs, best), 0]
        findings.append(
            {
                "finding_id": finding_id,
                "class": label,
                "component": best.component,
                "component_label": name,
                "mode": mode.name,
                "confidence": mode.confidence,
                "score": best.score,
                "images": len(rows),
                "max_z": max(flag.max_z for flag in group),
                "q_value": min(flag.q_value for flag in group),
                "confirmed": confirmed[about(best)] <= config.confirm_p,
                "stability": stability.get(best.component),
                "verdict": None,
                "example_ids": " ".join(examples),
            }
        )
        evidence[finding_id] = {
            "shows": what_is_shown(
                shown[rows, 2], label, inputs.classes["short"][best.position], name, names
            ),
            "images": shown[rows, 0].tolist(),
            "groups": len(set(shown[rows, 1])),
            **_evidence(group, confirmed, mode),
        }
    return pd.DataFrame(findings, columns=FINDING_COLUMNS), evidence


def _evidence(group: list[Flag], confirmed: Mapping[Pair, float], mode: Mode) -> dict[str, object]:
    """What a reader needs to judge a finding; figures are those of its first flag."""
    best = group[0]
    return {
        "components": list(dict.fromkeys(flag.component for flag in group)),
        "test": best.test,
        "reason": _reason(best),
        "p_value": best.p_value,
        "tail": best.tail,
        **best.counts._asdict(),
        "confirmation_p": confirmed[about(best)],
        "flags": [
            {
                "component": flag.component,
                "test": flag.test,
                "images": len(flag.rows),
                "p_value": flag.p_value,
                "q_value": flag.q_value,
                "tail": flag.tail,
                "confirmation_p": confirmed[about(flag)],
            }
            for flag in group
        ],
        "mode_reason": mode.reason,
        "mode_alternatives": [reading._asdict() for reading in mode.alternatives],
    }


def _reason(flag: Flag) -> str:
    counts = flag.counts
    said = (
        "matters more than on the class's own images"
        if flag.test == EXCESS
        else ("carries the class's prompt as on its own images")
    )
    return (
        f"on {counts.other_hits} of {counts.others} candidates that do not look like the class, "
        f"the component {said}; so it does on {counts.own_hits} of {counts.own} own images that "
        "score as high"
    )


def _strongest(inputs: Inputs, flag: Flag) -> np.ndarray:
    component = inputs.codes.component[flag.rows].numpy()
    activation = inputs.codes.activation[flag.rows].numpy()
    strength = np.where(component == flag.component, activation, 0).max(axis=1)
    return flag.rows[np.argsort(-strength, kind="stable")[:EXAMPLES]]
