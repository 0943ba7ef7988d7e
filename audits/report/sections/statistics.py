"""How many findings there are, how many of them chance explains, and what persons said."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from audits.names import distinct_names
from audits.report import wording
from audits.report.sources import Sources


def statistics(sources: Sources, q: float) -> dict[str, Any]:
    """Figures and sentences about all findings; q is the false discovery rate asked for."""
    failures = sources.metrics["failures"]
    expected = failures.get("expected_false_flags")
    return {
        "figures": [
            ("flags", "flags", f"{failures['flags']:,}"),
            ("expected", "of them expected by chance", wording.decimal(expected, 2)),
            ("q", "false discovery rate allowed (q)", wording.decimal(q, 2)),
            ("findings", "findings", f"{failures['findings']:,}"),
            ("confirmed", "confirmed", f"{failures['confirmed']:,}"),
            (
                "found_again",
                "found again by further dictionaries",
                _again(sources.metrics["recurrence"]),
            ),
            (
                "mistaken",
                "train images taken for another class that a finding on that class has",
                f"{failures['mistaken_found']:,} of {failures['mistaken']:,}",
            ),
            ("verdicts", "accepted by persons", f"{failures['accepted']:,}"),
            ("verdicts", "rejected by persons", f"{failures['rejected']:,}"),
        ],
        "chance": "" if expected is None else chance(failures),
        "controls": controls(sources.metrics["recurrence"]),
        "again": bool(failures["persisting"] or failures["gone"]),
        "review": review(failures, sources.findings),
        "gone": [
            {
                **{str(key): value for key, value in row.items()},
                # Its class may have left the dataset too.
                "name": _names(sources).get(row["class"], row["class"]),
                "verdict_label": wording.VERDICTS.get(row["verdict"], "none"),
                "mode_label": wording.MODES.get(row["mode"], ""),
            }
            for row in sources.gone.to_dict("records")
        ],
    }


def chance(failures: Mapping[str, Any]) -> str:
    """How many flags chance would give, as a share of those there are.

    Args:
        failures: `flags`, `expected_false_flags` (by permutation) and
            `expected_false_flags_analytic`.
    """
    flags, expected = failures["flags"], failures["expected_false_flags"]
    text = (
        "If coming close to a class had nothing to do with the component (closeness shuffled "
        f"within each other class), {wording.decimal(expected, 2)} flags would be expected "
        f"(at most {wording.decimal(failures['expected_false_flags_analytic'], 2)} by the tests' "
        "own distribution)"
    )
    if not flags:
        return f"{text}; there are none."
    return f"{text}, against {flags:,} found: {wording.percent(expected / flags)} of them."


def review(failures: Mapping[str, Any], findings: pd.DataFrame) -> list[str]:
    """What persons decided, what is suggested only, and what changed since the last review."""
    if findings.empty:
        said = []
    else:
        by_person = int((findings["mode_source"] == "person").sum())
        decided = failures["accepted"] + failures["rejected"]
        said = [
            f"Persons gave a verdict on {decided} of {len(findings)} findings. The mode is a "
            f"person's on {by_person} and suggested by rule on {len(findings) - by_person}."
        ]
    if failures["persisting"] or failures["gone"]:
        said.append(
            f"Since the last review: {failures['new']} new, {failures['persisting']} persisting, "
            f"{failures['gone']} gone; {failures['review_again']} with a verdict that is to be "
            "given again."
        )
    return said


def headline(confirmed: int, hit: int, classes: int, findings: int) -> str:
    """The main sentence: on how many classes the model also answers to something else.

    Args:
        confirmed: findings that are confirmed and nobody rejected.
        hit: classes with such a finding.
        classes: classes audited.
        findings: all findings that nobody rejected.
    """
    if confirmed:
        return f"On {hit} of {classes} classes, this model also answers to something else"
    if findings:
        suspected = wording.counted(findings, "finding is a hint", "findings are hints")
        return f"No failure was confirmed on {classes} classes; {suspected}"
    return f"No failure was found on {classes} classes"


def untested(classes: int) -> str:
    """The main sentence where no failure can be looked for."""
    return f"Failures cannot be looked for on {wording.counted(classes, 'class', 'classes')}"


def summary(
    failures: Mapping[str, Any], modes: Sequence[str], by_person: int, dictionaries: int
) -> str:
    """How many findings there are, of which kind, and how many flags chance would give.

    Args:
        failures: `flags`, `findings`, `confirmed`, `rejected`, `expected_false_flags`.
        modes: mode of each confirmed finding that nobody rejected.
        by_person: how many of these modes a person set; the others are suggested.
        dictionaries: further ones that looked for the findings, too.
    """
    counts = Counter(modes)
    kinds = [
        wording.counted(counts[mode], *wording.KINDS[mode])
        for mode in sorted(counts, key=lambda mode: (-counts[mode], mode))
    ]
    suggested = ""
    if by_person < len(modes):
        some = f"{wording.number(len(modes) - by_person)} of them " if by_person else ""
        suggested = f", {some}as suggested by rule"
    findings, confirmed, flags = (failures[key] for key in ("findings", "confirmed", "flags"))
    expected = failures.get("expected_false_flags")
    by_chance = f"chance alone would give {wording.decimal(expected, 2)}"
    if not findings:
        return f"No component stood out where it should not ({by_chance})."
    them = "it" if findings == 1 else "them"
    rejected = ""
    if failures["rejected"]:
        rejected = f"; persons rejected {wording.number(failures['rejected'])}, and left are"
    return wording.sentence(
        f"{_held(findings, confirmed, dictionaries)}{rejected}"
        + (f": {wording.listed(kinds)}{suggested}. " if kinds else " none. " if rejected else ". ")
        + f"Behind {them} {'is' if flags == 1 else 'are'} {wording.counted(flags, 'flag')}, where "
        f"{by_chance}."
    )


def recurrence(figures: Mapping[str, Any]) -> str:
    """How often the findings are found again by dictionaries that share nothing.

    Args:
        figures: `runs`, `findings` and, where there are both, `found_again`, `all_images`,
            `in_all`, `random`, `random_class`.
    """
    if "found_again" not in figures:
        if figures["findings"] and not figures["runs"]:
            return "Whether other dictionaries find them again was not measured."
        return ""
    runs, findings = int(figures["runs"]), int(figures["findings"])
    every = round(figures["in_all"] * findings)
    found = f"{wording.percent(figures['found_again'])} of the findings again"
    if runs == 1:
        said = (
            "A further dictionary, trained from its own start on half of the images, finds "
            f"{found} in that half"
        )
    else:
        by = "both find" if runs == 2 else f"all {wording.number(runs)} find"
        said = (
            f"{wording.number(runs).capitalize()} further dictionaries, each trained from its own "
            f"start on half of the images, find {found} in these halves on average, and {by} "
            f"{every:,} of {findings:,}"
        )
    all_images = wording.percent(figures["all_images"])
    they, average = ("it finds", "") if runs == 1 else ("they find", " on average")
    return f"{said}; searching all images {they} {all_images}{average}. {_by_chance(figures)}"


def _by_chance(figures: Mapping[str, Any]) -> str:
    """Both controls, and what the first says where it reaches the rate's interval or exceeds it."""
    findings = int(figures["findings"])
    found = binomtest(round(figures["found_again"] * findings), findings)
    alike, anyhow = (wording.percent(figures[name]) for name in ("random", "random_class"))
    tells = ""
    if figures["random"] >= found.proportion_ci(method="wilson").low:
        tells = ", so that being found again tells the class and not the images"
    return (
        "As many candidates of the same class drawn at random would count as found again in "
        f"{alike}{tells}; as many of any class in {anyhow}, which is mostly the share of classes "
        "in which a further dictionary finds anything."
    )


