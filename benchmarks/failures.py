"""What the stages reference and failures cost on codes and outputs of ImageNet's size.

    python -m benchmarks.failures                           # 1.28 million images, width 128
    python -m benchmarks.failures --width 768 --half        # x as a ViT-B's, in half precision

Everything is invented: classes in families of ten, so that images of one come close to others;
components by a class's family and, the rest, rare and frequent ones by Zipf's law. Some classes are
given a failure: images of a class far away that carry its text. The code that runs is that of the
stages, without reading and writing.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pandas as pd
import torch

from audits.findings import about, confirmations, gather, report_findings
from audits.flags import find_flags
from audits.inputs import Inputs
from audits.modes import Mode
from audits.reference import reference
from pipeline.attribution import Codes, Head, blocks, project, unit
from pipeline.config import FailuresConfig

FAMILY = 10
"""Classes that look alike."""
TYPICAL = 200
"""Components that fire on a family in particular."""
BLOCK_ROWS = 16384

Result = TypeVar("Result")


def peak() -> float:
    """Most memory held so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def draw_codes(rng: np.random.Generator, target: np.ndarray, args: argparse.Namespace) -> Codes:
    """Half of an image's components from its family's, half by Zipf's law."""
    typical = rng.integers(args.components, size=(args.classes // FAMILY, TYPICAL))
    frequent = np.cumsum(1 / np.arange(1, args.components + 1))
    component = torch.empty(len(target), args.k, dtype=torch.long)
    activation = torch.empty(len(target), args.k)
    for rows in blocks(len(target), BLOCK_ROWS):
        n = len(target[rows])
        drawn = rng.random((n, args.k // 2)) * frequent[-1]
        mine = typical[target[rows] // FAMILY]
        # One from each stretch of its family's: frequent ones and rare ones.
        each = TYPICAL // (args.k - args.k // 2)
        stretch = np.arange(args.k - args.k // 2) * each
        chosen = stretch + (rng.random((n, len(stretch))) ** 2 * each).astype(np.int64)
        own = np.take_along_axis(mine, chosen, axis=1)
        every = np.sort(np.concatenate([own, np.searchsorted(frequent, drawn)], axis=1), axis=1)
        first = np.diff(every, axis=1, prepend=-1) > 0
        component[rows] = torch.from_numpy(np.where(first, every, 0))
        activation[rows] = torch.from_numpy(first * rng.exponential(1.0, every.shape)).float()
    return Codes(component, activation)


def invent(args: argparse.Namespace) -> tuple[Inputs, set[int]]:
    """Artifacts of an audit, and the classes that were given a failure."""
    rng = np.random.default_rng(0)
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    c, d, p = args.classes, args.width, args.width * 2 // 3
    n = args.images + args.val_images
    head = Head(1 + 0.1 * normal(d), 0.1 * normal(d), 1e-5, normal(d, p) / d**0.5)
    centre = normal(c // FAMILY, d).repeat_interleave(FAMILY, dim=0) + 0.5 * normal(c, d)
    word = normal(c, d)
    target = np.arange(n) % c
    x = torch.empty(n, d, dtype=torch.float16 if args.half else torch.float32)
    for rows in blocks(n, BLOCK_ROWS):
        part = torch.from_numpy(target[rows])
        x[rows] = (centre[part] + 0.6 * normal(len(part), d)).to(x.dtype)
    codes = draw_codes(rng, target, args)
    attacked = set(range(0, c // 2, c // 2 // args.plants))
    for position in attacked:
        far = np.flatnonzero(target == position + c // 2)[::30]
        x[far] += (2 * word[position] + 2 * centre[position]).to(x.dtype)
        codes.activation[far] *= codes.component[far] != position
        codes.component[far, 0], codes.activation[far, 0] = position, 8.0
    atoms = unit(normal(args.components, d))
    atoms[:c] = unit(centre + 0.3 * normal(c, d))
    names = [f"n{i:08d}" for i in range(c)]
    images = pd.DataFrame({"image_id": [f"i{i:07d}" for i in range(n)]})
    images["split"] = np.where(np.arange(n) < args.images, "train", "val")
    images["label"] = np.array(names)[target]
    images["group_id"] = images["image_id"]
    classes = pd.DataFrame({"label": names, "name": names, "short": names})
    texts = {"short": unit(project(centre + 0.5 * word, head))}
    return Inputs(images, x, codes, head, atoms, torch.zeros(d), classes, texts), attacked


def timed(name: str, work: Callable[[], Result]) -> Result:
    """Do some work, and print what it took: processor time says more on a busy machine."""
    wall, processor = time.perf_counter(), time.process_time()
    result = work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"| {name} | {wall:.0f} | {processor:.0f} | {peak():.1f} |", flush=True)
    return result


def run(args: argparse.Namespace) -> None:
    """Time both stages and print a table."""
    inputs, attacked = invent(args)
    print("| what | seconds | processor seconds | peak memory, GiB |\n|---|---|---|---|")
    print(f"| codes and x in memory | | | {peak():.1f} |", flush=True)
    timed("**all**", lambda: audit(inputs, attacked, args))


def audit(inputs: Inputs, attacked: set[int], args: argparse.Namespace) -> None:
    """Do what both stages do, and print what each part takes and what is found."""
    config = FailuresConfig(
        candidate_deviations=1.5,
        z=3.0,
        min_images=10,
        q=0.05,
        confirm_p=0.05,
        overlap=0.5,
        neighbours=20,
        unlike=3.0,
        mainstay=0.5,
        permutations=args.permutations,
    )
    labels = pd.DataFrame({"component": range(args.components), "label": "unnamed"})
    tables = timed("reference", lambda: reference(inputs))
    flags, by_chance = timed("flags", lambda: find_flags(inputs, *tables, config, seed=0))
    groups = timed("gathering", lambda: gather(flags, config.overlap))
    p = timed("confirmation", lambda: confirmations(inputs, flags, *tables, config))
    findings, _ = timed(
        "findings",
        lambda: report_findings(
            inputs,
            groups,
            p,
            labels,
            {},
            lambda *_: Mode("unclear", 0.0, "", ()),
            config,
        ),
    )
    found = {group[0].position for group in groups if p[about(group[0])] <= config.confirm_p}
    print(
        f"{len(inputs.images)} images × {args.k} codes of {args.components}, width {args.width}, "
        f"{args.classes} classes, {len(tables[0])} (class, component) pairs in the reference; "
        f"{len(flags)} flags, {len(findings)} findings; by chance {by_chance}; of "
        f"{len(attacked)} classes with a failure {len(attacked & found)} are found and confirmed, "
        f"of others {len(found - attacked)}"
    )


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--val-images", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--components", type=int, default=30_000)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--half", action="store_true", help="hold x in half precision")
    parser.add_argument("--plants", type=int, default=50)
    parser.add_argument("--permutations", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    run(args)


if __name__ == "__main__":
    main()
