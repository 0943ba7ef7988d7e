"""What the audit finds of failures planted in worlds: the rendered scenes, or any folder of images.

    python -m benchmarks.worlds --work DIR                   # scenes, seeds 1 to 5
    python -m benchmarks.worlds --work DIR --null            # nothing planted
    python -m benchmarks.worlds --work DIR --world ROOT MODEL --vocabulary FILE

A world is an image folder with a `truth.csv` (image_id, plant, class, mode; without it every
finding counts as natural) and the folder of an open_clip model. Scenes of another seed are other
pictures, another small CLIP and another dictionary, about seven minutes on two cores; a world of
another seed is another dictionary alone.

Each world is a copy of the workflow under --work in which `dvc repro` runs, so what code or
settings have not changed is not made again. Printed are a row for each world and seed, and the
findings that match no plant, which may be real failures that nobody planted: a person has to look
at them. What to look at is in the folder that is named, a sheet of pictures for each finding; what
`benchmarks.mistaken` says of held-out images, which reads no truth, stands beside them.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import chdir
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from audits.inputs import load_inputs
from audits.review.verdict_files import start
from audits.validate.truth import check_findings, modes_right, precision_recall, read_truth
from benchmarks.mistaken import mistaken
from benchmarks.sheets import Pictures, write_sheets
from pipeline import layout
from pipeline.artifacts.store import read_json, read_table
from pipeline.config import load_params
from pipeline.datasets.classes import class_names

ROOT = Path(__file__).parents[1]
CODE = ("pipeline", "audits", "vocabularies", "*.yaml")
SCENES = "scenes-tiny"
WORLD = "world"
"""Name of the audit, dataset and model of a folder's."""
STAGES = ("validate",)
"""What is run, and so all that it depends on."""
MODES = ("polysemy", "compound", "typography", "spurious")
SHARES = ("recall", "precision", "confirmed_right", "modes_right")
AGAIN = ("found_again", "all_images")
"""Shares of the findings that further dictionaries find again, on their halves of the images and on
all, of the stage `recurrence`."""


class World(NamedTuple):
    """Where a world is audited."""

    folder: Path
    """Copy of the workflow."""
    audit: str
    seed: int


class Source(NamedTuple):
    """A world that is not rendered here."""

    root: Path
    """Image folder."""
    model: Path
    """open_clip folder."""
    vocabulary: Path | None
    """Terms that components are named by, None for the names of the classes."""

    @property
    def name(self) -> str:
        """What its folder is called: the last two parts of its path."""
        return re.sub(r"[^\w-]", "_", "-".join(self.root.parts[-2:]))


def copied(folder: Path) -> dict[str, Any]:
    """Copy the workflow as it is now into a folder, its audits unreviewed; its params. What else
    lies there stays."""
    for source in (path for pattern in CODE for path in ROOT.glob(pattern)):
        target = folder / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            cached = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target, ignore=cached, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)
    if not (folder / ".dvc").exists():
        run(folder, "dvc", "init", "--no-scm", "--quiet")
    params = _params(folder)
    with chdir(folder):
        for audit in params["audits"]:
            start(audit)
    return params


def scenes(work: Path, seed: int, null: bool, changes: dict[str, Any]) -> World:
    """The scenes sample under a seed; with null nothing is planted and captions are clean."""
    folder = work / f"{'null' if null else 'scenes'}-{seed}"
    params = copied(folder)
    if null:
        planted = params["samples"]["scenes"]
        planted["ambiguity"] = dict.fromkeys(planted["ambiguity"], 0.0)
        planted["landscape_share"] = 0.0
    return _set(World(folder, SCENES, seed), params, changes)


def photographs(work: Path, source: Source, seed: int, changes: dict[str, Any]) -> World:
    """A folder of images and a model, with the settings that `audit add` gives them."""
    folder = work / source.name
    copied(folder)
    vocabulary = source.vocabulary or folder / "names.txt"
    if source.vocabulary is None:
        train = source.root / "train"
        labels = sorted(path.name for path in train.iterdir() if path.is_dir())
        names = class_names(source.root, labels, {}).values()
        vocabulary.write_text("\n".join(name.partition(",")[0] for name in names))
    command = [
        *("audits.command", "add", WORLD, "--dataset", WORLD, "--kind", "image_folder"),
        *("--root", str(source.root), "--vocabulary", str(vocabulary), "--labeler", WORLD),
        *("--model", WORLD, "--model-name", f"local-dir:{source.model}"),
    ]
    run(folder, *command)
    return _set(World(folder, WORLD, seed), _params(folder), changes)


