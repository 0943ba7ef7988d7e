"""What the stages from train_sae to report cost at ImageNet's size, and how that grows with images.

    python -m benchmarks.scale --work DIR                  # three sizes, 10 GB of files
    python -m benchmarks.scale --work DIR --images 20000 --components 3000 --names 2000

Embeddings of images are invented, with concepts planted in both models' spaces and failures in some
classes (`benchmarks/planted.py`), as the stages before would leave them. From there on the stages
make everything themselves, as `dvc repro` runs them, each in a process of its own: one epoch over a
tenth of the images, the other settings those of `audit add` for ImageNet. A later run with the same
--work and sizes goes on from what lies there, of those --stages that it names.

A floor is the processor time that a stage's dense products alone take at the rate at which this
machine does them, and its input files at the rate at which it reads them; both are measured
beforehand, per second of a processor, for what else runs here says little about that.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from audits.recurrence.again import by_finding
from benchmarks import planted
from benchmarks.planted import AUDIT, DATASET, PROJECTED, WIDTH, Size
from pipeline import layout
from pipeline.artifacts.shards import shards
from pipeline.artifacts.store import atomic, read_json, read_table, write_json, write_table
from pipeline.config import load_params
from pipeline.embeddings.vectors import read_vectors

ROOT = Path(__file__).parents[1]
GIB = 2**20  # of kilobytes, which ru_maxrss counts
COLUMNS = ["images", "stage", "seconds", "processor", "floor", "gib"]
REPEATS = 3
MEASURED, USED = Path("measured.csv"), Path("used.json")


class Rates(NamedTuple):
    """What this machine does in a second of one processor."""

    single: float
    """Floating-point operations of a product in single precision."""
    read: float
    """Bytes of a file of embeddings, in the system's cache, that become numbers."""


class Stage(NamedTuple):
    """A stage and the least that it has to do."""

    module: str
    operations: Callable[[Size], float]
    """Floating-point operations of its products; one in double precision counts two."""
    reads: tuple[str, ...]
    """Its largest inputs: x, z, codes."""


def _train(size: Size) -> float:
    """Two passes of k-means, after which it looks only at what moved, one that scales the encoder
    and one forward, over a tenth of the images; and the curves, over those held out."""
    drawn = 0.1 * size.train
    nearest = 2 * drawn * min(drawn, size.components)
    return 2 * WIDTH * (nearest + (2 * drawn + size.val) * size.components)


def _encode(size: Size) -> float:
    """All images; held-out ones once more for the health."""
    return (size.images + size.val) * 2 * WIDTH * size.components


def _label(size: Size) -> float:
    """Every component's mean image with every name, of all images and of each half; and a
    background of 4,096 images with the names of all components, their own and dealt ones."""
    return 2 * PROJECTED * size.components * (3 * size.names + 2 * 4096)


def _reference(size: Size) -> float:
    """Projection of every image there and back, and its atoms."""
    return size.train * 2 * WIDTH * (2 * PROJECTED + size.k)


def _failures(size: Size) -> float:
    """Outputs of all images for all classes, and a reference's work on images that come close."""
    return size.images * 2 * PROJECTED * (WIDTH + size.classes)


def _robustness(size: Size) -> float:
    """Outputs of held-out images for all classes in every form."""
    return size.val * 2 * PROJECTED * (WIDTH + (planted.FORMS + 1) * size.classes)


def _faithfulness(size: Size) -> float:
    """Products of all parts of each image, atoms projected, in double precision."""
    config = load_params().audit(AUDIT).faithfulness
    images = min(size.val, config.classes * config.images) + config.reference_images
    parts = (size.k + 2) ** 2 * (WIDTH + PROJECTED)
    return 2 * 2 * (images * parts + size.components * WIDTH * PROJECTED)


def _concepts(size: Size) -> float:
    """Covariance of x and its axes in double precision, all atoms with each other, and each
    activation times its image's embedding."""
    axes = 2 * 2 * (2 * size.train * WIDTH**2)
    return axes + 2 * WIDTH * size.components**2 + 2 * size.train * size.k * PROJECTED


STAGES = {
    "train_sae": Stage("pipeline.sae.train_sae", _train, ("x",)),
    "encode": Stage("pipeline.sae.encode", _encode, ("x",)),
    "label": Stage("pipeline.labels.label", _label, ("z", "codes")),
    "reference": Stage("audits.reference", _reference, ("x", "codes")),
    "failures": Stage("audits.failures", _failures, ("x", "codes")),
    "review": Stage("audits.review", lambda size: 0.0, ()),
    "robustness": Stage("audits.robustness", _robustness, ("x", "codes")),
    "faithfulness": Stage("audits.faithfulness", _faithfulness, ("x", "codes")),
    "concepts": Stage("audits.concepts", _concepts, ("x", "z", "codes")),
    "report": Stage("audits.report", lambda size: 0.0, ()),
}
FOLDERS = {
    "x": layout.embeddings(planted.ENTRY),
    "z": layout.concepts_embeddings(DATASET),
    "codes": layout.codes(AUDIT),
}


def rates(size: Size) -> Rates:
    """Of this machine, with the threads of params.yaml, in the folder of a size."""
    torch.set_num_threads(load_params().threads)
    x, y = torch.randn(1024, WIDTH), torch.randn(WIDTH, size.components)
    out = torch.empty(1024, size.components)
    single = 2 * x.numel() * size.components / _least(lambda: torch.mm(x, y, out=out))
    first = shards(FOLDERS["x"])[0]
    return Rates(single, first.stat().st_size / _least(lambda: read_vectors(first, "x")))


