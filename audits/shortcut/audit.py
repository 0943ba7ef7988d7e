"""The audit of a classifier's shortcuts, from an audit's artifacts to tables and metrics."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from audits.inputs import Inputs
from audits.shortcut import classifier, proof
from audits.shortcut.candidates import Sample, answering, evidence, rank_candidates, within
from audits.shortcut.images import PLAIN, Images, Shifted, View
from audits.shortcut.relevance import activations, activations_of, relevance
from audits.shortcut.remedies import STANDARD, Lesson
from audits.shortcut.subgroups import subgroups
from audits.shortcut.trials import Half, Judged, auroc, halves
from audits.shortcut.uncertainty import Interval
from pipeline.artifacts.gaps import Gaps
from pipeline.attribution.relevance import Codes
from pipeline.config import STATISTICS, ShortcutConfig
from pipeline.sae.model import Sae, encode_blocks


class Results(NamedTuple):
    """What the audit writes."""

    metrics: dict[str, Any]
    tables: dict[str, pd.DataFrame]


def verdicts(findings: pd.DataFrame, components: int) -> list[str | None]:
    """What a person has said of each component: accept where a finding of mode spurious with it was
    accepted, reject where all that were judged were rejected, else None."""
    found: list[str | None] = [None] * components
    for row in findings.dropna(subset=["verdict"]).to_dict("records"):
        component = int(row["component"])
        if row["verdict"] == "accept" and row["mode"] == "spurious":
            found[component] = "accept"
        elif row["verdict"] == "reject" and found[component] is None:
            found[component] = "reject"
    return found


def component_table(
    inputs: Inputs,
    sae: Sae,
    labels: pd.DataFrame,
    findings: pd.DataFrame,
    acquisition: pd.DataFrame,
    train: Images,
    shifted: Shifted,
    in_range: Sequence[str],
    fallen: Sequence[str],
    config: ShortcutConfig,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, np.ndarray], np.ndarray]:
    """Every component with its evidence; what each shift in range moves of the output through it
    [m]; and Spearman with each of STATISTICS within a class [m, s]. All of train images."""
    c = classifier.regularisation(train.view.z, train.positive, train.groups, config, seed)
    w = torch.from_numpy(classifier.fit(train.view.z, train.positive, c).coef_[0]).float()
    rows = torch.from_numpy(train.rows)
    codes = Codes(inputs.codes.component[rows], inputs.codes.activation[rows])
    found = relevance(train.view.x, codes, w, inputs.head, inputs.atoms)
    m, images = len(inputs.atoms), shifted.images
    there = torch.from_numpy(images.rows)
    plain = Codes(inputs.codes.component[there], inputs.codes.activation[there])
    activation = activations(plain, m).numpy()
    rises = {
        shift: activations(encode_blocks(sae, shifted.views[shift].x), m).numpy().mean(axis=0)
        - activation.mean(axis=0)
        for shift in in_range
    }
    fires = found.activation > 0
    weight = torch.where(fires, found.mean / found.activation, 0.0).numpy()
    classes = inputs.images["label"].to_numpy()[images.rows]
    sample = Sample(
        activation,
        images.positive,
        classes,
        shifted.statistics.to_numpy(),
        acquisition.iloc[images.rows].reset_index(drop=True),
        {shift: rises[shift] for shift in fallen or in_range},
        weight,
    )
    named = labels.set_index("component").loc[np.arange(m)].reset_index()
    table = evidence(sample).assign(
        component=range(m),
        label=named["label"],
        kind=named["kind"],
        top_images=[" ".join(ids) for ids in named["top_images"]],
        verdict=pd.Series(verdicts(findings, m), dtype="object"),
        share=found.share.numpy(),
        mean_relevance=found.mean.numpy(),
        mean_activation=found.activation.numpy(),
    )
    moved = {shift: rise * weight for shift, rise in rises.items()}
    colours = within(activation, classes).T @ within(sample.statistics, classes)
    return table, moved, colours


def lessons(
    inputs: Inputs,
    sae: Sae,
    train: Images,
    split: Sequence[Half],
    shifted: Shifted,
    shifts: Sequence[str],
    component: int,
) -> list[Lesson]:
    """What each repeat's remedies learn from.

    Args:
        inputs: the audit's artifacts.
        sae: its dictionary.
        train: all labelled train images.
        split: the repeats.
        shifted: the train images that are there under shifts.
        shifts: those to withstand.
        component: to correct.
    """
    chosen = torch.tensor([component])

    def activation_of(view: View) -> np.ndarray:
        return activations_of(encode_blocks(sae, view.x), chosen)[:, 0].double().numpy()

    activation = activation_of(train.view)
    places = np.searchsorted(train.rows, shifted.images.rows)
    found = []
    for half in split:
        part = train.only(half.teaches)
        pairs = half.teaches[places]
        position = np.cumsum(half.teaches) - 1
        found.append(
            Lesson(
                view=part.view,
                positive=part.positive,
                activation=activation[half.teaches],
                atom=inputs.atoms[component],
                activation_of=activation_of,
                pairs=position[places[pairs]],
                shifted=[shifted.views[shift].rows(pairs) for shift in shifts],
                head=inputs.head,
                c=half.c,
            )
        )
    return found


def audit_shortcut(
    inputs: Inputs,
    sae: Sae,
    labels: pd.DataFrame,
    findings: pd.DataFrame,
    acquisition: pd.DataFrame,
    train: Images,
    shifted: tuple[Shifted, Shifted],
    shifts: pd.DataFrame,
    config: ShortcutConfig,
    seed: int,
    gaps: Gaps,
) -> Results:
    """Candidates, proof, remedies and subgroups.

    Args:
        inputs: the audit's artifacts.
        sae: its dictionary.
        labels: names of components, one row a component.
        findings: of the stage `review`, with verdicts.
        acquisition: a row for each of the audit's images, see `read_acquisition`.
        train: all labelled train images.
        shifted: train and held-out images under shifts.
        shifts: of `read_shifts`.
        config: the section of params.yaml.
        seed: of halves, folds, resamples and augmentation.
        gaps: takes up what does not apply.

    Raises:
        DoesNotApply: there is no classifier to be had, or no component that it leans on.
    """
    in_range = shifts.loc[shifts["in_range"], "shift"].tolist()
    split = halves(train, config, seed)
    check, judged = (Judged.of(part, config, seed) for part in shifted)
    standard = proof.standard_trial(train, split, check)
    fallen = proof.fallen(standard.check, in_range, config.min_drop)
    table, moves, colours = component_table(
        *(inputs, sae, labels, findings, acquisition, train, shifted[0]),
        *(in_range, fallen, config, seed),
    )
    candidates = rank_candidates(table, config.top)
    outcomes = proof.held_out(standard, judged)
    curves = [proof.curve(STANDARD, outcomes, standard.check, shifts, config.min_drop)]
    target = proof.choose_target(standard.check, shifts, config)
    compared, swept, advice = pd.DataFrame(), pd.DataFrame(), {}

    def answers(shift: str, kind: str) -> int:
        of_kind = colours[:, STATISTICS.index(kind)] if kind in STATISTICS else None
        return answering(candidates, moves[shift], of_kind)

    if target is not None:
        component = answers(target.shift, target.kind)
        same = shifts[shifts["in_range"] & (shifts["kind"] == target.kind)]
        taught = lessons(inputs, sae, train, split, shifted[0], same["shift"].tolist(), component)
        trials = proof.remedy_trials(train, split, check, taught, target, config, seed, gaps)
        best = proof.best_settings(standard, trials, target, config)
        chosen = proof.recommended(standard, best, target, config)
        each = [(trial, proof.held_out(trial, judged)) for trial in (standard, *best)]
        others = shifts.loc[shifts["in_range"] & (shifts["kind"] != target.kind), "shift"]
        compared = proof.comparison(outcomes, each, judged, target, others.tolist())
        compared["recommended"] = [trial is chosen for trial, _ in each]
        swept = proof.sweep(standard, trials, target)
        if chosen is not None:
            found = next(result for trial, result in each if trial is chosen)
            curves.append(proof.curve(chosen.remedy, found, {}, shifts, config.min_drop))
        advice = {
            "target": {"shift": target.shift, "side": target.side, "component": component},
            "recommended": "none" if chosen is None else chosen.remedy,
        }
    shown = pd.concat(curves, ignore_index=True)
    candidates["called"] = None
    for row in shown[shown["proven"]].sort_values("drop").to_dict("records"):
        called = candidates["component"] == answers(row["shift"], row["kind"])
        candidates.loc[called, "called"] = row["shift"]
    scores = np.stack([one.scores(judged.shifted.views[PLAIN]) for one in standard.fitted])
    positive = judged.shifted.images.positive
    right = ((scores > standard.cuts[:, None]) == positive).astype(float)
    of_images = acquisition.iloc[judged.shifted.images.rows].reset_index(drop=True)
    groups = subgroups(right, positive, judged.over, of_images, config.min_group)
    calibrated = classifier.calibration(scores, positive, float(train.positive.mean()))
    metrics = {
        **component_metrics(candidates),
        "auroc": spelled(auroc(standard.fitted, judged).interval()),
        "accuracy": {
            side: spelled(outcomes[PLAIN].side(side).interval())
            for side in ("positive", "negative", "balanced")
        },
        "images": {"positive": int(positive.sum()), "negative": int((~positive).sum())},
        "shifts": shift_metrics(shown),
        "remedies": remedy_metrics(compared),
        **advice,
        "candidates": {
            "called": int(candidates["called"].notna().sum()),
            "suspect": int(candidates["suspect"].sum()),
        },
    }
    if len(groups):
        worst = groups.iloc[0]
        metrics["worst_group"] = {key: worst[key] for key in groups.columns}
    tables = {
        "components": candidates,
        "shifts": shown,
        "remedies": compared,
        "sweep": swept,
        "subgroups": groups,
        "calibration": calibrated,
    }
    return Results(metrics, tables)


def spelled(interval: Interval) -> dict[str, float]:
    """An interval as metrics."""
    return dict(interval._asdict())


def component_metrics(candidates: pd.DataFrame) -> dict[str, Any]:
    """Share and name of each candidate."""
    return {
        str(row["component"]): {
            "share": float(row["share"]),
            "label": None if pd.isna(row["label"]) else str(row["label"]),
        }
        for row in candidates.to_dict("records")
    }


def shift_metrics(shown: pd.DataFrame) -> dict[str, Any]:
    """Drop of each side under each shift, of the standard classifier on held-out images."""
    found: dict[str, Any] = {}
    for row in shown[shown["remedy"] == STANDARD].to_dict("records"):
        one = {"accuracy": row["accuracy"], **_ends(row, "drop")}
        found.setdefault(row["shift"], {})[row["side"]] = one
    return found


def remedy_metrics(compared: pd.DataFrame) -> dict[str, Any]:
    """Drop, relief, price and AUROC of each remedy on held-out images."""
    return {
        row["remedy"]: {name: _ends(row, name) for name in ("drop", "relief", "price", "auroc")}
        for row in compared.to_dict("records")
    }


def _ends(row: Mapping[Any, Any], name: str) -> dict[str, float]:
    return {key: float(row[key]) for key in (name, f"{name}_low", f"{name}_high")}
