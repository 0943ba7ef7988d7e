"""What an audit's registered model is made of: its SAE, its head and its class prompts."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from audits.publish.made import existing
from pipeline import layout
from pipeline.artifacts.store import read_json
from pipeline.config import Params

__all__ = ["Model", "read_model"]


class Model(NamedTuple):
    """What a model is made of."""

    files: dict[str, Path]
    """Name in the model → file of the audit."""
    about: dict[str, Any]
    """Classes, how images are read, hashes of the files, and where the audited CLIP is."""

    @property
    def content(self) -> str:
        """Hash of it all but for where it is."""
        own = {key: value for key, value in self.about.items() if key != "clip"}
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()


def read_model(params: Params, audit: str) -> Model:
    """Collect a model from the files of the current directory.

    Raises:
        FileNotFoundError: a file is missing; the message names it and the stage that makes it.
    """
    config = params.audit(audit)
    entry, sae = layout.head(config.embeddings), layout.sae(audit)
    embed, train = f"embed@{config.embeddings}", f"train_sae@{audit}"
    files = {
        "sae.safetensors": existing(sae / "sae.safetensors", train),
        "config.json": existing(sae / "config.json", train),
        "head.safetensors": existing(entry / "head.safetensors", embed),
        "model.json": existing(entry / "model.json", embed),
        "texts.parquet": existing(layout.texts(audit), f"embed_texts@{audit}"),
    }
    manifest = layout.manifest(config.dataset)
    prepare = f"prepare@{config.dataset}"
    hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    about = {
        "audit": audit,
        "classes": read_json(existing(manifest / "classes.json", prepare)),
        **read_json(existing(manifest / "reading.json", prepare)),
        "clip": str(layout.model(config.model).resolve()),
        "clip_sha256": read_json(files["model.json"])["weights_sha256"],
        "sha256": hashes,
    }
    return Model(files, about)
