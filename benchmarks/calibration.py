"""Whether the failure audit's error rates hold where every flag is false by construction.

    python -m benchmarks.calibration --audit scenes-tiny                         # under 5 minutes
    python -m benchmarks.calibration --audit scenes-tiny --planted 12 20 30 --repeats 3

The train images of one class at a time are split at random by group: some stay the class, the
others get an invented label, and all other images are dropped, so that what is left differs by
chance alone. `reference` and `find_flags` run as in the stages, on the audit's own embeddings,
codes and settings. At the audit's own `unlike` hardly any image can count, since all are of one
kind; at lower ones more can, at `all` (−inf) every one.

With `--planted` a component that never fires on the class is added to so many images of the others,
as strongly as it usually fires, and the share of the splits in which it is flagged is printed.
"""

import argparse
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest

from audits.failures.expectation import close_images, expectations, view
from audits.failures.flags import compare, find_flags
from audits.inputs import Inputs, load_inputs
from audits.reference.expected import own_images, reference
from pipeline.artifacts.stage import set_threads
from pipeline.attribution.relevance import Codes, gradient
from pipeline.config import FailuresConfig, load_params

LEVELS = (0.01, 0.05, 0.1)
"""p-values whose share among tested pairs is printed."""
LEAST_FIRED = 20
"""Images on which a component has to fire to be planted."""


class Outcome(NamedTuple):
    """What one split gave."""

    flagged: list[int]
    """Component of every flag."""
    expected: np.ndarray
    """False flags that `find_flags` expects, from permutations and analytically [2]."""
    p: np.ndarray
    """p-value of every tested pair."""
    near: np.ndarray
    """Pairs that could be flagged with p ≤ q, before Benjamini-Hochberg [3]: found, expected from
    permutations and expected analytically. Unlike `expected`, at a p-value fixed beforehand."""


def split(inputs: Inputs, position: int, share: float, rng: np.random.Generator) -> Inputs:
    """The train images of one class alone, all but a share of its groups under another label.

    Its only classes are that class and, behind it, the invented one, which has the same prompts.
    """
    rows = torch.nonzero(inputs.split("train") & (inputs.class_index == position)).flatten()
    images = inputs.images.iloc[rows.numpy()].reset_index(drop=True)
    groups = rng.permutation(images["group_id"].unique())
    stays = images["group_id"].isin(groups[: round(share * len(groups))])
    label = inputs.classes["label"][position]
    other = f"{label} (split off)"
    both = [position, position]
    return replace(
        inputs,
        images=images.assign(label=images["label"].where(stays, other)),
        x=inputs.tokens(rows),
        codes=Codes(*(part[rows] for part in inputs.codes)),
        classes=inputs.classes.iloc[both].assign(label=[label, other]).reset_index(drop=True),
        texts={form: t[both] for form, t in inputs.texts.items()},
    )


def usual_strength(inputs: Inputs) -> np.ndarray:
    """Mean activation [m] of each component over the images on which it fires, 0 if on too few."""
    component = inputs.codes.component.numpy()[inputs.codes.activation.numpy() > 0]
    activation = inputs.codes.activation.numpy()[inputs.codes.activation.numpy() > 0]
    fired = np.bincount(component, minlength=len(inputs.atoms))
    total = np.bincount(component, activation, len(inputs.atoms))
    return np.where(fired >= LEAST_FIRED, total / np.maximum(fired, 1), 0.0)


def plant(
    made: Inputs, strength: np.ndarray, groups: int, rng: np.random.Generator
) -> tuple[Inputs, int]:
    """A component added to one image of so many groups of the invented class, and which one.

    Of those that never fire on either class the one that, added to the mean image as strongly as
    usual, has most relevance there for their prompt.
    """
    used = made.codes.component[made.codes.activation > 0].unique().numpy()
    added = torch.from_numpy(strength).float()[:, None] * made.atoms
    t = made.texts["short"][:1].expand(len(added), -1)
    relevance = (added * gradient(made.x.mean(dim=0) + added, t, made.head)).sum(dim=1).numpy()
    relevance[used] = -np.inf
    component = int(relevance.argmax())
    others = made.images[(made.class_index == 1).numpy()].drop_duplicates("group_id")
    rows = torch.from_numpy(rng.choice(others.index.to_numpy(), groups, replace=False))
    x = made.x.clone()
    x[rows] += added[component]
    slot = torch.zeros(len(x), 1)
    slot[rows] = float(strength[component])
    new = Codes(torch.where(slot > 0, component, 0).to(made.codes.component.dtype), slot)
    codes = Codes(*(torch.cat(parts, dim=1) for parts in zip(made.codes, new, strict=True)))
    return replace(made, x=x, codes=codes), component


