"""An invented audit, as its stages leave it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.artifacts.store import write_json, write_table
from tests.audits.report.invented_shortcut import write_shortcut

AUDIT, DATASET, EMBEDDINGS = "zoo-small", "zoo", "zoo-shared"
CLASSES = [
    {"label": "bat", "name": "bat, flying mammal", "short": "bat"},
    {"label": "bold", "name": "<b>, a tag", "short": "<b>"},
    {"label": "club", "name": "cricket club | stick", "short": "club|stick"},
]
FORMS = ("short", "templates", "extended", "both", "linear")
FINDINGS = [
    # id, class, component, component_label, mode, score, confirmed, verdict
    ("f-0007", "bold", 31, "<script>alert(1)</script>", "typography", 9.0, False, ""),
    ("f-0001", "bat", 12, "cricket bat", "polysemy", 4.5, True, "accept"),
    ("f-0003", "club", 5, "", "spurious", 7.25, True, ""),
]
GIVEN = {
    "finding_id": "f-0001",
    "verdict": "accept",
    "mode": "polysemy",
    "note": "'=the </script> bat",
    "reviewer": "Ada",
    "date": "2026-01-31",
}
"""What a person said of f-0001, whose suggested mode was compound."""


def image_ids(label: str) -> list[str]:
    return [f"val/{label}/{i}" for i in range(5)]


def build(
    root: Path,
    *,
    shortcut: bool = True,
    planted: bool = True,
    findings: bool = True,
    reviewed: bool = True,
) -> None:
    """Leave under root what the stages of an audit leave."""
    data = root / "data"
    _dataset(root)
    write_json(
        data / "heads" / EMBEDDINGS / "model.json",
        {
            "model": "test",
            "weights_sha256": "ab" * 32,
            "preprocessing": {"size": 64, "mean": [0.5, 0.5, 0.5], "resize_mode": "shortest"},
            "d_pre": 48,
            "d_post": 32,
            "device": "cpu",
            "dtype": "float32",
            "precision": "float32",
            "cosine_to_float32": 1.0,
            "parameters": 9_700_000,
        },
    )
    _sae(data)
    audit = data / "audits" / AUDIT
    rows = FINDINGS if findings else []
    _findings(audit, rows, reviewed)
    _robustness(audit / "robustness", rows)
    _faithfulness(audit / "faithfulness")
    _concepts(audit / "concepts")
    write_shortcut(audit / "shortcut", shortcut, image_ids("bold"))
    _maps(audit / "maps", rows)
    _validate(audit / "validate", planted, shortcut)


def _dataset(root: Path) -> None:
    rows = []
    for shade, entry in enumerate(CLASSES):
        for i, image_id in enumerate(image_ids(entry["label"])):
            path = root / "raw" / f"{image_id}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 30), (80 * shade, 50 * i, 90)).save(path)
            rows.append((image_id, f"{image_id}.png", "val", entry["label"]))
    manifest = pd.DataFrame(rows, columns=["image_id", "path", "split", "label"])
    folder = root / "data" / "manifests" / DATASET
    write_table(folder / "manifest.parquet", manifest)
    about = {
        "name": DATASET,
        "fingerprint": "0123456789abcdef" * 4,
        "counts": {"images": 15, "splits": {"val": 15}, "labels": {}, "groups": 15},
        "classes": CLASSES,
        "licence": None,
        "pixels": {"as": "shown", "bits": 8, "rotated": 2},
        "excluded_classes": [{"label": "gnu", "reason": "it has no train image"}],
        "excluded": [{"path": "val/bat/broken.png", "reason": "truncated <image>"}],
        "notes": ["5 of 9 rows of the table have no image"],
    }
    write_json(folder / "dataset.json", about)


def _sae(data: Path) -> None:
    folder = data / "saes" / AUDIT
    columns = ["epoch", "loss", "explained_variance", "cosine", "l0", "alive_fraction"]
    columns += ["dead_fraction"]
    curves = [
        (1, 0.5, 0.6, 0.8, 4.0, 0.99, 0.01),
        (2, 0.2, 0.9, 0.95, 4.0, 0.97, 0.03),
        (3, 0.1, 0.91, 0.95, 4.0, 0.97, 0.03),
    ]
    write_table(folder / "curves.csv", pd.DataFrame(curves, columns=columns))
    density = pd.DataFrame(
        [
            (epoch, low, low + 1, count)
            for epoch, counts in ((1, (64, 0)), (2, (50, 14)), (3, (40, 20)))
            for low, count in zip((-3.0, -2.0), counts, strict=True)
        ],
        columns=["epoch", "low", "high", "count"],
    )
    write_table(folder / "density.csv", density)
    sae = {
        "explained_variance": 0.9123456789,
        "alive_fraction": 0.97,
        "cosine": 0.95,
        "l0": 4.0,
        "zero_shot_agreement": 0.95,
    }
    audit = data / "audits" / AUDIT
    write_json(audit / "sae" / "metrics.json", {"sae": sae})
    stable = pd.DataFrame({"component": [5, 12, 31, 40], "stability": [0.9, 0.25, np.nan, 0.5]})
    write_table(audit / "stability" / "components.parquet", stable)
    stability = {"seeds": 3, "components": 62, "matched_fraction": 0.6, "mean_cosine": 0.8}
    stability |= {"matched_fraction_apart": 0.55, "image_fraction": 0.15}
    write_json(audit / "stability" / "metrics.json", {"stability": stability})
    write_json(audit / "probe" / "metrics.json", {"probe": {"separation": 0.9}})
    plain = pd.DataFrame({"component": [12], "picture": ["red"], "answer": [0.97]})
    write_table(audit / "probe" / "plain.parquet", plain)
    written = pd.DataFrame({"component": [31, 12, 5], "writing": [0.9375, 0.5, 0.4375]})
    write_table(audit / "probe" / "components.parquet", written)
    labels = pd.DataFrame(
        {
            "component": [31, 5, 12, 8, 9, 40],
            "label": ["x", None, "cricket bat", "stick", "wing", "x"],
            "kind": ["writing", None, "object", "object", None, "writing"],
            "alignment": [0.1, np.nan, 0.3125, 0.05, 0.04, 0.2],
            "clarity": [0.2, np.nan, 0.7, 0.3, 0.8, 0.5],
            "polysemanticity": [0.9, np.nan, 0.125, 0.6, 0.1, 0.4],
            "activations": [30, 3, 50, 40, 40, 40],
            "mean_top20": [1.0, 0.1, 5.0, 6.0, 5.0, 1.0],
            "top_images": [image_ids("bold"), [], *[image_ids("bat")] * 4],
            "runners_up": [["</script>", "ünder"], [], ["stick", "x"], ["x"], ["x"], ["stick"]],
            "margins": [[0.03125, 0.5], [], [0.0625, 0.25], [0.2], [0.1], [0.3]],
            "name_auroc": [0.9, np.nan, 0.875, 0.55, 0.75, np.nan],
            "name_fits": pd.Series([True, None, True, False, True, None], dtype="boolean"),
        }
    )
    write_table(data / "labels" / f"{AUDIT}.parquet", labels)
    relevance = pd.DataFrame(
        {
            "class": pd.Categorical(["bat", "club", "bold", "bat"], [c["label"] for c in CLASSES]),
            "component": [12, 12, 12, 31],
            "mean": [0.0078125, -0.03125, 0.015625, 0.25],
        }
    )
    write_table(data / "references" / AUDIT / "reference.parquet", relevance)


def _findings(audit: Path, rows: list[tuple[Any, ...]], reviewed: bool) -> None:
    columns = ["finding_id", "class", "component", "component_label", "mode", "score"]
    table = pd.DataFrame(rows, columns=[*columns, "confirmed", "verdict"])
    # All that is confirmed held; of what is not, component 31's held without being found again.
    table["held"] = table["confirmed"] | (table["component"] == 31)
    # Component 31 had another index in an SAE before.
    table["component_id"] = table["component"].replace(31, 726)
    table["images"], table["max_z"], table["q_value"] = 17, 21.5, 0.003
    table["stability"] = [0.25 if row[2] == 12 else None for row in rows]
    table["recurrence"], table["recurrence_random"] = 0.5, 0.0625
    table["recurrence_low"], table["recurrence_high"] = 0.09375, 0.90625
    table["confidence"], table["review_again"], table["status"] = 0.625, False, "new"
    table["example_ids"] = " ".join(image_ids("bat")[:2] + image_ids("club")[:3])
    about: dict[str, Any] = {
        "mode_reason": "the images' own classes say so",
        "suggested_mode": "compound",
        "mode_alternatives": [{"mode": "typography", "strength": 0.25, "reason": "it is written"}],
        "test": "excess",
        "reason": "on 9 of 17 candidates the component matters more",
        "p_value": 0.0005,
        "tail": 0.03125,
        "confirmation_p": 0.0125,
        "as_high": 11,
        "review": None,
        "review_again": [],
    }
    evidence = {
        row[0]: about
        | {"shows": row[3], "images": image_ids("bat"), "components": [row[2]]}
        | {"repeats": row[6] or row[2] == 31}
        for row in rows
    }
    gone: list[tuple[str, ...]] = []
    if rows and reviewed:
        evidence["f-0001"] |= {"review": GIVEN, "review_again": ["shares 31% of its images"]}
        table.loc[table["finding_id"] == "f-0001", "review_again"] = True
        table.loc[table["finding_id"] == "f-0001", "status"] = "persists"
        gone = [("f-0009", "gnu", "reject", "", "gone, <b>"), ("f-0010", "bat", "", "", "")]
    elif rows:
        table["verdict"] = None
    table["mode_source"] = ["person" if evidence[row[0]]["review"] else "suggested" for row in rows]
    folder = audit / "review"
    write_table(folder / "findings.csv", table)
    write_json(folder / "evidence.json", evidence)
    gone_columns = ["finding_id", "class", "verdict", "mode", "note"]
    write_table(folder / "gone.csv", pd.DataFrame(gone, columns=gone_columns))
    changes = {
        "accepted": int((table["verdict"] == "accept").sum()),
        "rejected": 0,
        "new": int((table["status"] == "new").sum()),
        "persisting": int((table["status"] == "persists").sum()),
        "gone": len(gone),
        "review_again": int(table["review_again"].sum()),
        "confirmed": int(table["confirmed"].sum()) if rows else 0,
    }
    write_json(folder / "metrics.json", {"failures": changes})
    failures = {
        "flags": 2 * len(rows),
        "findings": len(rows),
        "held": int(table["held"].sum()) if rows else 0,
        "mistaken": 40,
        "mistaken_found": 30,
        "expected_false_flags": 0.25,
        "expected_false_flags_analytic": 0.375,
    }
    write_json(audit / "failures" / "metrics.json", {"failures": failures})
    again: dict[str, float] = {"runs": 2, "findings": len(rows)}
    if rows:
        again |= {"found_again": 0.75, "random": 0.25, "random_class": 0.03125, "held": 0.8}
        again |= {"all_images": 0.875}
        again |= {"in_all": 2 / len(rows), "in_all_low": 0.2, "in_all_high": 0.9, "in_none": 0.0}
    write_json(audit / "recurrence" / "metrics.json", {"recurrence": again})


def _robustness(folder: Path, rows: list[tuple[Any, ...]]) -> None:
    auc = {"spurious_auc": 0.625, "spurious_sem": 0.03, "valid_auc": 0.96875, "valid_sem": 0.01}
    auc |= {"spurious_low": 0.5625, "spurious_high": 0.75, "valid_low": 0.95, "valid_high": 0.98}
    auc |= {"spurious_ap": 0.5375, "valid_ap": 0.90625}
    better = auc | {"spurious_auc": 0.875}
    by_form = {form: better if form == "both" else auc for form in FORMS}
    alone = {"spurious_auc": 0.5, "valid_auc": 0.9, "spurious_ap": 0.4, "valid_ap": 0.8}
    single = {form: alone for form in FORMS}
    robustness: dict[str, Any] = {"by_mode": {}, "differences": {}, "findings": 0}
    if rows:
        gain = {"mean": 0.25, "sem": 0.1, "low": 0.0625, "high": 0.375, "findings": 3}
        differences = {
            "templates": {"all": gain | {"mean": -0.0125, "low": -0.125}},
            "both": {"all": gain, "polysemy": {"mean": 0.5, "findings": 1}},
        }
        robustness = {
            **by_form,
            "by_mode": {"polysemy": single, "ready_made": single},
            "differences": differences,
            "findings": len(rows),
        }
    left_out = pd.DataFrame({"finding_id": ["f-0007"], "reason": ["3 distractors of 5"]})
    write_table(folder / "left_out.csv", left_out if rows else left_out[:0])
    accuracy = {"short": 0.8}
    write_json(folder / "metrics.json", {"robustness": robustness, "accuracy": accuracy})
    # Of one finding robustness could not be measured.
    measured = [row for row in rows if row[0] != "f-0007"]
    forms = [
        (row[0], row[4], form, 9, 0.61, 0.97, 0.4375 if form == "short" else 0.3, 0.015625)
        for row in measured
        for form in FORMS
    ]
    if rows:
        forms += [("bird feeder", "ready_made", form, 8, 0.7, 0.99, 0.3, 0.02) for form in FORMS]
    columns = ["finding_id", "mode", "form", "distractors", "spurious_auc", "valid_auc"]
    columns += ["distractors_taken", "others_taken"]
    write_table(folder / "findings.csv", pd.DataFrame(forms, columns=columns))


def _faithfulness(folder: Path) -> None:
    rows = []
    for protocol, sign in (("deletion_local", -1), ("insertion_local", 1)):
        for rank, method in enumerate(("act_grad", "energy", "random")):
            rows += [
                (protocol, method, step, 0.3 + sign * 0.02 * step / (1 + rank), 0.002)
                for step in range(4)
            ]
    columns = ["protocol", "method", "step", "y", "sem"]
    write_table(folder / "curves.csv", pd.DataFrame(rows, columns=columns))
    auc = {
        name: {"auc": value, "sem": 0.001}
        for name, value in (("act_grad", 0.21), ("energy", 0.25), ("random", 0.28))
    }
    faithfulness = {
        "deletion_local": auc,
        "insertion_local": auc,
        "error_dropped": {"deletion_local": auc, "insertion_local": auc},
        "ablation_correlation": {"act_grad": 0.9},
    }
    write_json(folder / "metrics.json", {"faithfulness": faithfulness})


def _concepts(folder: Path) -> None:
    concepts = {
        "components": 60,
        "left_out": 4,
        "hidden": 2,
        "threshold": {"activation": 4.5, "alignment": 0.06},
        "clarity": {"sae": 0.55, "pca": 0.12, "neuron": 0.31},
        "monosemanticity": 0.42,
        "written": 3,
        "clarity_activation_correlation": 0.7,
        "clarity_correlation": {"log_mean_activation": 0.2, "log_firing_rate": -0.1},
        "unique_labels": {"sae": 40, "pca": 9, "neuron": 11},
        "names": {"measured": 58, "auroc": 0.91, "chance": 0.8, "fit": 51, "none_fits": 7}
        | {"halves": 56, "survive": 0.75},
    }
    write_json(folder / "metrics.json", {"concepts": concepts})
    columns = ["component", "label", "alignment", "clarity", "group", "mean_top20"]
    columns += ["relevance", "class", "top_images"]
    ids = " ".join(image_ids("club"))
    rows: list[tuple[Any, ...]] = [
        (8, "stick", 0.05, 0.3, "low", 6.0, 0.02, "bat", ids),
        (9, "wing", 0.04, 0.8, "high", 5.0, None, None, ids),
    ]
    write_table(folder / "hidden.csv", pd.DataFrame(rows, columns=columns))
    components = pd.DataFrame({"component": [12, 31], "largest": [8.0, 2.5]})
    components["activations"] = [[0, 30, 20], [30, 0, 0]]
    components["neighbours"], components["cosines"] = (
        [[31, 8], [12, 9]],
        [[0.75, 0.5], [0.75, 0.25]],
    )
    components["class"], components["class_auroc"] = ["club", None], [0.97, np.nan]
    components["mean_top5"], components["mean_activation"] = [7.5, 2.0], [0.4, 0.05]
    components["firing_rate"], components["redundancy"] = [0.05, 0.025], [0.75, 0.75]
    components["monosemanticity"], components["written"] = [0.6, np.nan], [0.95, np.nan]
    write_table(folder / "components.parquet", components)
    bases = pd.DataFrame({"basis": ["pca", "pca", "neuron"], "clarity": [0.1, 0.2, 0.4]})
    write_table(folder / "bases.parquet", bases.assign(label="club"))


def _maps(folder: Path, rows: list[tuple[Any, ...]]) -> None:
    """Of each finding's component on images of bat, with its most at the bottom right."""
    pairs = [(image, row[2]) for row in rows for image in image_ids("bat")[:2]]
    table = pd.DataFrame(pairs, columns=["image_id", "component"])
    table["rows"], table["columns"], table["rest"] = 3, 4, 0.5
    table["parts"] = [np.arange(-5, 7, dtype=np.float32)] * len(pairs)
    write_table(folder / "maps.parquet", table)
    pictures = pd.DataFrame({"component": [12, 31, 8], "sheet": [0, 0, 1]})
    pictures["image_ids"] = [image_ids("bat")[:3], image_ids("bold")[:3], image_ids("club")[:1]]
    mapped = set(pairs)
    pictures["places"] = [
        ["40% at the bottom right" if (image, component) in mapped else "" for image in ids]
        for component, ids in zip(pictures["component"], pictures["image_ids"], strict=True)
    ]
    write_table(folder / "pictures.parquet", pictures)
    (folder / "pictures").mkdir(exist_ok=True)
    for number, rows_of in enumerate((2, 1)):
        sheet = Image.new("RGB", (3 * 64, rows_of * 64), (90, 40 + 100 * number, 120))
        sheet.save(folder / "pictures" / f"{number:05d}.jpg")
    if rows:
        veils = Image.new("LA", (3 * 4, 2 * 3), (0, 90))
        veils.save(folder / "pictures" / "00000.png")
    tested = {"drop": 0.375, "drop_random": 0.0625} if rows else {}
    write_json(folder / "metrics.json", {"maps": {"maps": len(pairs), **tested}})


