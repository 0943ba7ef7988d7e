"""Where a training stands, in one safetensors file, so that a killed run can go on."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pipeline.artifacts.store import atomic
from pipeline.sae.trainee import Trainee

FILE = "checkpoint.safetensors"
Curves = list[dict[str, Any]]
"""Figures and lists of counts by name, a row an epoch."""


def save(folder: Path | None, trainee: Trainee, optimizer: Any, curves: Curves) -> None:
    """Replace a folder's checkpoint by one after the epochs of the curves."""
    if folder is None:
        return
    tensors = {f"trainee.{name}": value for name, value in trainee.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    with atomic(folder / FILE) as temporary:
        held = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(held, temporary, metadata={"curves": json.dumps(curves)})


def restore(folder: Path | None, trainee: Trainee, optimizer: Any) -> Curves:
    """Set a training to its checkpoint.

    Returns:
        The curves up to there, a row an epoch; none where there is no checkpoint.

    Raises:
        ValueError: the checkpoint is damaged.
    """
    if folder is None or not (folder / FILE).exists():
        return []
    parts: dict[str, dict[str, Any]] = {"trainee": {}, "optimizer": {}}
    try:
        with safe_open(folder / FILE, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118, it is no mapping
                part, name = key.split(".", 1)
                parts[part][name] = file.get_tensor(key)
            curves: Curves = json.loads(file.metadata()["curves"])
    except SafetensorError as error:
        raise ValueError(
            f"{folder / FILE} cannot be read: {error}; remove it to train from the beginning"
        ) from error
    trainee.load_state_dict(parts["trainee"])
    states: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in parts["optimizer"].items():
        number, name = key.split(".")
        states.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": states, "param_groups": groups})
    return curves
