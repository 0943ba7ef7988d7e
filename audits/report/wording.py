"""The plain words of a report, made from its numbers."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

MODES = {
    "polysemy": "Two meanings",
    "compound": "Part of another name",
    "typography": "Written word",
    "spurious": "Surroundings",
    "unclear": "Kind unclear",
}
KINDS = {
    "polysemy": ("word with two meanings", "words with two meanings"),
    "compound": ("word that is part of another name", "words that are part of another name"),
    "typography": ("written word", "written words"),
    "spurious": ("case of surroundings taken for the object", "surroundings taken for the object"),
    "unclear": ("of unclear kind", "of unclear kind"),
}
CLARITY = {
    "high": "Clear: its top images are alike",
    "medium": "Mixed",
    "low": "Diffuse: its top images differ",
}
FORMS = {
    "short": "Short name",
    "templates": "Name in templates",
    "extended": "Full name",
    "both": "Full name, templates",
    "linear": "Linear classifier",
}
FORM_PHRASES = {
    "short": "with the short class name",
    "templates": "with the short name in templates",
    "extended": "with the full class name",
    "both": "with the full class name in templates",
    "linear": "with a linear classifier instead of a prompt",
}
METHODS = {
    "act_grad": "Act×Grad",
    "integrated_gradients": "Integrated Gradients",
    "act_logit_lens": "Act×Logit Lens",
    "logit_lens": "Logit Lens",
    "energy": "Energy",
    "random": "Random",
}
PROTOCOLS = {
    "deletion_local": ("Deletion, each image's own order", "lower is better"),
    "deletion_global": ("Deletion, one order a class", "lower is better"),
    "deletion_random": ("Deletion, order from random images", "lower is better"),
    "insertion_local": ("Insertion, each image's own order", "higher is better"),
}
SHIFTS = {"plain": "Plain", "added": "Red added", "removed": "Red removed"}

_NUMBERS = (
    "no one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
)


Number = float | int


def percent(fraction: Number) -> str:
    """A fraction as percent: whole from 10 % on, one decimal below; never rounded up to 100."""
    value = 100 * fraction
    if abs(value) < 10 and value != 0:
        return f"{value:.1f}%"
    return f"{math.floor(value) if 99 < value < 100 else round(value)}%"


def decimal(value: Number | None, digits: int = 3) -> str:
    """A number at some significant digits, an exponent only where it is tiny; "n/a" for none."""
    if value is None or value != value:
        return "n/a"
    if value == 0 or 1e-4 <= abs(value) < 10**digits:
        return f"{value:.{digits}g}"
    return f"{value:,.0f}" if abs(value) >= 1 else f"{value:.1e}"


def number(count: int) -> str:
    """A count as a word up to twelve, in digits from thirteen on."""
    return _NUMBERS[count] if count < len(_NUMBERS) else f"{count:,}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: "no findings", "one finding", "13 findings"."""
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def listed(parts: Sequence[str]) -> str:
    """Parts as "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def failures_headline(confirmed: int, hit: int, classes: int, findings: int) -> str:
    """The main sentence: on how many classes the model also answers to something else.

    Args:
        confirmed: findings that held on images not used to find them.
        hit: classes with such a finding.
        classes: classes audited.
        findings: all findings.
    """
    if confirmed:
        return f"On {hit} of {classes} classes, this model also answers to something else"
    if findings:
        suspected = counted(findings, "finding is a hint", "findings are hints")
        return f"No failure was confirmed on {classes} classes; {suspected}"
    return f"No failure was found on {classes} classes"


def failures_summary(metrics: Mapping[str, Any], modes: Sequence[str]) -> str:
    """How many findings there are, of which kind, and how many flags chance would give.

    Args:
        metrics: `flags`, `findings`, `confirmed`, `expected_false_flags`.
        modes: suggested mode of each confirmed finding.
    """
    counts = Counter(modes)
    kinds = [
        counted(counts[mode], *KINDS[mode])
        for mode in sorted(counts, key=lambda mode: (-counts[mode], mode))
    ]
    findings, confirmed, flags = (metrics[key] for key in ("findings", "confirmed", "flags"))
    chance = f"chance alone would give {decimal(metrics['expected_false_flags'], 2)}"
    if not findings:
        return f"No component stood out where it should not ({chance})."
    if findings == 1:
        held = "the one finding held up" if confirmed else "the one finding did not hold up"
    else:
        held = (
            f"{number(confirmed) if confirmed else 'none'} of {number(findings)} findings held up"
        )
    them = "it" if findings == 1 else "them"
    return sentence(
        f"{held} on images not used to find {them}"
        + (f": {listed(kinds)}. " if kinds else ". ")
        + f"Behind {them} {'is' if flags == 1 else 'are'} {counted(flags, 'flag')}, where {chance}."
    )


def robustness_summary(robustness: Mapping[str, Mapping[str, Any]]) -> str:
    """What the class name alone achieves against the distractors, and what helps."""
    auc = {form: robustness[form]["spurious_auc"] for form in FORMS if form in robustness}
    best = max((form for form in auc if form != "linear"), key=lambda form: auc[form])
    parts = [f"{percent(auc['short'])} of the time {FORM_PHRASES['short']}"]
    if best != "short":
        parts.append(f"{percent(auc[best])} {FORM_PHRASES[best]}")
    if "linear" in auc:
        parts.append(f"{percent(auc['linear'])} {FORM_PHRASES['linear']}")
    text = f"Of a true image and such a distractor, the true one scores higher {listed(parts)}."
    return text if best != "short" else f"{text} No other prompt does better."


def finding_reading(mode: str, name: str, shows: str, reason: str) -> str:
    """What a finding probably means, by its suggested mode, and why that mode is suggested."""
    other = f"“{shows}”" if shows else "several other things"
    readings = {
        "polysemy": f"“{name}” seems to have a second meaning here, closer to {other}.",
        "compound": f"“{name}” seems to be part of another name, for {other}.",
        "typography": f"The word “{name}” seems to be written in these images, and reading it is "
        "enough for the model.",
        "spurious": f"What comes along with “{name}” ({other}) seems to be enough for the model, "
        "without the thing itself.",
        "unclear": f"The model takes {other} for “{name}”.",
    }
    return f"{readings[mode]} Suggested because {reason}."


def finding_evidence(name: str, images: int, component: int, max_z: Number) -> str:
    """Why a finding is one: how many images, which component, how unexpected."""
    verb, them = ("scores", "it") if images == 1 else ("score", "them")
    return sentence(
        f"{counted(images, 'image')} of other classes {verb} like “{name}”, and component "
        f"{component} pushes {them} there: its relevance is up to {z_score(max_z)} standard "
        "deviations above what true images show."
    )


def shortcut_headline(name: str, suspects: Sequence[Mapping[str, Any]]) -> str:
    """The main sentence of a classifier's audit: the first suspect component and its rank."""
    if not suspects:
        return f"Nothing suspect among the components that decide on {name}"
    top = suspects[0]
    label = f"“{top['label']}”" if top["label"] else f"component {top['component']}"
    rank = "its strongest component" if top["rank"] == 1 else f"its component number {top['rank']}"
    return f"The {name} classifier leans on {label}, {rank}"


