"""The audit of a classifier's shortcuts, from an audit's artifacts to tables and metrics."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from audits.inputs import Inputs
from audits.shortcut import classifier, proof
from audits.shortcut.advice import (
    best_settings,
    comparison,
    recommended,
    recommended_matched,
    sweep,
)
from audits.shortcut.candidates import leading, rank_candidates
from audits.shortcut.components import codes_of, component_table
from audits.shortcut.images import PLAIN, Images, Shifted, View
from audits.shortcut.metrics import component_metrics, remedy_metrics, shift_metrics, spelled
from audits.shortcut.proof import Outcomes, Target, Trial
from audits.shortcut.relevance import activations_of, relevance
from audits.shortcut.remedies import STANDARD, Fitted, Lesson
from audits.shortcut.subgroups import subgroups
from audits.shortcut.teaching import associations
from audits.shortcut.trials import Half, Judged, auroc, halves
from pipeline.artifacts.gaps import Gaps
from pipeline.config import ShortcutConfig
from pipeline.sae.model import Sae, encode_blocks


class Results(NamedTuple):
    """What the audit writes."""

    metrics: dict[str, Any]
    tables: dict[str, pd.DataFrame]


def shares_after(
    trials: Sequence[Trial], inputs: Inputs, images: Images, component: int
) -> list[float]:
    """Share of the component of each trial's relevance, the mean over its classifiers.

    Args:
        trials: remedies, each with its classifiers.
        inputs: the audit's artifacts.
        images: to take relevance of.
        component: that remedies correct.
    """
    codes = codes_of(inputs, images)

    def share(fitted: Fitted) -> float:
        if fitted.edit is not None and fitted.edit.along is None:
            return 0.0  # switched off: nothing of it comes through
        gradient = fitted.gradient(images.view, inputs.head)
        return float(relevance(gradient, codes, inputs.atoms).share[component])

    return [float(np.mean([share(one) for one in trial.fitted])) for trial in trials]


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


def treated(
    inputs: Inputs,
    sae: Sae,
    train: Images,
    split: Sequence[Half],
    parts: tuple[Judged, Judged],
    plain: Trial,
    shifts: pd.DataFrame,
    target: Target,
    component: int,
    config: ShortcutConfig,
    seed: int,
    gaps: Gaps,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], tuple[str, Outcomes] | None]:
    """Remedies against one shift: their table, every setting, the metrics of what is recommended,
    and the name and outcomes of that.

    Recommended is what helps at the price of images as they are; where sides can be matched also
    what helps at the price of images among which the shortcut earns nothing.
    """
    check, judged = parts
    weights = gaps.measured(
        "shortcut.price_matched", lambda: [proof.matching(part, target) for part in parts]
    )
    on_check, on_held_out = weights or (None, None)
    same = shifts.loc[shifts["in_range"] & (shifts["kind"] == target.kind), "shift"]
    taught = lessons(inputs, sae, train, split, check.shifted, same.tolist(), component)
    trials = proof.remedy_trials(train, split, check, taught, target, on_check, config, seed, gaps)
    if on_check is not None:
        plain = proof.with_matched(plain, train, split, check, on_check)
    kept: dict[str, Trial | None] = {}
    compared = best_settings(plain, trials, target, config)
    kept["recommended"] = recommended(plain, compared, target, config)
    if on_check is not None:
        fair = kept["recommended_matched"] = recommended_matched(plain, trials, target, config)
        if fair is not None and all(fair is not trial for trial in compared):
            compared.append(fair)
    each = [(trial, proof.held_out(trial, judged, on_held_out)) for trial in (plain, *compared)]
    others = shifts.loc[shifts["in_range"] & (shifts["kind"] != target.kind), "shift"]
    table = comparison(each[0][1], each, judged, target, others.tolist())
    table["recommended_matched"] = False
    for name, chosen in kept.items():
        table[name] = [trial is chosen for trial, _ in each]
    table["share"] = shares_after(
        [trial for trial, _ in each], inputs, check.shifted.images, component
    )
    shown = next((trial for trial in kept.values() if trial is not None), None)
    cured = next(((trial.remedy, found) for trial, found in each if trial is shown), None)
    advice = {
        "target": {"shift": target.shift, "side": target.side, "component": component},
        **{name: "none" if one is None else one.remedy for name, one in kept.items()},
    }
    return table, sweep(plain, trials, target), advice, cured


def audit_shortcut(
    inputs: Inputs,
    sae: Sae,
    labels: pd.DataFrame,
    findings: pd.DataFrame,
    acquisition: pd.DataFrame,
    train: Images,
    held_out: Images,
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
        held_out: all labelled held-out images.
        shifted: train and held-out images that are there under shifts.
        shifts: of `read_shifts`.
        config: the section of params.yaml.
        seed: of halves, folds, resamples and augmentation.
        gaps: takes up what does not apply.

    Raises:
        DoesNotApply: there is no classifier to be had, or no component that it leans on.
    """
    in_range = shifts[shifts["in_range"]]
    acting = dict(zip(in_range["shift"], in_range["alone"].fillna(in_range["shift"]), strict=True))
    split = halves(train, config, seed)
    check = Judged.of(shifted[0], train, config, seed)
    judged = Judged.of(shifted[1], held_out, config, seed)
    plain = proof.standard_trial(train, split, check)
    fallen = proof.fallen(plain.check, list(acting), config.min_drop)
    table, moves, colours = component_table(
        *(inputs, sae, labels, findings, acquisition, train, shifted[0]),
        *(acting, fallen, config, seed),
    )
    goes = associations(shifted[0], shifts, config, seed)
    causes = proof.causes(plain.check, shifts, goes, config)
    leads = leading(table, {cause.kind: moves[cause.shift] for cause in causes}, colours)
    candidates = rank_candidates(table, config.top, list(leads.values()))
    outcomes = proof.held_out(plain, judged)
    curves = [proof.curve(STANDARD, outcomes, plain.check, shifts, goes, config.min_drop)]
    advice: dict[str, Any] = {}
    compared, swept = pd.DataFrame(), pd.DataFrame()
    if causes and causes[0].kind in leads:
        compared, swept, advice, cured = treated(
            *(inputs, sae, train, split, (check, judged), plain),
            *(shifts, causes[0], leads[causes[0].kind], config, seed, gaps),
        )
        if cured is not None:
            curves.append(proof.curve(*cured, {}, shifts, goes, config.min_drop))
    shown = pd.concat(curves, ignore_index=True)
    candidates["called"] = None
    for row in shown[shown["proven"]].sort_values("drop").to_dict("records"):
        called = candidates["component"] == leads[row["kind"]]
        candidates.loc[called, "called"] = row["shift"]
    scores = np.stack([one.scores(judged.shifted.views[PLAIN]) for one in plain.fitted])
    positive = judged.shifted.images.positive
    right = ((scores > plain.cuts[:, None]) == positive).astype(float)
    of_images = acquisition.iloc[judged.shifted.images.rows].reset_index(drop=True)
    groups = subgroups(right, positive, judged.over, of_images, config.min_group)
    every = judged.every  # the sample has as many of both sides as it can
    natural = np.stack([one.scores(every.view) for one in plain.fitted])
    calibrated = classifier.calibration(natural, every.positive, float(train.positive.mean()))
    metrics = {
        **component_metrics(candidates),
        "auroc": spelled(auroc(plain.fitted, judged).interval()),
        "accuracy": {
            side: spelled(outcomes[PLAIN].side(side).interval())
            for side in ("positive", "negative", "balanced")
        },
        "images": {"positive": int(positive.sum()), "negative": int((~positive).sum())},
        "shifts": shift_metrics(shown),
        "remedies": remedy_metrics(compared),
        **advice,
        "fragile": ", ".join(shown.loc[shown["fragile"], "shift"].drop_duplicates()) or "none",
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
