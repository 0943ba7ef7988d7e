"""Do relevances say what removing a component does? (paper, Sec. 5.1, App. B.2)"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from tqdm import tqdm

from audits.faithfulness.orders import METHODS, ranks, slot_scores
from audits.faithfulness.parts import (
    Images,
    Model,
    Parts,
    ask,
    deletions,
    insertions,
    mix,
    model_of,
    one_off,
    switched,
    take_apart,
)
from audits.inputs import Inputs
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.attribution.head import Head
from pipeline.attribution.relevance import logit_lens
from pipeline.config import FaithfulnessConfig

PROTOCOLS = {
    "deletion_local": (deletions, "local"),
    "insertion_local": (insertions, "local"),
    "deletion_global": (deletions, "global"),
    "deletion_random": (deletions, "random"),
}
"""What each protocol does, in whose order: by the image's own relevances, by their mean over the
class's images, or over random images."""
ERROR = {"kept": True, "dropped": False}
"""What becomes of the SAE's error while components are switched."""
CURVES = {"kept": "curves.csv", "dropped": "curves_error_dropped.csv"}
"""Files of curves by what becomes of the error."""
STEPS = ["protocol", "method", "step", "y", "sem"]
"""Their columns."""
Curves = dict[tuple[str, str, str], Float[Tensor, "n s"]]
"""y of every image after every step, by error, protocol and method."""


def ablation_correlation(
    scores: Float[Tensor, "n k"], effects: Float[Tensor, "n k"], active: Bool[Tensor, "n k"]
) -> float:
    """Pearson correlation of scores and exact effects over an image's active slots, mean of images.

    1 is perfect, 0 is chance. Images on which either is constant are left out.

    Raises:
        DoesNotApply: no image is left.
    """
    count = active.sum(dim=1, keepdim=True).clamp_min(1)

    def deviations(values: Tensor) -> Tensor:
        values = values.masked_fill(~active, 0)
        # The first active slot as origin: what is constant becomes exactly 0.
        first = values.gather(1, active.int().argmax(dim=1, keepdim=True))
        values = (values - first).masked_fill(~active, 0)
        return (values - values.sum(dim=1, keepdim=True) / count).masked_fill(~active, 0)

    a, b = deviations(scores), deviations(effects)
    norms = a.norm(dim=1) * b.norm(dim=1)
    varied = norms > 0
    if not bool(varied.any()):
        raise DoesNotApply(
            f"none of {len(scores)} images has active components of different relevance and "
            "effect: no correlation is defined; check that sae.k is at least 2"
        )
    return float(((a * b).sum(dim=1)[varied] / norms[varied]).mean())


class Evaluation(NamedTuple):
    """What was found on some images."""

    curves: Curves
    scores: dict[str, Float[Tensor, "n k"]]
    effects: Float[Tensor, "n k"]
    """y − y with the one slot off, exact: what every relevance estimates. 0 for empty slots."""


def evaluate_class(
    images: Images,
    reference: Images,
    reference_parts: Parts,
    t: Float[Tensor, " p"],
    lens: Float[Tensor, " m"],
    model: Model,
    config: FaithfulnessConfig,
    generator: torch.Generator,
) -> Evaluation:
    """Curves, relevances and exact effects of images of one class for its prompt.

    Args:
        images: the class's.
        reference: the random images that order random-reference deletion.
        reference_parts: theirs.
        t: unit text embedding of the class's prompt.
        lens: Logit Lens of every component for that prompt.
        model: head and atoms.
        config: number of steps and of points of Integrated Gradients.
        generator: of the random orders.
    """
    parts, prompt = take_apart(images, model), ask(images, t, model)
    asked = ask(reference, t, model)
    scores, reference_scores = (
        slot_scores(*of, lens, model, config.points, generator)
        for of in ((images, parts, prompt), (reference, reference_parts, asked))
    )
    places = ranks(images, scores, reference, reference_scores, len(lens), generator)
    keys = [(protocol, method) for protocol in PROTOCOLS for method in METHODS]
    on = torch.cat(
        [
            PROTOCOLS[key][0](places[PROTOCOLS[key][1], method], config.steps)
            for key, method in keys
        ],
        dim=1,
    )
    curves = {}
    for error, keeps in ERROR.items():
        y = mix(switched(on, keeps, images.x.dtype), parts, prompt, model.head)
        for (protocol, method), curve in zip(keys, y.split(config.steps + 1, dim=1), strict=True):
            curves[error, protocol, method] = curve
    without = mix(switched(one_off(images), True, images.x.dtype), parts, prompt, model.head)
    y = curves["kept", "deletion_local", METHODS[0]][:, :1]
    return Evaluation(curves, scores, y - without)


def summarise_curve(
    y: Float[Tensor, "n s"], subsets: list[Tensor] | None
) -> tuple[float, float | None, Float[Tensor, " s"], Float[Tensor, " s"]]:
    """Area under the mean curve with its standard error, then the curve with its own.

    The area is the mean over steps; errors are those of the mean over equal subsets of images, None
    and NaN where there are none.
    """
    if subsets is None:
        return float(y.mean()), None, y.mean(dim=0), torch.full(y.shape[1:], torch.nan)
    parts = torch.stack([y[rows].mean(dim=0) for rows in subsets])
    root = len(subsets) ** 0.5
    return (
        float(y.mean()),
        float(parts.mean(dim=1).std() / root),
        y.mean(dim=0),
        parts.std(dim=0) / root,
    )


