"""A suggestion of what kind of failure a finding is, with its evidence; a person decides.

The modes are those of the paper (Sec. 5.3): polysemy, compound, typography, spurious; "unclear"
where the evidence says none of them, or none more than the others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import log
from typing import NamedTuple

from audits.failures.compounds import contains_word
from audits.failures.lexicon import Lexicon, Sense, plain, short, stems

UNCLEAR = "unclear"

KIND_MODES = {"writing": "typography", "background": "spurious", "context": "spurious"}
"""Kind of a term in the vocabulary, and the mode it speaks for."""

CERTAIN = 0.95
"""The strongest that evidence gets."""

LABEL = 0.7
"""Weight of a component's label against what its images are: labels are picked from a vocabulary
by a model, and the nearest term may be a wrong one."""

CALLED = 0.95
"""Another thing goes by the class's word: it is a class of that name, or both words mean it."""

DEFINED = 0.8
"""A further sense of the class's word is defined by the name of what is shown."""

RELATED = 0.6
"""The definition of a further sense shares a telling word with the description of what is shown."""

AMBIGUOUS = 0.2
"""The class's word has further senses, and none is known to be shown."""

HOLDS_AND_IS = 0.5
"""A compound of the class's word that is itself called so, "cricket bat" and "bat"."""

WHOLE = 0.9
"""All that is shown of some other thing answers, or much of it and nothing of the class does."""

ALONG = 0.9
"""What is on the class's own images is on some of other things, too: it comes along with it."""


class Shown(NamedTuple):
    """A class that a finding's images belong to."""

    label: str
    name: str
    """Full name."""
    share: float
    """Fraction of the finding's labelled images."""
    found: float
    """Fraction of the class's images that the finding has."""
    fired: float
    """Fraction of the class's images on which the component fires."""

    @property
    def whole(self) -> float:
        """How far the finding is of the whole class, 1, or of some images of it, near 0.

        Who calls another thing by a word calls all of it so; what is written or lies around is on
        some images, of several classes. The component tells it where the finding is of one class;
        where there are more, it may fire on each for another reason than the finding's.
        """
        return max(self.found, self.share * self.fired)


@dataclass(frozen=True)
class ModeEvidence:
    """What is known of a finding that bears on its mode."""

    label: str
    """The class whose prompt is answered; a WordNet id tells which sense it has."""
    name: str
    """Its full name; the word is the text before the first comma."""
    component_label: str | None
    """The component's name, None where it has none."""
    shown: tuple[Shown, ...]
    """Classes of the finding's images; empty where they are unlabelled."""
    kinds: Mapping[str, str]
    """Term → kind, of the vocabulary's terms that have one; terms as `short` has them."""
    rate_own: float
    """Fraction of the class's own images on which the component fires."""
    rate_others: float
    """Fraction of all other images on which it fires."""
    writing: float | None
    """AUROC of the component's activation on written grounds against others (stage `probe`), None
    where there is no probe."""
    writing_images: float | None
    """AUROC of the finding's images along the probe's direction of writing, see
    `mode_evidence.images_auroc`; likewise."""
    reliability: float | None
    """How far other grounds would give the same direction, 0 to 1; likewise."""
    own_word: float | None
    """How the component answers to the class's written word in particular, AUROC against other
    words, None where it does not."""

    @property
    def word(self) -> str:
        """The class's short name in lower case."""
        return short(self.name)


class Reading(NamedTuple):
    """One mode and what speaks for it."""

    mode: str
    strength: float
    """In 0 to 1: how far the evidence alone would settle the mode."""
    reason: str


class Mode(NamedTuple):
    """A suggested mode and why."""

    name: str
    confidence: float
    """Share of the evidence that speaks for it, in 0 to 1, see `shares`. It ranks suggestions; it
    is no probability, for nobody has held it to verdicts."""
    reason: str
    alternatives: tuple[Reading, ...]
    """The other modes that something speaks for, strongest first; `strength` is their share."""


