"""What is known of an audit, and the image and the prompts that are asked about."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor

from audits.names import distinct_names
from pipeline import layout
from pipeline.artifacts.store import read_json, read_table
from pipeline.attribution.head import Head
from pipeline.config import Params
from pipeline.datasets.names import printable
from pipeline.datasets.pixels import Reading, Unusable, decode, reading_of
from pipeline.models.catalog import Clip, class_tokens, head_of, load_clip, text_embeddings
from pipeline.models.files import read_texts
from pipeline.sae import files
from pipeline.sae.model import Sae


@dataclass(frozen=True)
class Audited:
    """An audit's artifacts, as far as one image needs them."""

    name: str
    dataset: dict[str, Any]
    """`dataset.json`."""
    manifest: pd.DataFrame
    about: dict[str, Any]
    """`model.json`, and what params.yaml says of the model."""
    clip: Clip
    head: Head
    sae: Sae
    labels: pd.DataFrame
    """Names and stability of components, indexed by component."""
    findings: pd.DataFrame
    """With the modes and verdicts of persons where there are any."""
    evidence: dict[str, Any]
    """Finding → its components, among others."""
    usual: pd.DataFrame
    """Output of each class's own train images for its short name (images, y_mean, y_std), indexed
    by class."""
    t: Float[Tensor, "c p"]
    """Unit embedding of each class's short name."""

    @property
    def crops(self) -> bool:
        """Whether the model sees nothing but the middle of an image that is not square."""
        return self.about["preprocessing"]["resize_mode"] == "shortest"

    @property
    def reading(self) -> Reading:
        """How the pixels of images are taken."""
        return reading_of(self.dataset)

    @property
    def short(self) -> dict[str, str]:
        """Label → short name of each class, its prompt; several may have the same."""
        return {entry["label"]: entry["short"] for entry in self.dataset["classes"]}

    @property
    def names(self) -> dict[str, str]:
        """Label → a name that no other class has."""
        return distinct_names(self.dataset["classes"])


class Asked(NamedTuple):
    """A prompt that is asked about."""

    prompt: str
    label: str | None
    """The class whose short name it is, None for a free prompt."""
    t: Tensor
    """Its unit text embedding [p]."""


class Picture(NamedTuple):
    """An image file."""

    path: Path
    """As it can be written anywhere."""
    content: bytes
    sha256: str
    size: tuple[int, int]
    """Width and height, pixels."""
    pixels: Tensor
    """As the model sees it [3, h, w]."""
    x: Tensor
    """Class token [d]."""
    entry: dict[str, Any] | None
    """The manifest's row of an image of the same bytes: image_id, split and label; None where the
    dataset has none."""


def read_audited(params: Params, name: str) -> Audited:
    """Read an audit's artifacts and load its model.

    Raises:
        FileNotFoundError: an artifact is missing; the message names it.
        ConfigError: params.yaml has no such audit, or its model does not load.
        ValueError: the SAE is damaged, or it or the model has changed since the audit.
    """
    audit = params.audit(name)
    manifest = layout.manifest(audit.dataset)
    dataset = read_json(manifest / "dataset.json")
    about = read_json(layout.head(audit.embeddings) / "model.json")
    about |= params.models[audit.model].said()
    try:
        sae = files.load(layout.sae(name))
    except SafetensorError as error:
        raise ValueError(f"{layout.sae(name)} is damaged ({error}): run `dvc repro`") from error
    labels = read_table(layout.labels(name)).set_index("component")
    if sorted(labels.index) != list(range(len(sae.atoms))):
        raise ValueError(
            f"{layout.labels(name)} names {len(labels)} components, {layout.sae(name)} has "
            f"{len(sae.atoms)}: run `dvc repro label@{name}`"
        )
    stability = read_table(layout.audit(name, "stability") / "components.parquet")
    labels = labels.join(stability.set_index("component")["stability"])
    review = layout.audit(name, "review")
    findings = read_table(review / "findings.csv")
    evidence = read_json(review / "evidence.json")
    usual = read_table(layout.reference(name) / "classes.parquet").set_index("class")
    texts = read_texts(layout.texts(name), [entry["label"] for entry in dataset["classes"]])
    columns = ["image_id", "path", "split", "label", "sha256"]
    clip = load_clip(layout.model(audit.model))
    if (clip.weights_sha256, clip.preprocessing) != (
        about["weights_sha256"],
        about["preprocessing"],
    ):
        raise ValueError(
            f"{layout.model(audit.model)} holds other weights or another preprocessing than audit "
            f"{name} was made with: run `dvc repro report@{name}`"
        )
    return Audited(
        name=name,
        dataset=dataset,
        manifest=read_table(manifest / "manifest.parquet", columns),
        about=about,
        clip=clip,
        head=head_of(clip.model),
        sae=sae,
        labels=labels,
        findings=findings,
        evidence=evidence,
        usual=usual,
        t=texts["short"],
    )


