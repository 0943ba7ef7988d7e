"""A dictionary that was trained elsewhere, in the format of SAELens, in place of training one.

`cfg.json` and `sae_weights.safetensors`, as `audit export` writes them, or SAELens itself does of
an SAE on the model's class tokens before ln_post.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipeline.config import ConfigError, DictionaryConfig, SaeConfig
from pipeline.sae.blocks import EmbeddingBlocks
from pipeline.sae.health import ROWS, Health, Measure
from pipeline.sae.model import Sae
from pipeline.sae.trainee import SLOTS

FORMAT = 6
"""Version of SAELens since which configurations are as here."""
CFG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
SAMPLE = 10_000
"""Train images at most that the variance is explained of."""
ARCHITECTURES = ("topk", "jumprelu", "standard")
"""What can be served: the last two have no largest number of active components."""
SAME = 1e-4
"""Lengths of atoms, or thresholds, that differ by this part are one."""


def take(
    given: DictionaryConfig,
    config: SaeConfig,
    blocks: EmbeddingBlocks,
    measure: Measure,
    seed: int,
) -> tuple[Sae, pd.DataFrame]:
    """The dictionary, and one row of curves as `training.train` gives them: its loss is the share
    of the variance of some train images that it leaves.

    Args:
        given: where it is.
        config: components and k that the audit's settings say.
        blocks: class tokens of the train images.
        measure: as of `training.train`.
        seed: of the train images that it is tried on.

    Raises:
        ConfigError: it cannot be read, is not the one that the settings name, does not fit the
            embeddings or the settings, explains too little of them, or has more active components
            on an image than are kept.
    """
    sae, free = read(given.folder, config.k)
    found = content_sha256(given.folder)
    if found != given.sha256:
        raise ConfigError(
            f"dictionary.sha256 is {given.sha256!r}, and what lies in {given.folder} has {found}: "
            "write that if it is the one that is meant"
        )
    components, width = sae.atoms.shape
    if width != blocks.width:
        raise ConfigError(
            f"the dictionary in {given.folder} is for vectors of {width} numbers, and the class "
            f"tokens of this model before ln_post have {blocks.width}: it is another model's, or "
            "another layer's"
        )
    if components != config.components:
        raise ConfigError(
            f"sae.components is {config.components}, and the dictionary in {given.folder} has "
            f"{components}: set it to that"
        )
    explained, full = tried(sae, blocks, seed)
    if explained < given.min_explained_variance:
        raise ConfigError(
            f"the dictionary in {given.folder} explains {explained:.3f} of the variance of the "
            f"train images, less than dictionary.min_explained_variance, "
            f"{given.min_explained_variance:g}: it was trained on other vectors (another layer, "
            "normalised ones, another model), or lower the limit"
        )
    if free and full:
        raise ConfigError(
            f"of the train images that the dictionary in {given.folder} was tried on, "
            f"{full} have {sae.slots} active components or more, and no more than {SLOTS} times "
            f"sae.k are kept: raise sae.k from {config.k}"
        )
    row = {"epoch": 1, "loss": 1 - explained, "dead_fraction": float("nan"), **measure(sae)}
    return sae, pd.DataFrame([row])


@torch.inference_mode()
def tried(sae: Sae, blocks: EmbeddingBlocks, seed: int) -> tuple[float, int]:
    """On at most SAMPLE images, drawn at random: see `Health.explained_variance`, and how many of
    them fill all slots."""
    health, full = Health(len(sae.atoms)), 0
    for batch in blocks.batches(ROWS, min(1.0, SAMPLE / blocks.rows), seed, 0):
        assert batch.x is not None, "blocks are of class tokens"
        codes = sae.encode(batch.x)
        health.add(batch.x, codes, sae.reconstruct(codes))
        full += int((codes.activation > 0).all(dim=1).sum())
    return health.explained_variance, full


def content_sha256(folder: Path) -> str:
    """SHA-256 of a dictionary's two files, one behind the other."""
    digest = hashlib.sha256()
    for name in (CFG, WEIGHTS):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def read(folder: Path, k: int) -> tuple[Sae, bool]:
    """Read a dictionary; and whether more components may be active on an image there than here.

    Args:
        folder: of its two files.
        k: active components that the settings say; where there is no largest number, the slots that
            its metadata name are taken, else SLOTS times k.

    Raises:
        ConfigError: a file is missing or damaged, k is another, or the SAE is of a kind that is
            not served here.
    """
    cfg, weights = _files(folder)
    for key in ("normalize_activations", "reshape_activations"):
        if cfg.get(key, "none") != "none":
            raise ConfigError(
                f"{folder / CFG}: {key} is {cfg[key]!r}, so that it was trained on other vectors "
                "than class tokens as they are; fold it into the weights, and write none"
            )
    atoms, bias = weights["W_dec"], weights["b_dec"]
    encoder, encoder_bias = weights["W_enc"].T.contiguous(), weights["b_enc"]
    if cfg.get("apply_b_dec_to_input", True):
        encoder_bias = encoder_bias - encoder @ bias
    lengths = atoms.norm(dim=1)
    if not bool((lengths > 0).all()):
        raise ConfigError(f"{folder / WEIGHTS}: {int((lengths == 0).sum())} atoms have length 0")
    free = False
    if cfg["architecture"] != "topk":
        # Activations are those of unit atoms here. Of a standard SAE no threshold is there.
        bounds = weights.get("threshold", torch.zeros(len(atoms))).clamp(min=0)
        threshold = _one(bounds * lengths, folder, "thresholds")
        known = cfg["metadata"].get("slots")
        slots = min(known or SLOTS * k, len(atoms))
        free = not known and slots < len(atoms)
    else:
        threshold, slots = 0.0, cfg.get("k")
        if not cfg.get("rescale_acts_by_decoder_norm", False):
            # The k largest would be others than those of unit atoms.
            _one(lengths, folder, "lengths of atoms (rescale_acts_by_decoder_norm is false)")
        if slots != k:
            raise ConfigError(f"sae.k is {k}, and {folder / CFG} says {slots}: set it to that")
    sae = Sae(len(atoms), len(bias), slots, threshold)
    # Of unit atoms nothing is to change but by rounding, so that an export comes back as it was.
    unit = bool(((lengths - 1).abs() < SAME).all())
    scale = torch.ones_like(lengths) if unit else lengths
    found = {
        "atoms": atoms / scale[:, None],
        "bias": bias,
        "encoder_weight": encoder * scale[:, None],
        "encoder_bias": encoder_bias * scale,
    }
    sae.load_state_dict(found)
    return sae.eval().requires_grad_(False), free