def shortcut_summary(name: str, accuracy: Mapping[str, Any], share: Number, count: int) -> str:
    """What red does to the classifier, before and after robust training."""

    def mean(shift: str, side: str, model: str) -> float:
        return float(accuracy[shift][side][model]["mean"])

    sides = (("positive", f"accuracy on {name}"), ("negative", "accuracy on the rest"))
    standard = [
        f"{label} from {percent(mean('plain', side, 'standard'))} to "
        f"{percent(mean('added', side, 'standard'))}"
        for side, label in sides
    ]
    robust = [
        f"from {percent(mean('plain', side, 'robust'))} to {percent(mean('added', side, 'robust'))}"
        for side, _ in sides
    ]
    suspects = (
        f"{sentence(counted(count, 'suspect component'))} {'carries' if count == 1 else 'carry'} "
        f"{percent(share)} of the relevance. "
        if count
        else ""
    )
    return (
        f"{suspects}Adding red to the images takes {listed(standard)}; after training with latent "
        f"augmentation, {listed(robust)}."
    )


def planted_summary(planted: Mapping[str, Any], fallen: int, found: int, total: int) -> str:
    """How the audit did against planted failures of prompts.

    Args:
        planted: `recall` and `precision`, each left out where it is a share of nothing.
        fallen: plants that the model falls for.
        found: those among them that the audit found.
        total: all plants.
    """
    text = (
        f"{sentence(counted(total, 'failure was', 'failures were'))} planted in this sample; the "
        f"model falls for {fallen}, and the audit found {found} of these"
    )
    text += f" (recall {decimal(planted['recall'], 2)})." if "recall" in planted else "."
    if "precision" in planted:
        text += f" {percent(planted['precision'])} of its findings are right about a plant."
    return text


def planted_shortcuts(planted: Mapping[str, Mapping[str, Any]]) -> str:
    """Where the planted shortcuts of a classifier stand among its components."""
    parts = [
        f"{plant} in component {entry['component']}, number {entry['rank']} by relevance (it tells "
        f"the marked images apart with an AUC of {decimal(entry['encoding_auc'], 2)})"
        for plant, entry in sorted(planted.items())
    ]
    return f"Planted shortcuts and where they show: {listed(parts)}."


def z_score(value: Number) -> str:
    """A z-score; those past 1,000 come from components that never fire on the class."""
    return "1,000 and more" if value > 1000 else decimal(value)


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]
