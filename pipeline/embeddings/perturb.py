"""Stage `perturb`: class tokens of shifted images (paper, Eq. 32, and other shifts).

Those of `plan_shifts`: train images, which remedies learn from, and held-out ones. Each is decoded
once and shifted as the model sees it. A shard has a column for each shift and `statistics`, those
of the image as it is; `shifts.parquet` says what a strength is. After a kill the next run goes on
at the next shard. An audit without a shortcut section leaves an empty folder.
"""

from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline import layout
from pipeline.artifacts.resume import recipe, resumable
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import SHARD_PATTERN, atomic, read_json, read_table, write_table
from pipeline.config import STATISTICS, EmbedConfig, Shift
from pipeline.datasets.pixels import reading_of
from pipeline.embeddings.shifts import amounts, shifted, statistics

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
) -> pd.DataFrame:
    """A row for each shift: shift, kind, strength, `amount` and `beyond`, the share of train images
    that it takes out of the train images' range; null where the kind has no statistic.

    Args:
        shifts: strengths of each kind.
        found: `statistics` of the train images.
        moved: of `amounts`.
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
    return table.astype({"beyond": "float64"})


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
    from pipeline.embeddings.images import batches, runs
    from pipeline.embeddings.vectors import vector_table, write_vectors
    from pipeline.models.catalog import class_tokens, load_clip

    shifts: dict[Shift, list[float]] = dict(plan["shifts"])
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
    seen = batches(train, root, reading, pixels_of, parts, decoders(settings), "statistics")
    found = torch.cat([statistics(batch.pixels) for batch in seen])
    moved = amounts(shifts, found.std(dim=0))
    first = first_pixels(images, root, reading, pixels_of)
    forward = Forward(clip, class_tokens, normalize, settings, first)
    key = shards_key(clip, images, settings, forward.ran(), [recipe("perturb"), moved, reading])
    with resumable(layout.perturbed(name), key) as folder:
        done = {int(path.stem.removeprefix("part-")) for path in folder.glob(SHARD_PATTERN)}
        left = list(enumerate(runs(len(images), settings.batch_size)))
        left = [(number, part) for number, part in left if number not in done]
        rows = [part for _, part in left]
        stream = batches(images, root, reading, pixels_of, rows, decoders(settings), "perturb")
        for (number, _), batch in zip(left, stream, strict=True):
            columns = {"statistics": statistics(batch.pixels).numpy()} | {
                name: forward(shifted(batch.pixels, *shift)).numpy()
                for name, shift in moved.items()
            }
            table = vector_table(batch.image_ids, columns)
            write_vectors(folder / f"part-{number:05d}.parquet", [table])
        write_table(folder / "shifts.parquet", description(shifts, found, moved))


if __name__ == "__main__":
    main()
