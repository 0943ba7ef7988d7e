"""What later stages read of a model: its head and its prompt embeddings."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.artifacts.store import read_json, read_table
from pipeline.attribution.head import Head


def read_head(folder: Path) -> Head:
    """LayerNorm and projection of the audited model, float32."""
    eps = read_json(folder / "model.json")["eps"]
    tensors = load_file(folder / "head.safetensors")
    return Head(tensors["gamma"], tensors["beta"], eps, tensors["w_proj"])


def read_texts(path: Path, labels: list[str]) -> dict[str, Tensor]:
    """Prompt form → unit text embeddings [c, p], classes in the order of labels.

    Raises:
        ValueError: the file is of other classes.
    """
    texts = {}
    for form, rows in read_table(path).groupby("form", sort=False):
        if rows["label"].tolist() != labels:
            raise ValueError(f"{path} holds prompts of other classes: run `dvc repro`")
        texts[str(form)] = torch.from_numpy(np.stack(rows["t"].tolist()))
    return texts