def _held(findings: int, confirmed: int, dictionaries: int) -> str:
    if not confirmed:  # each card says why
        if findings == 1:
            return "the one finding is not confirmed"
        return f"none of {wording.number(findings)} findings is confirmed"
    if findings == 1:
        said, them = "the one finding", "it"
    else:
        said, them = f"{wording.number(confirmed)} of {wording.number(findings)} findings", "them"
    said += f" held up on images not used to find {them}"
    if not dictionaries:
        return said
    return f"{said}, and a dictionary trained on other images finds {them} again"


def _again(figures: Mapping[str, Any]) -> str:
    if "found_again" not in figures:
        return "not measured"
    return wording.percent(figures["found_again"])


def controls(figures: Mapping[str, Any]) -> str:
    """By how many of the dictionaries findings are found, and how many chance would find.

    Args:
        figures: of recurrence, see `recurrence`.
    """
    if "found_again" not in figures:
        return ""
    low, high = (wording.percent(figures[f"in_all_{end}"]) for end in ("low", "high"))
    alike, anyhow = (wording.percent(figures[name]) for name in ("random", "random_class"))
    return (
        f"Every further dictionary finds {wording.percent(figures['in_all'])} of the findings "
        f"(interval of 95 %: {low} to {high}). As many images drawn at random would be called the "
        f"same in {alike} if they were candidates of the same class, of which one failure often "
        f"has most, and in {anyhow} if of any class."
    )


def _names(sources: Sources) -> dict[str, str]:
    return distinct_names(sources.dataset["classes"])
