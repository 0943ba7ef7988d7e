"""Stage `embed`: the audited model's class tokens before ln_post, as Parquet shards."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from pipeline import layout
from pipeline.attribution import Head, project, unit
from pipeline.config import AuditConfig, EmbedConfig, Params
from pipeline.images import Batch, batches, red_shifted
from pipeline.models.catalog import Clip, class_tokens, head_of, image_embeddings, load_clip
from pipeline.stage import begin
from pipeline.store import atomic, read_table, vector_column, write_json, write_shard

COSINE_TOLERANCE = 1e-5


def check_head(clip: Clip, x: Tensor, pixels: Tensor, head: Head) -> None:
    """Make sure that head(x) is what the model itself computes.

    Raises:
        RuntimeError: some image's cosine between the two is below 1 − COSINE_TOLERANCE.
    """
    cosine = (unit(project(x, head)) * image_embeddings(clip.model, pixels)).sum(dim=-1)
    if float(cosine.min()) < 1 - COSINE_TOLERANCE:
        raise RuntimeError(
            "the head does not reproduce the model's embeddings: cosine "
            f"{float(cosine.min()):.7f}; this tower computes something else after its last block "
            "and cannot be audited"
        )


def embed_images(
    stream: Iterator[Batch],
    embed: Callable[[Tensor], Tensor],
    column: str,
    config: EmbedConfig,
    folder: Path,
) -> int:
    """Write the vectors of a stream of images as shards; returns the number of images.

    A shard holds whole batches, so that it may exceed `shard_rows` by less than a batch.
    """
    ids: list[str] = []
    blocks: list[Tensor] = []
    shard = images = 0

    def flush() -> None:
        nonlocal shard
        values = torch.cat(blocks).numpy().astype(config.dtype)
        write_shard(folder, shard, pa.table({"image_id": ids, column: vector_column(values)}))
        shard += 1
        ids.clear()
        blocks.clear()

    for batch in stream:
        ids.extend(batch.image_ids)
        blocks.append(embed(batch.pixels))
        images += len(batch.image_ids)
        if len(ids) >= config.shard_rows:
            flush()
    if ids:
        flush()
    return images


def embed_audit(
    clip: Clip,
    head: Head,
    images: pd.DataFrame,
    root: Path,
    config: EmbedConfig,
    folder: Path,
    preprocess: Callable[[Image.Image], Tensor],
    progress: str,
) -> int:
    """Class tokens of a manifest's images, checked against the model on the first batch."""
    checked = False

    def embed(pixels: Tensor) -> Tensor:
        nonlocal checked
        x = class_tokens(clip.model, pixels)
        if not checked:
            check_head(clip, x, pixels, head)
            checked = True
        return x

    stream = batches(images, root, preprocess, config.batch_size, config.workers, progress)
    with atomic(folder) as temporary:
        temporary.mkdir()
        return embed_images(stream, embed, "x", config, temporary)


def perturb(
    clip: Clip,
    images: pd.DataFrame,
    root: Path,
    config: EmbedConfig,
    red_shift: Mapping[str, float],
    folder: Path,
) -> None:
    """Class tokens of the images that are not for training, red-shifted (paper, Eq. 32).

    One folder of shards for each shift of red_shift, a name → δ.
    """
    held_out = images[images["split"] != "train"]
    head = head_of(clip.model)
    with atomic(folder) as temporary:
        temporary.mkdir()
        for shift, delta in red_shift.items():
            shifted = red_shifted(clip.preprocess, delta)
            place = temporary / shift
            embed_audit(clip, head, held_out, root, config, place, shifted, f"red {shift}")


def write_head(folder: Path, clip: Clip, head: Head, audit: AuditConfig, params: Params) -> None:
    """`head.safetensors` and `model.json`: all that later stages know of the model."""
    config = params.models[audit.model]
    with atomic(folder) as temporary:
        temporary.mkdir()
        save_file(
            {"gamma": head.gamma, "beta": head.beta, "w_proj": head.w_proj},
            temporary / "head.safetensors",
        )
        write_json(
            temporary / "model.json",
            {
                "model": audit.model,
                "name": config.name,
                "pretrained": config.pretrained,
                "note": config.note,
                "weights_sha256": clip.weights_sha256,
                "preprocessing": clip.preprocessing,
                "d_pre": head.w_proj.shape[0],
                "d_post": head.w_proj.shape[1],
                "eps": head.eps,
                "device": "cpu",
                "dtype": audit.embed.dtype,
            },
        )


def main() -> None:
    """Embed all images of an audit's manifest."""
    name, params = begin(__doc__)
    audit = params.audit(name)
    clip = load_clip(params.models[audit.model])
    images = read_table(layout.manifest(audit.dataset) / "manifest.parquet")
    head = head_of(clip.model)
    embed_audit(
        clip,
        head,
        images,
        params.dataset(audit.dataset).root,
        audit.embed,
        layout.embeddings(name),
        clip.preprocess,
        "embed",
    )
    write_head(layout.head(name), clip, head, audit, params)


if __name__ == "__main__":
    main()
