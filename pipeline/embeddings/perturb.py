"""Stage `perturb`: class tokens of shifted images (paper, Eq. 32, and other shifts).

Those of `plan_shifts`: train images, which remedies learn from, and held-out ones. Each is decoded
once and shifted as the model sees it. A shard has a column for each shift and `statistics`, those
of the image as it is; `shifts.parquet` says what a strength is. With masks there are statistics of
the surroundings, too, a column for each shift in range of the surroundings alone, and COVERED.
After a kill the next run goes on at the next shard. An audit without a shortcut section leaves an
empty folder.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from pipeline import layout
from pipeline.artifacts.resume import recipe, resumable
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import SHARD_PATTERN, atomic, read_json, read_table, write_table
from pipeline.config import STATISTICS, SURROUNDINGS, EmbedConfig, Shift
from pipeline.datasets.pixels import reading_of
from pipeline.embeddings.shifts import (
    alone,
    amounts,
    covered,
    shifted,
    statistics,
    surrounding_colour,
)

RANGE = (0.005, 0.995)
"""Quantiles of the train images' statistic outside of which a shifted image is out of range."""


def as_embedded(config: EmbedConfig, head: Path) -> EmbedConfig:
    """The settings in the precision that `auto` became for the images as they are.

    Shifted and plain embeddings are compared, so that a difference must not be one of arithmetic.
    """
    precision = read_json(head / "model.json")["precision"]
    return config.model_copy(update={"precision": precision, "spatial_tokens": 0})


def description(
    shifts: dict[Shift, list[float]],
    found: Float[Tensor, "n s"],
    moved: dict[str, tuple[str, float]],
    in_range: float,
    masked: bool,
) -> pd.DataFrame:
    """A row for each shift: shift, kind, strength, `amount`; `beyond`, the share of train images
    that it takes out of the train images' range, null where the kind has no statistic; `in_range`;
    and `alone`, the shift of the surroundings alone, null without masks or out of range.

    Args:
        shifts: strengths of each kind.
        found: `statistics` of the train images.
        moved: of `amounts`.
        in_range: `shortcut.in_range`.
        masked: whether there are masks.
    """
    strengths = [strength for some in shifts.values() for strength in some]
    rows = []
    for (name, (kind, amount)), strength in zip(moved.items(), strengths, strict=True):
        beyond = None
        if kind in STATISTICS:
            values = found[:, STATISTICS.index(kind)].double()
            low, high = values.quantile(torch.tensor(RANGE, dtype=torch.float64))
            after = values + amount
            beyond = float(((after < low) | (after > high)).double().mean())
        rows.append((name, str(kind), strength, amount, beyond))
    table = pd.DataFrame(rows, columns=["shift", "kind", "strength", "amount", "beyond"])
    table = table.astype({"beyond": "float64"})
    table["in_range"] = table["beyond"].fillna(0) <= in_range
    ends = table["shift"] + f"_{SURROUNDINGS}"
    return table.assign(alone=ends.where(table["in_range"] & masked, None))


def views(
    pixels: UInt8[Tensor, "n h w 3"],
    moved: Mapping[str, tuple[str, float]],
    there: Bool[Tensor, "n h w"] | None,
    on_surroundings: Mapping[str, str],
    usual: Float[Tensor, " 3"] | None,
) -> Iterator[tuple[str, UInt8[Tensor, "n h w 3"]]]:
    """Each shift with the pictures under it, and where masks are also of the surroundings alone and
    with a part covered.

    Args:
        pixels: the pictures as they are.
        moved: of `amounts`.
        there: where their objects are, None without masks.
        on_surroundings: shift → its name where it acts on the surroundings alone.
        usual: mean colour of the train images' surroundings, None without masks.
    """
    for name, shift in moved.items():
        whole = shifted(pixels, *shift)
        yield name, whole
        if there is not None and name in on_surroundings:
            yield on_surroundings[name], alone(pixels, whole, there)
    if there is not None and usual is not None:
        yield from covered(pixels, there, usual).items()


def main() -> None:
    """Embed an audit's images under its shifts."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    plan = read_json(layout.planned_shifts(name))
    if plan is None:
        with atomic(layout.perturbed(name)) as folder:
            folder.mkdir()
        return
    # Imported late: open_clip takes seconds, and most audits have nothing to do here.
    from pipeline.embeddings.embed import first_pixels, shards_key
    from pipeline.embeddings.forward import Forward, decoders, split_preprocess
    from pipeline.embeddings.images import Batch, batches, runs
    from pipeline.embeddings.masks import objects
    from pipeline.embeddings.vectors import vector_table, write_vectors
    from pipeline.models.catalog import class_tokens, load_clip

    shifts: dict[Shift, list[float]] = dict(plan["shifts"])
    mask: str | None = plan["mask"]
    clip = load_clip(layout.model(audit.model))
    manifest = layout.manifest(audit.dataset)
    images = read_table(manifest / "images.parquet")
    reading = reading_of(read_json(manifest / "reading.json"))
    root = params.dataset(audit.dataset).root
    images = images[images["image_id"].isin(plan["train"] + plan["held_out"])]
    images = images.reset_index(drop=True)
    settings = as_embedded(params.entry(audit.embeddings), layout.head(audit.embeddings))
    pixels_of, normalize = split_preprocess(clip)
    train = images[images["image_id"].isin(plan["train"])]
    parts = runs(len(train), settings.batch_size)
    found, around = [], []

    def objects_of(batch: Batch) -> Bool[Tensor, "n h w"]:
        return objects(batch.pixels, batch.image_ids, root, str(mask), pixels_of)

    for batch in batches(train, root, reading, pixels_of, parts, decoders(settings), "statistics"):
        found.append(statistics(batch.pixels))
        if mask is not None:
            around.append(surrounding_colour(batch.pixels, objects_of(batch)))
    usual = torch.cat(around).nanmean(dim=0).nan_to_num() if around else None
    moved = amounts(shifts, torch.cat(found).std(dim=0))
    table = description(shifts, torch.cat(found), moved, plan["in_range"], mask is not None)
    on_surroundings = {
        str(name): str(alone)
        for name, alone in zip(table["shift"], table["alone"], strict=True)
        if alone is not None
    }
    first = first_pixels(images, root, reading, pixels_of)
    forward = Forward(clip, class_tokens, normalize, settings, first)
    made_by = [recipe("perturb"), moved, reading, mask, on_surroundings]
    key = shards_key(clip, images, settings, forward.ran(), made_by)
    with resumable(layout.perturbed(name), key) as folder:
        done = {int(path.stem.removeprefix("part-")) for path in folder.glob(SHARD_PATTERN)}
        left = list(enumerate(runs(len(images), settings.batch_size)))
        left = [(number, part) for number, part in left if number not in done]
        rows = [part for _, part in left]
        stream = batches(images, root, reading, pixels_of, rows, decoders(settings), "perturb")
        for (number, _), batch in zip(left, stream, strict=True):
            there = None if usual is None else objects_of(batch)
            columns = {"statistics": statistics(batch.pixels).numpy()}
            if there is not None:
                columns[SURROUNDINGS] = statistics(batch.pixels, ~there).numpy()
            for name, pixels in views(batch.pixels, moved, there, on_surroundings, usual):
                columns[name] = forward(pixels).numpy()
            shard = vector_table(batch.image_ids, columns)
            write_vectors(folder / f"part-{number:05d}.parquet", [shard])
        write_table(folder / "shifts.parquet", table)


if __name__ == "__main__":
    main()