def suggest_mode(evidence: ModeEvidence, lexicon: Lexicon) -> Mode:
    """The mode that most of what speaks for any speaks for, "unclear" where it is not that much.

    First it is asked whether the evidence says something: "unclear" has at most half of the shares.
    Then what: the mode has more than half of the rest. A mode is as strong as its strongest
    evidence. The confidence of "unclear" is its own share.
    """
    strongest: dict[str, Reading] = {}
    for reading in readings(evidence, lexicon):
        known = strongest.get(reading.mode)
        if reading.strength > 0 and (known is None or reading.strength > known.strength):
            strongest[reading.mode] = reading
    parts = shares({mode: reading.strength for mode, reading in strongest.items()})
    ranked = sorted(strongest, key=lambda mode: (-parts[mode], mode))
    weighed = tuple(strongest[mode]._replace(strength=parts[mode]) for mode in ranked)
    said = 1 - parts[UNCLEAR]
    if weighed and said >= 0.5 and weighed[0].strength > said / 2:
        return Mode(weighed[0].mode, weighed[0].strength, weighed[0].reason, weighed[1:])
    reason = "neither names, images, writing nor the class's own images say why"
    if weighed:
        reason = f"at most, {weighed[0].mode}: {weighed[0].reason}"
    return Mode(UNCLEAR, parts[UNCLEAR], reason, weighed)


def shares(strengths: Mapping[str, float]) -> dict[str, float]:
    """Each mode's share of the evidence, and what is left to "unclear"; they sum to 1.

    o_i/(1 + Σ_j o_j) with odds o = s/(1 − s), s the strength, at most CERTAIN. Evidence for one
    mode alone gives it a share of its strength; evidence for several divides it between them.
    """
    odds = {mode: s / (1 - s) for mode, s in ((m, min(v, CERTAIN)) for m, v in strengths.items())}
    total = 1 + sum(odds.values())
    return {UNCLEAR: 1 / total} | {mode: o / total for mode, o in odds.items()}


def readings(evidence: ModeEvidence, lexicon: Lexicon) -> Iterator[Reading]:
    """All that speaks for some mode."""
    further = _further_senses(evidence, lexicon)
    for shown in evidence.shown:
        yield from _of_name(evidence, shown.name, shown.share, further, lexicon)
    if evidence.component_label and plain(evidence.component_label) != evidence.word:
        yield from _of_name(evidence, evidence.component_label, LABEL, further, lexicon)
    yield from _compound_of_many(evidence, lexicon)
    if further:
        reason = f"“{evidence.word}” has {len(further)} further senses; none is known to be shown"
        yield Reading("polysemy", AMBIGUOUS, reason)
    yield from _of_writing(evidence)
    yield from _of_classes(evidence, lexicon)


def _of_name(
    evidence: ModeEvidence, name: str, weight: float, further: list[Sense], lexicon: Lexicon
) -> Iterator[Reading]:
    """What one name of what is shown says, `weight` being how far it is to be trusted."""
    word, other = evidence.word, short(name)
    kind = evidence.kinds.get(other)
    if kind in KIND_MODES:
        yield Reading(KIND_MODES[kind], weight * CERTAIN, f"“{other}” is {kind}")
    if other == word:
        yield Reading("polysemy", weight * CALLED, f"another class is called “{word}”")
        return
    called = any({word, other} <= sense.words for sense in further)
    if called:
        yield Reading("polysemy", weight * CALLED, f"“{other}” is also called “{word}”")
    if contains_word(other, word, lexicon):
        strength = HOLDS_AND_IS if called else CERTAIN
        yield Reading("compound", weight * strength, f"“{other}” holds the word “{word}”")
        return
    if not called:
        yield from _of_definitions(word, name, weight, further, lexicon)


def _of_definitions(
    word: str, name: str, weight: float, further: list[Sense], lexicon: Lexicon
) -> Iterator[Reading]:
    """Whether a further sense is defined by what is shown, or by a word of its description."""
    named = lexicon.telling(stems(short(name)))
    described = lexicon.telling(stems(name))
    for sense in further:
        text = lexicon.stems_of(sense) - stems(word)
        if shared := sorted(described & text):
            strength = DEFINED if named & text else RELATED
            said = f"“{word}”, “{sense.definition}”, fits “{name}” by “{shared[0]}”"
            yield Reading("polysemy", weight * strength, said)


