"""Stage `perturb`: class tokens of shifted images (paper, Eq. 32, and other shifts).

Those of `plan_shifts`: train images, which remedies learn from, and held-out ones. Each is decoded
once and shifted as the model sees it. A shard has a column for each shift and `statistics`, those
of the image as it is; `shifts.parquet` says what a strength is. With masks there are statistics of
the surroundings, too, a column for each shift in range of the surroundings alone, and COVERED.
After a kill the next run goes on at the next shard. An audit without a shortcut section leaves an
empty folder.
"""

from functools import partial
from pathlib import Path

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline import layout
from pipeline.artifacts.resume import recipe, resumable
from pipeline.artifacts.shards import ready
from pipeline.artifacts.stage import begin
from pipeline.artifacts.store import atomic, read_json, read_table, write_table
from pipeline.config import STATISTICS, SURROUNDINGS, EmbedConfig, Shift
from pipeline.datasets.pixels import reading_of
from pipeline.embeddings.masks import version
from pipeline.embeddings.shifts import amounts
from pipeline.engine.crew import Engine, Needs

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
    from pipeline.embeddings.forward import DEVICE, split_preprocess
    from pipeline.embeddings.images import parts_left
    from pipeline.embeddings.perturber import Measurer, Perturber, Pictures
    from pipeline.models.catalog import load_clip

    store = ready(params.shards)
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
    pixels_of, _ = split_preprocess(clip)
    engine = Engine.of(params)
    pictures = Pictures(root, reading, mask, pixels_of, settings, engine.ahead())
    train = parts_left(images[images["image_id"].isin(plan["train"])], settings.batch_size)
    with engine.crew(partial(Measurer, pictures), Needs(sees=(root,)), len(train)) as measurers:
        measured = measurers.each(train, "statistics", lambda part: len(part.images))
        by_part = {part.number: result for part, result in measured}
    found = torch.cat([by_part[part.number].found for part in train])
    around = [result.around for _, result in sorted(by_part.items()) if result.around is not None]
    usual = torch.cat(around).nanmean(dim=0).nan_to_num() if around else None
    moved = amounts(shifts, found.std(dim=0))
    table = description(shifts, found, moved, plan["in_range"], mask is not None)
    on_surroundings = {
        str(name): str(alone)
        for name, alone in zip(table["shift"], table["alone"], strict=True)
        if alone is not None
    }
    first = first_pixels(images, root, reading, pixels_of)
    how = (pictures, clip, first, moved, on_surroundings, usual, store)
    needs = Needs(settings.device, DEVICE, (root, clip.folder))
    batches = -(-len(images) // settings.batch_size)
    with engine.crew(partial(Perturber, *how), needs, batches) as crew:
        masks = version(root, mask, images["image_id"])
        made_by = [recipe("perturb"), moved, reading, mask, masks, on_surroundings]
        key = shards_key(clip, images, settings, crew.about, made_by)
        with resumable(layout.perturbed(name), key) as folder:
            left = [(part, folder) for part in parts_left(images, settings.batch_size, folder)]
            for _ in crew.each(left, "perturb", lambda unit: len(unit[0].images), folder):
                pass
            write_table(folder / "shifts.parquet", table)


if __name__ == "__main__":
    main()
