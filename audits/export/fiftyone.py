"""Findings as a dataset that FiftyOne imports: its FiftyOneImageClassificationDataset."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.places import Place

__all__ = ["labels"]

SAID = ("finding_id", "class", "component", "mode", "confirmed", "verdict")
"""Columns of findings.csv that a sample says of its finding."""


def labels(
    findings: pd.DataFrame, manifest: pd.DataFrame, root: Place
) -> tuple[dict[str, Any], list[str]]:
    """FiftyOne's labels.json: each image of a finding, with a classification for each finding; and
    the images that are left out since they are in an archive, in a store or gone: FiftyOne cannot
    open them.

    Args:
        findings: an audit's findings.csv.
        manifest: image_id, path below root, and label.
        root: of the dataset's images.

    Returns:
        `classes`, and `labels`: absolute path of an image → classifications, whose `label` is what
        the class also answers to ("bat: cricket bat"), or the mode where the component has no name
        but the class's; `attributes` name the finding and the image's own label. And ids, in order.
    """
    ids = manifest["image_id"].tolist()
    paths = dict(zip(ids, manifest["path"].tolist(), strict=True))
    labelled = dict(zip(ids, manifest["label"].tolist(), strict=True))
    found: dict[str, list[dict[str, Any]]] = {}
    left_out = set()
    for finding in findings.to_dict("records"):
        shown = _text(finding["component_label"])
        if shown in ("", finding["class"]):
            shown = finding["mode"]
        about = {column: _text(finding[column]) for column in SAID}
        for image_id in str(finding["example_ids"]).split():
            path = root / paths[image_id]
            if not (isinstance(path, Path) and path.is_file()):
                left_out.add(image_id)
                continue
            one = {
                "label": f"{finding['class']}: {shown}",
                "attributes": {
                    **about,
                    "image_id": image_id,
                    "labelled": _text(labelled[image_id]),
                },
            }
            found.setdefault(str(path.resolve()), []).append(one)
    names = sorted({one["label"] for several in found.values() for one in several})
    return {"classes": names, "labels": dict(sorted(found.items()))}, sorted(left_out)


def _text(value: Any) -> Any:
    """A cell as JSON says it; an empty one is an empty text."""
    return "" if pd.isna(value) else value
