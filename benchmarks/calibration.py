"""Whether flags hold what they promise: error rates where there is nothing, and power.

    python -m benchmarks.calibration --injected 0.3 0.05          # components that fire at random
    python -m benchmarks.calibration --permuted                   # closeness exchanged at random
    python -m benchmarks.calibration --planted 5 10 20 30 --size 50 250

All on an audit's own embeddings, codes and settings, `reference` and `find_flags` as in the stages.

Injected: for each class a component that fires on a random share of all images, with the same
positive relevance for the class's prompt wherever it fires. That is the largest mean relevance of
all its components over the share, so that the injected one carries the class like the strongest.
Permuted: the units of each other class exchange their closeness to a class at random, so that
nothing within classes is true; `class_share` is out of force, since whole classes stay close.
Planted: for half of the classes, a component is added to images of a class of the other half alone,
so strongly that their outputs reach the median of the class's own.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest

from audits.failures.expectation import expectations
from audits.failures.flags import Flag, find_flags
from audits.failures.strikes import Basis, compare, prepare, see
from audits.inputs import Inputs, load_inputs
from audits.reference.expected import own_images, reference
from pipeline.artifacts.stage import set_threads
from pipeline.attribution.head import cosine_outputs
from pipeline.attribution.relevance import Codes, gradient
from pipeline.config import FailuresConfig, load_params

LEVELS = (0.01, 0.05, 0.1)
"""p-values whose share among tested triples is printed."""
STRENGTHS = 64
"""Strengths that a plant is tried at, up to twice the length of an embedding."""


def exact(hits: int, trials: int) -> str:
    """A share with its exact interval of 95 %."""
    low, high = binomtest(hits, trials).proportion_ci(method="exact")
    return f"{hits / trials:.3f} [{low:.3f}, {high:.3f}]"


def basis(inputs: Inputs, config: FailuresConfig) -> Basis:
    """What the tests need of train images, as if the classes' names said nothing."""
    no_compounds = np.zeros((len(inputs.classes), len(inputs.classes)), dtype=bool)
    return prepare(inputs, "train", no_compounds, config)


def push(inputs: Inputs, position: int) -> torch.Tensor:
    """Direction [d] whose relevance for a class's prompt is positive on nearly all images.

    That which moves an image's embedding before normalisation along the prompt: w_projᵀ⁺ t / γ.
    """
    along = torch.linalg.pinv(inputs.head.w_proj.T) @ inputs.texts["short"][position]
    along = along / inputs.head.gamma
    return along / along.norm()


def inject(inputs: Inputs, share: float, rng: np.random.Generator) -> Inputs:
    """Add for each class a component, behind those there are, that fires at random."""
    table, _ = reference(inputs)
    largest = table.groupby("class", observed=True)["mean"].max()
    count, m = len(inputs.classes), len(inputs.atoms)
    directions = torch.stack([push(inputs, position) for position in range(count)])
    fires = torch.from_numpy(rng.random((len(inputs.x), count)) < share)
    activation = torch.zeros(len(inputs.x), count)
    for position, label in enumerate(inputs.classes["label"]):
        rows = fires[:, position].nonzero().flatten()
        t = inputs.texts["short"][position].expand(len(rows), -1)
        slope = gradient(inputs.tokens(rows), t, inputs.head) @ directions[position]
        relevance = float(largest[label]) / share
        activation[rows, position] = (relevance / slope).where(slope > 0, 0.0)
    component = torch.arange(m, m + count).expand(len(inputs.x), -1)
    new = Codes(torch.where(activation > 0, component, 0), activation)
    parts = zip(inputs.coded(slice(None)), new, strict=True)
    codes = Codes(*(torch.cat([old, more.to(old.dtype)], dim=1) for old, more in parts))
    return replace(inputs, codes=codes, atoms=torch.cat([inputs.atoms, directions]))


