"""Findings with the verdicts of persons, and the ids that they had before."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from audits.review.identity import PINNED_IMAGES, Carried, Found, Pin
from audits.review.verdict_files import Verdict

RECURRENCE = ["recurrence", "recurrence_low", "recurrence_high", "recurrence_random"]
GONE_COLUMNS = ["finding_id", "class", "verdict", "mode", "note"]


class Reviewed(NamedTuple):
    """What `review` puts together."""

    findings: pd.DataFrame
    """The findings with their ids of before and the columns status (new or persists), review_again
    and mode_source (person or suggested)."""
    evidence: dict[str, dict[str, Any]]
    """By these ids; with `suggested_mode`, `carried` (by, cosine, shared), `review` (the person's
    line) and `review_again` (reasons)."""
    gone: pd.DataFrame
    """Findings of the last review that are not found any more, GONE_COLUMNS."""
    present: list[Pin]
    """What the findings are to be known by if they are reviewed now."""
    metrics: dict[str, float]


def with_recurrence(findings: pd.DataFrame, again: pd.DataFrame) -> pd.DataFrame:
    """Findings of `failures` with how often each is found again and whether it is confirmed.

    A finding is confirmed where it held (on validation images, which had no part in finding it, and
    with most of its images as high as the class's own), and at least one further dictionary, which
    has learnt from other images, finds it again; where there is none, without.

    Args:
        findings: of the stage `failures`.
        again: of the stage `recurrence`, a row for each of them.
    """
    joined = findings[["finding_id"]].merge(again, how="left", validate="one_to_one")
    table = findings.copy()
    again_or_unasked = (joined["found_in"] > 0) | (joined["runs"] == 0)
    confirmed = findings["held"].astype(bool) & again_or_unasked.to_numpy()
    table.insert(list(table).index("held"), "confirmed", confirmed)
    place = list(table).index("stability") + 1
    for name in reversed(RECURRENCE):
        table.insert(place, name, joined[name].to_numpy())
    return table


def by_component_id(
    findings: pd.DataFrame,
    evidence: Mapping[str, dict[str, Any]],
    component_ids: Int[np.ndarray, " m"],
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Findings and evidence of `failures` with the ids of components beside their indices.

    Args:
        findings: of the stage `failures`.
        evidence: likewise.
        component_ids: of all components of the SAE, by index.

    Returns:
        Findings with the column component_id behind component, evidence with `component_ids`
        beside `components`; a finding's id is `<class>-<component_id>` in both.
    """
    ids = component_ids[findings["component"].to_numpy(dtype=np.intp)]
    names = [f"{label}-{own}" for label, own in zip(findings["class"], ids, strict=True)]
    table = findings.assign(finding_id=names)
    table.insert(list(table).index("component") + 1, "component_id", ids)
    about = {
        name: {
            **evidence[finding_id],
            "component_ids": component_ids[evidence[finding_id]["components"]].tolist(),
        }
        for name, finding_id in zip(names, findings["finding_id"], strict=True)
    }
    return table, about


def found_now(
    findings: pd.DataFrame, evidence: Mapping[str, dict[str, Any]], atoms: Float[np.ndarray, "m d"]
) -> list[Found]:
    """The findings of a run, as `carry` compares them."""
    found = []
    for row in findings.to_dict("records"):
        about = evidence[row["finding_id"]]
        images = frozenset(about["images"])
        examples = [image for image in str(row["example_ids"]).split(" ") if image in images]
        strongest = dict.fromkeys([*examples, *about["images"]])
        pin = Pin(
            row["finding_id"],
            row["class"],
            int(row["component"]),
            atoms[row["component"]].astype(np.float16),
            tuple(strongest)[:PINNED_IMAGES],
            row["mode"],
        )
        found.append(Found(pin, atoms[about["components"]], images))
    return found


def reasons_to_review_again(
    pin: Pin, verdict: Verdict, carried: Carried, mode: str, images: float
) -> list[str]:
    """Why a verdict on a finding of the last review is to be given again; empty where it holds.

    It is where the finding was recognised by its images only, where it shares less than `images` of
    them, and where an accepted finding's mode was left to a suggestion that is another now.

    Args:
        pin: the finding as it was reviewed.
        verdict: on it.
        carried: how it was recognised.
        mode: suggested now.
        images: least share.
    """
    assert carried.cosine is not None and carried.shared is not None, "the finding is carried over"
    reasons = []
    if carried.by == "images":
        reasons.append(f"recognised by its images only, the atoms' cosine is {carried.cosine:.2f}")
    if carried.shared < images:
        reasons.append(f"shares {carried.shared:.0%} of its images with those that were reviewed")
    if verdict.verdict == "accept" and not verdict.mode and mode != pin.mode:
        reasons.append(f"the mode suggested was {pin.mode}, is {mode} now, and none was chosen")
    return reasons


def review(
    findings: pd.DataFrame,
    evidence: Mapping[str, dict[str, Any]],
    found: Sequence[Found],
    carried: Sequence[Carried],
    pins: Sequence[Pin],
    verdicts: Mapping[str, Verdict],
    images: float,
) -> Reviewed:
    """Join findings with the last review.

    Args:
        findings: as `by_component_id` gives them.
        evidence: likewise.
        found: the same findings as `found_now` gives them.
        carried: their ids.
        pins: findings of the last review.
        verdicts: of persons, by id.
        images: least share of images below which a verdict is to be given again.
    """
    pinned = {pin.finding_id: pin for pin in pins}
    rows: list[dict[str, Any]] = []
    about: dict[str, dict[str, Any]] = {}
    for now, one in zip(found, carried, strict=True):
        verdict, suggested = verdicts.get(one.finding_id), now.pin.mode
        reasons: list[str] = []
        if verdict is not None and one.by is not None:
            pin = pinned[one.finding_id]
            reasons = reasons_to_review_again(pin, verdict, one, suggested, images)
        rows.append(
            {
                "finding_id": one.finding_id,
                "mode": verdict.mode if verdict and verdict.mode else suggested,
                "verdict": verdict.verdict if verdict else None,
                "status": "persists" if one.by else "new",
                "review_again": bool(reasons),
                "mode_source": "person" if verdict and verdict.mode else "suggested",
            }
        )
        about[one.finding_id] = {
            **evidence[now.pin.finding_id],
            "suggested_mode": suggested,
            "carried": None
            if one.by is None
            else {"by": one.by, "cosine": one.cosine, "shared": one.shared},
            "review": verdict._asdict() if verdict else None,
            "review_again": reasons,
        }
    columns = ["finding_id", "mode", "verdict", "status", "review_again", "mode_source"]
    joined = pd.DataFrame(rows, columns=columns, index=findings.index)
    joined["review_again"] = joined["review_again"].astype(bool)
    gone = _gone(pins, {one.finding_id for one in carried}, verdicts)
    given = joined["verdict"].value_counts()
    metrics: dict[str, float] = {
        "confirmed": int(findings["confirmed"].sum()),
        "accepted": int(given.get("accept", 0)),
        "rejected": int(given.get("reject", 0)),
        "new": int((joined["status"] == "new").sum()),
        "persisting": int((joined["status"] == "persists").sum()),
        "gone": len(gone),
        "review_again": int(joined["review_again"].sum()),
    }
    if pins:
        metrics["carried_over"] = metrics["persisting"] / len(pins)
    return Reviewed(
        findings.assign(**{column: joined[column] for column in columns}),
        about,
        gone,
        [
            now.pin._replace(finding_id=one.finding_id)
            for now, one in zip(found, carried, strict=True)
        ],
        metrics,
    )


def _gone(pins: Sequence[Pin], ids: set[str], verdicts: Mapping[str, Verdict]) -> pd.DataFrame:
    nothing = Verdict("", "", "", "", "", "")
    rows = []
    for pin in sorted(pins, key=lambda pin: pin.finding_id):
        if pin.finding_id not in ids:
            given = verdicts.get(pin.finding_id, nothing)
            rows.append((pin.finding_id, pin.label, given.verdict, given.mode, given.note))
    return pd.DataFrame(rows, columns=GONE_COLUMNS)
