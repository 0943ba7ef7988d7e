"""Candidates for a shortcut: several kinds of evidence side by side, and one rule that ranks them.

All evidence is of train images. First comes, for each kind of shift that the classifier falls
under, the component through which it acts. The rule for the others weighs nothing: each kind of
evidence puts the components in an order, and a component's rank is by the mean of its places. A
person's verdict comes before all.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.stats import f as f_distribution
from scipy.stats import rankdata

from audits.auroc import auroc_of_columns
from pipeline.artifacts.gaps import DoesNotApply
from pipeline.config import COVERED, STATISTICS

BESIDE_THE_POINT = ("background", "context", "writing")
"""Kinds of terms that have nothing to do with a class: the vocabulary's authors accept them as no
evidence."""
LEAST = 10
"""Train images that a component has to fire on to be a candidate."""
TINY = np.finfo(float).tiny
LEVEL = 0.05
"""Of the test that a component goes with acquisition data, over all components and columns."""
EVIDENCE = ("beside", "share", "acquisition", "colour", "answer", "imbalance", "outside")
"""Columns by which components are ordered, the largest value first:

- `beside`: 1 where the kind of its name is BESIDE_THE_POINT, 0 where it is another, else unknown;
- `share`: of the classifier's relevance;
- `acquisition`: how much it goes with a column of acquisition data within a class, 0 where chance
  would do;
- `colour`: |Spearman| within a class with a colour statistic of the pixels;
- `answer`: how far a shift under which the classifier falls, or any in range where it falls under
  none, moves its output through the component: the rise of its mean activation times its relevance
  per activation;
- `imbalance`: |2 AUROC − 1| between the sides;
- `outside`: how much more of its activation is left where the object is covered than where the
  surroundings are, from −1 to 1; unknown without masks.