def injected(
    inputs: Inputs, config: FailuresConfig, share: float, args: argparse.Namespace, seed: int
) -> dict[str, object]:
    """How often a component that fires at random is flagged, over classes and repeats."""
    count, m = len(inputs.classes), len(inputs.atoms)
    hit, asked, silent = 0, 0, 0.0
    for repeat in range(args.repeats):
        made = inject(inputs, share, np.random.default_rng([seed, repeat]))
        flags = find_flags(made, *reference(made), basis(made, config), config, repeat).flags
        hit += len({f.position for f in flags if f.component == m + f.position})
        asked += count
        fired = (made.coded(slice(None)).activation[:, -count:] > 0).float().mean()
        silent += (1 - float(fired) / share) / args.repeats
    return {
        "injected": share,
        "classes × repeats": asked,
        "left out": f"{max(silent, 0.0):.3f}",
        "flagged": exact(hit, asked),
        "q": config.q,
    }


def exchanged(inputs: Inputs, tests: Basis, rng: np.random.Generator) -> Basis:
    """Basis whose candidates are as many random units of the same classes."""
    groups = pd.factorize(inputs.images["group_id"])[0]
    units = {
        position: [rows.numpy()[groups[rows.numpy()] == g] for g in np.unique(groups[rows.numpy()])]
        for position, rows in own_images(inputs, tests.close.split)
    }
    label = inputs.class_index.numpy()
    candidates = []
    for rows in tests.close.candidates:
        drawn = [np.zeros(0, dtype=np.int64)]
        for other in np.unique(label[rows]):
            close = len(np.unique(groups[rows[label[rows] == other]]))
            chosen = rng.permutation(len(units[other]))[:close]
            drawn += [units[other][n] for n in chosen]
        candidates.append(np.concatenate(drawn))
    return tests._replace(close=tests.close._replace(candidates=candidates))


def permuted(
    inputs: Inputs, config: FailuresConfig, args: argparse.Namespace, seed: int
) -> dict[str, object]:
    """Strikes at p ≤ q, found and expected, before Benjamini-Hochberg, and p-values."""
    within = config.model_copy(update={"class_share": 1 - 1e-6})
    tests = basis(inputs, within)
    tables = reference(inputs)
    label = inputs.class_index.numpy()
    p: list[np.ndarray] = []
    found, expected = np.zeros(args.repeats), np.zeros(args.repeats)
    for repeat in range(args.repeats):
        rng = np.random.default_rng([seed, repeat])
        drawn = exchanged(inputs, tests, rng)
        for usual in expectations(inputs, *tables):
            at = usual.position
            many = np.bincount(label[drawn.close.candidates[at]], minlength=len(inputs.classes))
            labels = np.flatnonzero((many >= within.min_class_images) & ~drawn.alike[at])
            if not len(labels):
                continue
            seen = see(inputs, usual, drawn, labels, within.relevance)
            for test in compare(seen, usual, drawn, within, rng):
                p.append(test.p)
                found[repeat] += len(test.strikes)
                expected[repeat] += sum(map(len, test.permuted)) / within.permutations
    values = np.concatenate(p)
    spread = np.std(found - expected, ddof=1) / np.sqrt(args.repeats) if args.repeats > 1 else 0
    return {
        "permutations": args.repeats,
        "triples": len(values),
        **{f"p≤{level}": f"{(values <= level).mean():.4f}" for level in LEVELS},
        "strikes": found.mean(),
        "expected": f"{expected.mean():.1f} ± {spread:.1f}",
    }


def sampled(inputs: Inputs, size: int, rng: np.random.Generator) -> Inputs:
    """At most so many train images of each class."""
    kept = [rng.permutation(rows.numpy())[:size] for _, rows in own_images(inputs, "train")]
    rows = torch.from_numpy(np.sort(np.concatenate(kept)))
    return replace(
        inputs,
        images=inputs.images.iloc[rows.numpy()].reset_index(drop=True),
        x=inputs.tokens(rows),
        codes=inputs.coded(rows),
    )


