"""What the stages reference and failures cost at ImageNet's size, files and all.

    python -m benchmarks.failures --work DIR                 # about 3 GB of files
    python -m benchmarks.failures --work DIR --images 100000 --components 4000

Everything is invented: classes in families of ten, so that images of one come close to others;
components by a class's family and, the rest, rare and frequent ones by Zipf's law. Some classes are
given a failure: images of a class far away that carry its text. Written as the stages before would
leave it, and audited by the stages as `dvc repro` runs them, each a process of its own.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
import yaml
from safetensors.torch import save_file
from timm.data import ImageNetInfo

from audits.inputs import Inputs
from benchmarks.planted import silent
from pipeline import layout
from pipeline.artifacts.shards import write_shard
from pipeline.artifacts.store import (
    read_json,
    read_table,
    vector_column,
    write_json,
    write_table,
)
from pipeline.attribution.head import Head, project, unit
from pipeline.attribution.relevance import Codes, blocks
from pipeline.embeddings.vectors import vector_table, write_vectors
from pipeline.sae import files
from pipeline.sae.codes import codes_table
from pipeline.sae.model import Sae

ROOT = Path(__file__).parents[1]
AUDIT, ENTRY, DATASET = "scenes-tiny", "scenes-tiny", "scenes"
"""Entries of params.yaml whose settings are taken."""
FAMILY = 10
"""Classes that look alike."""
TYPICAL = 200
"""Components that fire on a family in particular."""
BLOCK_ROWS = 16384
SHARD_ROWS = 8192
STAGES = ("audits.reference", "audits.failures")


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


def attacked(args: argparse.Namespace) -> range:
    """Positions of the classes that are given a failure."""
    return range(0, args.classes // 2, args.classes // 2 // args.plants)


def invent(args: argparse.Namespace) -> Inputs:
    """Artifacts of an audit."""
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
    x = torch.empty(n, d, dtype=torch.float16)
    for rows in blocks(n, BLOCK_ROWS):
        part = torch.from_numpy(target[rows])
        x[rows] = (centre[part] + 0.6 * normal(len(part), d)).half()
    codes = draw_codes(rng, target, args)
    for position in attacked(args):
        far = np.flatnonzero(target == position + c // 2)[::30]
        x[far] += (2 * word[position] + 2 * centre[position]).half()
        codes.activation[far] *= codes.component[far] != position
        codes.component[far, 0], codes.activation[far, 0] = position, 8.0
    atoms = unit(normal(args.components, d))
    atoms[:c] = unit(centre + 0.3 * normal(c, d))
    info = ImageNetInfo()
    labels = info.label_names()[:c]
    names = [info.label_name_to_description(label) for label in labels]
    images = pd.DataFrame({"image_id": [f"i{i:07d}" for i in range(n)]})
    images["path"] = images["image_id"] + ".jpg"
    images["split"] = np.where(np.arange(n) < args.images, "train", "val")
    images["label"] = np.array(labels)[target]
    images["group_id"] = images["image_id"]
    images["sha256"] = images["image_id"].map("{:0>64}".format)
    classes = pd.DataFrame({"label": labels, "name": names, "short": names})
    texts = {"short": unit(project(centre + 0.5 * word, head))}
    return Inputs(images, x, codes, head, atoms, torch.zeros(d), classes, texts)


def write(args: argparse.Namespace) -> None:
    """Write below the current directory what the stages read, as those before them do."""
    made = invent(args)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["audits"] = {AUDIT: params["audits"][AUDIT]}
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    write_table(layout.manifest(DATASET) / "manifest.parquet", made.images)
    write_json(layout.manifest(DATASET) / "classes.json", made.classes.to_dict("records"))
    ids = made.images["image_id"].to_numpy(dtype=object)
    for number, rows in enumerate(blocks(len(ids), SHARD_ROWS)):
        table = vector_table(ids[rows].tolist(), {"x": made.x[rows].numpy()})
        write_vectors(layout.embeddings(ENTRY), number, [table])
        codes = Codes(made.codes.component[rows], made.codes.activation[rows])
        write_shard(layout.codes(AUDIT), number, codes_table(ids[rows], codes))
    labels = made.classes["label"].tolist()
    t = vector_column(made.texts["short"].numpy())
    write_table(
        layout.texts(AUDIT), pa.table({"form": ["short"] * len(t), "label": labels, "t": t})
    )
    write_model(made, args)
    write_names(made)


def write_model(made: Inputs, args: argparse.Namespace) -> None:
    """Write the SAE and the model's head."""
    sae = Sae(args.components, args.width, args.k)
    with torch.no_grad():
        sae.atoms.copy_(made.atoms)
    files.save(sae, layout.sae(AUDIT), {})
    tensors = {"gamma": made.head.gamma, "beta": made.head.beta, "w_proj": made.head.w_proj}
    layout.head(ENTRY).mkdir(parents=True)
    save_file(tensors, layout.head(ENTRY) / "head.safetensors")
    write_json(layout.head(ENTRY) / "model.json", {"eps": made.head.eps})


