"""The page of an audit of ImageNet's size: 1,000 classes, 30,000 components, 1,400 findings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from audits.report.__main__ import write_report
from pipeline.artifacts.store import read_json, write_json, write_table
from tests.audits.report import invented
from tests.audits.report.conftest import settings
from tests.audits.report.invented import AUDIT, DATASET, build

CLASSES, FINDINGS, COMPONENTS, EACH, FILES = 1000, 1400, 30_000, 10, 64
MOST = 25_000_000
MODES = ("polysemy", "compound", "typography", "spurious")
SHOWN = {"gallery": 8, "thumbnail": 96}
"""Of the shipped settings."""
RNG = np.random.default_rng(0)
INVENTED = [entry["label"] for entry in invented.CLASSES]
LABELS = [*INVENTED, *(f"n{number:08d}" for number in range(CLASSES - len(INVENTED)))]
ENTRIES = [
    *invented.CLASSES,
    *(
        {"label": label, "name": f"{label}, some bird of the mountains", "short": f"bird {label}"}
        for label in LABELS[len(INVENTED) :]
    ),
]


def ids(label: str) -> list[str]:
    return [f"val/{label}/ILSVRC2012_val_{i:08d}" for i in range(EACH)]


def photographs(folder: Path) -> None:
    """Pictures whose spectrum falls as that of photographs does, so that JPEGs get their size."""
    edge = 224
    far = np.hypot(np.fft.fftfreq(edge)[:, None], np.fft.fftfreq(edge)[None])
    far[0, 0] = 1
    folder.mkdir(parents=True)
    for number in range(FILES):
        waves = RNG.normal(size=(3, edge, edge)) + 1j * RNG.normal(size=(3, edge, edge))
        field = np.fft.ifft2(waves / far).real
        field /= field.std(axis=(1, 2), keepdims=True)
        pixels = np.clip(128 + 55 * field, 0, 255).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=90)


def dataset(root: Path) -> None:
    photographs(root / "raw")
    rows = [(image, label) for label in LABELS for image in ids(label)]
    table = pd.DataFrame(rows, columns=["image_id", "label"]).assign(split="val")
    table["path"] = [f"{number % FILES}.jpg" for number in range(len(table))]
    folder = root / "data" / "manifests" / DATASET
    write_table(folder / "manifest.parquet", table)
    about = {"name": DATASET, "fingerprint": "0123456789abcdef" * 4, "classes": ENTRIES}
    counts = {"images": 1_331_167, "splits": {"val": 50_000}, "groups": 1_331_167}
    counts["labels"] = dict.fromkeys(LABELS, 1331)
    about |= {"counts": counts, "licence": None, "pixels": {"as": "shown", "bits": 8}}
    write_json(folder / "dataset.json", about | {"excluded_classes": [], "excluded": []})


def large(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave what an audit of that size leaves, each finding with pictures and component its own."""
    rows = [
        (
            f"f-{n:04d}",
            LABELS[n % CLASSES],
            n,
            f"thing {n}",
            MODES[n % 4],
            9 - n / 200,
            n % 3 > 0,
            "",
        )
        for n in range(FINDINGS)
    ]
    for name, value in {"CLASSES": ENTRIES, "FINDINGS": rows, "image_ids": ids}.items():
        monkeypatch.setattr(invented, name, value)
    monkeypatch.setattr(invented, "_dataset", dataset)
    build(root, shortcut=False, planted=False, reviewed=False)
    review = root / "data" / "audits" / AUDIT / "review"
    findings, evidence = pd.read_csv(review / "findings.csv"), read_json(review / "evidence.json")
    images = [ids(LABELS[(7 * n + 1) % CLASSES]) for n in range(FINDINGS)]
    findings["example_ids"] = [" ".join(some) for some in images]
    for finding_id, some in zip(findings["finding_id"], images, strict=True):
        evidence[finding_id]["images"] = some
    write_table(review / "findings.csv", findings)
    write_json(review / "evidence.json", evidence)
    component = np.arange(COMPONENTS)
    labels = pd.DataFrame({"component": component, "label": [f"thing {n}" for n in component]})
    for measure in ("alignment", "clarity", "polysemanticity"):
        labels[measure] = RNG.uniform(size=COMPONENTS)
    labels["activations"], labels["mean_top20"] = 500, RNG.uniform(1, 9, COMPONENTS)
    labels["top_images"] = [ids(LABELS[n % CLASSES]) for n in component]
    labels["name_auroc"] = RNG.uniform(0.4, 1, COMPONENTS)
    labels["name_fits"] = labels["name_auroc"] > 0.8
    labels["kind"], labels["runners_up"] = None, [[f"thing {n + 1}"] for n in component]
    labels["margins"] = [[0.01]] * COMPONENTS
    write_table(root / "data" / "labels" / f"{AUDIT}.parquet", labels)
    stable = {"component": component, "stability": RNG.uniform(size=COMPONENTS)}
    stability = root / "data" / "audits" / AUDIT / "stability"
    write_table(stability / "components.parquet", pd.DataFrame(stable))


@pytest.mark.slow
def test_the_page_of_a_thousand_classes_is_small_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    large(tmp_path, monkeypatch)
    about = settings(tmp_path, None)
    write_report(AUDIT, replace(about, **SHOWN), seed=7)
    page = (tmp_path / "reports" / AUDIT / "report.html").read_bytes()
    print(f"{len(page):,} bytes, {page.count(b'data:image/jpeg'):,} pictures")
    assert all(f"f-{number:04d}".encode() in page for number in range(FINDINGS))
    assert page.count(b"data:image/jpeg") > 300
    assert len(page) < MOST