def plant(
    inputs: Inputs, position: int, other: int, groups: int, rng: np.random.Generator
) -> tuple[Inputs, int]:
    """A new component that pulls one image of so many groups of another class, and which one.

    It points from the mean image to the class's, and each image is pushed no further than until its
    output is the median of the class's own.
    """
    own, component = inputs.class_index == position, len(inputs.atoms)
    x = inputs.tokens(slice(None)).clone()
    direction = x[own].mean(dim=0) - x.mean(dim=0)
    direction = direction / direction.norm()
    t = inputs.texts["short"][position : position + 1]
    median = cosine_outputs(x[own], t, inputs.head).median()
    strength = torch.linspace(0, 2 * float(x.norm(dim=1).mean()), STRENGTHS)
    images = inputs.images[(inputs.class_index == other).numpy()].drop_duplicates("group_id")
    rows = torch.from_numpy(rng.choice(images.index.to_numpy(), groups, replace=False))
    tried = x[rows][:, None] + strength[:, None] * direction
    y = cosine_outputs(tried.flatten(0, 1), t, inputs.head).view(len(rows), -1)
    enough = torch.where((y >= median).any(dim=1), (y >= median).int().argmax(dim=1), y.argmax(1))
    slot = torch.zeros(len(x), 1)
    x[rows] = tried[torch.arange(len(rows)), enough]
    slot[rows, 0] = strength[enough]
    new = Codes(torch.where(slot > 0, component, 0), slot)
    parts = zip(inputs.coded(slice(None)), new, strict=True)
    codes = Codes(*(torch.cat([old, more.to(old.dtype)], dim=1) for old, more in parts))
    atoms = torch.cat([inputs.atoms, direction[None]])
    return replace(inputs, x=x, codes=codes, atoms=atoms), component


def planted(
    inputs: Inputs,
    config: FailuresConfig,
    asked: tuple[int, int],
    args: argparse.Namespace,
    seed: int,
) -> dict[str, object]:
    """How often a plant is flagged, over half of the classes and repeats."""
    groups, size = asked
    hit, trials, half = 0, 0, len(inputs.classes) // 2
    for repeat in range(args.repeats):
        rng = np.random.default_rng([seed, repeat, *asked])
        made = sampled(inputs, size, rng)
        order = rng.permutation(len(inputs.classes))
        wanted: set[tuple[int, int]] = set()
        for position, other in zip(order[:half].tolist(), order[half:].tolist(), strict=False):
            made, component = plant(made, position, other, groups, rng)
            wanted.add((position, component))
        flags = find_flags(made, *reference(made), basis(made, config), config, repeat).flags
        hit += len(wanted & set(about(flags)))
        trials += len(wanted)
    return {"planted on": groups, "images a class": size, "flagged": exact(hit, trials)}


def about(flags: list[Flag]) -> Iterator[tuple[int, int]]:
    """Class and component of every flag."""
    return ((flag.position, flag.component) for flag in flags)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--audit", default="scenes-tiny", help="name under audits: in params.yaml")
    parser.add_argument("--injected", type=float, nargs="+", default=[], help="share of images")
    parser.add_argument("--permuted", action="store_true", help="exchange closeness")
    parser.add_argument("--planted", type=int, nargs="+", default=[], help="groups given a plant")
    parser.add_argument(
        "--size", type=int, nargs="+", default=[250], help="images a class, planted"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    if not (args.injected or args.permuted or args.planted):
        parser.error("nothing is asked for: name --injected, --permuted or --planted")
    return args


def main() -> None:
    """Print a table for each kind of run that is asked for."""
    args = arguments()
    params = load_params()
    set_threads(args.threads, params.seed)
    inputs = load_inputs(params, args.audit)
    config = params.audit(args.audit).failures
    tables = [
        [injected(inputs, config, share, args, params.seed) for share in args.injected],
        [permuted(inputs, config, args, params.seed)] if args.permuted else [],
        [
            planted(inputs, config, (groups, size), args, params.seed)
            for size in args.size
            for groups in args.planted
        ],
    ]
    for rows in filter(None, tables):
        print(pd.DataFrame(rows).to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
