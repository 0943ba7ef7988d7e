"""The audit's tables as metrics."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from audits.shortcut.remedies import STANDARD
from audits.shortcut.uncertainty import Interval


def spelled(interval: Interval) -> dict[str, float]:
    """An interval as metrics."""
    return dict(interval._asdict())


def component_metrics(candidates: pd.DataFrame) -> dict[str, Any]:
    """Share and name of each candidate."""
    return {
        str(row["component"]): {
            "share": float(row["share"]),
            "label": None if pd.isna(row["label"]) else str(row["label"]),
        }
        for row in candidates.to_dict("records")
    }


def shift_metrics(shown: pd.DataFrame) -> dict[str, Any]:
    """Drop of each side under each shift, of the standard classifier on held-out images."""
    found: dict[str, Any] = {}
    for row in shown[shown["remedy"] == STANDARD].to_dict("records"):
        one = {"accuracy": row["accuracy"], **_ends(row, "drop")}
        found.setdefault(row["shift"], {})[row["side"]] = one
    return found


def remedy_metrics(compared: pd.DataFrame) -> dict[str, Any]:
    """Drop, relief, price, AUROC and the component's share of each remedy on held-out images."""
    rows = compared.drop_duplicates("remedy") if len(compared) else compared
    return {
        row["remedy"]: {name: _ends(row, name) for name in ("drop", "relief", "price", "auroc")}
        | {"share": row["share"]}
        | ({} if pd.isna(row["price_matched"]) else {"price_matched": _ends(row, "price_matched")})
        for row in rows.to_dict("records")
    }


def _ends(row: Mapping[Any, Any], name: str) -> dict[str, float]:
    return {key: float(row[key]) for key in (name, f"{name}_low", f"{name}_high")}
