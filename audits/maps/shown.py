"""Which component is mapped in which image: what the report has pictures of, then its page of
components."""

from collections.abc import Iterator
from itertools import zip_longest

import pandas as pd

from audits.maps.pictures import Sheet

A_GROUP = 6
"""Hidden concepts of a group, by strength."""


def pairs(
    findings: pd.DataFrame,
    candidates: pd.DataFrame,
    hidden: pd.DataFrame,
    packed: list[Sheet],
    gallery: int,
    most: int,
) -> list[tuple[str, int]]:
    """Image and component of each map, none twice, in the order in which the report fills up.

    What is left goes to the page of components: the first picture of each, the second, and so on.

    Args:
        findings: component, held and example_ids of the audit `failures`.
        candidates: component and top_images of the audit `shortcut`.
        hidden: component, group and top_images of the audit `concepts`, the strongest first.
        packed: pictures of the page of components, of which those come first that are looked at
            first.
        gallery: images of a component that the report shows.
        most: pairs at most.
    """
    tables = (
        candidates[["component", "top_images"]],
        hidden.groupby("group").head(A_GROUP)[["component", "top_images"]],
        findings.sort_values("held", ascending=False, kind="stable")[["component", "example_ids"]],
    )
    found = dict.fromkeys(pair for table in tables for pair in _pairs(table, gallery))
    found |= dict.fromkeys(_in_rounds(packed))
    return list(found)[:most]


def _pairs(table: pd.DataFrame, gallery: int) -> Iterator[tuple[str, int]]:
    for component, images in table.itertuples(index=False):
        for image in str(images).split()[:gallery]:
            yield image, int(component)


def _in_rounds(packed: list[Sheet]) -> Iterator[tuple[str, int]]:
    """The first picture of every component, then the second."""
    of_component = [
        [(image, component) for image in images]
        for sheet in packed
        for component, images in zip(sheet.components, sheet.image_ids, strict=True)
    ]
    for pictures in zip_longest(*of_component):
        yield from (pair for pair in pictures if pair is not None)
