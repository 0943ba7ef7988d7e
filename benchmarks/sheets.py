"""Sheets of pictures by which a person judges whether a finding is a failure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image, ImageDraw

from audits.names import distinct_names
from pipeline.artifacts.store import read_json, read_table
from pipeline.datasets.files import read_bytes
from pipeline.datasets.pixels import decode, reading_of

EDGE = 96
"""Of a picture, pixels."""
COLUMNS, ROWS, OWN_ROWS = 8, 4, 2
LINE = 16
"""Height of a line of text, pixels."""
CLASSES = 4
"""Classes that are named with their shares."""


class Pictures:
    """The images of a dataset."""

    def __init__(self, manifest: Path, root: Path) -> None:
        """
        Args:
            manifest: folder of the stage `prepare`.
            root: folder of the dataset.
        """
        table = read_table(manifest / "manifest.parquet", ["image_id", "path", "label", "split"])
        dataset = read_json(manifest / "dataset.json")
        self._table = table.set_index("image_id")
        self._names = distinct_names(dataset["classes"])
        self._reading = reading_of(dataset)
        self._root = root

    def name(self, label: str) -> str:
        """The name of a class."""
        return self._names[label]

    def of_class(self, label: str, split: str = "train") -> list[str]:
        """Images of a class."""
        table = self._table
        return table.index[(table["label"] == label) & (table["split"] == split)].tolist()

    def classes(self, image_ids: Sequence[str]) -> str:
        """The commonest classes of some images and their shares: "bee 62%, fly 20%"."""
        labels = Counter(self._table.loc[list(image_ids), "label"].dropna())
        total = max(1, labels.total())
        common = sorted(labels.items(), key=lambda pair: (-pair[1], pair[0]))
        shown = [f"{self.name(str(key))} {count / total:.0%}" for key, count in common[:CLASSES]]
        return ", ".join(shown) + (", …" if len(common) > CLASSES else "")

    def grid(self, image_ids: Sequence[str], rows: int) -> Image.Image:
        """As many images as fit into so many rows, spread evenly over those there are."""
        count = min(len(image_ids), rows * COLUMNS)
        chosen = [image_ids[at * len(image_ids) // count] for at in range(count)]
        sheet = Image.new("RGB", (COLUMNS * EDGE, rows * EDGE), "white")
        for at, image_id in enumerate(chosen):
            content = read_bytes(self._root, str(self._table.loc[image_id, "path"]))
            picture = decode(content, self._reading, EDGE).rgb
            picture = picture.resize((EDGE, EDGE), Image.Resampling.LANCZOS)
            sheet.paste(picture, (at % COLUMNS * EDGE, at // COLUMNS * EDGE))
        return sheet


def sheet(lines: Sequence[str], own: Image.Image, shown: Image.Image) -> Image.Image:
    """Lines of text, the class's own images, and those of a finding below."""
    top = LINE * (len(lines) + 1)
    height = top + own.height + LINE + shown.height
    page = Image.new("RGB", (shown.width, height), "white")
    draw = ImageDraw.Draw(page)
    for at, line in enumerate([*lines, "images of the class:"]):
        draw.text((2, at * LINE), line, "black")
    page.paste(own, (0, top))
    draw.text((2, top + own.height), "images of the finding:", "black")
    page.paste(shown, (0, top + own.height + LINE))
    return page


def write_sheets(
    folder: Path, findings: pd.DataFrame, images: Mapping[str, Sequence[str]], pictures: Pictures
) -> None:
    """A PNG for each finding, `findings.csv`, and `index.html` with those of no plant first.

    Args:
        folder: where; what lies there already is overwritten or stays.
        findings: of `worlds.listed`.
        images: finding → its images.
        pictures: of the dataset.
    """
    folder.mkdir(parents=True, exist_ok=True)
    findings.to_csv(folder / "findings.csv", index=False)
    page = ["<!doctype html><meta charset='utf-8'><title>findings</title>"]
    ranked = findings.loc[findings["plant"].notna().sort_values(kind="stable").index]
    for row in ranked.to_dict("records"):
        plant = "of no plant" if pd.isna(row["plant"]) else f"plant: {row['plant']}"
        held = "confirmed" if row["confirmed"] else "not confirmed"
        lines = [
            f'"{pictures.name(row["class"])}" by component "{row["component_label"]}", {plant}',
            f"suggested: {row['mode']} ({row['confidence']:.2f}), {held}, {row['images']} images: "
            f"{row['classes']}",
        ]
        own = pictures.grid(pictures.of_class(row["class"]), OWN_ROWS)
        shown = pictures.grid(images[row["finding_id"]], ROWS)
        name = f"{row['finding_id']}.png"
        sheet(lines, own, shown).save(folder / name)
        page.append(f"<p><img src='{name}' alt='{row['finding_id']}'>")
    (folder / "index.html").write_text("\n".join(page), encoding="utf-8")
