"""What was done to the pixels of a dataset's images before the model saw them."""

from collections.abc import Mapping
from typing import Any

from audits.report import wording

PHRASES = {
    "shown": {
        "rotated": "{} turned as the orientation tag says",
        "transparent": "{} put on white where transparent",
    },
    "stored": {
        "rotated": "{} left lying as stored though an orientation tag turns it in a viewer",
        "transparent": "{} taken without its transparency, in the colours stored beneath",
    },
}
COMMON = {
    "cmyk": "{} converted from CMYK without a colour profile",
    "frames": "{} reduced to the first of its frames",
    "blank": "{} left one flat colour by that",
}
"""Phrase by kind, see pipeline.datasets.pixels.KINDS."""


def pixels(dataset: Mapping[str, Any]) -> list[str]:
    """A sentence where any image is not simply its stored pixels, else none.

    Args:
        dataset: content of `dataset.json`.
    """
    about = dataset["pixels"]
    phrases = PHRASES[about["as"]] | COMMON
    said = [phrases[kind].format(f"{about[kind]:,}") for kind in phrases if kind in about]
    if "deep" in about:
        said.insert(0, _deep(about["deep"], about["bits"]))
    if not said:
        return []
    return [
        f"Pixels, of {wording.counted(dataset['counts']['images'], 'image')}: {'; '.join(said)}."
    ]


def _deep(needed: Mapping[str, int], bits: int) -> str:
    text = f"{sum(needed.values()):,} of more than 8 bits a channel scaled to 8"
    if bits > 8:
        text += f" from {bits}, the most that one of them needs"
    if len(needed) > 1:
        each = wording.listed([f"{count:,} need {own}" for own, count in needed.items()])
        text += f" ({each}, and what needs fewer is darker than by itself)"
    return text
