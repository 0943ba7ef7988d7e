"""A linear classifier on image embeddings and what it leans on (paper, Sec. 5.4, App. E)."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor
from tqdm import tqdm

from audits.inputs import Inputs, load_inputs
from audits.shortcut.suspects import check_kinds, rank_components, relevance
from pipeline import layout
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.artifacts.store import read_table
from pipeline.attribution.head import Head, project, unit
from pipeline.attribution.relevance import Codes
from pipeline.config import ConfigError, Params, ShortcutConfig
from pipeline.embeddings.vectors import read_embeddings
from pipeline.sae import files
from pipeline.sae.model import encode_blocks

MAX_ITERATIONS = 1000


class Group(NamedTuple):
    """Images to evaluate a classifier on."""

    x: Float[Tensor, "n d"]
    positive: Bool[Tensor, " n"]


def train_classifier(
    x: Float[Tensor, "n d"], positive: Bool[Tensor, " n"], head: Head
) -> LogisticRegression:
    """Logistic regression of the positive class on unit embeddings, both classes weighing the same.

    Raises:
        DoesNotApply: one of the two classes has no image.
    """
    if not bool(positive.any()) or bool(positive.all()):
        raise DoesNotApply(
            f"{int(positive.sum())} of {len(positive)} train images are positive: a classifier "
            "needs both sides; check shortcut.positive and the dataset's splits"
        )
    model = LogisticRegression(class_weight="balanced", max_iter=MAX_ITERATIONS)
    return model.fit(unit(project(x, head)).double().numpy(), positive.numpy())


def scores(model: LogisticRegression, x: Float[Tensor, "n d"], head: Head) -> np.ndarray:
    """Output w · z_hat + c0 [n]: above 0 (a probability above 0.5) the classifier says positive."""
    return model.decision_function(unit(project(x, head)).double().numpy())


def activations_of(codes: Codes, components: Int[Tensor, " q"]) -> Float[Tensor, "n q"]:
    """Activation of some components on each image, 0 where off."""
    match = codes.component[:, :, None] == components
    return (codes.activation[:, :, None] * match).sum(dim=1)


def responding_component(
    plain: Codes, added: Codes, components: Int[Tensor, " q"]
) -> tuple[int, float]:
    """Of these components the one whose mean activation rises most from plain to added images.

    Returns:
        The component and its rise in activation.

    Raises:
        DoesNotApply: there is no component to choose from.
    """
    if not len(components):
        raise DoesNotApply(
            "none of the reported components fires on a negative train image, so that none can "
            "be augmented: raise shortcut.top"
        )
    rise = (activations_of(added, components) - activations_of(plain, components)).mean(dim=0)
    best = int(rise.argmax())
    return int(components[best]), float(rise[best])


def latent_direction(
    x: Float[Tensor, "n d"], activation: Float[Tensor, " n"], quantiles: tuple[float, float]
) -> Float[Tensor, " d"]:
    """u = mean x of images that have a component − mean x of those that lack it (paper, Eq. 33).

    An image lacks it at or below the first quantile of its activation over the images, and has it
    above the second; where both are 0 these are the images on which it is off and on.

    Raises:
        DoesNotApply: no image is above the second quantile.
    """
    low, high = np.quantile(activation.numpy(), quantiles)
    has = activation > high
    if not bool(has.any()):
        raise DoesNotApply(
            f"no train image has an activation above {high:.4g}, quantile {quantiles[1]}: lower "
            "the second value of shortcut.quantiles"
        )
    return x[has].mean(dim=0) - x[activation <= low].mean(dim=0)


def augmented(
    x: Float[Tensor, "n d"],
    direction: Float[Tensor, " d"],
    alpha: float,
    generator: torch.Generator,
) -> Float[Tensor, "n d"]:
    """x' = x + α (p − 0.5) u, p uniform in (0, 1), drawn for each image (paper, Eq. 34)."""
    p = torch.rand(len(x), 1, generator=generator)
    return x + alpha * (p - 0.5) * direction


