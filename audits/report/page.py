"""A report's `report.html`, `report.md` and `components.html`, from one set of facts."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Environment

from audits.maps.veil import Maps
from audits.names import distinct_names
from audits.report import cards, limits, wording
from audits.report.components.page import components_page
from audits.report.gallery import Gallery
from audits.report.numbers import Numbers, known
from audits.report.sections import gaps, names, planted, review, robustness, statistics
from audits.report.sections.faithfulness import faithfulness
from audits.report.sections.health import health
from audits.report.sections.interpretability import interpretability
from audits.report.sections.pixels import pixels
from audits.report.sections.shortcut import shortcut
from audits.report.sources import Settings, Sources
from audits.report.templating import environment
from pipeline.datasets.pixels import reading_of

EXCLUDED = 50
CARD = "On a finding's card"
"""Section of numbers.yaml."""
LIMITS = ("accuracy", "frequent", "agreement", "explained_variance", "parameters", "train_images")
"""Numbers in what a report says of how far it carries."""


class Said(NamedTuple):
    """A sentence or a few, and the numbers in it, as keys of numbers.yaml."""

    text: str
    about: tuple[str, ...]


class Pages(NamedTuple):
    """Texts of a report's files."""

    html: str
    markdown: str
    components: str
    """HTML of the page to look through its components."""


def render(sources: Sources, settings: Settings, provenance: Mapping[str, Any]) -> Pages:
    """The pages of a report.

    The Markdown holds nothing that differs between two equal runs: no commit, no versions.
    """
    called = distinct_names(sources.dataset["classes"])
    reading = reading_of(sources.dataset)
    maps = Maps(sources.maps, sources.model["preprocessing"])
    gallery = Gallery(sources.manifest, settings.root, reading, called, settings.thumbnail, maps)
    facts = context(sources, settings, gallery)
    html = _environment(html=True).get_template("report.html.j2")
    markdown = _environment(html=False).get_template("report.md.j2")
    return Pages(
        html.render(**facts, provenance=provenance, numbers=Numbers()),
        markdown.render(**facts),
        components_page(sources, called),
    )


def context(sources: Sources, settings: Settings, gallery: Gallery) -> dict[str, Any]:
    """Everything both templates show."""
    # Order matters: the short sections get their pictures before findings use up the budget.
    classifier = shortcut(sources, settings.positive, settings.negative, gallery, settings.gallery)
    hidden = cards.hidden_groups(sources, gallery, settings.gallery)
    found = cards.cards(sources, gallery, settings.gallery)
    metrics = sources.metrics
    prompts = robustness.robustness(sources)
    title, summary = _headline(sources, found, prompts["forms"], classifier)
    absent = gaps.gaps(sources.gaps)
    pixel = pixels(sources.dataset)
    # Of zero validation images there is no accuracy.
    accuracy = metrics.get("accuracy", {}).get("short")
    return {
        "audit": sources.audit,
        "title": title,
        "summary": summary,
        "limits": [
            *limits.limits(
                sources.manifest,
                len(sources.dataset["classes"]),
                sources.model,
                accuracy,
                metrics["sae"],
                len(sources.findings),
                gaps.named(absent),
            ),
            *pixel,
        ],
        "limits_about": (*LIMITS, *(("pixels",) if pixel else ())),
        "gaps": absent,
        "dataset": sources.dataset,
        "model": sources.model,
        "settings": settings,
        "metrics": metrics,
        "cards": found,
        "hero": cards.hero(found),
        "card_numbers": tuple(known()[CARD]),
        "modes": wording.MODES,
        "statistics": statistics.statistics(sources, settings.q),
        "given": review.given(sources.evidence),
        "form_names": wording.FORMS,
        "robustness": prompts,
        "shortcut": classifier,
        "faithfulness": faithfulness(sources),
        "methods": wording.METHODS,
        "ablation": metrics.get("faithfulness", {}).get("ablation_correlation", {}),
        "hidden": hidden,
        "names": names.sentences(metrics["concepts"]),
        "interpretability": interpretability(sources),
        "health": health(sources, settings.k),
        "plants": planted.plants(sources),
        "excluded": sources.dataset["excluded"],
        "excluded_shown": EXCLUDED,
    }


def _headline(
    sources: Sources,
    found: list[cards.Card],
    forms: Mapping[str, Any],
    classifier: Mapping[str, Any] | None,
) -> tuple[str, list[Said]]:
    metrics = sources.metrics
    holding = [card for card in found if card.holds]
    title = statistics.headline(
        len(holding),
        len({card.label for card in holding}),
        len(sources.dataset["classes"]),
        sum(card.verdict != "reject" for card in found),
    )
    dictionaries = metrics["recurrence"]["runs"]
    by_person = sum(card.by_person for card in holding)
    modes = [card.mode for card in holding]
    text = statistics.summary(metrics["failures"], modes, by_person, dictionaries)
    about: tuple[str, ...] = ("hit", "findings", "confirmed", "modes", "flags", "expected")
    if again := statistics.recurrence(metrics["recurrence"]):
        text, about = f"{text} {again}", (*about, "found_again", "in_all", "random")
    summary = [Said(text, about)]
    if (reason := sources.gaps.get("failures")) is not None:
        title = statistics.untested(len(sources.dataset["classes"]))
        summary = [Said(gaps.sentence("failures", reason), ("classes",))]
    if "short" in forms:
        summary.append(Said(robustness.summary(forms), ("spurious_auc",)))
    if classifier is not None:
        # A classifier's shortcut is what such an audit is for; the failures come second.
        failures = Said(f"{title}. {summary[0].text}", summary[0].about)
        title = classifier["title"]
        summary = [Said(classifier["summary"], classifier["about"]), failures]
    prompts = sources.plants[sources.plants["mode"] != "shortcut"]
    if len(prompts):
        fallen = prompts["fallen"]
        text = planted.summary(
            metrics["failures"]["planted"],
            int(fallen.sum()),
            int((fallen & prompts["found"]).sum()),
            len(prompts),
        )
        summary.append(Said(text, ("planted_auc", "recall", "precision")))
    marked = metrics.get("shortcut", {}).get("planted")
    if marked:
        summary.append(Said(planted.shortcuts(marked), ("encoding",)))
    return title, summary


@cache
def _environment(html: bool) -> Environment:
    made = environment(html=html)
    made.filters |= {"capitalize_first": wording.sentence, "cell": wording.cell}
    return made
