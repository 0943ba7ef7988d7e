"""Which finding of a report is which of another."""

import json
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from audits.diff.reports import Report
from audits.history.parquet import parquet_of
from audits.history.versions import folder_hash
from audits.recurrence.again import wilson
from audits.review.component_files import PRESENT
from audits.review.identity import Found, Pin, carry
from audits.review.reviewed import found_now
from pipeline import layout
from pipeline.artifacts.store import files_in
from pipeline.config import ReviewConfig

__all__ = ["Findings", "Missed", "Persisting", "recognise"]

NEEDED = {PRESENT, "evidence.json"}
"""Files of the stage `review` by which findings are recognised."""
OTHERS = "found.parquet"
"""File of the stage `recurrence`: what further dictionaries find."""
CLOSE = "close.parquet"
"""File of the stage `failures`: images that come close to classes that they are not."""
SHOWN = ("mode", "confirmed", "verdict")
"""Columns whose change in a finding that persists is told."""


class Persisting(NamedTuple):
    """A finding that both reports have."""

    before: dict[str, Any]
    now: dict[str, Any]
    """Its rows in findings.csv."""
    by: str
    """What it was recognised by: atom, component or images."""
    changes: dict[str, tuple[Any, Any]]
    """Of SHOWN, those that differ: before, now."""


class Missed(NamedTuple):
    """A finding of one report only, though the other one's model has the failure, too."""

    row: dict[str, Any]
    """Its row in findings.csv."""
    found_by: int
    of: int
    """Further dictionaries of the report that lacks it: those that find it, and all."""
    close: float | None
    """Share of its images that come close to its class in the report that lacks it; None where that
    is not known."""


class Findings(NamedTuple):
    """The findings of two reports; rows of findings.csv, in its order.

    Neither new nor fixed are those whose failure the model of the report that lacks them has, too
    (`only_now`, `only_before`): a further dictionary finds it in all train images, or it is not
    sure that fewer of their images come close to their class there than make two findings the same.
    """

    new: list[dict[str, Any]]
    persisting: list[Persisting]
    fixed: list[dict[str, Any]]
    """Those of the first report that the second has not."""
    only_now: list[Missed]
    only_before: list[Missed]
    recognised_by: str
    """What was there to recognise them by, in words."""
    unknown: list[str]
    """Places of the reports of which it is not here what comes close and what further dictionaries
    find."""
    sure: bool
    """Whether one that was not recognised is another one. Of two dictionaries, the example images
    of one failure may be few or none the same: then it may well be the same one."""


def recognise(before: Report, now: Report, config: ReviewConfig) -> Findings:
    """Findings that are new, persist and are fixed.

    Recognised as the review recognises them (`audits.review.identity.carry`): by the atoms of their
    components, else by the images they share. Where one report's stage `review` is neither in the
    workspace nor in DVC's cache, all that is left are the components and example images of
    findings.csv; of components only if both reports are of one dictionary. If they are not, those
    that are left over are no other findings for sure.
    """
    same = same_dictionary(before, now)
    pairs = [_reviewed(one) for one in (before, now)]
    if pairs[0] is not None and pairs[1] is not None:
        old, new = pairs
        sure, means = True, "atoms, else shared images"
    else:
        used = pd.concat([one.findings["component"] for one in (before, now)])
        width = int(used.max()) + 1 if len(used) else 1
        old, new = (_of_table(one.findings, width if same else 0) for one in (before, now))
        sure, means = same, "components, else shared example images"
        if not same:
            means = "shared example images only"
    assert old is not None
    assert new is not None
    # By all images of a finding, where a review has pinned the strongest.
    pins = [one.pin._replace(images=tuple(one.images)) for one in old]
    carried = carry(pins, new, config.cosine, config.images)
    rows = {row["finding_id"]: row for row in before.rows()}
    found, persisting = [], []
    for row, one in zip(now.rows(), carried, strict=True):
        if one.by is None:
            found.append(row)
            continue
        earlier = rows.pop(one.finding_id)
        changes = {name: (earlier[name], row[name]) for name in SHOWN if earlier[name] != row[name]}
        by = "component" if one.by == "atom" and means.startswith("components") else one.by
        persisting.append(Persisting(earlier, row, by, changes))
    gone = list(rows.values())
    only_now: list[Missed] = []
    only_before: list[Missed] = []
    unknown: list[str] = []
    if pairs[0] is not None and pairs[1] is not None:
        known = [_known(one, further=not same) for one in (before, now)]
        unknown = [
            one.place
            for one, its in zip((before, now), known, strict=True)
            if its.close is None or (its.others is None and not same)
        ]
        found, only_now = _told_apart(found, pairs[1], known[0], config.images)
        gone, only_before = _told_apart(gone, pairs[0], known[1], config.images)
    return Findings(found, persisting, gone, only_now, only_before, means, unknown, sure)


