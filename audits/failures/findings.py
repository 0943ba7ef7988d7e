"""Findings: flags that share their images, tested on images that had no part in them."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from audits.failures.chance import on_others, stratified
from audits.failures.closeness import Close
from audits.failures.compounds import Compounds
from audits.failures.counting import CARRIER, EXCESS, STAND_IN, hits, tally
from audits.failures.expectation import Expectation, expectations, surprise
from audits.failures.flags import Flag
from audits.failures.mode_evidence import what_is_shown
from audits.failures.modes import Mode
from audits.failures.strikes import Basis, prepare, see, whole_classes
from audits.inputs import Inputs
from audits.names import distinct_names
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
    "held",
    "stability",
    "verdict",
    "example_ids",
]

SAID = {
    EXCESS: "matters more than on the class's own images",
    STAND_IN: "carries the class's prompt as on its own images",
    CARRIER: "carries the class's prompt, which others carry on its own images",
}
"""What a component does on the images of a flag."""
EXAMPLES = 12
"""Images of a finding that stand for it, those with the strongest activation."""

About = tuple[int, int, str, bool]
"""What a flag is about: class position, component, test, and whether others are compounds."""

Suggest = Callable[[str, int, object, np.ndarray], Mode]
"""Suggested mode of a class label, component, its name, and rows of images."""


def about(flag: Flag) -> About:
    """What a flag is about."""
    return flag.position, flag.component, flag.test, flag.compound


def gather(flags: list[Flag], overlap: float) -> list[list[Flag]]:
    """Flags of one class that share their images, as groups, the most telling flag first.

    Two flags belong together where they are of one component, where the images they share are at
    least `overlap` of the smaller set, or where a class comes close as a whole by both; groups are
    the connected components of that relation, but what is seen on compounds of the class's word is
    a group by itself (`_kinds`). A flag is as strong as the relevance that is too much, over all
    its images. First is the strongest EXCESS flag with at least `overlap` of the group's images,
    since its component tells them from the class's own; else the strongest flag.
    """
    groups: list[list[Flag]] = []
    for position in sorted({flag.position for flag in flags}):
        mine = [flag for flag in flags if flag.position == position]
        count, number = connected_components(_linked(mine, overlap), directed=False)
        for group in range(count):
            members = [flag for flag, n in zip(mine, number, strict=True) if n == group]
            groups += _kinds(members, overlap)
    return sorted(groups, key=lambda group: -_strength(group[0]))


def _kinds(group: list[Flag], overlap: float) -> list[list[Flag]]:
    """A group, or two: of compounds of the class's word, and of others.

    A finding is known by its class and its first component, so that the two start with different
    ones; where a single component is all that either has, they stay one.
    """
    kinds = [[flag for flag in group if flag.compound == kind] for kind in (False, True)]
    if all(kinds):
        others, compounds = (_ranked(flags, overlap) for flags in kinds)
        first = others[0].component
        if compounds[0].component == first:
            compounds.sort(key=lambda flag: flag.component == first)
        if compounds[0].component == first:
            others.sort(key=lambda flag: flag.component == first)
        if others[0].component != compounds[0].component:
            return [others, compounds]
    return [_ranked(group, overlap)]


def _ranked(group: list[Flag], overlap: float) -> list[Flag]:
    images = len(np.unique(np.concatenate([flag.rows for flag in group])))

    def rank(flag: Flag) -> tuple[bool, float, int]:
        telling = flag.test == EXCESS and len(flag.rows) >= overlap * images
        return not telling, -_strength(flag), flag.component

    return sorted(group, key=rank)


def _linked(flags: list[Flag], overlap: float) -> csr_array:
    """Which flags [f, f] share a component, enough of their images, or a class that comes close as
    a whole."""
    component = np.array([flag.component for flag in flags])
    sizes = np.array([len(flag.rows) for flag in flags])
    rows = np.concatenate([flag.rows for flag in flags])
    starts = np.concatenate([[0], sizes.cumsum()])
    shown = csr_array((np.ones(len(rows), dtype=np.int64), rows, starts))
    shared = (shown @ shown.T).toarray()
    of_whole = np.array([[bool({*a.whole} & {*b.whole}) for a in flags] for b in flags])
    same = component[:, None] == component
    return csr_array((shared >= overlap * np.minimum(sizes[:, None], sizes)) | of_whole | same)


def _strength(flag: Flag) -> float:
    return flag.score * len(flag.rows)


def taken_by(close: Close, groups: Iterable[list[Flag]]) -> int:
    """How many images that the model takes for a class are in a group of flags on that class."""
    of_class: dict[int, list[np.ndarray]] = {}
    for group in groups:
        of_class.setdefault(group[0].position, []).extend(flag.rows for flag in group)
    return sum(
        int(np.isin(close.taken[position], np.concatenate(rows)).sum())
        for position, rows in of_class.items()
    )


def confirmations(
    inputs: Inputs,
    flags: Iterable[Flag],
    table: pd.DataFrame,
    classes: pd.DataFrame,
    compounds: Compounds,
    config: FailuresConfig,
) -> dict[About, float]:
    """p-value of every flag on validation images, which had no part in finding it.

    The flag's own tests, with what is expected from train images and on the classes that it was
    found on: within them all together, or of one of those that came close as a whole; 1 where no
    image of theirs, or for EXCESS of the class itself, comes close. Of which classes a component
    carries was chosen by train images, so that CARRIER counts all on which it is relevant.
    """
    asked: dict[int, list[Flag]] = {}
    for flag in flags:
        asked.setdefault(flag.position, []).append(flag)
    tests = prepare(inputs, "val", compounds, config)
    flagged = classes[classes["class"].isin(inputs.classes["label"][list(asked)])]
    found: dict[About, float] = {}
    for expected in expectations(inputs, table, flagged):
        found |= _on_fresh(inputs, asked[expected.position], expected, tests, config)
    return found


def _on_fresh(
    inputs: Inputs, flags: list[Flag], expected: Expectation, tests: Basis, config: FailuresConfig
) -> dict[About, float]:
    labels = sorted({label for flag in flags for label in flag.labels})
    seen = see(inputs, expected, tests, labels, config.relevance)
    if not seen.close.any():
        return {about(flag): 1.0 for flag in flags}
    z = surprise(seen, expected, new=True)
    components = len(expected.mean)
    found = {}
    for test, slots in hits(seen, z, expected.mean, config).items():
        counted = tally(seen, slots, components)
        whole = whole_classes(seen, counted, tests, config)
        for flag in (flag for flag in flags if flag.test == test):
            j, rows = flag.component, np.isin(counted.labels, flag.labels)
            strata = zip(
                counted.units[rows], counted.close[rows], counted.hits[rows, j], strict=True
            )
            both, close = int(counted.both[rows, j].sum()), int(counted.close[rows].sum())
            came = np.flatnonzero(np.isin(counted.labels, flag.whole))
            routes = [stratified(both, strata), *whole[came, j]]
            p = min(1.0, len(routes) * float(min(routes)))
            if test == EXCESS:
                own_hits = counted.own_hits[j : j + 1]
                p = max(p, float(on_others(own_hits, counted.own, np.array([both]), close)[0]))
            found[about(flag)] = p if both else 1.0
    return found


def report_findings(
    inputs: Inputs,
    groups: list[list[Flag]],
    fresh: Mapping[About, float],
    labels: pd.DataFrame,
    stability: Mapping[int, float],
    suggest: Suggest,
    close: Close,
    config: FailuresConfig,
) -> tuple[pd.DataFrame, dict[str, dict[str, object]]]:
    """A row for each group of flags, and the evidence behind it.

    Args:
        inputs: the audit's artifacts.
        groups: flags that share their images, the strongest first.
        fresh: p-value on validation images of what every flag is about.
        labels: names of components, one row a component.
        stability: component → mean cosine of its atom with those of other seeds.
        suggest: what suggests a mode.
        close: images that come close, of the split that the flags are of.
        config: `confirm_p` and `confirm_as_high`.

    Returns:
        Findings with FINDING_COLUMNS, in the order of groups; and for each finding_id its
        components, images (ids), how many of them score as high as the class's own (`as_high`),
        whether its test repeats on validation images, groups (count), what they show (the class of
        most of them, else the component's name, null where neither is another class), the test of
        its first flag with a reason in words, p-value, empirical tail probability, counts of groups
        and the p-value on validation images, the same of every flag, and what speaks for its mode
        and for others.
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
        as_high = int(np.isin(rows, close.as_high[best.position]).sum())
        repeats = fresh[about(best)] <= config.confirm_p
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
                "q_value": best.q_value,
                "held": repeats and as_high >= config.confirm_as_high * len(rows),
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
            "as_high": as_high,
            "repeats": repeats,
            "groups": len(set(shown[rows, 1])),
            **_evidence(group, fresh, mode),
        }
    return pd.DataFrame(findings, columns=FINDING_COLUMNS), evidence


