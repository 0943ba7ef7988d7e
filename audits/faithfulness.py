"""Audit `faithfulness`: do relevances say what removing a component does? (paper, Sec. 5.1, B.2)"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm import tqdm

from audits.inputs import load_inputs
from pipeline import layout
from pipeline.attribution import (
    Codes,
    Head,
    act_grad,
    decode,
    gradient,
    integrated_gradients,
    logit_lens,
    project,
    unit,
)
from pipeline.config import FaithfulnessConfig
from pipeline.stage import begin
from pipeline.store import write_json, write_table

METHODS = (
    "act_grad",
    "integrated_gradients",
    "act_logit_lens",
    "logit_lens",
    "energy",
    "random",
)
PROTOCOLS = ("deletion_local", "insertion_local", "deletion_global", "deletion_random")


class Model(NamedTuple):
    """What turns codes into an output, all of one dtype."""

    head: Head
    atoms: Float[Tensor, "m d"]
    lens: Float[Tensor, "m c"]
    """Logit Lens of each component for each class prompt."""
    texts: Float[Tensor, "c p"]
    """Unit text embeddings of the class prompts."""


class Images(NamedTuple):
    """Images and the class whose prompt is asked."""

    x: Float[Tensor, "n d"]
    codes: Codes
    target: Int[Tensor, " n"]
    """Row of each image's prompt in texts."""

    def rows(self, rows: Tensor) -> "Images":
        """Some of the images, by mask or by index."""
        codes = Codes(self.codes.component[rows], self.codes.activation[rows])
        return Images(self.x[rows], codes, self.target[rows])

    def asked(self, target: int) -> "Images":
        """The same images, asked for one class."""
        return Images(self.x, self.codes, torch.full_like(self.target, target))


def outputs(images: Images, off: Bool[Tensor, "n k"], model: Model) -> Float[Tensor, " n"]:
    """y of each image's prompt with the components of some slots off, cosines in [-1, 1].

    Their a_j V_j is taken from x, so that the SAE's bias and error stay.
    """
    removed = Codes(images.codes.component, images.codes.activation * off)
    x = images.x - decode(removed, model.atoms)
    return (unit(project(x, model.head)) * model.texts[images.target]).sum(dim=-1)


def slot_scores(
    images: Images, model: Model, points: int, generator: torch.Generator
) -> dict[str, Float[Tensor, "n k"]]:
    """Relevance of every slot for its image's prompt, by every method; empty slots get -inf.

    `random` gives a random order of the active slots. See `pipeline.attribution` for the others.
    """
    x, codes, target = images
    t = model.texts[target]
    lens = model.lens[codes.component, target[:, None]]
    scores = {
        "act_grad": act_grad(gradient(x, t, model.head), codes, model.atoms),
        "integrated_gradients": integrated_gradients(x, t, codes, model.atoms, model.head, points),
        "act_logit_lens": codes.activation * lens,
        "logit_lens": lens,
        "energy": codes.activation * model.atoms.norm(dim=1)[codes.component],
        "random": torch.rand(codes.activation.shape, generator=generator, dtype=x.dtype),
    }
    empty = codes.activation <= 0
    return {method: score.masked_fill(empty, -torch.inf) for method, score in scores.items()}


def component_scores(
    method: str,
    scores: Float[Tensor, "n k"],
    codes: Codes,
    components: int,
    generator: torch.Generator,
) -> Float[Tensor, " m"]:
    """Relevance of each component for one prompt over n images; -inf where active on none.

    The mean over all n images, 0 where a component is off. Logit Lens does not depend on the
    image and stays as it is; the random order is drawn anew, over components.
    """
    active = codes.activation > 0
    component = codes.component[active]
    result = torch.full((components,), -torch.inf, dtype=scores.dtype)
    if method == "logit_lens":
        result[component] = scores[active]
    elif method == "random":
        draw = torch.rand(components, generator=generator, dtype=scores.dtype)
        result[component] = draw[component]
    else:
        result[component] = 0
        result.index_add_(0, component, scores[active] / len(scores))
    return result


def local_ranks(scores: Float[Tensor, "n k"]) -> Int[Tensor, "n k"]:
    """Place of each slot in its image's own order, 0 for the largest score."""
    order = scores.argsort(dim=1, descending=True, stable=True)
    return order.argsort(dim=1)


def component_ranks(scores: Float[Tensor, " m"]) -> Int[Tensor, " m"]:
    """Place of each component in one order for all images, 0 for the largest score."""
    return scores.argsort(descending=True, stable=True).argsort()


def deletion_curve(
    images: Images, ranks: Int[Tensor, "n k"], model: Model, steps: int
) -> Float[Tensor, "n s"]:
    """y after removing the components of the first 0, 1, …, steps places."""
    return torch.stack([outputs(images, ranks < step, model) for step in range(steps + 1)], dim=1)


def insertion_curve(
    images: Images, ranks: Int[Tensor, "n k"], model: Model, steps: int
) -> Float[Tensor, "n s"]:
    """y with only the components of the first 0, 1, …, steps places."""
    return torch.stack([outputs(images, ranks >= step, model) for step in range(steps + 1)], dim=1)


def ablation_effects(images: Images, model: Model) -> Float[Tensor, "n k"]:
    """y − y with the one slot off, exact: what every relevance estimates. 0 for empty slots."""
    off = torch.zeros_like(images.codes.activation, dtype=torch.bool)
    full = outputs(images, off, model)
    effects = []
    for slot in range(off.shape[1]):
        off[:, slot] = True
        effects.append(full - outputs(images, off, model))
        off[:, slot] = False
    return torch.stack(effects, dim=1)


