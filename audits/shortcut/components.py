"""Every component of an audit with its evidence for a shortcut."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from audits.inputs import Inputs
from audits.shortcut import classifier
from audits.shortcut.candidates import Sample, evidence, remains, within
from audits.shortcut.images import Images, Shifted, View
from audits.shortcut.relevance import relevance
from audits.shortcut.remedies import standard
from pipeline.attribution.relevance import Codes, activations
from pipeline.config import ShortcutConfig
from pipeline.sae.model import Sae, encode_blocks


def verdicts(findings: pd.DataFrame, components: int) -> list[str | None]:
    """What a person has said of each component: accept where a finding of mode spurious with it was
    accepted, reject where all that were judged were rejected, else None."""
    found: list[str | None] = [None] * components
    judged = findings.dropna(subset=["verdict"])
    for component in judged["component"].unique().astype(int):
        some = judged[judged["component"] == component]
        if ((some["verdict"] == "accept") & (some["mode"] == "spurious")).any():
            found[component] = "accept"
        elif (some["verdict"] == "reject").all():
            found[component] = "reject"
    return found


def codes_of(inputs: Inputs, images: Images) -> Codes:
    """Codes of some images."""
    return inputs.coded(torch.from_numpy(images.rows))


def component_table(
    inputs: Inputs,
    sae: Sae,
    labels: pd.DataFrame,
    findings: pd.DataFrame,
    acquisition: pd.DataFrame,
    train: Images,
    shifted: Shifted,
    acting: Mapping[str, str],
    fallen: Sequence[str],
    config: ShortcutConfig,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, np.ndarray], np.ndarray]:
    """Every component with its evidence; what each shift in range moves of the output through it
    [m]; and Spearman with each of STATISTICS within a class [m, s]. All of train images.

    Args:
        acting: shift in range → the view that counts, with masks that of the surroundings alone.
        fallen: the shifts in range under which a side falls.
    """
    c = classifier.regularisation(train.view.z, train.positive, train.groups, config, seed)
    gradient = standard(train.view, train.positive, c).gradient(train.view, inputs.head)
    found = relevance(gradient, codes_of(inputs, train), inputs.atoms)
    m, images = len(inputs.atoms), shifted.images
    activation = activations(codes_of(inputs, images), m).numpy()

    def activation_of(view: View) -> np.ndarray:
        return activations(encode_blocks(sae, view.x), m).numpy()

    rises = {
        shift: (activation_of(shifted.views[name]) - activation).mean(axis=0)
        for shift, name in acting.items()
    }
    left = {}
    if shifted.surroundings is not None:
        known = np.flatnonzero(shifted.surroundings.notna().all(axis=1))
        left = {
            part: remains(activation[known], activation_of(view.rows(known)))
            for part, view in shifted.covered.items()
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
        {shift: rises[shift] for shift in fallen or acting},
        weight,
        left,
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
