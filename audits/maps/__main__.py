"""Audit `maps`: pictures of what components fire on, and where in them they fire."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from audits.maps.deletion import TESTED, Drops, drops
from audits.maps.parts import ROWS, component_parts, mapped_tower
from audits.maps.pictures import (
    QUALITY,
    PartsByPair,
    Sheet,
    drawn,
    sheets,
    table_of,
    tile,
    veiled,
)
from audits.maps.shown import pairs
from audits.maps.veil import parts_by_pair
from pipeline import layout
from pipeline.artifacts.gaps import Gaps
from pipeline.artifacts.stage import begin, pick_device
from pipeline.artifacts.store import atomic, read_json, read_table, write_table
from pipeline.config import Params
from pipeline.datasets.pixels import Reading, reading_of
from pipeline.embeddings.images import batches, runs
from pipeline.models.catalog import Clip, load_clip
from pipeline.models.memory import Fitting
from pipeline.places import Place
from pipeline.sae import files

COLUMNS = ["image_id", "component", "rows", "columns", "parts", "rest"]


def main() -> None:
    """Picture and map an audit's components."""
    name, params = begin(__doc__)
    config = params.audit(name).report
    findings = read_table(layout.audit(name, "failures") / "findings.csv")
    candidates = read_table(layout.audit(name, "shortcut") / "components.csv")
    hidden = read_table(layout.audit(name, "concepts") / "hidden.csv")
    labels = read_table(layout.labels(name), ["component", "mean_top20", "top_images"])
    looked_at = [*findings["component"], *candidates["component"], *hidden["component"]]
    packed = sheets(labels, looked_at, config.gallery)
    chosen = pairs(findings, candidates, hidden, packed, config.gallery, config.maps)
    clip = load_clip(layout.model(params.audit(name).model))
    gaps = Gaps()
    measured = gaps.measured("maps", lambda: maps(params, name, clip, chosen)) if chosen else None
    table, metrics = measured or (pd.DataFrame(columns=COLUMNS), {"maps": 0})
    folder = layout.audit(name, "maps")
    write_table(folder / "maps.parquet", table)
    gaps.write_metrics(folder / "metrics.json", {"maps": metrics})
    write_sheets(params, name, clip, packed, parts_by_pair(table), folder)


def write_sheets(
    params: Params,
    name: str,
    clip: Clip,
    packed: list[Sheet],
    mapped: PartsByPair,
    folder: Path,
) -> None:
    """Write sheets and their veils to `pictures/`, numbered, and what is on them to a table.

    Raises:
        OSError: an image is missing or has changed.
    """
    images = [image for sheet in packed for ids in sheet.image_ids for image in ids]
    columns = max((len(ids) for sheet in packed for ids in sheet.image_ids), default=0)
    shown, root, reading = dataset_images(params, name, images)
    ends = np.cumsum([sum(map(len, sheet.image_ids)) for sheet in packed]).tolist()
    parts = [range(start, end) for start, end in zip([0, *ends], ends, strict=False)]
    # An earlier run may have left more of them.
    shutil.rmtree(folder / "pictures", ignore_errors=True)
    with atomic(folder / "pictures") as temporary:
        temporary.mkdir()
        seen = partial(tile, preprocessing=clip.preprocessing)
        tiles = batches(shown, root, reading, seen, parts, 0, "picture components")
        for number, (sheet, batch) in enumerate(zip(packed, tiles, strict=True)):
            path = temporary / f"{number:05d}.jpg"
            drawn(sheet, batch.pixels, columns).save(path, quality=QUALITY, optimize=True)
            if over := veiled(sheet, mapped, columns):
                over.save(path.with_suffix(".png"), optimize=True)
    write_table(folder / "pictures.parquet", table_of(packed, mapped))


def dataset_images(
    params: Params, name: str, image_ids: list[str]
) -> tuple[pd.DataFrame, Place, Reading]:
    """Rows of the manifest, the folder that their paths are relative to, and how they are read."""
    dataset = params.audit(name).dataset
    manifest = layout.manifest(dataset)
    images = read_table(manifest / "images.parquet", ["image_id", "path", "sha256"])
    shown = images.set_index("image_id", drop=False).loc[image_ids]
    return shown, params.dataset(dataset).root, reading_of(read_json(manifest / "reading.json"))


def maps(
    params: Params, name: str, clip: Clip, chosen: list[tuple[str, int]]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A row a map, and what covering the brightest tenth of the first ones does.

    Raises:
        OSError: an image is missing or has changed.
        DoesNotApply: the model's blocks are of another kind, see `mapped_tower`.
    """
    audit = params.audit(name)
    shown, root, reading = dataset_images(params, name, [image for image, _ in chosen])
    components = [component for _, component in chosen]
    sae = files.load(layout.sae(name))
    device = pick_device(params.entry(audit.embeddings).device, "device of these embeddings")
    clip.model.to(device)
    # As in training: convolutions on CUDA round to ten bits otherwise.
    torch.backends.cudnn.allow_tf32 = False
    generator = torch.Generator().manual_seed(params.seed)
    rows = runs(len(shown), ROWS)
    # One tensor for all maps: small ones of each batch, kept between large ones, cut up the heap.
    patches = torch.empty(len(shown), *mapped_tower(clip.model).grid_size)
    rest = torch.empty(len(shown))
    tested: list[Drops] = []
    fitting = Fitting(ROWS)
    read = batches(shown, root, reading, clip.preprocess, rows, 0, "map components")
    for part, batch in zip(rows, read, strict=True):
        own = components[part.start : part.stop]
        found = component_parts(clip.model, batch.pixels, sae, own, fitting)
        patches[part.start : part.stop], rest[part.start : part.stop] = found
        if part.start < TESTED:
            tested.append(drops(clip.model, batch.pixels, found.patches, sae, own, generator))
    fell = map(torch.cat, zip(*tested, strict=True))
    return _table(shown["image_id"].tolist(), components, patches, rest), {
        "maps": len(shown),
        **{key: _mean(drop) for key, drop in zip(("drop", "drop_random"), fell, strict=True)},
    }


def _table(
    image_ids: list[str], components: list[int], patches: Tensor, rest: Tensor
) -> pd.DataFrame:
    _, rows, columns = patches.shape
    return pd.DataFrame(
        {
            "image_id": image_ids,
            "component": np.array(components, dtype=np.int32),
            "rows": np.int32(rows),
            "columns": np.int32(columns),
            "parts": list(patches.flatten(1).numpy()),
            "rest": rest.numpy(),
        },
        columns=COLUMNS,
    )


def _mean(drop: Tensor) -> float | None:
    """Over the images on which the component fires; None where there are none."""
    known = drop[drop.isfinite()]
    return float(known.mean()) if len(known) else None


if __name__ == "__main__":
    main()