def ablation_correlation(
    scores: Float[Tensor, "n k"], effects: Float[Tensor, "n k"], active: Bool[Tensor, "n k"]
) -> float:
    """Pearson correlation of scores and exact effects over an image's active slots, mean of images.

    1 is perfect, 0 is chance. Images on which either is constant are left out.

    Raises:
        ValueError: no image is left.
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
        raise ValueError(
            f"none of {len(scores)} images has active components of different relevance and "
            "effect: no correlation is defined; check that sae.k is at least 2"
        )
    return float(((a * b).sum(dim=1)[varied] / norms[varied]).mean())


def curves(
    images: Images,
    scores: dict[str, Tensor],
    reference: Images,
    model: Model,
    config: FaithfulnessConfig,
    generator: torch.Generator,
) -> Iterator[tuple[str, str, Float[Tensor, "n s"]]]:
    """Every protocol's curve of every image by every method: (protocol, method, y).

    Args:
        images: the images evaluated, each asked for its own class.
        scores: relevance of their slots by method.
        reference: the random images that order random-reference deletion.
        model: head, atoms and prompts.
        config: number of steps and of points of Integrated Gradients.
        generator: of the random orders.
    """
    global_ranks, random_ranks = (
        {method: torch.empty_like(images.codes.component) for method in METHODS} for _ in range(2)
    )
    classes = images.target.unique().tolist()
    for target in tqdm(classes, desc="faithfulness", unit="class"):
        mine = images.target == target
        own = images.rows(mine)
        asked = reference.asked(target)
        asked_scores = slot_scores(asked, model, config.points, generator)
        for method in METHODS:
            for ranks, codes, score in (
                (global_ranks, own.codes, scores[method][mine]),
                (random_ranks, asked.codes, asked_scores[method]),
            ):
                order = component_scores(method, score, codes, len(model.atoms), generator)
                ranks[method][mine] = component_ranks(order)[own.codes.component]
    for method in METHODS:
        local = local_ranks(scores[method])
        yield "deletion_local", method, deletion_curve(images, local, model, config.steps)
        yield "insertion_local", method, insertion_curve(images, local, model, config.steps)
        for protocol, by_class in (
            ("deletion_global", global_ranks),
            ("deletion_random", random_ranks),
        ):
            yield protocol, method, deletion_curve(images, by_class[method], model, config.steps)


def summarise_curve(
    y: Float[Tensor, "n s"], subsets: list[Tensor]
) -> tuple[float, float, Float[Tensor, " s"], Float[Tensor, " s"]]:
    """Area under the mean curve with its standard error, then the curve with its own.

    The area is the mean over steps; errors are those of the mean over equal subsets of images.
    """
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
        ValueError: there are fewer images than subsets.
    """
    if n < count:
        raise ValueError(f"{n} images cannot make faithfulness.subsets = {count} subsets: lower it")
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
        ValueError: no held-out image has a class.
    """
    known = np.unique(target[held_out & (target >= 0)])[: config.classes]
    if not len(known):
        raise ValueError("no validation image has a label: faithfulness has nothing to ask for")
    chosen = [
        rng.permutation(np.flatnonzero(held_out & (target == label)))[: config.images]
        for label in known
    ]
    return np.sort(np.concatenate(chosen))


def audit_faithfulness(
    images: Images,
    reference: Images,
    model: Model,
    config: FaithfulnessConfig,
    generator: torch.Generator,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Metrics by protocol and method, and the curves: protocol, method, step, y, sem."""
    subsets = equal_subsets(len(images.x), config.subsets, generator)
    scores = slot_scores(images, model, config.points, generator)
    metrics: dict[str, Any] = {protocol: {} for protocol in PROTOCOLS}
    tables = []
    for protocol, method, y in curves(images, scores, reference, model, config, generator):
        auc, error, mean, sem = summarise_curve(y, subsets)
        metrics[protocol][method] = {"auc": auc, "sem": error}
        points = {"step": range(len(mean)), "y": mean.numpy(), "sem": sem.numpy()}
        tables.append(pd.DataFrame({"protocol": protocol, "method": method, **points}))
    effects = ablation_effects(images, model)
    active = images.codes.activation > 0
    metrics["ablation_correlation"] = {
        method: ablation_correlation(scores[method], effects, active) for method in METHODS
    }
    return metrics, pd.concat(tables, ignore_index=True)


def main() -> None:
    """Measure how faithful each attribution method is on an audit's validation images."""
    name, params = begin(__doc__)
    config = params.audit(name).faithfulness
    inputs = load_inputs(params, name)
    rng = np.random.default_rng(params.seed)
    target = inputs.class_index
    chosen = choose_images(target.numpy(), inputs.split("val").numpy(), config, rng)
    train = inputs.split("train").nonzero()[:, 0].numpy()
    drawn = rng.permutation(train)[: config.reference_images]
    # Effects are small differences of cosines: double precision keeps them.
    codes = Codes(inputs.codes.component, inputs.codes.activation.double())
    everything = Images(inputs.x.double(), codes, target)
    gamma, beta, eps, w_proj = inputs.head
    head = Head(gamma.double(), beta.double(), eps, w_proj.double())
    atoms, texts = inputs.atoms.double(), inputs.texts["short"].double()
    metrics, table = audit_faithfulness(
        everything.rows(torch.from_numpy(chosen)),
        everything.rows(torch.from_numpy(drawn)),
        Model(head, atoms, logit_lens(atoms, texts, head), texts),
        config,
        torch.Generator().manual_seed(params.seed),
    )
    folder = layout.audit(name, "faithfulness")
    write_table(folder / "curves.csv", table)
    write_json(folder / "metrics.json", {"faithfulness": metrics})


if __name__ == "__main__":
    main()
