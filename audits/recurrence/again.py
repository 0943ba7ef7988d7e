"""Findings of one run looked for among those of another, and how often chance would find them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.stats import binomtest, hypergeom

COLUMNS = [
    "finding_id",
    "runs",
    "found_in",
    "recurrence",
    "recurrence_low",
    "recurrence_high",
    "recurrence_random",
    "recurrence_all_images",
]

FOUND = ["dictionary", "class", "image_ids"]


class Finding(NamedTuple):
    """What a finding is known by in another run."""

    position: int
    """Class, as a row of Inputs.classes."""
    rows: np.ndarray
    """Its images as rows of Inputs.images, each once."""


class Run(NamedTuple):
    """What one further dictionary makes of the audit's findings [f], on the images that it knows
    and, last, on all."""

    number: int
    """Of the dictionary, from 1 on."""
    again: Bool[np.ndarray, " f"]
    """Whether each is found again."""
    random: Float[np.ndarray, " f"]
    """Probability that as many random candidates of its class would be."""
    random_class: Float[np.ndarray, " f"]
    """The same with the class drawn at random, too."""
    on_all: Bool[np.ndarray, " f"]
    """Whether each is found again where the dictionary searches all train images."""
    found: Sequence[Finding]
    """What the dictionary finds there."""


def compare(
    own: Sequence[Finding],
    found: Sequence[Finding],
    seen: Bool[np.ndarray, " n"],
    candidates: Sequence[np.ndarray],
    overlap: float,
    number: int,
) -> Run:
    """Look for the audit's findings among those of another run.

    One is found again where a finding of the same class shares at least `overlap` of the smaller
    of the two sets of images. Of the audit's finding only the images count that the run has seen;
    where it has seen none of them, the finding is not found again.

    The control puts as many random images in their place (see `chance`), out of the candidates of
    the same class, of which a finding may hold nearly all, and out of those of a random class.
    `on_all` and `found` are those of the run: it has all that there is.

    Args:
        own: the audit's findings.
        found: the run's.
        seen: images that the run had.
        candidates: rows that the run might have flagged, for each class.
        overlap: share of the smaller set.
        number: of the run.
    """
    sets: list[list[np.ndarray]] = [[] for _ in candidates]
    for finding in found:
        sets[finding.position].append(finding.rows)
    again, random, random_class = [], [], []
    for finding in own:
        mine = finding.rows[seen[finding.rows]]
        theirs = sets[finding.position]
        shared = [len(np.intersect1d(mine, rows)) for rows in theirs]
        least = [_least(len(mine), len(rows), overlap) for rows in theirs]
        again.append(len(mine) > 0 and any(n >= m for n, m in zip(shared, least, strict=True)))
        pools = [
            len(np.union1d(pool, np.concatenate(rows))) if rows else 0
            for pool, rows in zip(candidates, sets, strict=True)
        ]
        every = [
            chance(len(mine), [len(r) for r in rows], pool, overlap)
            for rows, pool in zip(sets, pools, strict=True)
        ]
        random.append(every[finding.position])
        random_class.append(float(np.mean(every)))
    return Run(
        number,
        np.array(again, dtype=bool),
        np.array(random, dtype=np.float64),
        np.array(random_class, dtype=np.float64),
        np.array(again, dtype=bool),
        found,
    )


def _least(size: int, other: int, overlap: float) -> int:
    return int(np.ceil(overlap * min(size, other)))


def chance(size: int, others: Sequence[int], pool: int, overlap: float) -> float:
    """Probability that random images share enough with one of some sets of images.

    By the hypergeometric distribution for each set, as if independent of the others.

    Args:
        size: images drawn, or the pool where that is smaller.
        others: sizes of the sets.
        pool: candidates, of which all sets are.
        overlap: share of the smaller of both that is enough.
    """
    size = min(size, pool)
    if not size:
        return 0.0
    missed = [hypergeom.cdf(_least(size, n, overlap) - 1, pool, n, size) for n in others]
    return 1 - float(np.prod(missed))


def found_by(runs: Sequence[Run], labels: Sequence[str], image_ids: Sequence[str]) -> pd.DataFrame:
    """What each dictionary finds on all train images, FOUND: a row a finding.

    Args:
        runs: a dictionary each.
        labels: of the classes, in their order.
        image_ids: of all images, in their order.
    """
    rows = [
        (run.number, labels[finding.position], [image_ids[row] for row in finding.rows])
        for run in runs
        for finding in run.found
    ]
    return pd.DataFrame(rows, columns=FOUND).astype({"dictionary": "int32"})


def by_finding(finding_ids: Sequence[str], runs: Sequence[Run]) -> pd.DataFrame:
    """A row for each finding, COLUMNS.

    recurrence: fraction of the runs in which it is found again, 1 in each, 0 in none, beside its
    Wilson interval of 95 % and the mean of the control; recurrence_all_images: the same fraction
    where each dictionary searches all train images. Null where there is no run.
    """
    rows = []
    for index, finding_id in enumerate(finding_ids):
        times = sum(bool(run.again[index]) for run in runs)
        figures: tuple[float | None, ...] = (None,) * 5
        if runs:
            random = float(np.mean([run.random[index] for run in runs]))
            every = float(np.mean([run.on_all[index] for run in runs]))
            figures = (times / len(runs), *wilson(times, len(runs)), random, every)
        rows.append((finding_id, len(runs), times, *figures))
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[3:], float))


def metrics(
    table: pd.DataFrame, held: Bool[np.ndarray, " f"], runs: Sequence[Run]
) -> dict[str, int | float]:
    """Figures of all findings: counts, and shares where there are runs and findings.

    found_again is the mean over findings of their recurrence, `held` that over those that held on
    validation images, `random` and `random_class` those of the control, `all_images` and
    `all_images_held` the first two of what is found on all train images. in_all is the share of
    findings that each run finds, with its Wilson interval over findings, in_none that of those no
    run finds.

    Args:
        table: see `by_finding`.
        held: which findings did on validation images.
        runs: what the table was made of.
    """
    figures: dict[str, int | float] = {"runs": len(runs), "findings": len(table)}
    if not runs or table.empty:
        return figures
    by_all = int((table["found_in"] == len(runs)).sum())
    low, high = wilson(by_all, len(table))
    figures |= {
        "found_again": float(table["recurrence"].mean()),
        "all_images": float(table["recurrence_all_images"].mean()),
        "random": float(table["recurrence_random"].mean()),
        "random_class": float(np.mean([run.random_class for run in runs])),
        "in_all": by_all / len(table),
        "in_all_low": low,
        "in_all_high": high,
        "in_none": float((table["found_in"] == 0).mean()),
    }
    if held.any():
        figures["held"] = float(table.loc[held, "recurrence"].mean())
        on_all = table.loc[held, "recurrence_all_images"]
        figures["all_images_held"] = float(on_all.mean())
    return figures


def wilson(times: int, of: int) -> tuple[float, float]:
    """Wilson's interval of 95 % for a share."""
    found = binomtest(times, of).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