def present(value: Any) -> Any:
    """The value as Python's own, None where a table holds none."""
    if pd.isna(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def read_picture(path: Path, audited: Audited) -> Picture:
    """Send an image file through the audited model, as `embed` does with the dataset's.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is no image that can be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise OSError(f"{path} cannot be read: {error.strerror}") from error
    try:
        rgb = decode(content, audited.reading).rgb
    except Unusable as error:
        raise ValueError(f"{path} cannot be used: {error}") from error
    pixels = audited.clip.preprocess(rgb)[None]
    sha256 = hashlib.sha256(content).hexdigest()
    same = audited.manifest[audited.manifest["sha256"] == sha256]
    return Picture(
        path=Path(printable(str(path))),
        content=content,
        sha256=sha256,
        size=rgb.size,
        pixels=pixels[0],
        x=class_tokens(audited.clip.model, pixels)[0],
        entry=None if same.empty else _entry(same.iloc[0]),
    )


def _entry(row: pd.Series) -> dict[str, Any]:
    label = row["label"] if isinstance(row["label"], str) else None
    return {"image_id": row["image_id"], "split": row["split"], "label": label}


def ask_classes(labels: Sequence[str], audited: Audited) -> list[Asked]:
    """The short names of classes as prompts, with the embeddings that the audit used.

    Raises:
        ValueError: the dataset has no class of that label.
    """
    short = audited.short
    positions = {label: index for index, label in enumerate(short)}
    for label in labels:
        if label not in short:
            raise ValueError(
                f"dataset {audited.dataset['name']} has no class {label!r}"
                f"{_alike(label, short)}; its {len(short)} classes are in "
                f"{layout.manifest(audited.dataset['name']) / 'dataset.json'}"
            )
    return [Asked(short[label], label, audited.t[positions[label]]) for label in labels]


def _alike(wanted: str, short: dict[str, str]) -> str:
    named = {name.casefold(): label for label, name in reversed(short.items())}
    named |= {label.casefold(): label for label in short}
    found = dict.fromkeys(named[key] for key in get_close_matches(wanted.casefold(), named))
    likely = " or ".join(
        repr(label) + (f" ({short[label]})" if short[label] != label else "") for label in found
    )
    return f", perhaps {likely}" if likely else ""


def ask_prompts(prompts: Sequence[str], clip: Clip) -> list[Asked]:
    """Free prompts, through the model's text tower.

    Raises:
        ValueError: a prompt is empty, or leaves no token of the text tower's context free.
    """
    for prompt in prompts:
        if not prompt.strip():
            raise ValueError("a prompt is empty")
        longer = clip.tokenize([prompt, f"{prompt} cat"])
        # Tokenizers cut what does not fit without a word.
        if torch.equal(longer[0], longer[1]):
            raise ValueError(
                f"the prompt {prompt!r} takes up all {longer.shape[1]} tokens that the model "
                "reads, so that its end may be cut off: shorten it"
            )
    t = text_embeddings(clip, list(prompts))
    return [Asked(prompt, None, t[index]) for index, prompt in enumerate(prompts)]
