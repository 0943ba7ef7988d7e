"""An audit's findings against the planted truth of a sample dataset."""

from functools import partial

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score

from audits.inputs import Inputs
from audits.robustness.forms import component_activation
from pipeline.artifacts.gaps import DoesNotApply, Gaps
from pipeline.artifacts.store import read_csv
from pipeline.attribution.head import cosine_outputs
from pipeline.places import Place, exists, opened

FALLEN_AUC = 0.95
"""The model falls for a plant where the spurious AUC of the short prompt is below this."""

SHORTCUT = "shortcut"
"""Mode of plants that a classifier takes a shortcut by; the others are failures of prompts."""

TRUTH_COLUMNS = ["image_id", "plant", "class", "mode"]
PLANT_COLUMNS = ["plant", "class", "mode", "images", "spurious_auc", "fallen", "found"]
ENCODING = ["component", "encoding_auc", "rank"]
CALLED = [f"called_{name}" for name in ENCODING]
PLANT_COLUMNS += ["finding_ids", *ENCODING, *CALLED]


def read_truth(root: Place) -> pd.DataFrame:
    """Planted truth of a dataset, empty where it has none.

    Raises:
        ValueError: truth.csv lacks a column.
    """
    path = root / "truth.csv"
    if not exists(path):
        return pd.DataFrame(columns=TRUTH_COLUMNS)
    with opened(path, "on") as file:
        truth = read_csv(file)
    missing = set(TRUTH_COLUMNS) - set(truth.columns)
    if missing:
        raise ValueError(f"{path} lacks the columns {sorted(missing)}")
    return truth


def plant_of(images: list[str], attacked: str, truth: pd.DataFrame) -> str | None:
    """The plant on attacked that more than half of the images carry, None where there is none."""
    carried = truth[(truth["class"] == attacked) & truth["image_id"].isin(images)]
    shares = carried.groupby("plant")["image_id"].nunique() / len(images)
    shares = shares[shares > 0.5]
    return None if shares.empty else str(shares.idxmax())


def check_findings(
    findings: pd.DataFrame, images: dict[str, list[str]], truth: pd.DataFrame
) -> dict[str, str | None]:
    """For every finding the plant that makes it right, None where it is wrong."""
    return {
        row["finding_id"]: plant_of(images[row["finding_id"]], row["class"], truth)
        for row in findings.to_dict("records")
    }


def spurious_auc(y: np.ndarray, own: np.ndarray, carrying: np.ndarray) -> float:
    """AUROC of the class's images against those of other classes that carry a plant.

    Raises:
        DoesNotApply: one of the two sets is empty.
    """
    distractors = carrying & ~own
    if not (own.any() and distractors.any()):
        raise DoesNotApply(
            f"an AUROC of {own.sum()} own images and {distractors.sum()} distractors is undefined"
        )
    chosen = own | distractors
    return float(roc_auc_score(own[chosen], y[chosen]))


def precision_recall(right: dict[str, str | None], fallen: set[str]) -> dict[str, float]:
    """Precision over findings and recall over the plants that the model falls for.

    A finding is right where most of its images carry one plant of its class; a plant is found
    where some finding is right by it. A share of nothing is left out.
    """
    result = {}
    if right:
        result["precision"] = sum(plant is not None for plant in right.values()) / len(right)
    if fallen:
        result["recall"] = len(fallen & set(right.values())) / len(fallen)
    return result


def encoding(
    inputs: Inputs, components: pd.DataFrame, carrying: np.ndarray
) -> tuple[int, float, int]:
    """The reported shortcut component that tells best which images carry a plant.

    Returns:
        Component, AUROC of its activation over held-out images, and its rank by relevance share;
        of equals the one of the best rank.

    Raises:
        DoesNotApply: no held-out image carries the plant, or all do.
    """
    held_out = ~inputs.split("train").numpy()
    if len(np.unique(carrying[held_out])) < 2:
        raise DoesNotApply(
            f"{carrying[held_out].sum()} of {held_out.sum()} held-out images carry the plant: "
            "an AUROC needs some that do and some that do not"
        )
    scored = [
        (
            float(
                roc_auc_score(
                    carrying[held_out], component_activation(inputs, row["component"])[held_out]
                )
            ),
            row["component"],
            row["rank"],
        )
        for row in components.to_dict("records")
    ]
    auc, component, rank = max(scored, key=lambda found: (found[0], -found[2]))
    return int(component), auc, int(rank)