def _least(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(REPEATS):
        before = time.process_time()
        work()
        seconds.append(time.process_time() - before)
    return min(seconds)


def floor(stage: Stage, size: Size, machine: Rates) -> float:
    """Processor seconds that a stage takes at least, see the module."""
    stored = sum(path.stat().st_size for name in stage.reads for path in shards(FOLDERS[name]))
    return stage.operations(size) / machine.single + stored / machine.read


def make(folder: Path, size: Size) -> None:
    """Invent a size's inputs, and measure the machine's rates beside them."""
    if not folder.exists():
        with atomic(folder) as temporary:
            temporary.mkdir()
            with chdir(temporary):
                planted.write(size, ROOT)
    with chdir(folder):
        write_json(Path("rates.json"), rates(size)._asdict())


def in_process(work: Callable[..., None], *arguments: object) -> None:
    """In another process, for the peak of a stage would hold that of the process that starts it."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{work.__name__} failed")


def run(name: str, folder: Path) -> tuple[float, float, float]:
    """Seconds, those of processors and the largest memory, GiB, of a stage in a folder."""
    command = (sys.executable, "-m", STAGES[name].module, "--audit", AUDIT)
    # As `make audit` has it: threads that spin while they wait look like work.
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ, "PYTHONPATH": str(ROOT)}
    measured = (sys.executable, "-S", ROOT / "benchmarks" / "used.py", USED, *command)
    subprocess.run(measured, cwd=folder, env=environment, check=True)
    seconds, processor, kilobytes = read_json(folder / USED)
    return seconds, processor, kilobytes / GIB


def nothing_again() -> None:
    """What the stage `recurrence` leaves where there is no further dictionary."""
    failures = read_table(layout.audit(AUDIT, "failures") / "findings.csv")
    folder = layout.audit(AUDIT, "recurrence")
    write_table(folder / "findings.csv", by_finding(failures["finding_id"].tolist(), []))
    counts = {"runs": 0, "findings": len(failures)}
    write_json(folder / "metrics.json", {"recurrence": counts})


def audit(folder: Path, size: Size, stages: list[str]) -> None:
    """Run stages of a size and note what each takes, beside what was noted before."""
    with chdir(folder):
        machine = Rates(**read_json(Path("rates.json")))
    for name in stages:
        took = run(name, folder)
        with chdir(folder):
            least = floor(STAGES[name], size, machine)
            row = (size.images, name, took[0], took[1], least, took[2])
            known = read_table(MEASURED) if MEASURED.exists() else pd.DataFrame(columns=COLUMNS)
            new = pd.DataFrame([row], columns=COLUMNS)
            others = known[known["stage"] != name]
            write_table(MEASURED, pd.concat([others, new]) if len(others) else new)
            if name == "failures":
                nothing_again()
        print(line(row), flush=True)


def line(row: tuple[object, ...]) -> str:
    """A row of the table of COLUMNS."""
    images, stage, *numbers = row
    seconds, processor, least, peak = numbers
    return f"| {images:,} | {stage} | {seconds:.1f} | {processor:.1f} | {least:.1f} | {peak:.2f} |"


def growth(measured: pd.DataFrame) -> pd.DataFrame:
    """How each stage's cost grows, between neighbouring sizes and over all.

    Columns: stage, exponent of processor time over images (1 is linear, 0 constant) by least
    squares over all sizes and between the two largest, and kilobytes that an image more takes of
    memory between these.

    Args:
        measured: COLUMNS, a row a stage and size, at least two sizes.
    """
    rows = []
    for stage, some in measured.sort_values("images").groupby("stage", sort=False):
        if len(some) < 2:
            continue
        images = np.log(some["images"].to_numpy(dtype=float))
        cost = np.log(some["processor"].to_numpy(dtype=float))
        more = np.diff(some["gib"].to_numpy(dtype=float))[-1] * GIB
        last = float((cost[-1] - cost[-2]) / (images[-1] - images[-2]))
        slope = float(np.polyfit(images, cost, 1)[0])
        rows.append((stage, slope, last, more / np.diff(some["images"])[-1]))
    return pd.DataFrame(rows, columns=["stage", "exponent", "exponent_last", "kib_an_image"])


def said(folder: Path) -> str:
    """How many of the planted failures were found."""
    with chdir(folder):
        path = layout.audit(AUDIT, "failures") / "findings.csv"
        if not path.exists():
            return "failures were not looked for"
        findings = read_table(path)
        found = set(findings.loc[findings["held"], "class"])
        failing = set(read_json(planted.FAILING))
    right = len(failing & found)
    return f"{len(findings)} findings; {right} of {len(failing)} planted hold on validation images"


def main() -> None:
    """Invent, run, and print tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of all that is made up")
    parser.add_argument("--images", type=int, default=1_281_167, help="of the largest size")
    parser.add_argument("--sizes", type=int, nargs="+", help="default: a quarter, half and all")
    parser.add_argument("--components", type=int, default=30_000)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--names", type=int, default=21_843, help="terms of the vocabulary")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    args = parser.parse_args()
    every = args.sizes or [args.images // 4, args.images // 2, args.images]
    tables = []
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}", flush=True)
    for images in every:
        size = Size(images, args.classes, args.components, args.k, args.names)
        folder = args.work.resolve() / "-".join(map(str, size))
        in_process(make, folder, size)
        audit(folder, size, [name for name in STAGES if name in args.stages])
        tables.append(read_table(folder / MEASURED))
        whole = tables[-1]
        print(
            f"{images:,} images: {whole['seconds'].sum() / 60:.1f} minutes, "
            f"{whole['processor'].sum() / 60:.1f} of processors, at most {whole['gib'].max():.2f} "
            f"GiB; {said(folder)}",
            flush=True,
        )
    if len(every) > 1:
        print(growth(pd.concat(tables)).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
