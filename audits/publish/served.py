"""The model of an audit, as MLflow runs this file when it loads one: codes and relevance of images.

MLflow keeps a copy of this file beside the weights, and no pickle. It needs clip-audit installed.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from torch import Tensor

from audits.explain.effects import outputs
from pipeline.artifacts.store import read_json
from pipeline.attribution.head import cosine_outputs
from pipeline.datasets.pixels import decode, reading_of
from pipeline.models.catalog import Clip, class_tokens, load_clip
from pipeline.models.files import read_head, read_texts
from pipeline.sae import files


class AuditModel(PythonModel):
    """SAE, head and class prompts of an audit. Images need the audited CLIP besides."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the weights.

        Raises:
            ValueError: a file is not what was published.
        """
        folder = Path(context.artifacts["audit"])
        self.about = read_json(folder / "about.json")
        for name, expected in self.about["sha256"].items():
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if found != expected:
                raise ValueError(
                    f"{folder / name} has SHA-256 {found}, and {expected} was published: it is "
                    "damaged or another file; put back the artifact, or publish the audit again"
                )
        self.sae = files.load(folder)
        self.head = read_head(folder)
        self.labels = [entry["label"] for entry in self.about["classes"]]
        self.t = read_texts(folder / "texts.parquet", self.labels)["short"]
        self.clip_folder = Path((context.model_config or {}).get("clip") or self.about["clip"])
        self.clip: Clip | None = None

    # Any type hint that says what this takes is one that MLflow refuses.
    def predict(  # type: ignore[no-untyped-def]
        self, context: Any, model_input, params: Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Codes, and relevance for a class's short name, of images or embeddings.

        Args:
            context: unused.
            model_input: images (a list of paths or of bytes, or a table with a column `image`), or
                class tokens before ln_post [n, d].
            params: `label`, a class of the dataset; without it, for each image the class whose
                prompt its output is highest for.

        Returns:
            A row an image: label, y, y_reconstruction, and lists over its active components by
            falling effect, component, activation, relevance and effect, as `audits.explain` has
            them.

        Raises:
            ValueError: the input is none of these, the dataset has no such class, or an image
                cannot be used.
        """
        asked = (params or {}).get("label")
        if asked and asked not in self.labels:
            raise ValueError(f"there is no class {asked!r}, only {self.labels}")
        return pd.DataFrame([self._row(x, asked) for x in self._tokens(model_input)])

    def _row(self, x: Tensor, asked: str | None) -> dict[str, Any]:
        if asked:
            position = self.labels.index(asked)
        else:
            position = int(cosine_outputs(x[None], self.t, self.head)[0].argmax())
        found = outputs(x, self.t[position], self.head, self.sae)
        lists = ("component", "activation", "relevance", "effect")
        return {
            "label": self.labels[position],
            "y": found.y,
            "y_reconstruction": found.y_reconstruction,
            **{name: [getattr(one, name) for one in found.effects] for name in lists},
        }

    def _tokens(self, given: Any) -> Iterator[Tensor]:
        """Class token [d] of each image."""
        if isinstance(given, pd.DataFrame):
            given = given["image"].tolist() if "image" in given.columns else given.to_numpy()
        if isinstance(given, Sequence) and all(
            isinstance(one, str | Path | bytes) for one in given
        ):
            yield from map(self._of_image, given)
            return
        x = np.asarray(given, dtype=np.float32)
        width = self.sae.atoms.shape[1]
        if x.ndim != 2 or x.shape[1] != width:
            raise ValueError(
                f"paths or bytes of images, or embeddings [n, {width}] are needed, not an array of "
                f"shape {list(x.shape)}"
            )
        yield from torch.from_numpy(x)

    def _of_image(self, image: str | Path | bytes) -> Tensor:
        if self.clip is None:
            self.clip = self._load_clip()
        content = image if isinstance(image, bytes) else Path(image).read_bytes()
        rgb = decode(content, reading_of(self.about)).rgb
        return class_tokens(self.clip.model, self.clip.preprocess(rgb)[None])[0]

    def _load_clip(self) -> Clip:
        if not self.clip_folder.is_dir():
            raise ValueError(
                f"{self.clip_folder}, the open_clip folder of the audited model, is not here. Name "
                'it: mlflow.pyfunc.load_model(uri, model_config={"clip": "data/models/KEY"}). '
                "Embeddings need none"
            )
        clip = load_clip(self.clip_folder)
        if clip.weights_sha256 != self.about["clip_sha256"]:
            raise ValueError(f"{self.clip_folder} holds other weights than those that were audited")
        return clip


set_model(AuditModel())
