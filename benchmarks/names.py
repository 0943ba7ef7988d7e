"""Whether components that tell one thing are named by it, from what an audit has left.

    python -m benchmarks.names --audit scenes-tiny --dataset scenes --truth FOLDER/truth.csv
    python -m benchmarks.names --work FOLDER --audit world --dataset world

A component tells a thing where the AUROC of its activation, held-out images that show the thing
against all others, is at least 0.95; of several things the one of the largest. Things are the
classes and, by --truth, written class names. A name is right where it is one of the class's names,
in any case; for a written one also where it is "writing".

Prints the share of right names, among all of these and among those whose name fits, and the wrong
ones; beside it the share that the words of classes would have right, a component being named by the
class whose train images it tells best. Reads manifest, codes and labels only, so that the results
of older versions will do; what their labels lack is left out.
"""

import argparse
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from scipy.stats import rankdata

from pipeline import layout
from pipeline.artifacts.store import read_json, read_table
from pipeline.attribution.relevance import Codes, activations
from pipeline.sae.codes import read_codes

TELLS = 0.95
WRITTEN = "typography"
WRITING = "writing"


def names_of(entry: dict[str, str]) -> set[str]:
    """What a class may be called, in lower case."""
    texts = [entry["label"].replace("_", " "), entry["short"], *entry["name"].split(",")]
    return {text.strip().casefold() for text in texts}


def things(
    images: pd.DataFrame, classes: list[dict[str, str]], truth: pd.DataFrame
) -> tuple[list[str], list[set[str]], Bool[np.ndarray, "n j"]]:
    """What is in the images: of each thing what it is called here, its right names, and where.

    Args:
        images: image_id and label.
        classes: label, short and name of each.
        truth: image_id, class and mode of what is planted.
    """
    called, right, shown = [], [], []
    for entry in classes:
        called.append(entry["label"])
        right.append(names_of(entry))
        shown.append((images["label"] == entry["label"]).to_numpy(dtype=bool))
        carry = truth[(truth["mode"] == WRITTEN) & (truth["class"] == entry["label"])]
        written = images["image_id"].isin(carry["image_id"]).to_numpy(dtype=bool)
        if written.any():
            called.append(f"{entry['label']} written")
            right.append(names_of(entry) | {WRITING})
            shown.append(written)
    return called, right, np.stack(shown, axis=1)


def told(
    activation: Float[np.ndarray, "n m"], shown: Bool[np.ndarray, "n j"]
) -> Float[np.ndarray, "m j"]:
    """AUROC of each component for each thing; NaN for one that no image or every image shows."""
    with_it = shown.sum(axis=0)
    ranks = rankdata(activation, axis=0).T @ shown - with_it * (with_it + 1) / 2
    with np.errstate(invalid="ignore"):
        return np.asarray(ranks / (with_it * (len(shown) - with_it)))


def judged(
    labels: pd.DataFrame,
    auroc: Float[np.ndarray, "m j"],
    called: list[str],
    right: list[set[str]],
) -> pd.DataFrame:
    """The components that tell a thing, with what they tell, its AUROC and whether their name is
    right; unnamed ones are wrong."""
    best = np.nan_to_num(auroc, nan=0).argmax(axis=1)
    table = labels.set_index("component").sort_index()
    table = table.assign(thing=[called[j] for j in best], auroc=auroc[np.arange(len(best)), best])
    table["right"] = [
        isinstance(label, str) and label.casefold() in right[j]
        for label, j in zip(table["label"], best, strict=True)
    ]
    return table[table["auroc"] >= TELLS]


def by_class(
    activation: Float[np.ndarray, "n m"], labels: pd.Series, classes: list[dict[str, str]]
) -> pd.Series:
    """To each component the short name of the class whose images it tells best."""
    shown = np.stack([(labels == entry["label"]).to_numpy(dtype=bool) for entry in classes], axis=1)
    best = np.nan_to_num(told(activation, shown), nan=0).argmax(axis=1)
    return pd.Series([classes[j]["short"] for j in best], dtype="string")


def share(table: pd.DataFrame, column: str = "right") -> str:
    """Right names of all, as a count and a share."""
    if table.empty:
        return "none"
    return f"{table[column].sum()} of {len(table)} named right = {table[column].mean():.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path(), help="folder that holds data/")
    parser.add_argument("--audit", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--truth", type=Path, help="truth.csv of a dataset with planted failures")
    args = parser.parse_args()
    planted = ["image_id", "mode", "class"]
    truth = read_table(args.truth) if args.truth else pd.DataFrame(columns=planted)
    with chdir(args.work):
        manifest = layout.manifest(args.dataset)
        sae = read_json(layout.sae(args.audit) / "config.json")
        labels = read_table(layout.labels(args.audit))
        ids, codes = read_codes(layout.codes(args.audit), sae["slots"])
        images = read_table(manifest / "manifest.parquet", ["image_id", "split", "label"])
        images = images.set_index("image_id", drop=False).loc[ids]
        classes = read_json(manifest / "classes.json")
    held_out = (images["split"] == "val").to_numpy(dtype=bool)
    called, right, shown = things(images[held_out], classes, truth)

    def fires(rows: Bool[np.ndarray, " n"]) -> Float[np.ndarray, "r m"]:
        kept = Codes(*(part[torch.tensor(rows)] for part in codes))
        return activations(kept, sae["components"]).numpy()

    auroc = told(fires(held_out), shown)
    table = judged(labels, auroc, called, right)
    train = (images["split"] == "train").to_numpy(dtype=bool)
    words = by_class(fires(train), images["label"][train], classes)
    theirs = judged(labels.sort_values("component").assign(label=words), auroc, called, right)
    table["class_right"] = theirs["right"]
    print(f"{args.audit}: {len(labels)} components, {labels['label'].notna().sum()} with a name")
    of_class = ~table["thing"].str.endswith(" written")
    print(f"tell a class:     {share(table[of_class])}")
    print(f"tell its writing: {share(table[~of_class])}")
    print(f"by its class:     {share(table[of_class], 'class_right')}")
    print(f"writing, by class: {share(table[~of_class], 'class_right')}")
    either = table.assign(either=table["right"] | table["class_right"])
    print(f"by either:        {share(either, 'either')}")
    columns = ["thing", "auroc", "label", "alignment"]
    if "name_fits" in table:
        columns += ["name_auroc", "name_rank", "runners_up"]
        fits = table["name_fits"].fillna(False).astype(bool)
        print(f"whose name fits:  {share(table[fits])}")
        print(f"whose does not:   {share(table[~fits])}")
    wrong = table.loc[~table["right"], columns]
    if len(wrong):
        print(f"\nwrong:\n{wrong.to_string(max_colwidth=60)}")


if __name__ == "__main__":
    main()
