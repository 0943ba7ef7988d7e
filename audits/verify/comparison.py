"""A report that was made anew against the committed one, and the stages before it likewise."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, NamedTuple

from audits.diff.difference import Difference
from audits.diff.figures import is_number, moves
from audits.history.lock import digest
from audits.verify.contents import SHOWN, apart
from audits.verify.outputs import Committed, Files, made_in
from pipeline.config import VerifyConfig

__all__ = ["Judged", "Part", "StageOutcome", "beyond", "findings", "metrics", "stage"]

EXAMPLES = "example_ids"
"""Column of findings.csv: the images that stand for a finding."""


class Judged(NamedTuple):
    """A metric or a finding that is not the same in both reports."""

    name: str
    before: Any
    now: Any
    allowed: str
    """How far it may be, in words."""
    by: float | None
    """Difference; None where it is none of numbers."""
    holds: bool


class Part(NamedTuple):
    """Something in an output of a stage that is not the same."""

    file: str
    what: str
    said: str
    holds: bool | None
    """Whether it is within `verify.relative`; None of a page, which shows what other files hold."""


class StageOutcome(NamedTuple):
    """What came of a stage that was computed again."""

    stage: str
    outcome: Literal["same", "within", "differs", "not compared"]
    """The same bytes; other ones whose numbers are within `verify.relative`; differing by more; or
    differing, and what it was is not here."""
    parts: list[Part]


def stage(
    name: str,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    committed: Committed,
    folder: Path,
    relative: float,
) -> StageOutcome:
    """The outputs of a stage against those of the committed one.

    Args:
        name: of the stage.
        before: its entry in the commit's `dvc.lock`.
        now: its entry in the copy's.
        committed: what the commit's outputs are.
        folder: of the copy.
        relative: largest difference of a number, as a share of its column's largest.
    """
    made = {out["path"]: out for out in now.get("outs", [])}
    parts: list[Part] = []
    unknown = False
    for out in before.get("outs", []):
        again = made.get(out["path"])
        # What Git keeps may have been edited since the lock was written.
        in_git = out["path"] in committed.tracked
        if again is not None and not in_git and digest(out) == digest(again):
            continue
        old, new = committed.files(out), made_in(folder, out["path"])
        if old is None or new is None:
            unknown = True
            parts.append(Part(out["path"], "", "is not here to be compared", None))
        else:
            parts += _files(old, new, relative)
    judged = [part.holds for part in parts if part.holds is not None]
    if not all(judged):
        return StageOutcome(name, "differs", parts)
    outcome: Literal["not compared", "within", "same"]
    outcome = "not compared" if unknown else "within" if parts else "same"
    return StageOutcome(name, outcome, parts)


def _files(before: Files, now: Files, relative: float) -> Iterator[Part]:
    for path in sorted(before.keys() | now.keys()):
        if path not in before or path not in now:
            yield Part(path, "", "is new" if path in now else "is gone", False)
            continue
        old, new = before[path](), now[path]()
        if path.endswith(SHOWN):
            if old != new:
                yield Part(path, "", "shows something else", None)
        else:
            for one in apart(path, old, new):
                holds = one.by is not None and one.by <= relative
                yield Part(path, one.what, one.said, holds)


def metrics(
    before: Mapping[str, Any], now: Mapping[str, Any], config: VerifyConfig
) -> list[Judged]:
    """Metrics that are not the same, each with whether it is within its tolerance.

    Args:
        before: leaves of metrics.json by dotted name.
        now: likewise.
        config: the section of params.yaml.
    """
    names = sorted(before.keys() | now.keys())
    differ = [name for name in names if before.get(name) != now.get(name)]
    return [_judged(name, name, before, now, config) for name in differ]


def findings(change: Difference, config: VerifyConfig) -> list[Judged]:
    """Findings that only one report has, and what differs in those that both have.

    Numbers have the tolerance of `findings.COLUMN`, and what is a number in one report only is
    beyond any. Texts and truth values have to be the same in every column, but of `example_ids`,
    the strongest images, the order is free, and one may be another where a finding has more of
    them: rounding decides which of two equals is the last.
    """
    found = change.findings
    none = "both have it"
    new = [*found.new, *(one.row for one in found.only_now)]
    gone = [*found.fixed, *(one.row for one in found.only_before)]
    judged = [Judged(row["finding_id"], None, "found", none, None, False) for row in new]
    judged += [Judged(row["finding_id"], "found", None, none, None, False) for row in gone]
    for one in found.persisting:
        for column in one.now | one.before:
            old, value = one.before.get(column), one.now.get(column)
            if old == value:
                continue
            name = f"{one.now['finding_id']}, {column}"
            if is_number(old) or is_number(value):
                key = f"findings.{column}"
                judged.append(_judged(name, key, {key: old}, {key: value}, config))
            elif column == EXAMPLES:
                judged += _examples(name, old, value, one.now.get("images"))
            else:
                judged.append(Judged(name, old, value, "the same", None, False))
    return judged


def _examples(name: str, before: Any, now: Any, images: Any) -> Iterator[Judged]:
    """Images that stand for a finding in one of two reports only, of all that it has."""
    old, new = (set((ids or "").split()) for ids in (before, now))
    gone, others = sorted(old - new), sorted(new - old)
    if gone or others:
        spare = 1 if is_number(images) and images > len(new) else 0
        holds = len(gone) == len(others) <= spare
        allowed = "all but one" if spare else "the same"
        yield Judged(name, " ".join(gone), " ".join(others), allowed, None, holds)


def beyond(judged: Sequence[Judged]) -> list[Judged]:
    """Those that are not within their tolerance."""
    return [one for one in judged if not one.holds]


def _judged(
    name: str, key: str, before: Mapping[str, Any], now: Mapping[str, Any], config: VerifyConfig
) -> Judged:
    a, b = before.get(key), now.get(key)
    if not is_number(a) or not is_number(b):
        return Judged(name, a, b, "the same", None, False)
    by = float(b - a)
    rules = [one for one in config.metrics if fnmatchcase(key, one.metric)]
    within = rules[0].within if rules else None
    if within == "interval":
        moved = moves(key, before, now, other_dictionary=False)
        if moved.interval is not None:
            return Judged(name, a, b, "its interval", by, moved.verdict == "within")
    elif within is not None:
        # What metrics.json rounds to is no difference.
        return Judged(name, a, b, f"{within:g}", by, abs(by) <= within + 1e-12)
    share = config.relative * max(abs(a), abs(b))
    return Judged(name, a, b, f"{config.relative:g} of it", by, abs(by) <= share)