def plants(
    inputs: Inputs,
    truth: pd.DataFrame,
    right: dict[str, str | None],
    shortcuts: pd.DataFrame,
    gaps: Gaps,
) -> pd.DataFrame:
    """A row for each plant: whether the model falls for it and whether the audit found it.

    Prompt failures have a spurious AUC over validation images and the findings right by them;
    shortcuts have the reported component that encodes them best and its rank; and the same among
    those that the report calls a shortcut, the component that a shift acts through, where there is
    one. What the images do not allow stays null, with a gap.
    """
    val = inputs.split("val").numpy()
    x = inputs.tokens(torch.from_numpy(val))
    y = cosine_outputs(x, inputs.texts["short"], inputs.head).numpy()
    labels = {label: position for position, label in enumerate(inputs.classes["label"])}
    rows = []
    for (plant, attacked, mode), part in truth.groupby(["plant", "class", "mode"]):
        carrying = inputs.images["image_id"].isin(part["image_id"]).to_numpy()
        row = {"plant": plant, "class": attacked, "mode": mode, "images": int(carrying.sum())}
        if mode == SHORTCUT:
            measure = partial(encoding, inputs, shortcuts, carrying)
            if not shortcuts.empty and (best := gaps.measured(f"planted.{plant}", measure)):
                row |= dict(zip(ENCODING, best, strict=True))
                called = shortcuts[shortcuts["called"].notna()]
                if not called.empty:
                    row |= dict(zip(CALLED, encoding(inputs, called, carrying), strict=True))
        else:
            own = (inputs.images["label"] == attacked).to_numpy(dtype=bool)
            position = labels.get(attacked, 0)  # a class that was left out has no images
            sides = (y[:, position], own[val], carrying[val])
            auc = gaps.measured(f"planted.{plant}", partial(spurious_auc, *sides))
            ids = [finding_id for finding_id, found in right.items() if found == plant]
            row |= {"found": bool(ids), "finding_ids": " ".join(ids)}
            if auc is not None:
                row |= {"spurious_auc": auc, "fallen": auc < FALLEN_AUC}
        rows.append(row)
    return pd.DataFrame(rows, columns=PLANT_COLUMNS)


def modes_right(table: pd.DataFrame, right: dict[str, str | None], modes: dict[str, str]) -> float:
    """Fraction of the right findings whose mode is their plant's.

    Raises:
        ValueError: no finding is right.
    """
    true = dict(zip(table["plant"], table["mode"], strict=True))
    found = [modes[finding] == true[plant] for finding, plant in right.items() if plant is not None]
    if not found:
        raise ValueError("no finding is right: the share of right modes is undefined")
    return sum(found) / len(found)


def metrics(
    table: pd.DataFrame, right: dict[str, str | None], modes: dict[str, str]
) -> dict[str, object]:
    """`failures.planted` in total and by mode, `shortcut.planted` by plant.

    Args:
        table: of `plants`.
        right: finding → the plant that makes it right, None where it is wrong.
        modes: finding → its mode.
    """
    result: dict[str, object] = {}
    prompts = table[table["mode"] != SHORTCUT]
    if not prompts.empty:
        fallen = prompts[prompts["fallen"].eq(True)]
        planted: dict[str, object] = {**precision_recall(right, set(fallen["plant"]))}
        if any(right.values()):
            planted["modes_right"] = modes_right(prompts, right, modes)
        planted["plants"] = len(prompts)
        planted["fallen"] = len(fallen)
        planted["recall_by_mode"] = {
            str(mode): len(set(part["plant"]) & set(right.values())) / len(part)
            for mode, part in fallen.groupby("mode")
        }
        planted["fallen_by_mode"] = {
            str(mode): int(part["fallen"].eq(True).sum()) for mode, part in prompts.groupby("mode")
        }
        result["failures"] = {"planted": planted}
    found = table[(table["mode"] == SHORTCUT) & table["component"].notna()]
    if not found.empty:
        result["shortcut"] = {
            "planted": {
                row["plant"]: {
                    key: float(row[key]) if key.endswith("auc") else int(row[key])
                    for key in (*ENCODING, *CALLED)
                    if pd.notna(row[key])
                }
                for row in found.to_dict("records")
            }
        }
    return result
