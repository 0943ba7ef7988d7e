"""The repository with settings that take seconds, for tests that run `dvc repro`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests import warm_python

ROOT = Path(__file__).parents[1]
CODE = (
    "pipeline",
    "audits",
    "vocabularies",
    "reviews",
    "dvc.yaml",
    "params.yaml",
    "catalog.yaml",
    "recipes.yaml",
    ".dvcignore",
)


def small_params() -> dict:
    """The shipped params with samples, models and SAEs that take seconds."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    raw["samples"]["scenes"] |= {"size": 48, "train_images": 2, "confuser_images": 2}
    raw["samples"]["scenes"] |= {"val_images": 1}
    raw["samples"]["lesions"] |= {"lesions": 120, "image_size": 48}
    raw["pretrain"] |= {"epochs": 2, "layers": 1, "text_layers": 1, "width": 64, "workers": 0}
    for entry in raw["embeddings"].values():
        entry |= {"batch_size": 32, "shard_rows": 64}  # several shards
    for audit in raw["audits"].values():
        audit["sae"] |= {
            "components": 64,
            "k": 8,
            "epochs": 3,
            "decay_after": [2],
            "revive_after": [1],
        }
        audit["stability"]["seeds"] = 2
        audit["probe"] |= {"words": 8, "controls": 4, "pictures": 96, "grounds": 4, "marks": 4}
        audit["label"]["top_images"] = 5
        audit["faithfulness"] |= {"steps": 4, "subsets": 3, "reference_images": 20}
    raw["audits"]["lesions-tiny"]["shortcut"] |= {
        "repeats": 2,
        "quantiles": [0.3, 0.7],
        "shifts": {"red": [1, 2], "patch": [1]},
        "alpha": [1],
        "directions": [1],
        "penalty": [100],
        "bootstrap": 50,
    }
    return raw


def environment() -> dict[str, str]:
    """Of commands typed in a copy; the `python` of its stages starts at once."""
    kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    first = (str(warm_python.folder()), str(Path(sys.executable).parent))
    own = {"PATH": os.pathsep.join((*first, kept["PATH"])), "DVC_NO_ANALYTICS": "1"}
    return kept | own


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, (
        f"{' '.join(command)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    )
    return done


def repository_copy(folder: Path) -> Path:
    """The repository without what was derived, as a Git and DVC repository of its own."""
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    run(folder, "git", "init", "-q")
    run(folder, "dvc", "init", "-q")
    return folder