class _Others(NamedTuple):
    """What further dictionaries of a report find in all train images."""

    dictionaries: int
    found: list[tuple[int, str, frozenset[str]]]
    """Number of the dictionary, class and images."""


class _Known(NamedTuple):
    """What is known of failures that a report has no finding of; None where it is not here."""

    others: _Others | None
    close: dict[str, frozenset[str]] | None
    """Of each class the train images of others that come close to it."""


def _told_apart(
    rows: list[dict[str, Any]], found: list[Found], known: _Known, images: float
) -> tuple[list[dict[str, Any]], list[Missed]]:
    """Findings whose failure the model of the report that lacks them has not, and the others.

    Args:
        rows: of findings.csv.
        found: all of their report.
        known: of the report that lacks them.
        images: least part of the smaller of two sets of images that both have.
    """
    of_id = {one.pin.finding_id: one for one in found}
    others = known.others or _Others(0, [])
    none, some = [], []
    for row in rows:
        mine = of_id[row["finding_id"]].images
        by = {
            number
            for number, label, theirs in others.found
            if label == row["class"] and len(mine & theirs) >= images * min(len(mine), len(theirs))
        }
        close, there = None, False
        if known.close is not None:
            count = len(mine & known.close.get(row["class"], frozenset()))
            close, there = count / len(mine), wilson(count, len(mine))[1] >= images
        if by or there:
            some.append(Missed(row, len(by), others.dictionaries, close))
        else:
            none.append(row)
    return none, some


def same_dictionary(before: Report, now: Report) -> bool:
    """Whether both reports are of one SAE, so that indices of components mean the same."""
    hashes = [one.digest(layout.sae(one.audit)) for one in (before, now)]
    return hashes[0] is not None and hashes[0] == hashes[1]


def _of_table(findings: pd.DataFrame, width: int) -> list[Found]:
    """What findings.csv alone says, in its order.

    Args:
        findings: of a report.
        width: above every component of both reports where they are of one dictionary: then a
            direction of its own stands in for a component's atom. 0 where they are not: then an
            atom is that of another model, and like no other.
    """
    found = []
    for row in findings.to_dict("records"):
        atom = np.zeros(width)
        if width:
            atom[int(row["component"])] = 1.0
        images = tuple(str(row["example_ids"]).split(" "))
        pin = Pin(row["finding_id"], row["class"], row["component"], atom, images, row["mode"])
        found.append(Found(pin, atom[None] if width else np.ones((1, 1)), frozenset(images)))
    return found


def _reviewed(report: Report) -> list[Found] | None:
    """What the stage `review` knew of a report's findings; None where that is not here.

    It is of this report where its findings are, to the byte.
    """
    files = _files(report, "review")
    # Older versions of the workflow kept less in it.
    if files.get("findings.csv") != report.findings_file or not files.keys() >= NEEDED:
        return None
    table = parquet_of(files[PRESENT])
    atoms = table["atom"].combine_chunks().values.to_numpy()
    return found_now(
        report.findings,
        json.loads(files["evidence.json"]),
        atoms.reshape(table.num_rows, -1).astype(np.float32),
    )


def _known(report: Report, further: bool) -> _Known:
    """What is here of a report; `further`: ask its further dictionaries, too."""
    others, close = None, None
    content = _files(report, "recurrence").get(OTHERS) if further else None
    if content is not None:
        rows = parquet_of(content).to_pylist()
        found = [(row["dictionary"], row["class"], frozenset(row["image_ids"])) for row in rows]
        others = _Others(report.metrics.get("recurrence.runs", 0), found)
    content = _files(report, "failures").get(CLOSE)
    if content is not None:
        groups = parquet_of(content).to_pandas().groupby("class")["image_id"]
        close = {str(label): frozenset(ids) for label, ids in groups}
    return _Known(others, close)


def _files(report: Report, stage: str) -> dict[str, bytes]:
    """What a stage made of a report's audit, by name; nothing where it is not here."""
    folder = layout.audit(report.audit, stage)
    digest = report.digest(folder)
    if digest is None:
        return {}
    if folder.is_dir() and folder_hash(folder) == digest:
        return {path.name: path.read_bytes() for path in files_in(folder)}
    return _cached(digest)


def _cached(digest: str) -> dict[str, bytes]:
    """Files of a folder in DVC's cache, by name; none where it lacks one of them."""
    # Imported late: half a second that the workspace does without.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    files = {}
    try:
        with Repo() as repo:
            cache = repo.cache.local
            for key, _, content in Tree.load(cache, HashInfo("md5", digest)):
                with cache.fs.open(cache.oid_to_path(content.value), "rb") as file:
                    files["/".join(key)] = file.read()
    except (DvcException, OSError):
        return {}
    return files
