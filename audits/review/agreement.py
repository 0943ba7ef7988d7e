"""Two reviewers of the same findings: how far they agree, and what they agree on."""

from collections.abc import Mapping
from dataclasses import dataclass

from sklearn.metrics import cohen_kappa_score

from audits.review.verdict_files import Verdict


@dataclass(frozen=True)
class Agreement:
    """What two reviewers said of the findings that both reviewed."""

    verdict_kappa: float | None
    """Cohen's kappa of the verdicts: 1 where they always agree, 0 where as often as by chance;
    None where it is undefined, for no findings or one and the same verdict on all."""
    mode_kappa: float | None
    """Likewise of the modes of the findings that both accept."""
    same_verdict: int
    same_mode: int
    """Of the findings that both accept."""
    both_accept: int
    agreed: list[Verdict]
    """One line for each finding with the same verdict and, where accepted, the same mode."""
    disagreements: list[tuple[Verdict, Verdict]]
    single: list[str]
    """Ids of findings that one reviewed only."""


def agreement(
    first: Mapping[str, Verdict], second: Mapping[str, Verdict], suggested: Mapping[str, str]
) -> Agreement:
    """Compare two reviewers' verdicts.

    Args:
        first: verdicts of one reviewer by finding id.
        second: of the other.
        suggested: finding id → suggested mode, which counts where a reviewer chose none.
    """
    ids = sorted(first.keys() & second.keys())
    pairs = [(first[finding_id], second[finding_id]) for finding_id in ids]
    verdicts = [(one.verdict, other.verdict) for one, other in pairs]
    modes = [
        (one.mode or suggested[one.finding_id], other.mode or suggested[other.finding_id])
        for one, other in pairs
        if one.verdict == other.verdict == "accept"
    ]
    agreed, disagreements = [], []
    for one, other in pairs:
        default = suggested[one.finding_id]
        same = one.verdict == other.verdict and (
            one.verdict != "accept" or (one.mode or default) == (other.mode or default)
        )
        if same:
            agreed.append(_joined(one, other))
        else:
            disagreements.append((one, other))
    return Agreement(
        _kappa(verdicts),
        _kappa(modes),
        sum(a == b for a, b in verdicts),
        sum(a == b for a, b in modes),
        len(modes),
        agreed,
        disagreements,
        sorted(first.keys() ^ second.keys()),
    )


def _kappa(pairs: list[tuple[str, str]]) -> float | None:
    if len({label for pair in pairs for label in pair}) < 2:
        return None
    return float(cohen_kappa_score(*zip(*pairs, strict=True)))


def _joined(one: Verdict, other: Verdict) -> Verdict:
    """One line for two that agree; a mode that either chose is chosen.

    The modes of a rejected finding may differ: then none is kept.
    """
    modes = {mode for mode in (one.mode, other.mode) if mode}
    return Verdict(
        one.finding_id,
        one.verdict,
        modes.pop() if len(modes) == 1 else "",
        " / ".join(dict.fromkeys(note for note in (one.note, other.note) if note)),
        " + ".join(dict.fromkeys(name for name in (one.reviewer, other.reviewer) if name)),
        max(one.date, other.date),
    )


def said(found: Agreement) -> str:
    """The comparison, to be read."""
    both = len(found.agreed) + len(found.disagreements)
    lines = [
        f"{both} findings reviewed by both, {len(found.single)} by one only",
        f"verdict: {found.same_verdict} of {both} alike, Cohen's kappa "
        f"{_number(found.verdict_kappa)}",
        f"mode: {found.same_mode} of {found.both_accept} that both accept alike, Cohen's kappa "
        f"{_number(found.mode_kappa)}",
        f"agreed: {len(found.agreed)}; to be decided: {len(found.disagreements)}",
    ]
    for one, other in found.disagreements:
        lines.append(f"  {one.finding_id}: {_opinion(one)} / {_opinion(other)}")
    if found.single:
        lines.append(f"by one only, left open: {', '.join(found.single)}")
    return "\n".join(lines)


def _number(kappa: float | None) -> str:
    return "undefined (all the same, or none)" if kappa is None else f"{kappa:.2f}"


def _opinion(verdict: Verdict) -> str:
    mode = f" ({verdict.mode})" if verdict.mode else ""
    note = f" “{verdict.note}”" if verdict.note else ""
    return f"{verdict.reviewer or 'somebody'}: {verdict.verdict}{mode}{note}"
