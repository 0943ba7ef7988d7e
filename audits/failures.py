"""Stage `failures`: components that matter more than expected on images of other classes.

For each class, images of other classes that come close to it are candidates; a component whose
relevance on them exceeds what the class's own images show is flagged (paper, Sec. 4.2b and App. D).
Flags are tested against chance, gathered into findings and confirmed on images not used to find
them.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.stats import false_discovery_control, hypergeom
from torch import Tensor

from audits.inputs import Inputs, load_inputs
from audits.modes import Lexicon, shown_by, suggest_mode
from audits.reference import class_relevance
from pipeline import layout
from pipeline.attribution import cosine_outputs
from pipeline.config import FailuresConfig
from pipeline.stage import begin
from pipeline.store import read_table, write_json, write_table

FINDING_COLUMNS = [
    "finding_id",
    "class",
    "component",
    "component_label",
    "mode",
    "score",
    "images",
    "max_z",
    "q_value",
    "confirmed",
    "stability",
    "verdict",
    "example_ids",
]


class Expectation(NamedTuple):
    """What is expected of one class."""

    position: int
    """Row in Inputs.classes."""
    label: str
    y_mean: float
    y_std: float
    floor: float
    mean: np.ndarray
    """Mean relevance [m], 0 where the component never fires on the class."""
    std: np.ndarray
    """Deviation of relevance [m], 0 likewise."""


class Surprise(NamedTuple):
    """Relevance of one class's prompt on some images against the expectation."""

    rows: np.ndarray
    """Images [r], as rows of Inputs.images."""
    component: np.ndarray
    """[r, k]."""
    excess: np.ndarray
    """Relevance above the expected mean [r, k], in units of y; −inf in empty slots."""
    z: np.ndarray
    """Excess in deviations [r, k]; −inf in empty slots."""


class Flag(NamedTuple):
    """A component on which a class's prompt depends more than expected."""

    position: int
    component: int
    rows: np.ndarray
    """Candidates with z above the threshold."""
    excess: float
    """Mean excess relevance on them."""
    max_z: float
    p_value: float
    q_value: float


def expectations(inputs: Inputs, table: pd.DataFrame, classes: pd.DataFrame) -> list[Expectation]:
    """Expected relevance of each class, from the reference tables."""
    positions = {label: index for index, label in enumerate(inputs.classes["label"])}
    by_class = dict(list(table.groupby("class")))
    found = []
    for row in classes.to_dict("records"):
        part = by_class[row["class"]]
        mean, std = np.zeros(len(inputs.atoms)), np.zeros(len(inputs.atoms))
        mean[part["component"]], std[part["component"]] = part["mean"], part["std"]
        found.append(
            Expectation(
                positions[row["class"]],
                row["class"],
                row["y_mean"],
                row["y_std"],
                row["floor"],
                mean,
                std,
            )
        )
    return found


def candidate_rows(
    inputs: Inputs,
    y: Float[Tensor, " n"],
    expected: Expectation,
    split: str,
    deviations: float,
) -> Int[Tensor, " r"]:
    """Images of other classes whose y exceeds mean(y) − deviations · sd(y) of the class.

    y is the output of all images for the class's prompt. Images without a label are left out,
    since they may show the class.
    """
    close = y > expected.y_mean - deviations * expected.y_std
    other = (inputs.class_index != expected.position) & (inputs.class_index >= 0)
    return torch.nonzero(inputs.split(split) & other & close).flatten()


def surprise(inputs: Inputs, expected: Expectation, rows: Int[Tensor, " r"]) -> Surprise:
    """z-scores (paper, Eq. 8), the deviation being at least the class's floor."""
    t = inputs.texts["short"][expected.position]
    component = inputs.codes.component[rows].numpy()
    relevance = class_relevance(inputs, rows, t).numpy()
    excess = relevance - expected.mean[component]
    excess[inputs.codes.activation[rows].numpy() == 0] = -np.inf
    deviation = np.maximum(expected.std[component], expected.floor)
    return Surprise(rows.numpy(), component, excess, excess / deviation)


def exceedances(found: Surprise, z: float, components: int) -> np.ndarray:
    """Number of images [m] on which each component's z is above the threshold."""
    return np.bincount(found.component[found.z > z], minlength=components)


