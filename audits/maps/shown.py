"""Which component is mapped in which image: what the report has pictures of."""

from collections.abc import Iterator

import pandas as pd

A_GROUP = 6
"""Hidden concepts of a group, by strength."""
MOST = 1000
"""Maps of an audit; the report has no room for more pictures."""


def pairs(
    findings: pd.DataFrame, candidates: pd.DataFrame, hidden: pd.DataFrame, gallery: int
) -> list[tuple[str, int]]:
    """Image and component of each map, none twice, in the order in which the report fills up.

    Args:
        findings: component, confirmed and example_ids of the audit `failures`.
        candidates: component and top_images of the audit `shortcut`.
        hidden: component, group, mean_top20 and top_images of the audit `concepts`.
        gallery: images of a component that the report shows.
    """
    strongest = hidden.sort_values(["mean_top20", "component"], ascending=[False, True])
    tables = (
        candidates[["component", "top_images"]],
        strongest.groupby("group").head(A_GROUP)[["component", "top_images"]],
        findings.sort_values("confirmed", ascending=False, kind="stable")[
            ["component", "example_ids"]
        ],
    )
    found = dict.fromkeys(pair for table in tables for pair in _pairs(table, gallery))
    return list(found)[:MOST]


def _pairs(table: pd.DataFrame, gallery: int) -> Iterator[tuple[str, int]]:
    for component, images in table.itertuples(index=False):
        for image in str(images).split()[:gallery]:
            yield image, int(component)