def equal_subsets(n: int, count: int, generator: torch.Generator) -> list[Tensor]:
    """Random subsets of n images whose sizes differ by one at most.

    Raises:
        DoesNotApply: there are fewer images than subsets.
    """
    if n < count:
        raise DoesNotApply(
            f"{n} images cannot make faithfulness.subsets = {count} subsets: lower it"
        )
    return list(torch.randperm(n, generator=generator).tensor_split(count))


def choose_images(
    target: np.ndarray, held_out: np.ndarray, config: FaithfulnessConfig, rng: np.random.Generator
) -> np.ndarray:
    """Rows of up to `images` random held-out images of each of the first `classes` classes.

    Args:
        target: class of each image, −1 where unknown.
        held_out: mask of the images to choose from.
        config: the two limits.
        rng: draws the images.

    Raises:
        DoesNotApply: no held-out image has a class.
    """
    known = np.unique(target[held_out & (target >= 0)])[: config.classes]
    if not len(known):
        raise DoesNotApply("no validation image has a label, so there is nothing to ask for")
    chosen = [
        rng.permutation(np.flatnonzero(held_out & (target == label)))[: config.images]
        for label in known
    ]
    return np.sort(np.concatenate(chosen))


def evaluate(
    images: Images,
    reference: Images,
    texts: Float[Tensor, "c p"],
    model: Model,
    config: FaithfulnessConfig,
    generator: torch.Generator,
) -> Evaluation:
    """`evaluate_class` of every class, put together in the order of the images."""
    classes = images.target.unique()
    lens = logit_lens(model.atoms, texts[classes], model.head)
    reference_parts = take_apart(reference, model)
    found, rows = [], []
    for position, target in enumerate(tqdm(classes, desc="faithfulness", unit="class")):
        mine = (images.target == target).nonzero()[:, 0]
        own = images.rows(mine)
        prompt = (texts[target], lens[:, position])
        found.append(
            evaluate_class(own, reference, reference_parts, *prompt, model, config, generator)
        )
        rows.append(mine)
    back = torch.cat(rows).argsort()
    return Evaluation(
        {key: torch.cat([part.curves[key] for part in found])[back] for key in found[0].curves},
        {key: torch.cat([part.scores[key] for part in found])[back] for key in found[0].scores},
        torch.cat([part.effects for part in found])[back],
    )


def audit_faithfulness(
    images: Images,
    reference: Images,
    texts: Float[Tensor, "c p"],
    model: Model,
    config: FaithfulnessConfig,
    generator: torch.Generator,
    gaps: Gaps,
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Metrics by protocol and method, and the curves: STEPS. None and NaN are what does not apply.

    Metrics of curves with the SAE's error dropped, x being what the SAE reconstructs, are under
    `error_dropped`; relevance is that of the true x for both. Curves have the keys kept and
    dropped.
    """
    subsets = gaps.measured(
        "faithfulness.sem", lambda: equal_subsets(len(images.x), config.subsets, generator)
    )
    found = evaluate(images, reference, texts, model, config, generator)
    metrics: dict[str, dict[str, Any]] = {
        error: {protocol: {} for protocol in PROTOCOLS} for error in ERROR
    }
    tables: dict[str, list[pd.DataFrame]] = {error: [] for error in ERROR}
    for (error, protocol, method), y in found.curves.items():
        auc, deviation, mean, sem = summarise_curve(y, subsets)
        metrics[error][protocol][method] = {"auc": auc, "sem": deviation}
        points = {"step": range(len(mean)), "y": mean.numpy(), "sem": sem.numpy()}
        tables[error].append(pd.DataFrame({"protocol": protocol, "method": method, **points}))
    active = images.codes.activation > 0
    correlation = {
        method: gaps.measured(
            "faithfulness.ablation_correlation",
            partial(ablation_correlation, found.scores[method], found.effects, active),
        )
        for method in METHODS
    }
    return (
        {
            **metrics["kept"],
            "error_dropped": metrics["dropped"],
            "ablation_correlation": correlation,
        },
        {error: pd.concat(parts, ignore_index=True) for error, parts in tables.items()},
    )


def measure(
    inputs: Inputs, config: FaithfulnessConfig, seed: int, gaps: Gaps
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """`audit_faithfulness` on an audit's labelled validation images.

    Raises:
        DoesNotApply: there are none, or what is left of one has no direction.
    """
    rng = np.random.default_rng(seed)
    target = inputs.class_index
    chosen = choose_images(target.numpy(), inputs.split("val").numpy(), config, rng)
    train = inputs.split("train").nonzero()[:, 0].numpy()
    drawn = rng.permutation(train)[: config.reference_images]

    def images(rows: np.ndarray) -> Images:
        # Effects are small differences of cosines: double precision keeps them.
        part = torch.from_numpy(rows)
        codes = inputs.coded(part)
        codes = codes._replace(activation=codes.activation.double())
        return Images(inputs.x[part].double(), codes, target[part])

    gamma, beta, eps, w_proj = inputs.head
    head = Head(gamma.double(), beta.double(), eps, w_proj.double())
    return audit_faithfulness(
        images(chosen),
        images(drawn),
        inputs.texts["short"].double(),
        model_of(head, inputs.atoms.double(), inputs.bias.double()),
        config,
        torch.Generator().manual_seed(seed),
        gaps,
    )