def _validate(folder: Path, planted: bool, shortcut: bool) -> None:
    columns = ["plant", "class", "mode", "images", "spurious_auc", "fallen", "found", "finding_ids"]
    columns += ["component", "encoding_auc", "rank"]
    columns += ["called_component", "called_encoding_auc", "called_rank"]
    nothing = (None,) * 6
    rows: list[tuple[Any, ...]] = [
        ("polysemy-bat", "bat", "polysemy", 20, 0.71, True, True, "f-0001", *nothing),
        ("spurious-club", "club", "spurious", 18, 0.88, True, False, "", *nothing),
        ("typography-bold", "bold", "typography", 22, 0.99, False, False, "", *nothing),
    ]
    metrics: dict[str, Any] = {"failures": {"planted": {"recall": 0.5, "precision": 2 / 3}}}
    if shortcut:
        rows.append(
            ("red-hue", "bat", "shortcut", 9, None, None, None, "", 5, 0.98, 2, 12, 0.81, 1)
        )
        found = {"component": 5, "encoding_auc": 0.98, "rank": 2}
        found |= {"called_component": 12, "called_encoding_auc": 0.81, "called_rank": 1}
        metrics["shortcut"] = {"planted": {"red-hue": found}}
    write_table(folder / "plants.csv", pd.DataFrame(rows if planted else [], columns=columns))
    write_json(folder / "metrics.json", metrics if planted else {})