def accuracies(model: LogisticRegression, group: Group, head: Head) -> dict[str, float]:
    """Fraction of positive and of negative images on the right side of the threshold."""
    said = scores(model, group.x, head) > 0
    positive = group.positive.numpy()
    return {
        "positive": float(said[positive].mean()),
        "negative": float(1 - said[~positive].mean()),
    }


def half_of_groups(group_ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mask of the images of a random half of the groups."""
    groups = np.unique(group_ids)
    return np.isin(group_ids, rng.permutation(groups)[: (len(groups) + 1) // 2])


def red_shift_accuracy(
    train: Group,
    group_ids: np.ndarray,
    held_out: dict[str, Group],
    direction: Float[Tensor, " d"],
    head: Head,
    config: ShortcutConfig,
    seed: int,
) -> dict[str, Any]:
    """Accuracy by shift, side and classifier, with its standard error over repeats.

    Each repeat trains a standard and a robust classifier (on augmented embeddings) on the images of
    a random half of the train groups.

    Args:
        train: train images.
        group_ids: their groups, such as patients or lesions.
        held_out: shift (plain, added, removed) → held-out images under it.
        direction: of the latent augmentation.
        head: of the model.
        config: `repeats` and `alpha`.
        seed: of the halves and the augmentation.
    """
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    measured: dict[tuple[str, str, str], list[float]] = {}
    for _ in tqdm(range(config.repeats), desc="shortcut", unit="classifier"):
        half = torch.from_numpy(half_of_groups(group_ids, rng))
        x, positive = train.x[half], train.positive[half]
        noisy = augmented(x, direction, config.alpha, generator)
        for kind, inputs in (("standard", x), ("robust", noisy)):
            model = train_classifier(inputs, positive, head)
            for shift, group in held_out.items():
                for side, value in accuracies(model, group, head).items():
                    measured.setdefault((shift, side, kind), []).append(value)
    result: dict[str, Any] = {}
    for (shift, side, kind), values in measured.items():
        sem = np.std(values, ddof=1) / len(values) ** 0.5
        summary = {"mean": float(np.mean(values)), "sem": float(sem)}
        result.setdefault(shift, {}).setdefault(side, {})[kind] = summary
    return result


def labelled_rows(inputs: Inputs, positive: str) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of labelled train images, rows of labelled held-out images, and which are positive.

    Raises:
        ConfigError: the dataset has no class of that label.
        DoesNotApply: the held-out images are all positive or all negative.
    """
    known = inputs.classes["label"].tolist()
    if positive not in known:
        raise ConfigError(f"shortcut.positive is {positive!r}: the dataset's labels are {known}")
    labelled = inputs.class_index >= 0
    train = inputs.split("train")
    is_positive = torch.tensor((inputs.images["label"] == positive).to_numpy(dtype=bool))
    held_out = (~train & labelled).nonzero()[:, 0]
    count = int(is_positive[held_out].sum())
    if count in (0, len(held_out)):
        raise DoesNotApply(
            f"{count} of {len(held_out)} held-out images are {positive!r}: accuracy needs both "
            "sides; check shortcut.positive and the dataset's splits"
        )
    return (train & labelled).nonzero()[:, 0], held_out, is_positive


def read_shift(name: str, shift: str, image_ids: np.ndarray) -> Tensor:
    """Class tokens [n, d] of these images under a red shift.

    Raises:
        ValueError: an image has none.
    """
    folder = layout.perturbed(name) / shift
    embeddings = read_embeddings(folder, "x")
    places = pd.Index(embeddings.image_ids).get_indexer(image_ids)
    if (places < 0).any():
        raise ValueError(
            f"{folder} lacks {int((places < 0).sum())} held-out images, such as "
            f"{image_ids[places < 0][0]!r}: run `dvc repro`"
        )
    return torch.from_numpy(embeddings.values[places]).float()


def audit_shortcut(
    inputs: Inputs,
    labels: pd.DataFrame,
    shifted: dict[str, Tensor],
    added: Codes,
    config: ShortcutConfig,
    seed: int,
    gaps: Gaps,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Metrics of this audit, None for what does not apply, and the classifier's components.

    Args:
        inputs: the audit's artifacts.
        labels: names of components, one row a component.
        shifted: shift (added, removed) → x of the labelled held-out images under it.
        added: codes of the same images under the shift `added`.
        config: the section of params.yaml.
        seed: of the random halves and the augmentation.
        gaps: takes up what does not apply.

    Raises:
        DoesNotApply: there is no classifier to be had, or no component that it leans on.
    """
    head, codes = inputs.head, inputs.codes
    train, held_out, is_positive = labelled_rows(inputs, config.positive)
    positive = is_positive[held_out]
    model = train_classifier(inputs.tokens(train), is_positive[train], head)
    w = torch.from_numpy(model.coef_[0]).float()
    plain = Codes(codes.component[held_out], codes.activation[held_out])
    found = relevance(inputs.tokens(held_out), plain, w, head, inputs.atoms)
    table = rank_components(found, labels, config.top)
    red = gaps.measured(
        "shortcut.red", lambda: answer_to_red(inputs, table, shifted, added, config, seed)
    )
    metrics: dict[str, Any] = {
        str(row["component"]): {
            "share": float(row["share"]),
            "label": None if pd.isna(row["label"]) else str(row["label"]),
        }
        for row in table.to_dict("records")
    }
    auroc = roc_auc_score(positive.numpy(), scores(model, inputs.tokens(held_out), head))
    return metrics | {"auroc": float(auroc)} | (red or {}), table


def answer_to_red(
    inputs: Inputs,
    table: pd.DataFrame,
    shifted: dict[str, Tensor],
    added: Codes,
    config: ShortcutConfig,
    seed: int,
) -> dict[str, Any]:
    """`red`, the reported component that answers most to it, and `accuracy` by shift.

    Args: as for `audit_shortcut`; table: the reported components.

    Raises:
        DoesNotApply: no component answers, or a random half of the train images has one side only.
    """
    codes = inputs.codes
    train, held_out, is_positive = labelled_rows(inputs, config.positive)
    positive = is_positive[held_out]
    plain = Codes(codes.component[held_out], codes.activation[held_out])
    # The direction is learnt on the images that the classifier is to call negative.
    negative = train[~is_positive[train]]
    fires = Codes(codes.component[negative], codes.activation[negative])
    reported = torch.tensor(table["component"].to_numpy())
    known = activations_of(fires, reported).amax(dim=0) > 0
    component, rise = responding_component(plain, added, reported[known])
    activation = activations_of(fires, torch.tensor([component]))[:, 0]
    direction = latent_direction(inputs.tokens(negative), activation, config.quantiles)
    accuracy = red_shift_accuracy(
        Group(inputs.tokens(train), is_positive[train]),
        inputs.images["group_id"].to_numpy()[train.numpy()],
        {
            "plain": Group(inputs.tokens(held_out), positive),
            **{shift: Group(x, positive) for shift, x in shifted.items()},
        },
        direction,
        inputs.head,
        config,
        seed,
    )
    return {"accuracy": accuracy, "red": {"component": component, "rise": rise}}


def measure(
    params: Params, name: str, config: ShortcutConfig, gaps: Gaps
) -> tuple[dict[str, Any], pd.DataFrame]:
    """`audit_shortcut` on an audit's artifacts."""
    inputs = load_inputs(params, name)
    _, held_out, _ = labelled_rows(inputs, config.positive)
    image_ids = inputs.images["image_id"].to_numpy()[held_out.numpy()]
    shifted = {str(shift): read_shift(name, shift, image_ids) for shift in config.red_shift}
    added = encode_blocks(files.load(layout.sae(name)), shifted["added"])
    labels = read_table(layout.labels(name))
    metrics, table = audit_shortcut(inputs, labels, shifted, added, config, params.seed, gaps)
    folder = layout.concepts_embeddings(params.audit(name).dataset)
    vocabulary = read_table(folder / "vocabulary.parquet", ["term", "kind"])
    gaps.measured("shortcut.suspect", lambda: check_kinds(table, vocabulary[vocabulary.term != ""]))
    return metrics, table
