"""The plain words of a report, made from its numbers."""

import math
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
VERDICTS = {"accept": "accepted", "reject": "rejected"}
TESTS = {
    "excess": "more relevant than on the class's own images",
    "stand-in": "as relevant as on the class's own images, without the class",
    "carrier": "what carries the class's name on images of another class, though not on its own",
}
STATUS = {"new": "new", "persists": "known from the last review"}

_NUMBERS = (
    "no one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
)


Number = float | int


def percent(fraction: Number | None) -> str:
    """A fraction as percent: whole from 10 % on, one decimal below; never rounded up to 100 or down
    to 0.

    "n/a" for none.
    """
    if fraction is None:
        return "n/a"
    value = round(100 * fraction, 9)
    if 0 < value < 0.05:
        return "under 0.1%"
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


def signed(value: Number) -> str:
    """A difference with its sign and three digits after the point."""
    return f"{value:+.3f}".replace("-", "−")


def number(count: int) -> str:
    """A count as a word up to twelve, in digits from thirteen on."""
    return _NUMBERS[count] if count < len(_NUMBERS) else f"{count:,}"


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: "no findings", "one finding", "13 findings"."""
    return f"{number(count)} {noun if count == 1 else plural or noun + 's'}"


def listed(parts: Sequence[str]) -> str:
    """Parts as "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def also(mode: str, shows: str) -> str:
    """What a class also answers to, as a card's title says it.

    Where a word is written on pictures of several classes, what else they show is not why.
    """
    return "writing in the picture" if mode == "typography" else shows or "other things"


def finding_reading(mode: str, name: str, shows: str) -> str:
    """What a finding probably means, by its mode."""
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
    return readings[mode]


def mode_origin(source: str, suggested: str, reason: str, confidence: float | None) -> str:
    """Who says so: a person, or a rule with its reason and its confidence from 0 to 1."""
    sure = "" if confidence is None else f" (confidence {decimal(confidence, 2)})"
    if source == "person":
        return (
            f"A person set this mode; the rule suggested “{MODES[suggested]}”{sure}, "
            f"because {reason}."
        )
    return f"Mode suggested by rule{sure}, because {reason}."


def finding_evidence(name: str, images: int, as_high: int, component: int, reason: str) -> str:
    """Why a finding is one: how many images, which component, and what the test counted."""
    verb, them = ("comes", "it") if images == 1 else ("come", "them")
    level = "as high as most of its own"
    if as_high < images:
        some = number(as_high) if as_high else "none"
        level = f"{some} {level}; the others stand out among images of their class"
    return sentence(
        f"{counted(images, 'image')} of other classes {verb} close to “{name}” ({level}), "
        f"and component {component} pushes {them} there: {reason}."
    )


def taken(name: str, distractors: int, share: float, of_others: float) -> str:
    """What a finding costs on images that had no part in it: who is taken for its class."""
    return (
        f"Of the {counted(distractors, 'validation image')} of other classes on which the "
        f"component is as strong, the model takes {percent(share)} for “{name}”, of all others "
        f"{percent(of_others)}."
    )


def taken_shares(share: float, of_others: float) -> str:
    """The same in a table: "24% (others 2.5%)"."""
    return f"{percent(share)} (others {percent(of_others)})"


def not_confirmed(held: bool, repeats: bool) -> str:
    """Why a finding is not confirmed."""
    if held:
        why = "No dictionary that has learnt from other images finds it again"
    elif repeats:
        why = "Most of its images do not score as high as the class's own"
    else:
        why = "On fresh images this did not repeat"
    return f"{why}, so take it as a hint."


def alternatives(readings: Sequence[Mapping[str, Any]]) -> str:
    """The other modes that something speaks for, with their share of the evidence."""
    if not readings:
        return ""
    found = [
        f"“{MODES[reading['mode']]}” ({decimal(reading['strength'], 2)}: {reading['reason']})"
        for reading in readings
    ]
    return f"Something speaks for {listed(found)} too."


def recurrence(share: float | None, low: float | None, high: float | None) -> str:
    """How often a finding is found again: "50% (9.5% to 91%)"."""
    if share is None:
        return "not measured"
    return f"{percent(share)} ({percent(low)} to {percent(high)})"


def z_score(value: Number) -> str:
    """A z-score; those past 1,000 come from components that never fire on the class."""
    return "1,000 and more" if value > 1000 else decimal(value)


def sentence(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]


def cell(text: object) -> str:
    """Text that Markdown shows as it is, inside a table too."""
    shown = str(text).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    for mark in "\\`*_[]|":
        shown = shown.replace(mark, "\\" + mark)
    return shown
