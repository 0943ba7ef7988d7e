"""What a dataset is too small, too uniform or too sparsely labelled for, by section."""

from collections.abc import Iterable, Mapping

SAID = {
    "accuracy": "Accuracy does not apply",
    "concepts": "Hidden concepts do not apply",
    "concepts.bases": "A comparison with other bases does not apply",
    "concepts.clarity_correlation": "A correlation of clarity does not apply",
    "concepts.clarity_activation_correlation": "The correlation of clarity and activation does not "
    "apply",
    "concepts.hidden": "Hidden concepts do not apply",
    "concepts.names": "What the names of components are worth on further images is not measured",
    "failures": "The search for failures does not apply",
    "failures.classes": "Not all classes are searched for failures",
    "failures.unknown": "Not all classes are searched for failures",
    "failures.confirmed": "Confirmation on fresh images does not apply",
    "faithfulness": "Faithfulness does not apply",
    "faithfulness.ablation_correlation": "Correlation with the effect of switching off does "
    "not apply to every method",
    "faithfulness.sem": "Standard errors do not apply",
    "maps": "Maps of where components fire do not apply",
    "planted": "A planted failure is not measured",
    "robustness.linear": "The linear classifier does not apply",
    "sae": "The autoencoder's health on fresh images does not apply",
    "sae.explained_variance": "Explained variance does not apply",
    "shortcut": "The classifier's audit does not apply",
    "shortcut.remedies": "A remedy does not apply",
    "shortcut.suspect": "Which components are suspect by name cannot be judged",
    "stability": "Stability over seeds does not apply",
}
"""Figure → what the report says of its absence; one that is not here is said as its first part."""
SECTIONS = {
    "accuracy": "robustness",
    "concepts.bases": "interpretability",
    "concepts.clarity_activation_correlation": "interpretability",
    "concepts.clarity_correlation": "interpretability",
    "maps": "failures",
    "stability": "sae",
}
"""Figure, or the first parts of it → the section that shows it, where that has another name."""
TITLES = {
    "concepts": "hidden concepts",
    "failures": "failures",
    "faithfulness": "faithfulness",
    "interpretability": "interpretability",
    "planted": "planted truth",
    "robustness": "prompts",
    "sae": "health of the autoencoder",
    "shortcut": "shortcuts",
}
"""Section → its name in a list, in no order."""


def sentence(figure: str, reason: str) -> str:
    """Why one figure is absent."""
    above = figure.rpartition(".")[0]
    said = SAID.get(figure) or SAID.get(above) or SAID[figure.partition(".")[0]]
    return f"{said}, because {reason}."


def gaps(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    """Section → a sentence for each figure that is absent from it; all sections are there."""
    found: dict[str, list[str]] = {section: [] for section in TITLES}
    for figure, reason in reasons.items():
        first, above = figure.partition(".")[0], figure.rpartition(".")[0]
        own = [SECTIONS[part] for part in (figure, above, first) if part in SECTIONS]
        found[[*own, first][0]].append(sentence(figure, reason))
    return found


def named(found: Mapping[str, Iterable[str]]) -> list[str]:
    """Names of the sections in which something is absent."""
    return [TITLES[section] for section, texts in found.items() if texts]