def _compound_of_many(evidence: ModeEvidence, lexicon: Lexicon) -> Iterator[Reading]:
    """Compounds that share the images, "Egyptian cat" and "Siamese cat", count together."""
    holding = [s for s in evidence.shown if contains_word(short(s.name), evidence.word, lexicon)]
    if len(holding) > 1:
        names = ", ".join(f"“{short(shown.name)}”" for shown in holding)
        share = sum(shown.share for shown in holding)
        yield Reading("compound", share * CERTAIN, f"{names} hold the word “{evidence.word}”")


def _of_writing(evidence: ModeEvidence) -> Iterator[Reading]:
    """What the probe says: an AUROC a gives the strength 2a − 1, 0 where writing makes no odds.

    The images' counts as far as the direction can be relied on.
    """
    for auroc, what in (
        (evidence.own_word, f"the written word “{evidence.word}” more than to other words"),
        (evidence.writing, "writing"),
    ):
        if auroc is not None:
            reason = f"the component answers to {what} (AUROC {auroc:.2f})"
            yield Reading("typography", 2 * auroc - 1, reason)
    if evidence.writing_images is not None:
        reason = f"these images carry writing (AUROC {evidence.writing_images:.2f})"
        yield Reading("typography", _written(evidence), reason)


def _of_classes(evidence: ModeEvidence, lexicon: Lexicon) -> Iterator[Reading]:
    """Whether whole other things answer, or some images of several as the class's own do.

    Polysemy: a word stands for all of another thing, or one for which some of its images answer
    and the component does not fire on the class: nothing that comes along with it, then. Spurious:
    the component fires on the class, on part of others, and these carry no more writing. Images of
    the class's kin count out: what both show may be of the kind of thing that they are.
    """
    word, excess = evidence.word, max(0.0, evidence.rate_own - evidence.rate_others)
    own = _own_sense(evidence.label, evidence.name, lexicon)
    strange = [s for s in evidence.shown if not lexicon.kin(own, _own_sense(*s[:2], lexicon))]
    unnamed = [
        s
        for s in strange
        if evidence.kinds.get(short(s.name)) not in KIND_MODES
        and not contains_word(short(s.name), word, lexicon)
    ]
    if unnamed:
        most = max(unnamed, key=lambda s: s.share * s.whole)
        strength = sum(
            s.share * (s.whole + (1 - s.whole) * s.share * (1 - excess)) for s in unnamed
        )
        reason = (
            f"{most.share:.0%} of these images are of “{short(most.name)}”, and the component "
            f"fires on {most.fired:.0%} of all that are"
        )
        yield Reading("polysemy", WHOLE * strength, reason)
    whole = sum(s.share * s.whole for s in evidence.shown)
    kin = sum(s.share for s in evidence.shown) - sum(s.share for s in strange)
    reason = (
        f"the component also fires on {evidence.rate_own:.0%} of the images of “{word}”, "
        f"and on {evidence.rate_others:.0%} of others"
    )
    strength = excess * (1 - whole) * (1 - kin) * (1 - _written(evidence))
    yield Reading("spurious", ALONG * strength, reason)


def _written(evidence: ModeEvidence) -> float:
    """How far the finding's images carry more writing than the class's own, as far as is known."""
    if evidence.writing_images is None or evidence.reliability is None:
        return 0.0
    return max(0.0, evidence.reliability * (2 * evidence.writing_images - 1))


def _further_senses(evidence: ModeEvidence, lexicon: Lexicon) -> list[Sense]:
    """Senses of the class's word that the class has not; none where the word has only one."""
    senses = lexicon.senses(evidence.word)
    own = _own_sense(evidence.label, evidence.name, lexicon)
    return [sense for sense in senses if sense != own] if len(senses) > 1 else []


def _own_sense(label: str, name: str, lexicon: Lexicon) -> Sense | None:
    """The sense that a class has: its label's, else the one that its full name fits best.

    None where the word has no sense, or where several fit equally well or none fits.
    """
    word = short(name)
    senses = lexicon.senses(word)
    if (labelled := lexicon.by_key.get(label)) is not None and labelled in senses:
        return labelled
    if len(senses) == 1:
        return senses[0]
    about = stems(name) - stems(word)
    # The rarer a word that both texts have, the more it says.
    fits = [
        sum(-log(lexicon.share[s]) for s in sorted(about & lexicon.stems_of(sense)))
        for sense in senses
    ]
    best = max(fits, default=0.0)
    return senses[fits.index(best)] if best > 0 and fits.count(best) == 1 else None
