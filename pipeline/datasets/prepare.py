"""Prepare a dataset: list its images, open each once, and write its manifest.

Reads the raw dataset that `params.yaml` names. Writes `manifest.parquet` (one row an image),
`dataset.json` (version, counts, classes, licence, how pixels are taken, what was left out, with the
reasons, and what a person should know of how the folder was read, where there is such),
`duplicates.csv` (pairs of images and what was done about each) and `distractors.csv`
(image_id,label,set: distractor sets that the dataset brings). Parts of the first two are files of
their own, so that stages depend on no more than they read: `images.parquet` (image_id, path,
sha256) and `reading.json` (how pixels are taken) decide embeddings, `classes.json` prompts.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from pipeline import layout
from pipeline.artifacts.store import write_json, write_table
from pipeline.config import DatasetConfig, load_params
from pipeline.datasets import Distractor
from pipeline.datasets.adapters import KNOWN_NAMES, listing
from pipeline.datasets.asked import unmet
from pipeline.datasets.classes import class_names
from pipeline.datasets.manifest import build, check_excluded, describe
from pipeline.datasets.names import utf8_only
from pipeline.datasets.pixels import KINDS, Reading
from pipeline.datasets.splits import check_shares, split_of, thin
from pipeline.engine.crew import LOCAL, Engine
from pipeline.faults import faults
from pipeline.places import Place, exists, is_folder, read
from pipeline.text_files import read_text

LICENCE = "LICENSE.txt"
TRUTH = "truth.csv"
Labels: TypeAlias = Sequence[str]
Reasons: TypeAlias = Mapping[str, str]
DISTRACTORS = "distractors.csv"


def prepare(
    name: str,
    config: DatasetConfig,
    seed: int,
    out: Path,
    workers: int,
    asked: Callable[[Labels, Reasons], list[str]] = lambda labels, left_out: [],
    decoded: Path | None = None,
    engine: Engine = LOCAL,
) -> str:
    """Write the manifest of one dataset, and what belongs to it, to out; a summary line.

    Where only every n-th train image is kept, the others are not opened: which they are is decided
    by the splits as they were before duplicates joined groups.

    Args:
        name: the dataset's name in params.yaml.
        config: its entry there.
        seed: of the splits.
        out: folder that is written to.
        workers: processes that decode; changes the time, not the result.
        asked: what is wrong where the dataset has these labels, and where these classes are left
            out for these reasons; asked before any image is opened, and of what is left.
        decoded: folder of what decoding has given earlier; None decodes everything.
        engine: where images are opened.

    Raises:
        FileNotFoundError: the dataset's folder, or a part of it, is missing.
        ValueError: the dataset contradicts its layout, too many images are unusable, a drawn split
            is far from its share, or classes lack a name or what else is asked of them.
    """
    root = config.root
    if not is_folder(root):
        raise FileNotFoundError(
            f"datasets.{name}.root is {str(root)!r}, which is no folder: put the dataset there, "
            "or name its place in params.yaml"
        )
    found = utf8_only(listing(config, seed))
    listed = len(found.records) + sum(item.fault for item in found.excluded)
    _stop_at(
        [
            *faults(lambda: check_excluded(found.excluded, listed, config.max_excluded, root)),
            *asked(found.labels, {}),
        ]
    )
    names = class_names(root, found.labels, KNOWN_NAMES[config.kind])
    manifest = build(
        thin(found.records, config.every),
        found.labels,
        root,
        config.max_excluded,
        workers,
        config.near_duplicates,
        None if config.splits is None else partial(_draw, config, seed),
        Reading(config.pixels),
        decoded,
        engine,
    )
    if config.splits is not None:
        check_shares(
            list(manifest.table.split),
            list(manifest.table.group_id),
            {str(split): share for split, share in config.splits.items()},
            config.every,
        )
    description = describe(name, manifest, found.excluded, names, _licence(config))
    kept_labels = [kept["label"] for kept in description["classes"]]
    _stop_at(asked(kept_labels, manifest.excluded_classes))
    if found.notes:
        description["notes"] = list(found.notes)
    # A version of the truth, for the stage that reads it depends on this file and not on the root.
    description["truth_sha256"] = _sha256(root / TRUTH)
    write_table(out / "manifest.parquet", manifest.table)
    write_table(out / "images.parquet", manifest.table[["image_id", "path", "sha256"]])
    write_table(out / "duplicates.csv", manifest.duplicates)
    kept = set(manifest.table.image_id)
    distractors = [row for row in found.distractors if row.image_id in kept]
    write_table(out / DISTRACTORS, pd.DataFrame(distractors, columns=Distractor._fields))
    write_json(out / "dataset.json", description)
    write_json(out / "classes.json", description["classes"])
    reading = {key: description["pixels"][key] for key in ("as", "bits")}
    write_json(out / "reading.json", {"pixels": reading})
    return (
        f"{name}: {len(manifest.table)} images in {len(description['classes'])} classes, "
        f"{len(description['excluded'])} images and {len(manifest.excluded_classes)} classes "
        f"left out{_noted(manifest.pixels)}, see {out / 'dataset.json'}"
        + "".join(f"\n  {note}" for note in found.notes)
    )


def _stop_at(problems: list[str]) -> None:
    if problems:
        raise ValueError("\n".join(problems))


def _noted(pixels: dict[str, Any]) -> str:
    counts = {kind: pixels[kind] for kind in KINDS if kind in pixels}
    if "deep" in counts:
        counts[f"of more than 8 bits (taken at {pixels['bits']})"] = sum(
            counts.pop("deep").values()
        )
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return f", pixels {pixels['as']} ({said})" if said else ""


def _draw(config: DatasetConfig, seed: int, group_id: str) -> str:
    return split_of(group_id, {str(name): n for name, n in (config.splits or {}).items()}, seed)


def _sha256(path: Place) -> str | None:
    return hashlib.sha256(read(path)).hexdigest() if exists(path) else None


def _licence(config: DatasetConfig) -> str | None:
    path = config.root / LICENCE
    return read_text(path).strip() if exists(path) else config.licence


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="a key of datasets in params.yaml")
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        help="processes that decode images; the result does not depend on it (%(default)s here)",
    )
    args = parser.parse_args()
    try:
        params = load_params()
        config = params.dataset(args.dataset)
        folder = layout.manifest(args.dataset)
        asked = partial(unmet, params, args.dataset)
        decoded = layout.lasting() / layout.decoded(args.dataset)
        how = (folder, args.workers, asked, decoded, Engine.of(params))
        summary = prepare(args.dataset, config, params.seed, *how)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    print(summary, file=sys.stderr)


if __name__ == "__main__":
    main()
