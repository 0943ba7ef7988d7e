"""Text embeddings that are kept beside DVC, so that many prompts go through a model once.

A vocabulary of 20,000 terms, or ImageNet's classes in 80 templates, take minutes, and come again
with every version of the images, with another dataset of the same vocabulary and with another audit
of the same model. What is kept is all embeddings of one call: a prompt's last bits depend on the
prompts that go through the model with it, so that what was made with others is another result.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline import layout
from pipeline.artifacts.resume import content_hash, work_key
from pipeline.artifacts.store import atomic, vector_column
from pipeline.models.catalog import Clip
from pipeline.models.text_tower import TEXTS
from pipeline.processor import INSTRUCTIONS

FILE = "embeddings.parquet"


def kept_texts(
    clip: Clip, prompts: list[list[str]], make: Callable[[], Float[Tensor, "g p"]]
) -> Float[Tensor, "g p"]:
    """What make gives, or what an earlier run has kept of it.

    Few prompts take no time and are not kept. A file that is damaged is made anew.

    Args:
        clip: that the prompts go through.
        prompts: of each row.
        make: embeds them, a row a group of prompts.
    """
    if sum(map(len, prompts)) <= TEXTS:
        return make()
    path = layout.lasting() / layout.kept_texts(_key(clip, prompts)) / FILE
    found = _read(path)
    if found is None:
        found = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            table = pa.table({"t": vector_column(found.numpy())})
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
    return found


def _key(clip: Clip, prompts: list[list[str]]) -> str:
    said: dict[str, Any] = {
        # With the tokenizer's files.
        "model": content_hash([clip.folder]),
        "device": next(clip.model.parameters()).device.type,
        "threads": torch.get_num_threads(),
        "instructions": os.environ.get(INSTRUCTIONS),
        "prompts": hashlib.sha256(json.dumps(prompts).encode()).hexdigest(),
    }
    return work_key("embed", said)


def _read(path: Path) -> Float[Tensor, "g p"] | None:
    """None where there is no file, or it is damaged."""
    try:
        column = pq.read_table(path, page_checksum_verification=True)["t"].combine_chunks()
    except (pa.ArrowException, OSError):
        return None
    values = column.values.to_numpy().reshape(len(column), -1)
    return torch.from_numpy(values.astype(np.float32))
