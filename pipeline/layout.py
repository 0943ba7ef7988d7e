"""Where every artifact lies, relative to the repository's root."""

import os
from pathlib import Path

DATA = Path("data")
PRETRAINED = "tiny"
"""Key of the model that the workflow trains itself."""
MODEL_CONFIG = "open_clip_config.json"
MODEL_WEIGHTS = "open_clip_model.safetensors"
"""Files of a model's folder, as open_clip calls them."""


def lasting() -> Path:
    """The repository that stays: experiments run in a copy, and DVC_ROOT says of which."""
    return Path(os.environ.get("DVC_ROOT", "."))


def rendered(sample: str) -> Path:
    """Root of a sample dataset, which is made anew where it changes."""
    return DATA / "raw" / sample


def source(dataset: str) -> Path:
    """File that says where a dataset comes from."""
    return DATA / "sources" / f"{dataset}.json"


def checked_texts(dataset: str) -> Path:
    """File that says that a dataset's vocabulary and descriptions can be read."""
    return DATA / "checked" / "texts" / f"{dataset}.json"


def checked_model(name: str) -> Path:
    """File that says that a model is worth fetching."""
    return DATA / "checked" / "models" / f"{name}.json"


def descriptions(dataset: str) -> Path:
    """Table `label,description` of a dataset's classes, kept in Git; empty where none is needed."""
    return Path("vocabularies") / "descriptions" / f"{dataset}.csv"


def model(name: str) -> Path:
    """open_clip folder of a model: MODEL_CONFIG and MODEL_WEIGHTS."""
    return DATA / "models" / name


def manifest(dataset: str) -> Path:
    """Folder of a dataset's `manifest.parquet` and `dataset.json`, `duplicates.csv` and
    `distractors.csv`, and of parts of the first two that stages depend on by themselves:
    `images.parquet`, `reading.json` and `classes.json`."""
    return DATA / "manifests" / dataset


def decoded(dataset: str) -> Path:
    """Folder of what decoding a dataset's images has given, kept beside DVC from run to run."""
    return DATA / "decoded" / dataset


def kept_texts(key: str) -> Path:
    """Folder of text embeddings that are kept beside DVC, by what decides their bytes."""
    return DATA / "prompts" / key


def tar_indexes(key: str) -> Path:
    """Folder of where the members of a folder's tars lie, kept beside DVC of those in a store."""
    return DATA / "indexes" / key


def unfinished(name: str) -> Path:
    """Folder of work that a killed run has left and a later one may go on with."""
    return DATA / "unfinished" / name


def embeddings(name: str) -> Path:
    """Folder of a dataset's images through a model: pre-LN class tokens, column `x`, and, where
    they are asked for, some spatial tokens of each image, column `spatial`; or, of a model that can
    only be a labeler, unit image embeddings, column `z`."""
    return DATA / "embeddings" / name


def planned_shifts(audit: str) -> Path:
    """File of an audit's images that are shifted, by split, and of the shifts' strengths."""
    return DATA / "shifts" / f"{audit}.json"


def perturbed(audit: str) -> Path:
    """Folder of class tokens of shifted images: shards with a column for each shift."""
    return DATA / "embeddings" / f"{audit}-perturbed"


def concepts_embeddings(dataset: str) -> Path:
    """Folder of the labeler's image embeddings, column `z`, and of its `vocabulary.parquet`."""
    return DATA / "embeddings" / f"concepts-{dataset}"


def head(embeddings: str) -> Path:
    """Folder of `model.json` and, where these embeddings are x, of `head.safetensors`: LayerNorm
    and projection, which make z of them."""
    return DATA / "heads" / embeddings


def texts(audit: str) -> Path:
    """Prompt embeddings of the audited model: class, form, t."""
    return DATA / "texts" / f"{audit}.parquet"


def sae(audit: str) -> Path:
    """Folder of `sae.safetensors`, `config.json`, `curves.csv` and `density.csv`."""
    return DATA / "saes" / audit


def further_saes(audit: str) -> Path:
    """Folder of an audit's dictionaries of further seeds, and `index.json`: their numbers."""
    return DATA / "further_saes" / audit


def further_sae(audit: str, number: int) -> Path:
    """Folder of one of them, counted from 1: `sae.safetensors` and `config.json`."""
    return further_saes(audit) / str(number)


def codes(audit: str) -> Path:
    """Folder of sparse codes: image_id, component, activation."""
    return DATA / "codes" / audit


def labels(audit: str) -> Path:
    """Table of components: label, alignment, clarity and top images."""
    return DATA / "labels" / f"{audit}.parquet"


def reference(audit: str) -> Path:
    """Folder of `reference.parquet` and `classes.parquet`, the expected relevance."""
    return DATA / "references" / audit


def audit(audit: str, stage: str) -> Path:
    """Folder of one audit's results."""
    return DATA / "audits" / audit / stage


def reviews(audit: str) -> Path:
    """Verdicts of persons on an audit's findings, kept in Git."""
    return Path("reviews") / f"{audit}.csv"


def reviewed(audit: str) -> Path:
    """Folder of an audit's `findings.parquet` and `components.parquet` as they were last reviewed,
    by which ids carry over, kept in Git (a large `components.parquet` by DVC)."""
    return Path("reviews") / audit


def report(audit: str) -> Path:
    """Folder of the versioned report."""
    return Path("reports") / audit


def comparison(dataset: str) -> Path:
    """Page that puts the audits of a dataset side by side; its figures are in a CSV beside it."""
    return Path("reports") / f"{dataset}.html"