def _evidence(group: list[Flag], fresh: Mapping[About, float], mode: Mode) -> dict[str, object]:
    """What a reader needs to judge a finding; figures are those of its first flag."""
    best = group[0]
    return {
        "components": list(dict.fromkeys(flag.component for flag in group)),
        "test": best.test,
        "reason": _reason(best),
        "p_value": best.p_value,
        "tail": best.tail,
        **best.counts._asdict(),
        "confirmation_p": fresh[about(best)],
        "flags": [
            {
                "component": flag.component,
                "test": flag.test,
                "images": len(flag.rows),
                "p_value": flag.p_value,
                "q_value": flag.q_value,
                "tail": flag.tail,
                "confirmation_p": fresh[about(flag)],
            }
            for flag in group
        ],
        "mode_reason": mode.reason,
        "mode_alternatives": [reading._asdict() for reading in mode.alternatives],
    }


def _reason(flag: Flag) -> str:
    counts = flag.counts
    far = f"on {counts.far_hits} of {counts.far} of their images that do not, and "
    return (
        f"on {counts.other_hits} of {counts.others} images of other classes that come close, the "
        f"component {SAID[flag.test]}; so it does {far if counts.far else ''}on "
        f"{counts.own_hits} of {counts.own} own images"
        f"{'' if counts.far else ', and no image of the other classes stays away'}"
    )


def _strongest(inputs: Inputs, flag: Flag) -> np.ndarray:
    component, activation = (part.numpy() for part in inputs.coded(torch.from_numpy(flag.rows)))
    strength = np.where(component == flag.component, activation, 0).max(axis=1)
    return flag.rows[np.argsort(-strength, kind="stable")[:EXAMPLES]]
