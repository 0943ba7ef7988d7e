"""Findings as a dataset that FiftyOne imports: its FiftyOneImageClassificationDataset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from audits.report import wording
from pipeline.places import Place

__all__ = ["labels"]

SAID = ("finding_id", "class", "component", "mode", "confirmed", "verdict")
"""Columns of findings.csv that a sample says of its finding."""
NO_EVIDENCE: Mapping[str, str | None] = {}


def labels(
    findings: pd.DataFrame,
    manifest: pd.DataFrame,
    root: Place,
    shows: Mapping[str, str | None] = NO_EVIDENCE,
) -> tuple[dict[str, Any], list[str]]:
    """FiftyOne's labels.json: the images that findings.csv names of each finding, those on which
    its component is strongest, with a classification for each finding; and the images that are left
    out since they are in an archive, in a store or gone: FiftyOne cannot open them.

    Args:
        findings: an audit's findings.csv.
        manifest: image_id, path below root, and label.
        root: of the dataset's images.
        shows: finding → what its images show, as its evidence has it.

    Returns:
        `classes`, and `labels`: absolute path of an image → classifications, whose `label` is what
        the class also answers to, as the report's card says it ("bat: cricket bat"). Of a finding
        that is not in `shows` it is the component's name, or the mode where it has none but the
        class's. `attributes` name the finding and the image's own label. And ids, in order.
    """
    ids = manifest["image_id"].tolist()
    paths = dict(zip(ids, manifest["path"].tolist(), strict=True))
    labelled = dict(zip(ids, manifest["label"].tolist(), strict=True))
    found: dict[str, list[dict[str, Any]]] = {}
    left_out = set()
    for finding in findings.to_dict("records"):
        if finding["finding_id"] in shows:
            also = wording.also(finding["mode"], shows[finding["finding_id"]] or "")
        else:
            named = _text(finding["component_label"])
            also = finding["mode"] if named in ("", finding["class"]) else named
        about = {column: _text(finding[column]) for column in SAID}
        for image_id in str(finding["example_ids"]).split():
            path = root / paths[image_id]
            if not (isinstance(path, Path) and path.is_file()):
                left_out.add(image_id)
                continue
            one = {
                "label": f"{finding['class']}: {also}",
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
