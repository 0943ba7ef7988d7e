"""What the audit says of shortcuts planted in lesions under fresh seeds, and where none is planted.

    python -m benchmarks.shortcuts --work DIR              # seeds 1 to 5
    python -m benchmarks.shortcuts --work DIR --null       # as frequent on either side
    python -m benchmarks.shortcuts --work DIR --model data/models/tiny

Lesions of another seed are other pictures, another small CLIP, which takes most of the time, and
another dictionary; with --model the CLIP is that of a folder. Each world is a copy of the workflow
under --work, as in `benchmarks.worlds`. Printed is a row for each world: the rank of both planted
shortcuts among the candidates (their best component, with its AUROC; then the best of those that
are called a shortcut), how many candidates are called a shortcut, the shifts by which the
classifier is only fragile, the one that it falls under most with its drop, the remedy that is
recommended with its drop, relief and price; all on held-out images.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.worlds import copied, run
from pipeline import layout
from pipeline.artifacts.store import read_json, read_table

AUDIT = "lesions-tiny"
PLANTS = ("red-hue", "patches")


def lesions(work: Path, seed: int, null: bool, model: Path | None) -> Path:
    """Folder of a world: the lesions sample under a seed; with null both sides carry as many.

    A model that is given takes the place of the one that the world would train.
    """
    folder = work / f"{'null' if null else 'lesions'}-{seed}"
    params = copied(folder)
    if model is not None:
        shutil.copytree(model, folder / layout.model("tiny"), dirs_exist_ok=True)
        stages = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))
        del stages["stages"]["pretrain"]
        (folder / "dvc.yaml").write_text(yaml.safe_dump(stages), encoding="utf-8")
    params["seed"] = seed
    params["audits"][AUDIT]["stability"]["seeds"] = 1  # not what is measured here
    if null:
        planted = params["samples"]["lesions"]
        for kind in ("red_skin", "patches"):
            planted[f"{kind}_melanoma"] = planted[f"{kind}_other"]
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return folder


def audited(folder: Path) -> dict[str, Any]:
    """Audit a world; what it says of shortcuts."""
    run(folder, "dvc", "repro", f"validate@{AUDIT}")
    results = folder / layout.DATA / "audits" / AUDIT
    metrics = read_json(results / "shortcut" / "metrics.json")["shortcut"]
    plants = read_table(results / "validate" / "plants.csv").set_index("plant")
    remedies = read_table(results / "shortcut" / "remedies.csv")
    return figures(metrics, plants, remedies)


def figures(
    metrics: dict[str, Any], plants: pd.DataFrame, remedies: pd.DataFrame
) -> dict[str, Any]:
    """A world's row.

    Args:
        metrics: `shortcut` of the stage of that name.
        plants: of the stage `validate`, by plant.
        remedies: of the stage `shortcut`.
    """
    row: dict[str, Any] = {}
    for plant in PLANTS:
        row[plant] = _place(plants, plant, "")
        row[f"{plant}, called"] = _place(plants, plant, "called_")
    target = metrics.get("target", {})
    row |= {
        "auroc": metrics["auroc"]["value"],
        "balanced": metrics["accuracy"]["balanced"]["value"],
        "called": metrics["candidates"]["called"],
        "fragile": metrics["fragile"],
        "target": f"{target['shift']} {target['side']}" if target else "none",
        "recommended": metrics.get("recommended", "none"),
    }
    if len(remedies):
        chosen = remedies[remedies["recommended"].astype(str) == "True"]
        best = remedies.iloc[1:].nlargest(1, "relief") if chosen.empty else chosen
        row["drop"] = _interval(remedies.iloc[0], "drop")
        row["best"] = best.iloc[0]["remedy"]
        row |= {name: _interval(best.iloc[0], name) for name in ("relief", "price")}
        row["best_drop"] = _interval(best.iloc[0], "drop")
    return row


def _place(plants: pd.DataFrame, plant: str, which: str) -> str:
    rank, auc = (plants[f"{which}{name}"][plant] for name in ("rank", "encoding_auc"))
    return "none" if pd.isna(rank) else f"{rank:.0f} ({auc:.2f})"


def _interval(row: pd.Series, name: str) -> str:
    return f"{row[name]:.3f} ({row[f'{name}_low']:.3f} to {row[f'{name}_high']:.3f})"


def main() -> None:
    """Audit the worlds and print what is said of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the copies")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--null", action="store_true", help="as frequent on either side")
    parser.add_argument("--model", type=Path, help="open_clip folder to audit; default: a new one")
    args = parser.parse_args()
    rows = []
    for seed in args.seeds:
        folder = lesions(args.work.resolve(), seed, args.null, args.model)
        rows.append({"world": folder.name, **audited(folder)})
        print(pd.DataFrame(rows).T.to_string(), flush=True)


if __name__ == "__main__":
    main()
