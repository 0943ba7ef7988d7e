"""What later stages read of a model: its head and its prompt embeddings."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipeline.attribution import Head
from pipeline.store import read_json, read_table


def read_head(folder: Path) -> Head:
    """LayerNorm and projection of the audited model, float32."""
    eps = read_json(folder / "model.json")["eps"]
    tensors = load_file(folder / "head.safetensors")
    return Head(tensors["gamma"], tensors["beta"], eps, tensors["w_proj"])


def read_texts(path: Path) -> dict[str, Tensor]:
    """Prompt form → unit text embeddings [c, p], classes in the order of dataset.json."""
    table = read_table(path)
    return {
        str(form): torch.from_numpy(np.stack(rows["t"].tolist()))
        for form, rows in table.groupby("form", sort=False)
    }
