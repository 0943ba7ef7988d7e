"""Stage `perturb`: class tokens of shifted images (paper, Eq. 32, and other shifts).

A bounded sample of train images, which remedies learn from, and of held-out ones. Each is decoded
once and shifted as the model sees it. A shard has a column for each shift and `statistics`, those
of the image as it is; `shifts.parquet` says what a strength is. After a kill the next run goes on
at the next shard. An audit without a shortcut section leaves an empty folder.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pipeline import layout
from pipeline.artifacts.resume import recipe, resumable
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import SHARD_PATTERN, atomic, read_json, read_table, write_table
from pipeline.config import STATISTICS, EmbedConfig, ShortcutConfig
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


def sampled(images: pd.DataFrame, config: ShortcutConfig) -> Bool[np.ndarray, " n"]:
    """Which images are shifted: of either side at most half of `train_images` and of
    `held_out_images`, in the order of their hashes, which is a random one that no seed decides.

    Args:
        images: sha256, split and label of the manifest, in any order.
        config: of the audit.
    """
    sides = [config.side(label) for label in images["label"]]
    positive = np.array([side is True for side in sides])
    negative = np.array([side is False for side in sides])
    order = np.argsort(images["sha256"].to_numpy(), kind="stable")
    chosen = np.zeros(len(images), dtype=bool)
    train = (images["split"] == "train").to_numpy()
    for split, most in ((train, config.train_images), (~train, config.held_out_images)):
        for side in (positive, negative):
            chosen[order[(split & side)[order]][: most // 2]] = True
    return chosen


def description(
    config: ShortcutConfig, found: Float[Tensor, "n s"], moved: dict[str, tuple[str, float]]
) -> pd.DataFrame:
    """A row for each shift: shift, kind, strength, `amount` and `beyond`, the share of train images
    that it takes out of the train images' range; null where the kind has no statistic.

    Args:
        config: of the audit.
        found: `statistics` of the train images.
        moved: of `amounts`.
    """
    strengths = [strength for some in config.shifts.values() for strength in some]
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
    config = audit.shortcut
    if config is None:
        with atomic(layout.perturbed(name)) as folder:
            folder.mkdir()
        return
    # Imported late: open_clip takes seconds, and most audits have nothing to do here.
    from pipeline.embeddings.embed import first_pixels, shards_key
    from pipeline.embeddings.forward import Forward, decoders, split_preprocess
    from pipeline.embeddings.images import batches, runs
    from pipeline.embeddings.vectors import vector_table, write_vectors
    from pipeline.models.catalog import class_tokens, load_clip

    clip = load_clip(layout.model(audit.model))
    manifest = layout.manifest(audit.dataset)
    images = read_table(manifest / "manifest.parquet")
    reading = reading_of(read_json(manifest / "reading.json"))
    root = params.dataset(audit.dataset).root
    images = images[sampled(images, config)].reset_index(drop=True)
    settings = as_embedded(params.entry(audit.embeddings), layout.head(audit.embeddings))
    pixels_of, normalize = split_preprocess(clip)
    train = images[images["split"] == "train"]
    plan = runs(len(train), settings.batch_size)
    seen = batches(train, root, reading, pixels_of, plan, decoders(settings), "statistics")
    found = torch.cat([statistics(batch.pixels) for batch in seen])
    moved = amounts(config.shifts, found.std(dim=0))
    first = first_pixels(images, root, reading, pixels_of)
    forward = Forward(clip, class_tokens, normalize, settings, first)
    key = shards_key(clip, images, settings, forward.ran(), [recipe("perturb"), moved, reading])
    with resumable(layout.perturbed(name), key) as folder:
        done = {int(path.stem.removeprefix("part-")) for path in folder.glob(SHARD_PATTERN)}
        parts = list(enumerate(runs(len(images), settings.batch_size)))
        parts = [(number, part) for number, part in parts if number not in done]
        rows = [part for _, part in parts]
        stream = batches(images, root, reading, pixels_of, rows, decoders(settings), "perturb")
        for (number, _), batch in zip(parts, stream, strict=True):
            columns = {"statistics": statistics(batch.pixels).numpy()} | {
                name: forward(shifted(batch.pixels, *shift)).numpy()
                for name, shift in moved.items()
            }
            table = vector_table(batch.image_ids, columns)
            write_vectors(folder / f"part-{number:05d}.parquet", [table])
        write_table(folder / "shifts.parquet", description(config, found, moved))


if __name__ == "__main__":
    main()