def _params(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    return found


def _set(world: World, params: dict[str, Any], changes: dict[str, Any]) -> World:
    """Write the params of a world with its seed and changed settings of its audit.

    Raises:
        KeyError: there is no such setting.
    """
    params["seed"] = world.seed
    for key, value in changes.items():
        *sections, last = key.split(".")
        section = params["audits"][world.audit]
        for name in sections:
            section = section[name]
        if last not in section:
            raise KeyError(f"audits.{world.audit}.{key} is no setting of params.yaml")
        section[last] = value
    (world.folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return world


def run(folder: Path, *command: str) -> None:
    """Run a module in a folder; what it says goes to a log there.

    Raises:
        RuntimeError: it failed.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(folder), "PATH": path}
    with (folder / "log.txt").open("a") as log:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, env=environment, stdout=log, stderr=log
        )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: see {folder}/log.txt")


def audited(world: World) -> dict[str, Any]:
    """Audit a world, write its sheets and return the figures of its findings."""
    run(world.folder, "dvc", "repro", *(f"{stage}@{world.audit}" for stage in STAGES))
    data = world.folder / layout.DATA
    results = data / "audits" / world.audit
    findings = read_table(results / "review" / "findings.csv")
    evidence = read_json(results / "review" / "evidence.json")
    plants = read_table(results / "validate" / "plants.csv")
    counts = {
        **read_json(results / "failures" / "metrics.json")["failures"],
        **read_json(results / "review" / "metrics.json")["failures"],
    }
    params = _params(world.folder)
    dataset = params["audits"][world.audit]["dataset"]
    root = world.folder / params["datasets"][dataset]["root"]
    images = {finding_id: found["images"] for finding_id, found in evidence.items()}
    right = check_findings(findings, images, read_truth(root))
    pictures = Pictures(data / "manifests" / dataset, root)
    table = listed(findings, evidence, right, plants, pictures)
    sheets = world.folder / f"findings-{world.seed}"
    write_sheets(sheets, table, images, pictures)
    natural = table[table["plant"].isna()]
    if len(natural):
        print(f"\nof no plant, to be looked at in {sheets}:")
        with chdir(world.folder):
            told = mistaken(load_inputs(load_params(), world.audit), findings, evidence)
        natural = natural.drop(columns=["plant", "planted_mode"]).merge(told, on="finding_id")
        print(natural.round(4).to_string(index=False), flush=True)
    kept = ("findings", "confirmed", "flags", "expected_false_flags")
    again = read_json(results / "recurrence" / "metrics.json")["recurrence"]
    return {
        **figures(findings, right, plants),
        **{key: again.get(key) for key in AGAIN},
        **{key: counts.get(key) for key in kept},
    }


def figures(
    findings: pd.DataFrame, right: dict[str, str | None], plants: pd.DataFrame
) -> dict[str, Any]:
    """Recall in total and by mode (found/of those that the model falls for), precision of all and
    of confirmed findings, and the share of modes that are right; None for shares of nothing.

    Args:
        findings: of the stage `review`.
        right: finding → the plant that makes it right, None for one of no plant.
        plants: of the stage `validate`.
    """
    fallen = plants[plants["fallen"].eq(True)]
    confirmed = set(findings["finding_id"][findings["confirmed"].astype(bool)])
    shares: dict[str, Any] = dict.fromkeys(SHARES)
    shares |= precision_recall(right, set(fallen["plant"]))
    if confirmed:
        shares["confirmed_right"] = precision_recall(
            {finding: plant for finding, plant in right.items() if finding in confirmed}, set()
        )["precision"]
    if any(right.values()):
        modes = dict(zip(findings["finding_id"], findings["mode"], strict=True))
        shares["modes_right"] = modes_right(plants, right, modes)
    by_mode = {}
    for mode in MODES:
        of_mode = set(fallen["plant"][fallen["mode"] == mode])
        by_mode[mode] = f"{len(of_mode & set(right.values()))}/{len(of_mode)}"
    natural = sum(plant is None for plant in right.values())
    return {"fallen": len(fallen), **shares, **by_mode, "natural": natural}


def listed(
    findings: pd.DataFrame,
    evidence: dict[str, Any],
    right: dict[str, str | None],
    plants: pd.DataFrame,
    pictures: Pictures,
) -> pd.DataFrame:
    """Every finding, with what it shows, the plant that makes it right and that plant's mode."""
    true = dict(zip(plants["plant"], plants["mode"], strict=True))
    columns = ["finding_id", "class", "component_label", "mode", "confidence", "confirmed"]
    table = findings[[*columns, "images", "q_value"]].copy()
    of_finding = table["finding_id"]
    table["classes"] = [pictures.classes(evidence[key]["images"]) for key in of_finding]
    table["plant"] = pd.Series([right[key] for key in of_finding], dtype="string")
    table["planted_mode"] = table["plant"].map(true)
    return table


def totals(table: pd.DataFrame) -> Iterable[str]:
    """Means and spreads of shares over seeds, and recall by mode over all of them."""
    for key in (*SHARES, *AGAIN):
        values = table[key].dropna().to_numpy(dtype=float)
        if len(values) > 1:
            spread = f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"
            yield f"{key}: {spread} (least {values.min():.3f})"
    for mode in MODES:
        pairs = [tuple(int(part) for part in cell.split("/")) for cell in table[mode]]
        found, of = (sum(side) for side in zip(*pairs, strict=True))
        if of:
            yield f"{mode}: {found}/{of} = {found / of:.3f}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the copies")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 1 to 5, of a world 0")
    parser.add_argument("--null", action="store_true", help="plant nothing, caption cleanly")
    parser.add_argument("--world", type=Path, nargs=2, metavar=("ROOT", "MODEL"))
    parser.add_argument("--vocabulary", type=Path, help="of the world; default: its classes' names")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings, failures.q=0.01 say"
    )
    return parser.parse_args()


def main() -> None:
    """Audit the worlds and print what was found."""
    args = arguments()
    work = args.work.resolve()
    changes = {
        key: yaml.safe_load(value) for key, _, value in (text.partition("=") for text in args.set)
    }
    source = None
    if args.world:
        root, model = (path.resolve() for path in args.world)
        source = Source(root, model, args.vocabulary and args.vocabulary.resolve())
    rows = []
    for seed in args.seeds or ([0] if source else [1, 2, 3, 4, 5]):
        world = (
            photographs(work, source, seed, changes)
            if source
            else scenes(work, seed, args.null, changes)
        )
        rows.append({"world": world.folder.name, "seed": seed, **audited(world)})
    table = pd.DataFrame(rows)
    print(f"\n{table.to_string(index=False)}")
    print("\n".join(totals(table)))


if __name__ == "__main__":
    main()