"""


class Sample(NamedTuple):
    """Train images that evidence is taken from."""

    activation: Float[np.ndarray, "n m"]
    positive: Bool[np.ndarray, " n"]
    classes: np.ndarray
    """[n] labels."""
    statistics: Float[np.ndarray, "n s"]
    """STATISTICS of their pixels."""
    acquisition: pd.DataFrame
    """Columns of how they came about, none where nothing says so."""
    rises: Mapping[str, Float[np.ndarray, " m"]]
    """Shift → how much the mean activation rises under it."""
    weight: Float[np.ndarray, " m"]
    """Relevance per activation, 0 where it never fires."""
    left: Mapping[str, Float[np.ndarray, " m"]]
    """COVERED → what `remains`, empty without masks."""


def remains(
    activation: Float[np.ndarray, "n m"], covered: Float[np.ndarray, "n m"]
) -> Float[np.ndarray, " m"]:
    """Share of each component's activation that is left with a part of the images covered, at most
    1 of an image on which it fires; NaN where it fires on none."""
    before = activation.sum(axis=0)
    after = np.minimum(covered, activation).sum(axis=0)
    return np.divide(after, before, out=np.full(len(before), np.nan), where=before > 0)


def within(values: Float[np.ndarray, "n q"], classes: np.ndarray) -> Float[np.ndarray, "n q"]:
    """Ranks within each class, with mean 0 and over all images length 1; 0 where constant."""
    ranks = np.zeros(values.shape)
    for label in np.unique(classes):
        rows = classes == label
        of_class = rankdata(values[rows], axis=0)
        ranks[rows] = (of_class - of_class.mean(axis=0)) / rows.sum()
    length = np.linalg.norm(ranks, axis=0)
    return np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0)


def goes_with(
    values: Float[np.ndarray, "n q"], column: pd.Series, classes: np.ndarray, level: float
) -> Float[np.ndarray, " q"]:
    """How much each column of values goes with a category within a class, from 0 to 1.

    Root of ε², the share of the variance of ranks within classes that categories explain, less
    what as many categories would by chance. 0 where the F-test of that variance does not reach the
    level. Images without a category are left out before there are ranks: what goes with their
    having none is nothing that the categories explain.
    """
    known = column.notna().to_numpy()
    cells = pd.factorize(pd.Series(classes[known]) + "\0" + column[known].reset_index(drop=True))[0]
    kept = classes[known]
    ranks = within(values[known], kept)
    n, k, c = len(cells), len(np.unique(cells)), len(np.unique(kept))
    if k <= c or n <= k:
        return np.zeros(ranks.shape[1])
    total = (ranks**2).sum(axis=0)
    sums = np.zeros((k, ranks.shape[1]))
    np.add.at(sums, cells, ranks)
    between = (sums**2 / np.bincount(cells)[:, None]).sum(axis=0)
    noise = np.where(total > 0, total - between, 1) / (n - k)
    share = (between - (k - c) * noise) / np.where(total > 0, total, 1)
    sure = f_distribution.sf(between / (k - c) / noise, k - c, n - k) < level
    return np.where(sure, np.sqrt(share.clip(0, 1)), 0.0)


def imbalance(activation: Float[np.ndarray, "n m"], positive: Bool[np.ndarray, " n"]) -> np.ndarray:
    """2 AUROC − 1 of each component for the positive side, [m] from −1 to 1."""
    return 2 * auroc_of_columns(activation, positive) - 1


def evidence(sample: Sample) -> pd.DataFrame:
    """A row for each component: images, acquisition, colour, answer and imbalance, with what each
    is of: acquisition_column, colour_statistic, answer_shift; and COVERED."""
    ranks = within(sample.activation, sample.classes)
    spearman = ranks.T @ within(sample.statistics, sample.classes)  # [m, s]
    m = np.arange(len(spearman))
    strongest = np.abs(spearman).argmax(axis=1)
    table = pd.DataFrame(
        {
            "images": (sample.activation > 0).sum(axis=0),
            "colour": spearman[m, strongest],
            "colour_statistic": np.array(STATISTICS)[strongest],
            "imbalance": imbalance(sample.activation, sample.positive),
            "acquisition": np.nan,
            "acquisition_column": None,
            "answer": np.nan,
            "answer_shift": None,
            **{name: sample.left.get(name, np.full(len(m), np.nan)) for name in COVERED},
        }
    )
    if len(names := list(sample.acquisition)):
        level = LEVEL / (len(names) * ranks.shape[1])
        found = np.stack(
            [
                goes_with(sample.activation, sample.acquisition[name], sample.classes, level)
                for name in names
            ]
        )
        table["acquisition"] = found.max(axis=0)
        table["acquisition_column"] = np.array(names)[found.argmax(axis=0)]
    if names := list(sample.rises):
        moved = np.stack(list(sample.rises.values())) * sample.weight
        best = np.abs(moved).argmax(axis=0)
        table["answer"] = moved[best, m]
        table["answer_shift"] = np.array(names)[best]
    return table


def rank_candidates(table: pd.DataFrame, top: int, leads: Sequence[int] = ()) -> pd.DataFrame:
    """The `top` candidates, rank 1 the most suspicious.

    A component's place in each of EVIDENCE is its rank among those that fire on at least LEAST
    images, equal ones sharing their mean; where a kind of evidence is unknown it is the middle.
    First come the leads, since an intervention speaks for them; the others are ordered by the mean
    of their places. What a person has called a spurious correlation comes before all others, what a
    person has rejected as one after them.

    Args:
        table: a row for each component: component, kind, share, verdict (accept, reject or null)
            and the columns of `evidence`.
        top: how many.
        leads: components of `leading`, the worst cause's first.

    Raises:
        DoesNotApply: no component fires on enough images.
    """
    known = table[table["images"] >= LEAST]
    if known.empty:
        raise DoesNotApply(f"no component fires on {LEAST} of the train images that are shifted")
    beside = known["kind"].isin(BESIDE_THE_POINT).astype(float).where(known["kind"].notna())
    outside = known[COVERED[0]] - known[COVERED[1]]
    found = known.assign(beside=beside, outside=outside)[list(EVIDENCE)].astype(float)
    ordered = found.abs().assign(outside=found["outside"])
    places = ordered.rank(ascending=False).fillna((len(known) + 1) / 2)
    first = known["verdict"].map({"accept": -1, "reject": 1}).fillna(0)
    suspect = (known["kind"].isin(BESIDE_THE_POINT) | (first < 0)) & (first <= 0)
    led = known["component"].map({lead: place for place, lead in enumerate(leads)})
    found = known.assign(
        place=places.mean(axis=1), first=first, led=led.fillna(len(leads)), suspect=suspect
    )
    found = found.sort_values(["first", "led", "place", "component"], kind="stable").head(top)
    return found.drop(columns=["first", "led"]).assign(rank=np.arange(1, len(found) + 1))


def leading(
    table: pd.DataFrame,
    moved: Mapping[str, Float[np.ndarray, " m"]],
    colours: Float[np.ndarray, "m s"],
) -> dict[str, int]:
    """Kind of shift, a cause → the one component through which it acts, each a cause of its own.

    A component answers to a cause by its share of all that the shift moves of the output, less its
    largest such share under another cause. The lead is the component of the least sum of ranks by
    that and, where the kind has a statistic, by |Spearman| with it within a class; of equals the
    first. Components that fire on fewer than LEAST images, that a person has rejected or that lead
    for an earlier cause are none.

    Args:
        table: as for `rank_candidates`.
        moved: cause → what the shift moves of the classifier's output through each component, the
            worst cause first.
        colours: Spearman of each component with each of STATISTICS within a class.
    """
    free = ((table["images"] >= LEAST) & (table["verdict"] != "reject")).to_numpy()
    shares = {kind: np.abs(one) / max(np.abs(one).sum(), TINY) for kind, one in moved.items()}
    found: dict[str, int] = {}
    for kind, share in shares.items():
        if not free.any():
            break
        others = [other for name, other in shares.items() if name != kind]
        own = share - np.max(others, axis=0) if others else share
        ranks = rankdata(-own[free])
        if kind in STATISTICS:
            ranks = ranks + rankdata(-np.abs(colours[free, STATISTICS.index(kind)]))
        found[kind] = int(table["component"].to_numpy()[free][ranks.argmin()])
        free = free & (table["component"] != found[kind]).to_numpy()
    return found


def check_kinds(table: pd.DataFrame, vocabulary: pd.DataFrame) -> None:
    """Make sure that something tells which of the components should not matter by name.

    Args:
        table: of `rank_candidates`.
        vocabulary: columns term and kind, null where unsaid.

    Raises:
        DoesNotApply: no component has a label with a kind, nor a verdict.
    """
    if table["kind"].notna().any() or table["verdict"].notna().any():
        return
    if vocabulary["kind"].isna().all():
        raise DoesNotApply(
            "the vocabulary has no kinds: a CSV with the columns term and kind says which terms "
            f"are {', '.join(BESIDE_THE_POINT[:-1])} or {BESIDE_THE_POINT[-1]}"
        )
    named = int(table["label"].notna().sum())
    raise DoesNotApply(
        f"of the {len(table)} components {named} have a label, and none a label that the "
        "vocabulary has a kind for"
    )
