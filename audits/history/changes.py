"""What changed from one version of a dataset to another."""

from typing import NamedTuple

import pandas as pd

__all__ = ["COLUMNS", "Difference", "compare"]

COLUMNS = ["image_id", "split", "label", "sha256"]
"""Of a manifest, those that are compared."""


class Difference(NamedTuple):
    """Images that differ between two versions; an image is known by its bytes."""

    added: pd.DataFrame
    """Columns image_id, split, label."""
    removed: pd.DataFrame
    """Columns image_id, split, label."""
    relabelled: pd.DataFrame
    """Columns image_id (the new one), old, new: labels."""
    moved: pd.DataFrame
    """Columns image_id (the new one), old, new: splits."""


def compare(old: pd.DataFrame, new: pd.DataFrame) -> Difference:
    """What changed between two manifests.

    Rows of equal bytes are matched one to one, those that agree in most first: a row of `new` that
    is left is added, one of `old` that is left is removed. Another name alone is no change.

    Args:
        old: columns COLUMNS.
        new: likewise.
    """
    pairs = []
    for agreeing in (["label", "split", "image_id"], ["label", "split"], ["label"], ["split"], []):
        matched, old, new = _match(old, new, ["sha256", *agreeing])
        pairs.append(matched)
    both = pd.concat(pairs, ignore_index=True)
    changes = []
    for key in ("label", "split"):
        before, after = both[f"{key}_old"], both[f"{key}_new"]
        differs = (before != after) & ~(before.isna() & after.isna())
        found = {"image_id": both["image_id_new"], "old": before, "new": after}
        changes.append(_sorted(pd.DataFrame(found)[differs]))
    columns = ["image_id", "split", "label"]
    return Difference(_sorted(new[columns]), _sorted(old[columns]), *changes)


def _match(
    old: pd.DataFrame, new: pd.DataFrame, keys: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Pairs of rows with equal keys, each row in one pair at most, and the rows without one."""
    sides = []
    for table in (old, new):
        side = table[COLUMNS].sort_values("image_id").reset_index(drop=True)
        # The n-th row of equal keys goes with the n-th of the other side.
        turn = side.groupby(keys, dropna=False).cumcount()
        shared = side[keys].assign(turn=turn, row=side.index)
        sides.append((side, shared))
    (old, left), (new, right) = sides
    rows = left.merge(right, on=[*keys, "turn"], suffixes=("_old", "_new"))
    matched = pd.concat(
        [
            side.loc[rows[f"row_{which}"]].add_suffix(f"_{which}").reset_index(drop=True)
            for side, which in ((old, "old"), (new, "new"))
        ],
        axis=1,
    )
    return matched, old.drop(rows["row_old"].tolist()), new.drop(rows["row_new"].tolist())


def _sorted(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values("image_id").reset_index(drop=True)
