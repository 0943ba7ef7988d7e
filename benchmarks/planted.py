"""What the audit finds of failures planted in the scenes sample, over seeds of its own.

    python -m benchmarks.planted --work /tmp/planted                  # seeds 1 to 5
    python -m benchmarks.planted --work /tmp/planted --null           # nothing planted

Each seed renders other pictures, trains another small CLIP and another dictionary: about seven
minutes on two cores. Samples, models and embeddings that --work holds already are used again, so
delete it after a change to what makes them.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipeline.artifacts.store import read_json, read_table

ROOT = Path(__file__).parents[1]
CODE = ("pipeline", "audits", "vocabularies", "reviews", "params.yaml")
AUDIT = "scenes-tiny"
COSTLY = {
    "pipeline.samples.sample --dataset scenes": "data/raw/scenes",
    "pipeline.samples.sample --dataset lesions": "data/raw/lesions",
    "pipeline.datasets.prepare --dataset scenes": "data/manifests/scenes",
    "pipeline.datasets.prepare --dataset lesions": "data/manifests/lesions",
    "pipeline.samples.pretrain": "data/models/tiny",
    f"pipeline.embeddings.embed --audit {AUDIT}": f"data/embeddings/{AUDIT}",
    f"pipeline.embeddings.embed_texts --audit {AUDIT}": f"data/texts/{AUDIT}.parquet",
    "pipeline.embeddings.embed_concepts --dataset scenes": "data/embeddings/concepts-scenes",
}
"""Command → what it makes, which is kept."""
STAGES = (
    "pipeline.sae.train_sae",
    "pipeline.sae.encode",
    "pipeline.labels.label",
    "pipeline.sae.stability",
    "audits.probe",
    "audits.reference",
    "audits.failures",
    "audits.recurrence",
    "audits.review",
    "audits.shortcut",
    "audits.validate",
)
MODES = ("polysemy", "compound", "typography", "spurious")


def prepared(work: Path, seed: int, null: bool) -> Path:
    """A copy of the workflow with another seed; in a null copy nothing is planted."""
    folder = work / f"{'null' if null else 'seed'}-{seed}"
    for name in CODE:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            cached = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target, ignore=cached, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["seed"] = seed
    params["audits"][AUDIT]["stability"] = {"seeds": 1, "cosine": 0.7}  # not what is measured here
    if null:
        scenes = params["samples"]["scenes"]
        scenes["ambiguity"] = dict.fromkeys(scenes["ambiguity"], 0.0)
        scenes["landscape_share"] = 0.0
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return folder


def run(folder: Path, command: str) -> None:
    """Run a stage in a folder; what it says goes to a log there."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with (folder / "log.txt").open("a") as log:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    if done.returncode:
        raise RuntimeError(f"{command} failed: see {folder}/log.txt")


def audited(folder: Path) -> dict[str, Any]:
    """Audit a folder and return the figures of its findings."""
    for command, made in COSTLY.items():
        if not (folder / made).exists():
            run(folder, command)
    for stage in STAGES:
        run(folder, f"{stage} --audit {AUDIT}")
    results = folder / "data" / "audits" / AUDIT
    failures = read_json(results / "failures" / "metrics.json")["failures"]
    planted = (
        read_json(results / "validate" / "metrics.json").get("failures", {}).get("planted", {})
    )
    plants = read_table(results / "validate" / "plants.csv")
    fallen = plants[plants["fallen"].astype(bool)]
    figures = {key: planted.get(key) for key in ("recall", "precision", "modes_right", "fallen")}
    for mode in MODES:
        of_mode = fallen[fallen["mode"] == mode]
        figures[mode] = f"{int(of_mode['found'].astype(bool).sum())}/{len(of_mode)}"
    return figures | {
        key: failures[key] for key in ("findings", "confirmed", "flags", "expected_false_flags")
    }


def totals(table: pd.DataFrame) -> None:
    """Print means and spreads over seeds, and recall by mode over all of them."""
    for key in ("recall", "precision", "modes_right"):
        values = table[key].to_numpy(dtype=float)
        print(f"{key}: {values.mean():.3f} ± {values.std(ddof=1):.3f} (least {values.min():.3f})")
    for mode in MODES:
        pairs = np.array([[int(part) for part in cell.split("/")] for cell in table[mode]])
        found, of = pairs.sum(axis=0)
        print(f"{mode}: {found}/{of} = {found / of:.3f}")


def main() -> None:
    """Audit the sample under every seed and print what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the copies")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--null", action="store_true", help="plant nothing, caption cleanly")
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        figures = audited(prepared(args.work.resolve(), seed, args.null))
        rows.append({"seed": seed, **figures})
        print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
    if not args.null and len(rows) > 1:
        totals(pd.DataFrame(rows))


if __name__ == "__main__":
    main()
