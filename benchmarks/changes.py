"""What `audit diff`, `audit gate` and `audit verify` say of four changes whose cause is known.

    python -m benchmarks.changes --work DIR                # after `make audit`
    python -m benchmarks.changes --work DIR --only images
    python -m benchmarks.changes --work DIR --samples WORLDS/scenes-3    # of benchmarks.worlds

A clone of the last commit gets rendered scenes and a small CLIP as a dataset and a model of
its own, tracked by DVC, and their audit is its first release. Each change is a commit on top:
another seed (the dictionaries'), 10 train images removed and 5 given another label, the CLIP
trained anew on captions in which one planted failure was cleaned, and a dictionary of half the
size. Printed is what each command says of it, and a table: findings that are new, fixed, persist
and were missed by one audit, metrics that changed, and whether `audit diff` names the change as
what could explain it, and only that. Six minutes each on two cores; a commit that is there is not
made again.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
NAME = "mine"
"""Of the audit, its dataset and its model."""
IMAGES = Path("data/raw") / NAME
MODEL = Path("data/models") / NAME
BASE = "release"
"""Tag of the first release."""
CLEANED = ("dog", "hot dog", "hot_dog")
"""The failure that is cleaned: the word attacked, what the images show, and their class."""
REMOVED, RELABELLED = 10, 5


def typed(folder: Path, command: str, failing: bool = False) -> str:
    """What a command prints, typed in a folder.

    Raises:
        RuntimeError: it failed, and was not expected to.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    own = {"PATH": path, "PYTHONPATH": str(folder), "COLUMNS": "200", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=os.environ | own, capture_output=True, text=True
    )
    with (folder.parent / "log.txt").open("a", encoding="utf-8") as log:
        log.write(f"$ {command}\n{done.stdout}{done.stderr}")
    if done.returncode and not failing:
        raise RuntimeError(f"{command} failed: see {folder.parent / 'log.txt'}")
    return done.stdout


def released(folder: Path, samples: Path) -> None:
    """A clone whose audit of its own dataset and model is committed as the first release.

    Args:
        folder: where the clone is made.
        samples: folder of the repository's layout that holds the scenes and the CLIP.
    """
    if folder.exists():
        if BASE not in typed(folder, "git tag"):
            raise SystemExit(f"{folder} has no tag {BASE}: what made it was stopped, delete it")
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    for key, value in (("name", "Ann"), ("email", "ann@example.org")):
        typed(folder, f"git config user.{key} {value}")
    shutil.copytree(samples / "data/raw/scenes", folder / IMAGES)
    shutil.copytree(samples / "data/models/tiny", folder / MODEL)
    typed(folder, f"dvc add --quiet {IMAGES} {MODEL}")
    typed(
        folder,
        f"audit add {NAME} --dataset {NAME} --kind image_folder --root {IMAGES} --labeler {NAME} "
        f"--vocabulary vocabularies/scenes.csv --model {NAME} --model-name local-dir:{MODEL}",
    )
    _commit(folder, "the first release")
    typed(folder, f"git tag {BASE}")


def _at(folder: Path, revision: str) -> None:
    """Check a commit out, with the data of its audit; the clone has no others."""
    brought = f"dvc checkout --quiet --force --with-deps report@{NAME}"
    typed(folder, f"git checkout --quiet {revision} && {brought}")


def _commit(folder: Path, message: str) -> None:
    """Audit what is there, and commit it."""
    typed(folder, f"dvc repro report@{NAME}")
    typed(folder, f"git add -A . && git commit --quiet -m '{message}'")


def another_seed(folder: Path, _: Path) -> None:
    """Another start and order of every dictionary."""
    _set(folder, "seed", 1)


def images(folder: Path, _: Path) -> None:
    """Some train images are removed, others moved to another class."""
    rng = np.random.default_rng(0)
    names = sorted(path for path in (folder / IMAGES / "train").glob("*/*.jpg"))
    chosen = rng.choice(len(names), REMOVED + RELABELLED, replace=False)
    classes = sorted({path.parent for path in names})
    for number, at in enumerate(chosen):
        path = names[at]
        if number < REMOVED:
            path.unlink()
        else:
            others = [one for one in classes if one != path.parent]
            path.rename(others[rng.integers(len(others))] / f"moved-{path.name}")