def _files(folder: Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """Configuration, and weights in float32: W_enc [d, m], b_enc [m], W_dec [m, d], b_dec [d], and
    of a JumpReLU threshold [m]."""
    if missing := [name for name in (CFG, WEIGHTS) if not (folder / name).is_file()]:
        raise ConfigError(
            f"dictionary.folder {folder} lacks {' and '.join(missing)}: `audit export NAME --sae "
            f"{folder}` writes both, as SAELens does"
        )
    try:
        cfg = json.loads((folder / CFG).read_text(encoding="utf-8"))
        weights = {key: value.float() for key, value in load_file(folder / WEIGHTS).items()}
    except (ValueError, SafetensorError) as error:
        raise ConfigError(f"the dictionary in {folder} is damaged: {error}") from error
    _of_a_known_kind(cfg, folder)
    m, d = cfg.get("d_sae"), cfg.get("d_in")
    shapes = {"W_enc": (d, m), "b_enc": (m,), "W_dec": (m, d), "b_dec": (d,)}
    if cfg["architecture"] == "jumprelu":
        shapes["threshold"] = (m,)
    for name, shape in shapes.items():
        found = tuple(weights[name].shape) if name in weights else "absent"
        if found != shape or not bool(weights[name].isfinite().all()):
            raise ConfigError(
                f"{folder / WEIGHTS}: {name} is {found}, and should be {shape} by {CFG}, of finite "
                "numbers"
            )
    return cfg, weights


def _of_a_known_kind(cfg: Mapping[str, Any], folder: Path) -> None:
    """
    Raises:
        ConfigError: it is of another format, or an SAE that is not served here.
    """
    version = str((cfg.get("metadata") or {}).get("sae_lens_version", "none"))
    major = version.partition(".")[0]
    if not major.isdigit() or int(major) < FORMAT:
        raise ConfigError(
            f"{folder / CFG}: metadata.sae_lens_version is {version}, and the format of version "
            f"{FORMAT} is read: open it with SAELens's load_from_disk, and write it with save_model"
        )
    found = cfg.get("architecture")
    if found not in ARCHITECTURES:
        raise ConfigError(
            f"{folder / CFG}: architecture is {found!r}; topk and standard can be imported, and "
            "jumprelu with one threshold for all, which SAELens's save_inference_model makes of "
            "batchtopk and matryoshka_batchtopk"
        )


def _one(values: Float[Tensor, " m"], folder: Path, what: str) -> float:
    """The one value that all have.

    Raises:
        ConfigError: they differ.
    """
    low, high = float(values.min()), float(values.max())
    if high - low > SAME * abs(high):
        raise ConfigError(
            f"{folder / WEIGHTS}: {what} are from {low:.4g} to {high:.4g}, and only one for all "
            "components can be served here: SAELens has one after training topk or batchtopk "
            "with rescale_acts_by_decoder_norm"
        )
    return high
