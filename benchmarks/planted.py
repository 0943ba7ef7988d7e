"""Embeddings of a made-up ImageNet of any size, and what the stages before `train_sae` leave.

Classes are in families of ten that look alike. An image is its class's centre and eight concepts,
half of them typical of its family and half drawn by Zipf's law, each so strong that a sparse
autoencoder can tell it, and noise; in the labeler's space the same concepts have other directions,
which are also the embeddings of the first terms of the vocabulary. Some classes are given a
failure: every thirtieth image of a class far away carries what its prompt asks for.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from timm.data import ImageNetInfo

from audits.command.add import Request, add
from audits.report import sources
from pipeline import layout
from pipeline.artifacts.store import read_table, vector_column, write_json, write_table
from pipeline.attribution.head import Head, project, unit
from pipeline.embeddings.texts import FORMS as NAMED_FORMS
from pipeline.embeddings.vectors import vector_table, write_vectors

AUDIT, DATASET, MODEL = "imagenet-b32", "imagenet", "vit-b-32-laion2b"
ENTRY = f"{DATASET}-{MODEL}"
WIDTH, PROJECTED = 768, 512
FORMS = len(NAMED_FORMS)
FAMILY = 10
SHARD = 8192
EACH = 8  # concepts of an image
TYPICAL = 40  # concepts that are typical of a family
HELD_OUT = 26  # one image in as many, as of ImageNet
PICTURES = 8
FAILING = Path("failing.json")
"""File with the labels of the classes that were given a failure."""


class Size(NamedTuple):
    """How much of everything there is."""

    images: int
    classes: int
    components: int
    k: int
    names: int

    @property
    def val(self) -> int:
        """Images held out."""
        return self.images // HELD_OUT

    @property
    def train(self) -> int:
        """The others."""
        return self.images - self.val


class World(NamedTuple):
    """What images are made of, by the audited model (d = 768) and by the labeler (p = 512)."""

    head: Head
    centre: torch.Tensor
    """Of each class [c, d]."""
    word: torch.Tensor
    """What a class's prompt asks for beside its centre [c, d]."""
    concept: torch.Tensor
    """Directions [q, d]."""
    typical: np.ndarray
    """Concepts of each family [f, TYPICAL]."""
    seen_centre: torch.Tensor
    """Of each class [c, p]."""
    seen_concept: torch.Tensor
    """Directions [q, p]."""


