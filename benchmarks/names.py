"""Whether components that tell one thing are named by it, from what an audit has left.

    python -m benchmarks.names --audit scenes-tiny --dataset scenes --truth FOLDER/truth.csv
    python -m benchmarks.names --work FOLDER --audit world --dataset world

A component tells a thing where the AUROC of its activation, held-out images that show the thing
against all others, is at least 0.95; of several things the one of the largest. Things are the
classes and, by --truth, written class names. A name is right where it is one of the class's names,
in any case; for a written one also where it is "writing".

Prints the share of right names, among all of these and among those whose name fits, and the wrong
ones; beside it the share that is right where a component is called by the class it tells best
(`audits.concepts.classes`), and by --truth how many of the components on whose top images words are
written are found by the probe of words, by what fires them on neutral grounds and by the direction
in which words move x. Reads manifest, codes, labels and tables of components only, so that the
results of older versions will do; what they lack is left out.
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
ANSWERS = 0.9
"""AUROC from which on the probe says that a component answers to writing (`probe.answer`)."""
WRITTEN = "typography"
NOTHING = pd.DataFrame(columns=["image_id", "class", "mode"])
"""The truth where nothing is planted."""
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


def share(table: pd.DataFrame) -> str:
    """Right names of all, as a count and a share."""
    if table.empty:
        return "none"
    return f"{table['right'].sum()} of {len(table)} named right = {table['right'].mean():.3f}"


def probed(labels: pd.DataFrame, truth: pd.DataFrame, answer: pd.Series) -> str:
    """How many components the probe of words finds of those that writing fires, and of the others.

    Writing fires a component where it is on more than half of its top images.

    Args:
        labels: component and top_images of the components with a name.
        truth: image_id and mode of what is planted.
        answer: of the probe, for each component, an AUROC.
    """
    written = set(truth.loc[truth["mode"] == WRITTEN, "image_id"])
    fires = np.array([np.mean([i in written for i in ids]) > 0.5 for ids in labels["top_images"]])
    found = (answer.reindex(labels["component"]) >= ANSWERS).to_numpy()
    return (
        f"{(found & fires).sum()} of {fires.sum()} that writing fires, "
        f"{(found & ~fires).sum()} of {(~fires).sum()} others"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path(), help="folder that holds data/")
    parser.add_argument("--audit", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--truth", type=Path, help="truth.csv of a dataset with planted failures")
    args = parser.parse_args()
    truth = read_table(args.truth) if args.truth else NOTHING
    with chdir(args.work):
        manifest = layout.manifest(args.dataset)
        sae = read_json(layout.sae(args.audit) / "config.json")
        labels = read_table(layout.labels(args.audit))
        ids, codes = read_codes(layout.codes(args.audit), sae["slots"])
        images = read_table(manifest / "manifest.parquet", ["image_id", "split", "label"])
        images = images.set_index("image_id", drop=False).loc[ids]
        classes = read_json(manifest / "classes.json")
        path = layout.audit(args.audit, "concepts") / "components.parquet"
        about = read_table(path) if path.exists() else pd.DataFrame()
        path = layout.audit(args.audit, "probe") / "components.parquet"
        answers = read_table(path) if path.exists() else pd.DataFrame()
    held_out = (images["split"] == "val").to_numpy(dtype=bool)
    called, right, shown = things(images[held_out], classes, truth)
    kept = Codes(*(part[torch.tensor(held_out)] for part in codes))
    activation = activations(kept, sae["components"])
    auroc = told(activation.numpy(), shown)
    table = judged(labels, auroc, called, right)
    print(f"{args.audit}: {len(labels)} components, {labels['label'].notna().sum()} with a name")
    of_class = ~table["thing"].str.endswith(" written")
    print(f"tell a class:     {share(table[of_class])}")
    print(f"tell its writing: {share(table[~of_class])}")
    named = labels[labels["label"].notna()]
    for said, column, of in (
        ("answer to words", "writing", answers),
        ("written images", "written", about),
    ):
        if args.truth and column in of:
            found = of.set_index("component")[column]
            print(f"{said + ':':<17} {probed(named, truth, found)}")
    if "class" in about:
        short = {entry["label"]: entry["short"] for entry in classes}
        about["label"] = about["class"].map(short)
        by_class = judged(about, auroc, called, right)["right"][of_class]
        either = table["right"][of_class] | by_class
        print(f"  by that class:  {share(table[of_class].assign(right=by_class))}")
        print(f"  by either:      {share(table[of_class].assign(right=either))}")
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