def chance(
    own: np.ndarray, others: np.ndarray, own_images: int, other_images: int, at_least: np.ndarray
) -> np.ndarray:
    """P(as many as at_least of the exceedances fall on the other images), all being alike.

    One-sided Fisher's exact test: own + others exceedances spread at random over own_images +
    other_images images.
    """
    return hypergeom.sf(at_least - 1, own_images + other_images, own + others, other_images)


def find_flags(
    inputs: Inputs, expected: list[Expectation], config: FailuresConfig
) -> tuple[list[Flag], float]:
    """Flagged (class, component) pairs on train images, and the number expected by chance.

    A pair is tested where the component is active on at least min_images candidates. It is
    flagged where z is above the threshold on at least min_images of them and Benjamini-Hochberg
    keeps it at q. The expected number of false flags is the sum over tested pairs of the
    probability that both hold if candidates are like the class's own images: that of min_images
    exceedances among them, and at most the largest p-value that is kept.
    """
    y = cosine_outputs(inputs.x, inputs.texts["short"], inputs.head)
    train = inputs.split("train")
    tested: list[Flag] = []
    reachable: list[np.ndarray] = []
    m = len(inputs.atoms)
    for e in expected:
        rows = candidate_rows(inputs, y[:, e.position], e, "train", config.candidate_deviations)
        if len(rows) < config.min_images:
            continue
        own_rows = torch.nonzero(train & (inputs.class_index == e.position)).flatten()
        found = surprise(inputs, e, rows)
        others = exceedances(found, config.z, m)
        own = exceedances(surprise(inputs, e, own_rows), config.z, m)
        active = np.bincount(found.component[np.isfinite(found.z)], minlength=m)
        pairs = np.flatnonzero(active >= config.min_images)
        sizes = (own[pairs], others[pairs], len(own_rows), len(rows))
        p_of_pairs = chance(*sizes, at_least=others[pairs])
        reachable.append(chance(*sizes, at_least=np.array(config.min_images)))
        for j, p in zip(pairs, p_of_pairs, strict=True):
            above = (found.component == j) & (found.z > config.z)
            hit = above.any(axis=1)
            excess = float(found.excess[above].mean()) if hit.any() else 0.0
            max_z = float(found.z[above].max()) if hit.any() else 0.0
            tested.append(Flag(e.position, int(j), found.rows[hit], excess, max_z, float(p), 1.0))
    if not tested:
        return [], 0.0
    p_values = [flag.p_value for flag in tested]
    q_values = false_discovery_control(p_values)
    flags = [
        flag._replace(q_value=float(q))
        for flag, q in zip(tested, q_values, strict=True)
        if len(flag.rows) >= config.min_images and q <= config.q
    ]
    kept = max((p for p, q in zip(p_values, q_values, strict=True) if q <= config.q), default=0.0)
    return flags, float(np.minimum(np.concatenate(reachable), kept).sum())


def gather(flags: list[Flag], overlap: float) -> list[list[Flag]]:
    """Flags of one class that share their images, as groups, the strongest flag first.

    Two flags belong together where the images they share are at least `overlap` of the smaller
    set; groups are the connected components of that relation.
    """
    size = len(flags)
    linked = np.zeros((size, size), dtype=bool)
    sets = [set(flag.rows.tolist()) for flag in flags]
    for i in range(size):
        for j in range(i):
            if flags[i].position == flags[j].position:
                shared = len(sets[i] & sets[j])
                linked[i, j] = shared >= overlap * min(len(sets[i]), len(sets[j]))
    _, group = connected_components(csr_array(linked), directed=False)
    groups = [[f for f, g in zip(flags, group, strict=True) if g == n] for n in np.unique(group)]
    ranked = [sorted(g, key=lambda f: (-f.excess * len(f.rows), f.component)) for g in groups]
    return sorted(ranked, key=lambda g: -g[0].excess * len(g[0].rows))


def confirmation(
    inputs: Inputs, expected: Expectation, component: int, config: FailuresConfig
) -> float:
    """p-value of a flag on validation images, which had no part in finding it.

    One-sided Fisher's exact test of exceedances on validation candidates against the class's own
    validation images; 1 where either is missing.
    """
    t = inputs.texts["short"][expected.position, None]
    y = cosine_outputs(inputs.x, t, inputs.head)[:, 0]
    rows = candidate_rows(inputs, y, expected, "val", config.candidate_deviations)
    own_rows = torch.nonzero(
        inputs.split("val") & (inputs.class_index == expected.position)
    ).flatten()
    if len(rows) == 0 or len(own_rows) == 0:
        return 1.0
    m = len(inputs.atoms)
    others = exceedances(surprise(inputs, expected, rows), config.z, m)[[component]]
    own = exceedances(surprise(inputs, expected, own_rows), config.z, m)[[component]]
    return float(chance(own, others, len(own_rows), len(rows), at_least=others)[0])


