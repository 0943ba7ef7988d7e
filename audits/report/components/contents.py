"""What the page of components holds: columns that are searched, and a line for each component."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from audits.report import wording
from audits.report.components.measures import MEASURES, columns, strongest
from audits.report.sources import Sources

CLASSES = 5
"""That a component matters for most."""
DIGITS = 4
"""Of numbers; those of the tables have more."""


class Numbers:
    """Texts by number, each once."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}

    def of(self, text: object) -> int:
        """The number of a text, −1 for none."""
        return self._of.setdefault(text, len(self._of)) if isinstance(text, str) and text else -1

    @property
    def texts(self) -> list[str]:
        """By number."""
        return list(self._of)


def contents(sources: Sources, called: Mapping[str, str], folder: str) -> dict[str, Any]:
    """What the page is searched, filtered and sorted by, a list with an entry a component each.

    Args:
        sources: of the report.
        called: label → name of the class.
        folder: where the sheets of pictures are, from the page.
    """
    table = columns(sources)
    names, kinds = Numbers(), Numbers()
    label = [names.of(text) for text in table["label"]]
    runners = [[names.of(text) for text in texts] for texts in table["runners_up"]]
    place = {label: number for number, label in enumerate(called)}
    measured = {key: value for key, value in MEASURES.items() if table[key].notna().any()}
    ids = table["component"].tolist()
    sheet, row, sizes = places(sources.pictures, ids)
    return {
        "components": ids,
        "label": label,
        "runners": runners,
        "kind": [kinds.of(text) for text in table["kind"]],
        "told": [place.get(label, -1) for label in table["class"]],
        "fits": [None if pd.isna(value) else bool(value) for value in table["name_fits"]],
        "findings": {at: found for at, found in enumerate(table["findings"]) if found},
        "candidate": np.flatnonzero(table["candidate"]).tolist(),
        "hidden": np.flatnonzero(table["hidden"]).tolist(),
        "plain": {at: text for at, text in enumerate(table["picture"]) if isinstance(text, str)},
        "measures": [
            {"key": key, "name": value.name, "meaning": value.meaning, "values": _plain(table[key])}
            for key, value in measured.items()
        ],
        "absent": [value.name for key, value in MEASURES.items() if key not in measured],
        "about_findings": {
            finding["finding_id"]: f"{called[finding['class']]}: {wording.MODES[finding['mode']]}"
            for finding in sources.findings.to_dict("records")
        },
        "classes": list(called.values()),
        "names": names.texts,
        "kinds": kinds.texts,
        "places": _places(sources.pictures),
        "train": int((sources.manifest["split"] == "train").sum()),
        "sheet": sheet,
        "row": row,
        "sheets": {"folder": folder, "rows": sizes, "columns": _most(sources.pictures)},
    }


def places(pictures: pd.DataFrame, components: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Sheet and row of each component's pictures, −1 where it has none, and the rows of sheets."""
    row = pictures.groupby("sheet").cumcount()
    of = pd.DataFrame({"sheet": pictures["sheet"], "row": row}).set_index(pictures["component"])
    found = of.reindex(components, fill_value=-1)
    sizes = pictures["sheet"].value_counts(sort=False).sort_index()
    return found["sheet"].tolist(), found["row"].tolist(), sizes.tolist()


def details(sources: Sources, called: Mapping[str, str]) -> Iterator[list[Any]]:
    """What the page shows of one component beside its measures, in the order of `contents`.

    The leads of its name, counts of images by activation, the largest activation, classes with mean
    relevance, neighbours with cosines, and pictures: image, class, and where it was mapped the
    number of the place where it fires.
    """
    table = sources.labels.sort_values("component")
    place = {label: number for number, label in enumerate(called)}
    relevance = strongest(sources.relevance, CLASSES)
    relevant = _by_component(relevance, [relevance["class"].map(place), relevance["mean"]])
    about = {row["component"]: row for row in sources.about.to_dict("records")}
    columns = (sources.pictures[column] for column in ("component", "image_ids", "places"))
    pictures = {row[0]: list(zip(*row[1:], strict=True)) for row in zip(*columns, strict=True)}
    where = {text: number for number, text in enumerate(_places(sources.pictures))}
    labels = dict(zip(sources.manifest["image_id"], sources.manifest["label"], strict=True))
    for component, margins in zip(table["component"], table["margins"], strict=True):
        own = about.get(component)
        shown = [
            [image, place.get(labels[image], -1), *([where[text]] if text else [])]
            for image, text in pictures.get(component, [])
        ]
        yield [
            _plain(margins),
            [] if own is None else own["activations"].tolist(),
            None if own is None else _short(own["largest"]),
            relevant.get(component, []),
            [] if own is None else _pairs(own["neighbours"], own["cosines"]),
            shown,
        ]


def as_json(data: Any) -> str:
    """Data as JSON that can stand in a page's script whatever texts it holds."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _by_component(table: pd.DataFrame, values: Sequence[pd.Series]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for component, *row in zip(table["component"], *values, strict=True):
        found.setdefault(component, []).append([int(row[0]), _short(row[1])])
    return found


def _pairs(components: Any, values: Any) -> list[list[Any]]:
    return [[int(one), _short(value)] for one, value in zip(components, values, strict=True)]


def _plain(values: Any) -> list[float | int | None]:
    return [_short(value) for value in values]


def _short(value: Any) -> float | int | None:
    """A number of any kind at DIGITS, a whole one as it is, None of NaN."""
    if value != value:
        return None
    return int(value) if value == int(value) else float(f"{value:.{DIGITS}g}")


def _places(pictures: pd.DataFrame) -> list[str]:
    """What is said of where components fire, each once."""
    return sorted({place for places in pictures["places"] for place in places if place})


def _most(pictures: pd.DataFrame) -> int:
    return max(map(len, pictures["image_ids"]), default=0)