def write_names(made: Inputs) -> None:
    """Write names and stability of components, and a probe that found no writing."""
    m, d = made.atoms.shape
    component = np.arange(m, dtype=np.int32)
    nouns = made.classes["short"].to_numpy()
    labels = pd.DataFrame({"component": component, "label": nouns[component % len(nouns)]})
    write_table(layout.labels(AUDIT), labels)
    terms = pd.DataFrame({"term": nouns, "kind": "object"})
    write_table(layout.concepts_embeddings(DATASET) / "vocabulary.parquet", terms)
    silent(AUDIT, m, d)


def run(stage: str) -> None:
    """Run a stage in a process of its own, and print what it took."""
    command = [sys.executable, "-m", stage, "--audit", AUDIT]
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{stage} failed")
    wall = time.perf_counter() - start
    processor = used.ru_utime + used.ru_stime
    print(f"| {stage} | {wall:.0f} | {processor:.0f} | {used.ru_maxrss / 2**20:.2f} |", flush=True)


def main() -> None:
    """Read the options, write the files and run both stages on them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for the files, empty or new"
    )
    parser.add_argument("--images", type=int, default=1_281_167)
    parser.add_argument("--val-images", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--components", type=int, default=30_000)
    parser.add_argument("--k", type=int, default=64)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--plants", type=int, default=50)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    if any(args.work.iterdir()):
        parser.error(f"--work {args.work} holds files: name an empty or a new folder")
    os.chdir(args.work)
    # In another process, for a stage's peak would hold that of the process that starts it.
    maker = multiprocessing.get_context("spawn").Process(target=write, args=(args,))
    maker.start()
    maker.join()
    if maker.exitcode:
        raise RuntimeError("writing the files failed")
    print("| stage | seconds | processor seconds | peak memory, GiB |\n|---|---|---|---|")
    for stage in STAGES:
        run(stage)
    findings = read_table(layout.audit(AUDIT, "failures") / "findings.csv")
    found = set(findings.loc[findings["held"], "class"])
    labels = read_json(layout.manifest(DATASET) / "classes.json")
    failing = {labels[position]["label"] for position in attacked(args)}
    metrics = read_json(layout.audit(AUDIT, "failures") / "metrics.json")["failures"]
    print(
        f"{args.images + args.val_images} images × {args.k} codes of {args.components}, width "
        f"{args.width}, {args.classes} classes: {metrics['flags']} flags, {metrics['findings']} "
        f"findings, {metrics['expected_false_flags']} flags expected by chance; of {len(failing)} "
        f"classes with a failure {len(failing & found)} are found and hold on validation images, "
        f"of others {len(found - failing)}"
    )


if __name__ == "__main__":
    main()