def report_findings(
    inputs: Inputs,
    groups: list[list[Flag]],
    expected: list[Expectation],
    labels: pd.DataFrame,
    kinds: Mapping[str, str],
    lexicon: Lexicon,
    config: FailuresConfig,
) -> tuple[pd.DataFrame, dict[str, dict[str, object]]]:
    """A row for each group of flags, and the evidence behind it.

    Args:
        inputs: the audit's artifacts.
        groups: flags that share their images, the strongest first.
        expected: of every class that has flags.
        labels: names of components, one row a component.
        kinds: term of the vocabulary → its kind, for the suggested mode.
        lexicon: senses of nouns, for the same.
        config: `confirm_p` and what makes a candidate.

    Returns:
        Findings with FINDING_COLUMNS, in the order of groups; and for each finding_id its
        components, the ids of its images, what they show (the class of most of them, else the
        component's label, null where neither is another class), the reason of its mode and the
        p-value of its confirmation.
    """
    by_position = {e.position: e for e in expected}
    named = labels.set_index("component")
    short = inputs.classes.set_index("label")["short"]
    findings: list[dict[str, object]] = []
    evidence: dict[str, dict[str, object]] = {}
    for group in groups:
        best = group[0]
        rows = np.unique(np.concatenate([flag.rows for flag in group]))
        images = inputs.images.iloc[rows]
        label = inputs.classes["label"][best.position]
        component = named.loc[best.component]
        own_class = shown_by(images["label"].map(short))
        mode = suggest_mode(short[label], component["label"], own_class, kinds, lexicon)
        shows = own_class or component["label"]
        p = confirmation(inputs, by_position[best.position], best.component, config)
        finding_id = f"{label}-{best.component}"
        examples = inputs.images["image_id"].iloc[_strongest(inputs, best)]
        findings.append(
            {
                "finding_id": finding_id,
                "class": label,
                "component": best.component,
                "component_label": component["label"],
                "mode": mode.name,
                "score": best.excess,
                "images": len(rows),
                "max_z": max(flag.max_z for flag in group),
                "q_value": min(flag.q_value for flag in group),
                "confirmed": p <= config.confirm_p,
                "stability": None,
                "verdict": None,
                "example_ids": " ".join(examples),
            }
        )
        evidence[finding_id] = {
            "components": [flag.component for flag in group],
            "images": images["image_id"].tolist(),
            "shows": shows if isinstance(shows, str) and shows != short[label] else None,
            "mode_reason": mode.reason,
            "confirmation_p": p,
        }
    return pd.DataFrame(findings, columns=FINDING_COLUMNS), evidence


def _strongest(inputs: Inputs, flag: Flag, examples: int = 12) -> np.ndarray:
    component = inputs.codes.component[flag.rows].numpy()
    activation = inputs.codes.activation[flag.rows].numpy()
    strength = np.where(component == flag.component, activation, 0).max(axis=1)
    return flag.rows[np.argsort(-strength, kind="stable")[:examples]]


def main() -> None:
    """Find an audit's failure modes."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    config = audit.failures
    inputs = load_inputs(params, name)
    reference = [
        read_table(layout.reference(name) / file)
        for file in ("reference.parquet", "classes.parquet")
    ]
    expected = expectations(inputs, *reference)
    flags, by_chance = find_flags(inputs, expected, config)
    vocabulary = read_table(
        layout.concepts_embeddings(audit.dataset) / "vocabulary.parquet", ["term", "kind"]
    )
    findings, evidence = report_findings(
        inputs,
        gather(flags, config.overlap),
        expected,
        read_table(layout.labels(name)),
        dict(vocabulary.dropna().itertuples(index=False)),
        Lexicon.read(),
        config,
    )
    folder = layout.audit(name, "failures")
    write_table(folder / "findings.csv", findings)
    write_json(folder / "evidence.json", evidence)
    metrics = {
        "flags": len(flags),
        "findings": len(findings),
        "confirmed": int(findings["confirmed"].sum()),
        "expected_false_flags": by_chance,
    }
    write_json(folder / "metrics.json", {"failures": metrics})


if __name__ == "__main__":
    main()
