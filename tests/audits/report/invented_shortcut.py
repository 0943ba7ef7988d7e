"""What an invented shortcut audit leaves for a report."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.artifacts.store import write_json, write_table


def write_shortcut(folder: Path, applies: bool, shown: list[str]) -> None:
    """Its tables and metrics, empty where none applies.

    Args:
        folder: of the stage.
        applies: whether the audit has one.
        shown: ids of images that its components fire on.
    """

    def ends(name: str, value: float) -> dict[str, float]:
        return {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}

    def spelled(value: float) -> dict[str, float]:
        return {"value": value, "low": value - 0.05, "high": value + 0.05}

    shares = {"12": {"share": 0.061, "label": "red hue"}, "5": {"share": 0.03, "label": "border"}}
    sides = ("positive", "negative", "balanced")
    metrics = {
        "shortcut": {
            **shares,
            "auroc": spelled(0.83),
            "accuracy": {side: spelled(0.8) for side in sides},
            "images": {"positive": 40, "negative": 60},
            "target": {"shift": "red_2", "side": "positive", "component": 12},
            "recommended": "shift_penalty",
        }
    }
    write_json(folder / "metrics.json", metrics if applies else {})
    ids = " ".join(shown)
    components = [
        {"component": 12, "label": "red hue", "kind": "colour", "called": "red_2", "share": 0.061},
        {"component": 5, "label": "border", "kind": "lesion", "called": None, "share": 0.03},
    ]
    evidence = {"mean_relevance": -0.1, "imbalance": -0.3, "colour": 0.6, "answer": -0.2}
    evidence |= {"colour_statistic": "red", "answer_shift": "red_2", "acquisition": 0.0}
    evidence |= {"acquisition_column": "site", "verdict": None, "top_images": ids}
    evidence |= {"object_covered": 0.9, "surroundings_covered": 0.2}
    components = [
        {**row, **evidence, "rank": rank, "suspect": rank == 1}
        for rank, row in enumerate(components, start=1)
    ]
    drops = {("red_1", 1, True): 0.1, ("red_2", 2, True): 0.22, ("red_4", 4, False): 0.6}
    shifts = [
        {
            **{"remedy": remedy, "shift": shift, "kind": "red", "strength": strength},
            **{"beyond": 0.1, "in_range": in_range, "side": side},
            **ends("accuracy", 0.81 - drop * share),
            **ends("drop", drop * share),
            **ends("alone", drop * share if in_range else np.nan),
            "proven": remedy == "standard" and side == "positive" and in_range,
            "fragile": remedy == "standard" and side == "negative" and strength == 1,
        }
        for remedy, share in (("standard", 1.0), ("shift_penalty", 0.25))
        for (shift, strength, in_range), drop in drops.items()
        for side in sides
    ]
    remedies = [
        {
            **{"remedy": remedy, "setting": setting, "recommended": remedy == "shift_penalty"},
            **{"recommended_matched": False, "share": 0.02},
            **ends("price_matched", -0.01),
            **ends("plain", 0.81),
            **ends("shifted", 0.81 - drop),
            **ends("drop", drop),
            **ends("relief", 0.22 - drop),
            **ends("price", 0.01),
            **ends("auroc", 0.8),
            **{"other_drop": 0.04, "other_shift": "patch_2"},
        }
        for remedy, setting, drop in (
            ("standard", None, 0.22),
            ("latent_augmentation", 0.5, 0.2),
            ("shift_penalty", 100, 0.055),
        )
    ]
    group = {"column": "site", "group": "<arm>", "side": "positive", "images": 25}
    tables = {
        "components": components,
        "shifts": shifts,
        "remedies": remedies,
        "sweep": remedies[1:],
        "subgroups": [{**group, **ends("accuracy", 0.4)}],
        "calibration": [{"predicted": 0.2, "observed": 0.3}, {"predicted": 0.8, "observed": 0.7}],
    }
    for name, rows in tables.items():
        table = pd.DataFrame(rows)
        write_table(folder / f"{name}.csv", table if applies else table.iloc[:0])