def world(size: Size) -> World:
    """The same for all numbers of images."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    families = -(-size.classes // FAMILY)
    family = torch.arange(size.classes) // FAMILY
    concepts = 4 * size.classes
    d, p = WIDTH, PROJECTED
    typical = np.random.default_rng(0).integers(concepts, size=(families, TYPICAL))
    return World(
        Head(1 + 0.1 * normal(d), 0.1 * normal(d), 1e-5, normal(d, p) / d**0.5),
        normal(families, d)[family] + 0.5 * normal(size.classes, d),
        normal(size.classes, d),
        unit(normal(concepts, d)) * 10,
        typical,
        unit(unit(normal(families, p))[family] + 0.5 * unit(normal(size.classes, p))),
        unit(normal(concepts, p)),
    )


def attacked(classes: int) -> range:
    """Positions of the classes that are given a failure: one in twenty, at least one."""
    return range(0, max(1, classes // 2), max(1, min(10, classes // 2)))


def targets(size: Size) -> np.ndarray:
    """Class of each image [n]: train images by class, then those held out, as folders are."""
    parts = [np.sort(np.arange(count) % size.classes) for count in (size.train, size.val)]
    return np.concatenate(parts)


def parts(size: Size, made: World) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Rows, x and z [rows, d or p] of one shard after the other, in half precision."""
    target = targets(size)
    frequent = np.cumsum(1 / np.arange(1, len(made.concept) + 1))
    fails = np.full(size.classes, -1)
    for position in attacked(size.classes):
        fails[(position + size.classes // 2) % size.classes] = position
    for number, first in enumerate(range(0, size.images, SHARD)):
        rows = slice(first, min(first + SHARD, size.images))
        rng = np.random.default_rng([size.images, number])
        mine = torch.from_numpy(target[rows])
        n = len(mine)
        own = made.typical[target[rows] // FAMILY]
        chosen = (TYPICAL * rng.random((n, EACH // 2)) ** 2).astype(np.int64)
        rare = np.searchsorted(frequent, rng.random((n, EACH - EACH // 2)) * frequent[-1])
        concept = np.concatenate([np.take_along_axis(own, chosen, axis=1), rare], axis=1)
        strength = torch.from_numpy(rng.gamma(4.0, 0.25, concept.shape).astype(np.float32))
        x = made.centre[mine] + _sum(concept, strength, made.concept) + _noise(rng, n, WIDTH, 0.3)
        far = (fails[target[rows]] >= 0) & (np.arange(rows.start, rows.stop) % 30 == 0)
        of = fails[target[rows][far]]
        x[far] += 2 * made.word[of] + 2 * made.centre[of]
        z = made.seen_centre[mine] + 0.3 * _sum(concept, strength, made.seen_concept)
        z = unit(z + _noise(rng, n, PROJECTED, 0.02))
        yield rows, x.half().numpy(), z.half().numpy()


def _sum(concept: np.ndarray, strength: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.embedding_bag(
        torch.from_numpy(concept), directions, per_sample_weights=strength, mode="sum"
    )


def _noise(rng: np.random.Generator, n: int, width: int, size: float) -> torch.Tensor:
    return torch.from_numpy(size * rng.standard_normal((n, width), dtype=np.float32))


def write(size: Size, root: Path) -> None:
    """Write below the current directory what the stages before `train_sae` leave, and of those
    beside the benchmarked ones what says that they found nothing.

    Args:
        size: of what.
        root: of the repository, whose params.yaml and catalog.yaml are taken.
    """
    _params(size, root)
    made = world(size)
    info = ImageNetInfo()
    labels = info.label_names()[: size.classes]
    names = [info.label_name_to_description(label) for label in labels]
    classes = [
        {"label": label, "name": name, "short": name.split(",")[0]}
        for label, name in zip(labels, names, strict=True)
    ]
    write_json(FAILING, [labels[position] for position in attacked(size.classes)])
    _manifest(size, labels, classes)
    ids = read_table(layout.manifest(DATASET) / "manifest.parquet")["image_id"].to_numpy()
    labeler = layout.concepts_embeddings(DATASET)
    for number, (rows, x, z) in enumerate(parts(size, made)):
        some = ids[rows].tolist()
        for folder, column in ((layout.embeddings(ENTRY), {"x": x}), (labeler, {"z": z})):
            write_vectors(folder, number, [vector_table(some, column)])
    _model(made, labels)
    _vocabulary(size, made, labeler)
    _found_nothing(size)


def _params(size: Size, root: Path) -> None:
    for name in ("params.yaml", "catalog.yaml"):
        shutil.copy(root / name, name)
    add(Request(AUDIT, DATASET, MODEL, {}, {}), dry_run=False)
    path = Path("params.yaml")
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["audits"][AUDIT]["sae"] |= {
        **{"components": size.components, "k": size.k},
        **{"epochs": 1, "epoch_fraction": 0.1, "decay_after": [], "revive_after": []},
    }
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def _manifest(size: Size, labels: list[str], classes: list[dict[str, str]]) -> None:
    target = targets(size)
    split = np.where(np.arange(size.images) < size.train, "train", "val")
    label = np.array(labels)[target]
    ids = [f"{s}/{c}/{n:08d}" for n, (s, c) in enumerate(zip(split, label, strict=True))]
    images = pd.DataFrame({"image_id": ids, "split": split, "label": label, "group_id": ids})
    images["path"] = [f"{number % PICTURES}.jpg" for number in range(size.images)]
    folder = layout.manifest(DATASET)
    write_table(folder / "manifest.parquet", images)
    write_json(folder / "classes.json", classes)
    about: dict[str, object] = {
        "name": DATASET,
        "fingerprint": 64 * "0",
        "classes": classes,
        "licence": None,
    }
    about |= {"excluded": [], "excluded_classes": [], "pixels": {"as": "shown", "bits": 8}}
    splits = {"train": size.train, "val": size.val}
    by_label = {name: int(n) for name, n in zip(labels, np.bincount(target), strict=True)}
    counts = {"images": size.images, "groups": size.images, "splits": splits, "labels": by_label}
    write_json(folder / "dataset.json", about | {"counts": counts, "notes": []})
    nothing = pd.DataFrame(columns=["image_id", "label", "set"])
    write_table(folder / "distractors.csv", nothing)
    raw = layout.rendered(DATASET)
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        Image.fromarray(rng.integers(256, size=(64, 64, 3), dtype=np.uint8)).save(
            raw / f"{number}.jpg"
        )


def _model(made: World, labels: list[str]) -> None:
    tensors = {"gamma": made.head.gamma, "beta": made.head.beta, "w_proj": made.head.w_proj}
    folder = layout.head(ENTRY)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "head.safetensors")
    about: dict[str, object] = {
        "model": MODEL,
        "weights_sha256": 64 * "0",
        "preprocessing": {"size": 224},
    }
    about |= {"eps": made.head.eps, "parameters": 0, "device": "cpu", "dtype": "float16"}
    about |= {"precision": "float32", "cosine_to_float32": 1.0}
    write_json(folder / "model.json", about | {"d_pre": WIDTH, "d_post": PROJECTED})
    t = unit(project(made.centre + 0.5 * made.word, made.head)).numpy()
    forms = [form for form in NAMED_FORMS for _ in labels]
    texts = pa.table(
        {
            "form": forms,
            "label": labels * len(NAMED_FORMS),
            "t": vector_column(np.tile(t, (len(NAMED_FORMS), 1))),
        }
    )
    write_table(layout.texts(AUDIT), texts)


def _vocabulary(size: Size, made: World, folder: Path) -> None:
    rng = np.random.default_rng(1)
    known = torch.cat([made.seen_centre, made.seen_concept])[: size.names].numpy()
    others = rng.standard_normal((1 + size.names - len(known), PROJECTED), dtype=np.float32)
    terms = [*(f"term {number}" for number in range(size.names)), ""]
    table = {"term": terms, "kind": pa.nulls(len(terms), pa.string())}
    t = vector_column(np.concatenate([known, others]))
    write_table(folder / "vocabulary.parquet", pa.table(table | {"t": t}))


def _found_nothing(size: Size) -> None:
    """Stability, a probe that met no writing, no maps, no shortcut, nothing that was planted."""
    silent(AUDIT, size.components, WIDTH)
    stability = {"seeds": 0, "components": size.components, "matched_fraction": 0.5}
    stability |= {"mean_cosine": 0.5, "matched_fraction_apart": 0.5, "image_fraction": 0.5}
    write_json(layout.audit(AUDIT, "stability") / "metrics.json", {"stability": stability})
    empty: dict[str, dict[str, tuple[str, ...]]] = {
        "shortcut": {
            "components.csv": sources.COMPONENTS,
            "shifts.csv": sources.SHIFTS,
            "remedies.csv": sources.REMEDIES,
            "sweep.csv": sources.SWEEP,
            "subgroups.csv": sources.SUBGROUPS,
            "calibration.csv": sources.CALIBRATION,
        },
        "probe": {"plain.parquet": sources.PLAIN},
        "maps": {"maps.parquet": sources.MAPS, "pictures.parquet": sources.PICTURES},
        "validate": {"plants.csv": sources.PLANTS},
    }
    for stage, tables in empty.items():
        for name, columns in tables.items():
            write_table(layout.audit(AUDIT, stage) / name, pd.DataFrame(columns=list(columns)))
        if stage != "probe":
            figures = {"maps": {"maps": 0}} if stage == "maps" else {}
            write_json(layout.audit(AUDIT, stage) / "metrics.json", figures)


def silent(audit: str, components: int, width: int) -> None:
    """Write a stability of one half for all components, and a probe that found no writing."""
    component = np.arange(components, dtype=np.int32)
    stability = pd.DataFrame({"component": component, "stability": np.float32(0.5)})
    write_table(layout.audit(audit, "stability") / "components.parquet", stability)
    probe = layout.audit(audit, "probe")
    written = pd.DataFrame({"component": component, "writing": np.float32(0.5)})
    write_table(probe / "components.parquet", written)
    write_table(probe / "words.parquet", pd.DataFrame({"component": [], "class": [], "answer": []}))
    anywhere = np.full(width, width**-0.5)
    direction = pd.DataFrame({"writing": anywhere, "on_pictures": anywhere})
    write_table(probe / "direction.parquet", direction)
    write_json(probe / "metrics.json", {"probe": {"reliability": 0.0}})
