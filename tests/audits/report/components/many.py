"""An audit of 30,000 components, as far as the page of components goes."""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from audits.maps.pictures import EDGE, QUALITY, PartsByPair, Sheet, sheets, table_of, veiled
from audits.names import distinct_names
from audits.report.components.page import components_page
from audits.report.sources import read_sources
from pipeline import layout
from tests.audits.report.conftest import settings
from tests.audits.report.invented import AUDIT, build

COMPONENTS, NAMES, CLASSES, GALLERY = 30_000, 21_843, 1000, 8
DISTINCT = 16
"""Sheets that differ, and maps; the others are links to them."""
PATCHES = (7, 7)
"""Of ViT-B/32."""


def name(number: int) -> str:
    return f"Thing No. {number:05d}, of some longer name"


def write_many(root: Path) -> Path:
    """Leave the page and the sheets under root, the current directory; the page's path."""
    rng = np.random.default_rng(0)
    build(root)
    component = np.arange(COMPONENTS)
    labels = pd.DataFrame({"component": component.astype(np.int32)})
    chosen = rng.integers(NAMES, size=(COMPONENTS, 6))
    labels["label"] = [name(number) for number in chosen[:, 0]]
    labels["kind"] = [("object", "background", None)[number % 3] for number in component]
    labels["runners_up"] = [[name(number) for number in row] for row in chosen[:, 1:]]
    labels["margins"] = list(np.sort(rng.uniform(size=(COMPONENTS, 5)), axis=1))
    for column in ("alignment", "clarity", "polysemanticity", "name_auroc"):
        labels[column] = rng.uniform(size=COMPONENTS)
    labels["name_fits"] = labels["name_auroc"] > 0.8
    labels["activations"] = rng.integers(20, 100_000, COMPONENTS)
    labels["mean_top20"] = rng.uniform(1, 9, COMPONENTS)
    labels["top_images"] = [
        [f"train/n{c % CLASSES:08d}/n{c % CLASSES:08d}_{i:05d}" for i in range(20)]
        for c in component
    ]
    about = pd.DataFrame({"component": component, "largest": rng.uniform(5, 20, COMPONENTS)})
    about["activations"] = list(rng.integers(0, 9999, (COMPONENTS, 16)))
    about["neighbours"] = list(rng.integers(COMPONENTS, size=(COMPONENTS, 6)))
    about["cosines"] = list(np.sort(rng.uniform(size=(COMPONENTS, 6)))[:, ::-1])
    classes = [f"n{number:08d}" for number in range(CLASSES)]
    about["class"] = np.array(classes)[rng.integers(CLASSES, size=COMPONENTS)]
    about["class_auroc"] = rng.uniform(0.5, 1, COMPONENTS)
    about["redundancy"] = [cosines[0] for cosines in about["cosines"]]
    for column in ("mean_top5", "mean_activation", "monosemanticity", "written"):
        about[column] = rng.uniform(size=COMPONENTS)
    called = distinct_names(
        {"label": one, "name": f"bird {one}", "short": f"bird {one}"} for one in classes
    )
    relevance = pd.DataFrame({"component": np.repeat(component, 5)})
    relevance["class"] = np.array(classes)[rng.integers(CLASSES, size=len(relevance))]
    relevance["mean"] = rng.normal(0, 0.01, len(relevance))
    packed = sheets(labels, [5, 12, 31], GALLERY)
    images = [image for sheet in packed for ids in sheet.image_ids for image in ids]
    manifest = pd.DataFrame({"image_id": sorted(set(images)), "split": "train"})
    manifest["label"] = [image.split("/")[1] for image in manifest["image_id"]]
    manifest["path"] = manifest["image_id"]
    folder = layout.audit(AUDIT, "maps") / "pictures"
    shapes = rng.normal(size=(DISTINCT, *PATCHES)).astype(np.float32)
    maps = {
        (image, one): shapes[(one + place) % DISTINCT]
        for sheet in packed
        for one, ids in zip(sheet.components, sheet.image_ids, strict=True)
        for place, image in enumerate(ids)
    }
    _write_sheets(folder, packed, maps, rng)
    invented = read_sources(AUDIT, settings(root))
    uniform = {"component": component, "stability": rng.uniform(size=COMPONENTS)}
    sources = replace(
        invented,
        labels=labels,
        about=about,
        relevance=relevance,
        manifest=manifest,
        stability=pd.DataFrame(uniform),
        writing=pd.DataFrame(uniform).rename(columns={"stability": "writing"}),
        pictures=table_of(packed, maps),
        findings=invented.findings.assign(**{"class": classes[0]}),
    )
    page = layout.report(AUDIT) / "components.html"
    page.parent.mkdir(parents=True)
    page.write_text(components_page(sources, called), encoding="utf-8")
    return root / page


def _write_sheets(
    folder: Path, packed: list[Sheet], maps: PartsByPair, rng: np.random.Generator
) -> None:
    """Sheets of pictures whose spectrum falls as that of photographs does, all of them mapped."""
    for old in folder.iterdir():
        old.unlink()
    columns = max(map(len, packed[0].image_ids))
    far = np.hypot(np.fft.fftfreq(EDGE)[:, None], np.fft.fftfreq(EDGE)[None])
    far[0, 0] = 1
    made = []
    for sheet in packed[:DISTINCT]:
        waves = rng.normal(size=(16, columns, 3, EDGE, EDGE, 2)) @ [1, 1j]
        field = np.fft.ifft2(waves / far).real
        field /= field.std(axis=(3, 4), keepdims=True)
        pixels = np.clip(128 + 55 * field, 0, 255).astype(np.uint8).transpose(0, 3, 1, 4, 2)
        buffer = io.BytesIO()
        picture = Image.fromarray(pixels.reshape(16 * EDGE, columns * EDGE, 3))
        picture.save(buffer, "JPEG", quality=QUALITY, optimize=True)
        over = veiled(sheet, maps, columns)
        assert over is not None
        veils = io.BytesIO()
        over.save(veils, "PNG", optimize=True)
        made.append({"jpg": buffer.getvalue(), "png": veils.getvalue()})
    for number in range(len(packed)):
        for kind, content in made[number % DISTINCT].items():
            path = folder / f"{number:05d}.{kind}"
            if number < DISTINCT:
                path.write_bytes(content)
            else:
                os.link(folder / f"{number % DISTINCT:05d}.{kind}", path)