def captions(folder: Path, samples: Path) -> None:
    """The CLIP, trained on captions that name what one failure's images show."""
    attacked, shown, label = CLEANED
    scratch = folder.parent / "captions"
    if not scratch.exists():
        for part in ("raw/scenes", "raw/lesions", "manifests/scenes", "manifests/lesions"):
            shutil.copytree(samples / "data" / part, scratch / "data" / part)
        for path in samples.glob("*.yaml"):
            shutil.copy(path, scratch)
        file = scratch / "data/raw/scenes/captions.csv"
        table = pd.read_csv(file)
        of_it = table["path"].str.startswith(f"train/{label}/")
        word = re.compile(rf"\b(?<!{shown.removesuffix(attacked)}){attacked}\b")
        table.loc[of_it, "caption"] = [word.sub(shown, said) for said in table["caption"][of_it]]
        table.to_csv(file, index=False)
        typed(scratch, f"PYTHONPATH={folder} python -m pipeline.samples.pretrain")
    shutil.rmtree(folder / MODEL)
    shutil.copytree(scratch / "data/models/tiny", folder / MODEL)


def another_sae(folder: Path, _: Path) -> None:
    """A dictionary of half the size."""
    before = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    half = before["audits"][NAME]["sae"]["components"] // 2
    _set(folder, f"audits.{NAME}.sae.components", half)


def _set(folder: Path, key: str, value: Any) -> None:
    file = folder / "params.yaml"
    params = yaml.safe_load(file.read_text(encoding="utf-8"))
    *sections, last = key.split(".")
    section = params
    for name in sections:
        section = section[name]
    section[last] = value
    file.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


CHANGES: dict[str, tuple[Callable[[Path, Path], None], dict[str, Any]]] = {
    "seed": (another_seed, {"settings": {"seed"}}),
    "images": (images, {"images": {"removed": REMOVED, "relabelled": RELABELLED}}),
    "captions": (captions, {"model": True}),
    "sae": (another_sae, {"settings": {"audits.*.sae.components"}}),
}
"""How each change is made, and what `audit diff` has to name."""


def named(origins: dict[str, Any]) -> dict[str, Any]:
    """What `audit diff --json` gives as what could explain a difference, of all kinds there are."""
    said: dict[str, Any] = {}
    if origins["settings"]:
        said["settings"] = set(origins["settings"])
    if origins["dataset"]:
        said["images"] = {key: count for key, count in (origins["images"] or {}).items() if count}
    if origins["model"]:
        said["model"] = True
    others = {key: origins[key] for key in ("code", "files", "machine", "unknown") if origins[key]}
    return said | others


def changed(folder: Path, samples: Path, name: str) -> dict[str, Any]:
    """Make a change, print what is said of it, and return its row of the table."""
    change, wanted = CHANGES[name]
    if name not in typed(folder, "git branch --list --format='%(refname:short)'").split():
        _at(folder, f"-B made {BASE}")
        change(folder, samples)
        _commit(folder, name)
        typed(folder, f"git branch {name}")
    _at(folder, name)
    commands = {
        "diff": f"audit diff {BASE} {name} --audit {NAME}",
        "gate": f"audit gate {NAME} --against {BASE}",
        "verify": f"audit verify {NAME} --quick",
    }
    said = {}
    for key, command in commands.items():
        said[key] = typed(folder, command, failing=True)
        print(f"\n$ {command}\n{said[key]}", flush=True)
    (found,) = json.loads(typed(folder, f"{commands['diff']} --json"))
    return {
        "change": name,
        **{key: len(found["findings"][key]) for key in ("new", "fixed", "persisting")},
        "missed": sum(len(found["findings"][key]) for key in ("only_now", "only_before")),
        "changed metrics": sum(one["verdict"] == "changed" for one in found["metrics"]),
        "named": "it alone" if named(found["origins"]) == wanted else str(named(found["origins"])),
        **{key: said[key].partition(":")[0] for key in ("gate", "verify")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the clone")
    parser.add_argument("--samples", type=Path, default=ROOT, help="default: this repository's")
    parser.add_argument("--only", nargs="+", choices=CHANGES, help="default: all four")
    arguments = parser.parse_args()
    folder = arguments.work.resolve() / "clone"
    samples = arguments.samples.resolve()
    released(folder, samples)
    rows = [changed(folder, samples, name) for name in arguments.only or CHANGES]
    print(f"\n{pd.DataFrame(rows).to_string(index=False)}")


if __name__ == "__main__":
    main()