def flagged(made: Inputs, config: FailuresConfig, seed: int) -> Outcome:
    """Flags of the first class, as the stages find them."""
    first = made.classes["label"][0]
    table, classes = (part[part["class"] == first] for part in reference(made))
    flags, by_chance = find_flags(made, table, classes, config, seed)
    p, near = _tested(made, table, classes, config, seed)
    return Outcome([flag.component for flag in flags], np.array(by_chance), p, near)


def _tested(
    made: Inputs, table: pd.DataFrame, classes: pd.DataFrame, config: FailuresConfig, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """What `find_flags` sees before Benjamini-Hochberg, as Outcome has it."""
    (expected,) = expectations(made, table, classes)
    known = dict(own_images(made, "train"))[0]
    close = close_images(made, classes, "train", config.candidate_deviations)[0]
    if len(close.candidates) < config.min_images:
        return np.zeros(0), np.zeros(3)
    seen = view(made, expected, *close, known, config)
    all_pairs = compare(seen, expected, config, np.random.default_rng([seed, 0]))
    permuted = len(all_pairs.permuted) / config.permutations
    analytic = np.minimum(all_pairs.reach, config.q).sum()
    return all_pairs.p, np.array([len(all_pairs.flags), permuted, analytic])


def error_rates(outcomes: list[Outcome]) -> dict[str, object]:
    """What was found over all splits, where all of it is false.

    Pairs tested; share of the splits with any flag, with its exact interval of 95 %; flags, and
    those that `find_flags` expects; the same at p ≤ q, ± the standard error of found − expected.
    """
    splits = len(outcomes)
    hit = sum(len(outcome.flagged) > 0 for outcome in outcomes)
    low, high = binomtest(hit, splits).proportion_ci(method="exact")
    p = np.concatenate([outcome.p for outcome in outcomes])
    near = np.array([outcome.near for outcome in outcomes])
    spread = np.sqrt(((near[:, :1] - near[:, 1:]) ** 2).sum(axis=0))
    permuted, analytic = np.sum([outcome.expected for outcome in outcomes], axis=0)
    shares = {f"p≤{level}": f"{(p <= level).mean():.3f}" if len(p) else "-" for level in LEVELS}
    _, by_permutation, by_analysis = near.sum(axis=0)
    return {
        "splits": splits,
        "pairs": len(p),
        **shares,
        "any flag": f"{hit / splits:.3f} [{low:.3f}, {high:.3f}]",
        "flags": sum(len(outcome.flagged) for outcome in outcomes),
        "permuted": f"{permuted:.1f}",
        "analytic": f"{analytic:.1f}",
        "p≤q": int(near[:, 0].sum()),
        "p≤q permuted": f"{by_permutation:.1f} ± {spread[0]:.1f}",
        "p≤q analytic": f"{by_analysis:.1f} ± {spread[1]:.1f}",
    }


def count_from(text: str) -> float:
    """`unlike` as a number, −inf for `all`."""
    return -np.inf if text == "all" else float(text)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--audit", default="scenes-tiny", help="name under audits: in params.yaml")
    parser.add_argument("--unlike", type=count_from, nargs="+", default=[3.0, 1.0, 0.0, -np.inf])
    parser.add_argument("--deviations", type=float, help="candidate_deviations; else the audit's")
    parser.add_argument("--share", type=float, default=0.5, help="of the groups that stay")
    parser.add_argument("--repeats", type=int, default=20, help="splits of each class")
    parser.add_argument("--planted", type=int, nargs="+", default=[], help="groups given a plant")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def row(
    inputs: Inputs, config: FailuresConfig, args: argparse.Namespace, seed: int, planted: int
) -> dict[str, object]:
    """A row of the table: every class split so many times."""
    strength = usual_strength(inputs)
    found, outcomes = 0, []
    for position, repeat in product(range(len(inputs.classes)), range(args.repeats)):
        rng = np.random.default_rng([seed, position, repeat])
        made = split(inputs, position, args.share, rng)
        component = None
        if planted:
            made, component = plant(made, strength, planted, rng)
        outcomes.append(flagged(made, config, repeat))
        found += component in outcomes[-1].flagged
    if planted:
        share = f"{found / len(outcomes):.3f}"
        return {"planted": planted, "unlike": config.unlike, "found": share}
    return {"unlike": config.unlike} | error_rates(outcomes)


def main() -> None:
    """Print error rates, or with --planted the share of plants found, for every `unlike`."""
    args = arguments()
    params = load_params()
    set_threads(args.threads, params.seed)
    inputs = load_inputs(params, args.audit)
    config = params.audit(args.audit).failures
    changes = {} if args.deviations is None else {"candidate_deviations": args.deviations}
    rows = []
    for planted, unlike in product(args.planted or [0], args.unlike):
        asked = config.model_copy(update=changes | {"unlike": unlike})
        rows.append(row(inputs, asked, args, params.seed, planted))
    print(pd.DataFrame(rows).to_string(index=False))


if __name__ == "__main__":
    main()
