"""Findings one by one: evidence shown, a verdict asked for by single keys."""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from audits.review.desk import Desk
from audits.review.verdict_files import MODES, Verdict

ASK = "[a]ccept [r]eject [m]ode [n]ote [s]kip [q]uit, then Enter: "
ASK_MODE = "[p]olysemy [c]ompound [t]ypography [s]purious [u]nclear, only Enter for the suggested: "
HELP = """\
a  accept: the model relies on this component for this class, and should not
r  reject: it is no failure; it stays listed and takes no part in robustness
m  choose a mode, which goes with the verdict that follows; n  write a note, likewise
s  leave it open; q  stop, every verdict so far is written"""

Ask = Callable[[str], str | None]
"""Shows a question and returns the answer, None at the end of input."""
Say = Callable[[str], None]


class Quit(Exception):
    """The reviewer stops."""


def ask_user(question: str) -> str | None:
    """The answer from stdin, be it a terminal or not; None at its end and for Ctrl-C."""
    try:
        return input(question).strip()
    except (EOFError, KeyboardInterrupt):
        return None


def run(desk: Desk, finding_ids: list[str], reviewer: str, day: str, ask: Ask, say: Say) -> int:
    """Ask for verdicts, and write each at once; the number of verdicts given.

    Args:
        desk: the audit's findings.
        finding_ids: those to ask for, in order.
        reviewer: who answers.
        day: the date, as 2025-01-31.
        ask: where answers come from.
        say: where evidence goes.
    """
    rows = {str(row["finding_id"]): row for row in desk.findings.to_dict("records")}
    decided = 0
    for number, finding_id in enumerate(finding_ids, start=1):
        about = desk.evidence[finding_id]
        say(f"\n({number} of {len(finding_ids)})")
        say(shown(rows[finding_id], about, desk.verdicts.get(finding_id)))
        say(field("report", str(desk.report)))
        try:
            verdict = _answer(finding_id, desk.verdicts.get(finding_id), reviewer, day, ask, say)
        except Quit:
            break
        if verdict is not None:
            desk.decide([verdict], again=[finding_id])
            decided += 1
    return decided


def _answer(
    finding_id: str, before: Verdict | None, reviewer: str, day: str, ask: Ask, say: Say
) -> Verdict | None:
    """The verdict on one finding, None where it is skipped."""
    mode, note = (before.mode, before.note) if before else ("", "")
    while True:
        key = _asked(ask, ASK).lower()
        if key in ("a", "r"):
            given = "accept" if key == "a" else "reject"
            return Verdict(finding_id, given, mode, note, reviewer, day)
        if key == "s":
            return None
        if key == "q":
            raise Quit
        if key == "m":
            mode = _mode(ask, say)
            say(field("mode", mode or "as suggested"))
        elif key == "n":
            note = _asked(ask, "note: ")
        else:
            say(HELP if key in ("?", "h") else f"{key!r} is none of the keys\n{HELP}")


def _mode(ask: Ask, say: Say) -> str:
    by_key = {"": "", **{mode[0]: mode for mode in MODES}}
    while True:
        key = _asked(ask, ASK_MODE).lower()
        if key in by_key:
            return by_key[key]
        say(f"{key!r} is none of the keys")


def _asked(ask: Ask, question: str) -> str:
    answer = ask(question)
    if answer is None:
        raise Quit
    return answer


def shown(row: Mapping[Any, Any], about: Mapping[str, Any], verdict: Verdict | None) -> str:
    """Evidence of one finding, a line each."""
    own = row["component_id"]
    index = f" (index {row['component']} of this SAE)" if own != row["component"] else ""
    others = [j for j in about["component_ids"] if j != own]
    more = f", with {', '.join(map(str, others))}" if others else ""
    label = f" “{row['component_label']}”" if pd.notna(row["component_label"]) else ""
    sure = f" ({row['confidence']:.2f})" if pd.notna(row.get("confidence")) else ""
    confirmed = "confirmed" if row["confirmed"] else "not confirmed"
    figures = f"max z {row['max_z']:.1f}, q {row['q_value']:.2g}, {confirmed}"
    if pd.notna(row["stability"]):
        figures += f", stability {row['stability']:.2f}"
    examples = [*dict.fromkeys(about["images"])]
    lines = [
        f"{row['finding_id']}  {row['status']}",
        field("class", str(row["class"])),
        field("component", f"{own}{index}{label}{more}"),
        field("images", f"{row['images']}, showing {about['shows'] or 'no one other thing'}"),
        field("suggested", f"{about['suggested_mode']}{sure}: {about['mode_reason']}"),
        field("figures", figures),
        field("examples", _examples(str(row["example_ids"]), examples)),
    ]
    if verdict is not None:
        chosen = verdict.mode or "mode as suggested"
        by = f" by {verdict.reviewer}" if verdict.reviewer else ""
        note = f" “{verdict.note}”" if verdict.note else ""
        lines.append(field("verdict", f"{verdict.verdict}, {chosen},{by} {verdict.date}{note}"))
    lines += [field("again", reason) for reason in about["review_again"]]
    return "\n".join(lines)


def _examples(example_ids: str, images: list[str], count: int = 6) -> str:
    """The strongest images; ids with blanks cannot be told apart in example_ids."""
    found = [image for image in example_ids.split(" ") if image in set(images)]
    return " ".join((found or images)[:count])


def field(name: str, text: str) -> str:
    """A named line of evidence, long ones wrapped."""
    return textwrap.fill(
        text,
        width=100,
        initial_indent=f"  {name:<10} ",
        subsequent_indent=" " * 13,
        break_long_words=False,
        break_on_hyphens=False,
    )
